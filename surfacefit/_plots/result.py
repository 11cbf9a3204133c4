"""Pictures of a fit by their kind: a kind is a row of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .._base.checks import one_of
from .._results.flags import shown_flags
from .components import draw_components
from .curve import draw_curve
from .error import draw_error
from .images import draw_map, draw_slices
from .panels import MAX_ELLIPSES, draw_ellipses, empty_figure
from .path import draw_steps_or_path
from .perspective import draw_perspective
from .points import draw_points, draw_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult


def draw_fit(figure: Figure, result: FitResult, ellipses: bool | None = None) -> None:
    """Data, model and residual.

    Where a grid has the coordinates 0, 1, 2, ... along each axis, rows run downwards as in an image. With other
    coordinates, and for scattered points, the first axis points upwards. Data and model share a colour scale, from the
    lowest to the highest of the heights used. The scale of the residual ends at the 99.5 % quantile of its absolute
    value. For a robust loss both scales leave out the outliers. Points not used are gray in data and residual.
    """
    n_dim, scattered = result.data.n_dim, result.data.axes is None
    if n_dim == 1:
        draw_curve(figure, result)
    elif n_dim == 2:
        model_panel = (draw_points if scattered else draw_map)(figure, result)
        if result.n_components <= MAX_ELLIPSES if ellipses is None else ellipses:
            draw_ellipses(model_panel, result.surface, shown_flags(result) != 0)
    else:
        (draw_space if scattered else draw_slices)(figure, result)


class Kind(NamedTuple):
    """A kind of picture: the function that draws it, and the dimensions that it can show (None: any)."""

    draw: Callable[..., None]
    dimensions: tuple[int, ...] | None


# The pictures by the names that `plot(kind=...)` takes.
KINDS = {
    "fit": Kind(draw_fit, (1, 2, 3)),
    "3d": Kind(draw_perspective, (2,)),
    "components": Kind(draw_components, (1, 2, 3)),
    "error": Kind(draw_error, (1, 2, 3)),
    "path": Kind(draw_steps_or_path, None),
}


def plot_result(result: FitResult, kind: str = "fit", ellipses: bool | None = None) -> Figure:
    """A figure of a fit; see `FitResult.plot`."""
    found, n_dim = KINDS[one_of("kind", kind, KINDS)], result.data.n_dim
    if n_dim > 3 and found.dimensions is not None:
        raise ValueError(
            f"a plot shows 1 to 3 dimensions, this fit has {n_dim}: use `result.residuals` and `result.predict()`"
        )
    if found.dimensions is not None and n_dim not in found.dimensions:
        raise ValueError(
            f"`kind`={kind!r} shows heights over 2 dimensions, this fit has {n_dim}: use kind='components'"
        )
    if ellipses is not None and kind != "fit":
        raise ValueError(f"`ellipses` is for kind='fit', got kind={kind!r}: leave it out")
    figure = empty_figure()
    found.draw(figure, result, **({} if ellipses is None else {"ellipses": ellipses}))
    return figure
