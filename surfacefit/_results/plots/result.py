"""Data, model and residual of a fit: picks the figure for its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..flags import shown_flags
from .curve import draw_curve
from .images import draw_map, draw_slices
from .panels import MAX_ELLIPSES, draw_ellipses, empty_figure
from .points import draw_points, draw_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..result import FitResult


def plot_result(result: FitResult, ellipses: bool | None = None) -> Figure:
    """A figure of data, model and residual; see `FitResult.plot`.

    Where a grid has the coordinates 0, 1, 2, ... along each axis, rows run downwards as in an image. With other
    coordinates, and for scattered points, the first axis points upwards. Data and model share a colour scale, from the
    lowest to the highest of the heights used. The scale of the residual ends at the 99.5 % quantile of its absolute
    value. For a robust loss both scales leave out the outliers. Points not used are gray in data and residual.
    """
    n_dim, scattered = result.data.n_dim, result.data.axes is None
    if n_dim > 3:
        raise ValueError(
            f"a plot shows 1 to 3 dimensions, this fit has {n_dim}: use `result.residuals` and `result.predict()`"
        )
    figure = empty_figure()
    if n_dim == 1:
        draw_curve(figure, result)
    elif n_dim == 2:
        model_panel = (draw_points if scattered else draw_map)(figure, result)
        if result.n_components <= MAX_ELLIPSES if ellipses is None else ellipses:
            draw_ellipses(model_panel, result.surface, shown_flags(result) != 0)
    else:
        (draw_space if scattered else draw_slices)(figure, result)
    return figure
