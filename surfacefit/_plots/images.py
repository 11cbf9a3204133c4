"""Grids in two dimensions, and the middle slices of grids in three: data, model and residual as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import Canvas, draw_on, grid_canvas
from .panels import (
    MAX_TICKS_2D,
    axis_names,
    color_scales,
    data_model_residual,
    finish,
    flagged_components,
    has_index_axes,
    label_panels,
    titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._results.result import FitResult


def draw_map(figure: Figure, result: FitResult) -> Axes:
    """Three images of a grid in 2-D; returns the panel of the model."""
    panels = figure.subplots(1, 3, sharex=True, sharey=True, squeeze=False)
    canvas = grid_canvas(result.data, (0, 1))
    _draw_row(panels[0], result, canvas, data_model_residual(result))
    label_panels(panels[0], axis_names(result.data), titles(result))
    finish(figure, panels, result, canvas.ratio)
    return panels[0, 1]


def draw_slices(figure: Figure, result: FitResult) -> None:
    """The middle slice across each axis of a grid in 3-D, one row for each axis."""
    assert result.data.axes is not None
    panels = figure.subplots(3, 3, sharex="row", sharey="row", squeeze=False)
    volumes, ratio, names = data_model_residual(result), 0.0, axis_names(result.data)
    for i, (row, axis) in enumerate(zip(panels, result.data.axes, strict=True)):
        j, k = (other for other in range(3) if other != i)
        middle, canvas = len(axis) // 2, grid_canvas(result.data, (j, k))
        ratio += canvas.ratio
        _draw_row(row, result, canvas, [values.take(middle, axis=i) for values in volumes])
        label_panels(row, [names[j], names[k]], [f"data, {names[i]} at {axis[middle]:.4g}", "model", "residual"])
    _, model, residual = titles(result)
    figure.suptitle("; ".join([model, residual, *flagged_components(result)]), fontsize="medium")
    finish(figure, panels, result, ratio)


def _draw_row(panels: Any, result: FitResult, canvas: Canvas, images: list[np.ndarray]) -> None:
    """Data, model and residual over two axes of a grid."""
    for panel, values, style in zip(panels, images, color_scales(result), strict=True):
        draw_on(panel, canvas, values, style)
        panel.locator_params(nbins=MAX_TICKS_2D, min_n_ticks=1, integer=has_index_axes(result.data))
