"""Grids in two dimensions, and the middle slices of grids in three: data, model and residual as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .panels import (
    MAX_TICKS_2D,
    color_scales,
    data_model_residual,
    draw_image,
    finish,
    flagged_components,
    has_index_axes,
    label_panels,
    panel_aspect,
    titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import FitResult


def draw_map(figure: Figure, result: FitResult) -> Axes:
    """Three images of a grid in 2-D; returns the panel of the model."""
    panels = figure.subplots(1, 3, sharex=True, sharey=True, squeeze=False)
    ratio = _draw_row(panels[0], result, (0, 1), data_model_residual(result))
    names = ("row", "column") if has_index_axes(result) else ("axis 0", "axis 1")
    label_panels(panels[0], names, titles(result))
    finish(figure, panels, result, ratio)
    return panels[0, 1]


def draw_slices(figure: Figure, result: FitResult) -> None:
    """The middle slice across each axis of a grid in 3-D, one row for each axis."""
    assert result.data.axes is not None
    panels = figure.subplots(3, 3, sharex="row", sharey="row", squeeze=False)
    volumes, ratio = data_model_residual(result), 0.0
    for i, (row, axis) in enumerate(zip(panels, result.data.axes, strict=True)):
        j, k = (other for other in range(3) if other != i)
        middle = len(axis) // 2
        ratio += _draw_row(row, result, (j, k), [values.take(middle, axis=i) for values in volumes])
        label_panels(row, (f"axis {j}", f"axis {k}"), [f"data, axis {i} at {axis[middle]:.4g}", "model", "residual"])
    _, model, residual = titles(result)
    figure.suptitle("; ".join([model, residual, *flagged_components(result)]), fontsize="medium")
    finish(figure, panels, result, ratio)


def _draw_row(panels: Any, result: FitResult, axes: tuple[int, int], images: list[np.ndarray]) -> float:
    """Data, model and residual over two axes of a grid; returns height over width of a panel."""
    assert result.data.axes is not None
    steps = result.data.spacing[list(axes)]
    edges = [_cell_edges(result.data.axes[j], step) for j, step in zip(axes, steps, strict=True)]
    aspect, ratio = panel_aspect(edges, steps)
    for panel, values, style in zip(panels, images, color_scales(result), strict=True):
        draw_image(panel, edges, values, style)
        panel.set_aspect(aspect)
        panel.locator_params(nbins=MAX_TICKS_2D, min_n_ticks=1, integer=has_index_axes(result))
        if has_index_axes(result):
            panel.set_ylim(edges[0][-1], edges[0][0])
    return ratio


def _cell_edges(axis: np.ndarray, step: float) -> np.ndarray:
    """Edges (n + 1,) of the cells around positions (n,)."""
    if len(axis) == 1:
        return axis + step * np.array([-0.5, 0.5])
    inner = axis[1:] / 2 + axis[:-1] / 2
    return np.concatenate([[2 * axis[0] - inner[0]], inner, [2 * axis[-1] - inner[-1]]])
