"""A surface without data: a curve with its components, a map with ellipses, or the highest along each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import MIN_CURVE_POINTS, box_canvas, draw_on
from .components import contribution_style, draw_curves, draw_numbered, draw_projections
from .panels import FIGURE_INCHES, empty_figure, space_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._model.surface import GaussianSurface

# Widths around each component: its height has fallen to 3e-4 there.
WIDTHS_AROUND = 4


def plot_surface(surface: GaussianSurface, extent: Any = None) -> Figure:
    """See `GaussianSurface.plot`."""
    if surface.n_dim > 3:
        raise ValueError(
            f"a plot shows 1 to 3 dimensions, this surface has {surface.n_dim}: call it at points of yours"
        )
    box = _around(surface) if extent is None else _checked(extent, surface.n_dim)
    figure = empty_figure()
    names = [f"axis {i}" for i in range(surface.n_dim)]
    if surface.n_dim == 1:
        draw_curves(figure, surface, np.linspace(float(box[0, 0]), float(box[0, 1]), MIN_CURVE_POINTS), names[0], "")
    elif surface.n_dim == 2:
        _draw_map(figure, surface, box, names)
    else:
        draw_projections(figure, surface, box, names, "")
    return figure


def _draw_map(figure: Figure, surface: GaussianSurface, box: np.ndarray, names: list[str]) -> None:
    from matplotlib.colors import Normalize

    panel, canvas = figure.subplots(), box_canvas(box[:, 0], box[:, 1])
    values = surface(canvas.points)
    style = contribution_style(surface, values)
    if style["cmap"] == "viridis":
        style["norm"] = Normalize(values.min(), values.max())
    draw_on(panel, canvas, values, style)
    draw_numbered(panel, surface)
    panel.set(xlabel=names[1], ylabel=names[0])
    panel.set_title(f"K = {surface.n_components}", fontsize="medium")
    width = FIGURE_INCHES / 2
    figure.set_size_inches(width, max(0.75 * width * canvas.ratio + 0.8, 2.5))
    space_ticks(panel, 0.7 * width)
    figure.colorbar(panel.images[0], ax=panel)


def _around(surface: GaussianSurface) -> np.ndarray:
    """A box (d, 2) around all components."""
    if not surface.n_components:
        raise ValueError("`extent` must be given: a surface without components has no place of its own")
    centers = np.asarray(surface.centers, float)
    reach = WIDTHS_AROUND * np.sqrt(np.diagonal(np.asarray(surface.covariances, float), axis1=1, axis2=2))
    return np.stack([(centers - reach).min(axis=0), (centers + reach).max(axis=0)], axis=1)


def _checked(extent: Any, n_dim: int) -> np.ndarray:
    box = np.asarray(extent, float)
    if box.shape == (2,) and n_dim == 1:
        box = box[None]
    if box.shape != (n_dim, 2) or not np.isfinite(box).all() or (box[:, 0] >= box[:, 1]).any():
        raise ValueError(
            f"`extent` must be the lowest and the highest coordinate along each of {n_dim} axes, finite and rising, got"
            f" {np.asarray(extent).tolist()}"
        )
    return box
