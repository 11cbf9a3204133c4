"""Scattered data in two and three dimensions: data, model and residual as coloured points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .panels import (
    MAX_TICKS_2D,
    Style,
    color_scales,
    data_model_residual,
    draw_image,
    finish,
    flagged_components,
    label_panels,
    panel_aspect,
    titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..result import FitResult

# Cells along each axis of the model's image: about one to a pixel of a panel on the screen.
MODEL_CELLS = 200

# Of the extent of the points: room for the markers at the rim.
POINTS_MARGIN = 0.03

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
    points = result.data.all_points
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, POINTS_MARGIN * (high - low), 0.5 * result.data.spacing)
    edges = [np.linspace(a, b, MODEL_CELLS + 1) for a, b in zip(low - margin, high + margin, strict=True)]
    aspect, ratio = panel_aspect(edges, high - low)
    middles = np.meshgrid(*(edge[1:] / 2 + edge[:-1] / 2 for edge in edges), indexing="ij")
    data, _, residual = data_model_residual(result)
    heights_style, _, residual_style = color_scales(result)
    draw_image(panels[0, 1], edges, result.surface(np.stack(middles, axis=-1)), heights_style)
    _scatter(panels[0, 0], points[:, ::-1], data, heights_style)
    _scatter(panels[0, 2], points[:, ::-1], residual, residual_style)
    for panel in panels[0]:
        panel.set_aspect(aspect)
        panel.locator_params(nbins=MAX_TICKS_2D)
    label_panels(panels[0], ("axis 0", "axis 1"), titles(result))
    finish(figure, panels, result, ratio)
    return panels[0, 1]


def draw_space(figure: Figure, result: FitResult) -> None:
    """Points in 3-D, coloured by data, model and residual."""
    panels = figure.subplots(1, 3, squeeze=False, subplot_kw={"projection": "3d"})
    for panel, values, style in zip(panels[0], data_model_residual(result), color_scales(result), strict=True):
        _scatter(panel, result.data.all_points, values, style)
        panel.set(ylabel="axis 1", zlabel="axis 2")
        panel.set_facecolor("none")
        panel.set_box_aspect(None, zoom=0.8)
        panel.locator_params(nbins=MAX_TICKS_3D)
    label_panels(panels[0], ("axis 1", "axis 0"), titles(result))
    figure.suptitle("".join(flagged_components(result)), fontsize="medium")
    finish(figure, panels, result, 1.0)


def _scatter(panel: Any, points: np.ndarray, values: np.ndarray, style: Style) -> None:
    """Points (N, d) coloured by values, gray crosses where these are NaN."""
    used = np.isfinite(values)
    size = float(np.clip(MARKER_AREA_TIMES_POINTS / len(values), MIN_MARKER_AREA, MAX_MARKER_AREA))
    if not used.all():  # in 3-D, an empty scatter would stretch the panel to the origin
        panel.scatter(*points[~used].T, color="0.7", marker="x", s=size, linewidths=1, rasterized=True)
    panel.scatter(*points[used].T, c=values[used], s=size, edgecolors="0.4", linewidths=0.3, rasterized=True, **style)
