"""Data, model and residual of each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._plots.canvas import grid_canvas
from .._plots.panels import FIGURE_INCHES, draw_ellipses, draw_image, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import ChannelResult

# Share of a figure's width that is a panel, with its numbers and scale.
CHANNEL_PANEL_SHARE = 0.26
# Inches: the height of a channel's line in 1-D.
LINE_INCHES = 2.5


def plot_channels(result: ChannelResult) -> Figure:
    """A row of panels a channel; in 1-D lines. Raises ValueError for other dimensions and for scattered points."""
    first = result.maps.channels[0]
    if first.axes is None or first.n_dim > 2:
        raise ValueError(
            f"`plot` shows channels on grids of one or two dimensions, got {first.n_dim}-D"
            f"{' scattered points' if first.axes is None else ''}: plot `result.surface(c)`"
        )
    return _lines(result) if first.n_dim == 1 else _images(result)


def _images(result: ChannelResult) -> Figure:
    figure, canvas = empty_figure(), grid_canvas(result.maps.channels[0], (0, 1))
    height = min(max(canvas.ratio, 0.2), 3.0) * CHANNEL_PANEL_SHARE * FIGURE_INCHES + 0.6
    figure.set_size_inches(FIGURE_INCHES, height * result.n_channels)
    panels = figure.subplots(result.n_channels, 3, squeeze=False, sharex=True, sharey=True)
    for c, row in enumerate(panels):
        data = result.maps.channels[c]
        heights, residual = np.where(data.used, data.heights, np.nan), data.turned(result.residual(c))
        model = np.asarray(result.surface(c)(data.all_points)).reshape(data.heights.shape)
        level: dict[str, Any] = {
            "vmin": float(np.nanmin(heights)),
            "vmax": float(np.nanmax(heights)),
            "cmap": "viridis",
        }
        largest = float(np.nanmax(np.abs(residual))) or 1.0
        around: dict[str, Any] = {"vmin": -largest, "vmax": largest, "cmap": "RdBu_r"}
        for panel, values, style in zip(row, (heights, model, residual), (level, level, around), strict=True):
            draw_image(panel, canvas.edges, values, style)
            panel.set_aspect(canvas.aspect)
        draw_ellipses(row[1], result.surface(c))
        row[0].set_title(f"channel {c}")
        row[1].set_title(f"K = {result.n_components}")
        row[2].set_title(f"residual, rmse {result.rmse[c]:.3g}")
    if canvas.downwards:
        panels[0, 0].invert_yaxis()
    return figure


def _lines(result: ChannelResult) -> Figure:
    figure = empty_figure()
    figure.set_size_inches(FIGURE_INCHES, LINE_INCHES * result.n_channels)
    for c, panel in enumerate(figure.subplots(result.n_channels, 1, squeeze=False, sharex=True)[:, 0]):
        data = result.maps.channels[c]
        x = data.all_points[:, 0]
        panel.plot(x, np.where(data.used, data.heights, np.nan), ".", color="0.6")
        panel.plot(x, np.asarray(result.surface(c)(data.all_points)), "-")
        panel.set_title(f"channel {c}: K = {result.n_components}, rmse {result.rmse[c]:.3g}")
    return figure
