"""Scattered data in two and three dimensions: data, model and residual as coloured points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import canvas_of, draw_on
from .panels import (
    MAX_TICKS_2D,
    Style,
    axis_names,
    color_scales,
    data_model_residual,
    finish,
    flagged_components,
    label_panels,
    titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._results.result import FitResult

# Area of a marker times the number of points, in square points (1/72 inch): markers shrink as points get denser.
MARKER_AREA_TIMES_POINTS = 5000

# Square points: smaller markers do not show their colour.
MIN_MARKER_AREA = 3

# Square points: larger markers look like components.
MAX_MARKER_AREA = 40

# Ticks along an axis of a panel in perspective: what it has room for.
MAX_TICKS_3D = 5


def draw_points(figure: Figure, result: FitResult) -> Axes:
    """Data and residual in 2-D as coloured points, the model as an image over their box; returns the model's panel."""
    panels = figure.subplots(1, 3, sharex=True, sharey=True, squeeze=False)
    points, canvas = result.data.all_points, canvas_of(result.data)
    data, _, residual = data_model_residual(result)
    heights_style, _, residual_style = color_scales(result)
    draw_on(panels[0, 1], canvas, result.surface(canvas.points), heights_style)
    draw_scatter(panels[0, 0], points[:, ::-1], data, heights_style)
    draw_scatter(panels[0, 2], points[:, ::-1], residual, residual_style)
    for panel in panels[0]:
        panel.set_aspect(canvas.aspect)
        panel.locator_params(nbins=MAX_TICKS_2D)
    label_panels(panels[0], axis_names(result.data), titles(result))
    finish(figure, panels, result, canvas.ratio)
    return panels[0, 1]


def draw_space(figure: Figure, result: FitResult) -> None:
    """Points in 3-D, coloured by data, model and residual."""
    panels, names = figure.subplots(1, 3, squeeze=False, subplot_kw={"projection": "3d"}), axis_names(result.data)
    for panel, values, style in zip(panels[0], data_model_residual(result), color_scales(result), strict=True):
        draw_scatter(panel, result.data.all_points, values, style)
        panel.set(ylabel=names[1], zlabel=names[2])
        panel.set_facecolor("none")
        panel.set_box_aspect(None, zoom=0.8)
        panel.locator_params(nbins=MAX_TICKS_3D)
    label_panels(panels[0], [names[1], names[0]], titles(result))
    figure.suptitle("".join(flagged_components(result)), fontsize="medium")
    finish(figure, panels, result, 1.0)


def draw_scatter(panel: Any, points: np.ndarray, values: np.ndarray, style: Style) -> None:
    """Points (N, d) coloured by values, gray crosses where these are NaN."""
    used = np.isfinite(values)
    size = float(np.clip(MARKER_AREA_TIMES_POINTS / len(values), MIN_MARKER_AREA, MAX_MARKER_AREA))
    if not used.all():  # in 3-D, an empty scatter would stretch the panel to the origin
        panel.scatter(*points[~used].T, color="0.7", marker="x", s=size, linewidths=1, rasterized=True)
    panel.scatter(*points[used].T, c=values[used], s=size, edgecolors="0.4", linewidths=0.3, rasterized=True, **style)
