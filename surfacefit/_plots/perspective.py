"""Heights over two dimensions in perspective: data and model side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import Canvas, canvas_of
from .panels import (
    FIGURE_INCHES,
    Style,
    axis_names,
    color_scales,
    data_model_residual,
    height_name,
    plain_ticks,
    titles,
)
from .points import MAX_TICKS_3D, draw_scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult

# Facets along each axis: about one to four pixels of a panel; more take seconds and look the same.
MAX_FACETS = 120

# Degrees above the horizon, and around the vertical: both axes rise away from the nearest corner.
ELEVATION, AZIMUTH = 35, -60

# Points (1/72 inch) between an axis and its name: room for slanted numbers.
LABEL_POINTS = 10


def draw_perspective(figure: Figure, result: FitResult) -> None:
    """Data (a surface, or scattered points) and model as surfaces with one scale of heights."""
    figure.set_size_inches(FIGURE_INCHES, 0.42 * FIGURE_INCHES)
    panels = figure.subplots(1, 2, subplot_kw={"projection": "3d"})
    canvas, style = canvas_of(result.data), color_scales(result)[0]
    data = data_model_residual(result)[0]
    if result.data.axes is None:
        places = np.column_stack([result.data.all_points[:, ::-1], data])
        draw_scatter(panels[0], places[np.isfinite(data)], data[np.isfinite(data)], style)
    else:
        _draw_facets(panels[0], canvas, data, style)
    _draw_facets(panels[1], canvas, result.surface(canvas.points), style)
    for panel, text in zip(panels, titles(result), strict=False):
        _dress(panel, result, canvas, style)
        panel.set_title(text, fontsize="medium")
    figure.colorbar(_mappable(style), ax=panels, shrink=0.6, label=height_name(result.data))


def _draw_facets(panel: Any, canvas: Canvas, values: np.ndarray, style: Style) -> None:
    """A surface of facets, with gaps where no value is known; of many cells every second, third, ... is shown."""
    size = [-(-n // MAX_FACETS) for n in values.shape]
    starts = [np.arange(0, n, step) for n, step in zip(values.shape, size, strict=True)]
    if min(len(start) for start in starts) < 2:
        raise ValueError(f"`kind`='3d' needs two rows and columns of heights, got {values.shape}: use kind='fit'")
    rows, columns = canvas.points[starts[0], 0, 0], canvas.points[0, starts[1], 1]
    heights = values[np.ix_(*starts)]
    x, y = np.meshgrid(columns, rows)
    panel.plot_surface(
        x, y, heights, rcount=MAX_FACETS, ccount=MAX_FACETS, linewidth=0, antialiased=False, rasterized=True, **style
    )


def _dress(panel: Any, result: FitResult, canvas: Canvas, style: Style) -> None:
    names, (rows, columns) = axis_names(result.data), canvas.edges
    panel.set_xlabel(names[1], labelpad=LABEL_POINTS)
    panel.set_ylabel(names[0], labelpad=LABEL_POINTS)
    panel.set_zlabel(height_name(result.data))
    panel.set(xlim=(columns[0], columns[-1]), zlim=(style["norm"].vmin, style["norm"].vmax))
    panel.set_ylim(*(rows[[-1, 0]] if canvas.downwards else rows[[0, -1]]))
    panel.set_box_aspect((1, min(max(canvas.ratio, 0.5), 2), 0.45), zoom=0.92)
    panel.view_init(ELEVATION, AZIMUTH)
    panel.set_facecolor("none")
    panel.locator_params(nbins=MAX_TICKS_3D)
    plain_ticks(panel)


def _mappable(style: Style) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(**style)
