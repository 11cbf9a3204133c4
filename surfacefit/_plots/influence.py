"""The map of derivatives by the heights, or of leverages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._derivatives.fitted_minimum import FittedMinimum
from .panels import MAX_ELLIPSES, axis_names, draw_ellipses, empty_figure, has_index_axes, space_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_influence(found: FittedMinimum, values: np.ndarray, is_leverage: bool) -> Figure:
    """Values in the shape of the heights: a curve, an image, or points, with the components as ellipses in 2-D."""
    data = found.result.data
    if data.n_dim > 2:
        raise ValueError(f"a plot shows 1 or 2 dimensions, this fit has {data.n_dim}: use `of` and `leverage`")
    if np.shape(values) != data.heights.shape:
        raise ValueError("`function` must give one number for a plot: take one entry of its answer")
    figure = empty_figure()
    panel = figure.subplots()
    shown = np.where(data.used, data.turned(values), np.nan)
    name, names = "leverage" if is_leverage else "derivative by each height", axis_names(data)
    if data.n_dim == 1:
        place = data.all_points[:, 0]
        order = np.argsort(place)
        panel.plot(place[order], shown.ravel()[order], "C3", lw=1.2)
        panel.axhline(0, color="0.6", lw=0.8)
        panel.set(xlabel=names[0], ylabel=name)
        figure.set_size_inches(8, 3)
        return figure
    largest = float(np.nanmax(np.abs(shown), initial=0.0)) or 1.0
    both_signs: Any = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    style = {"cmap": "viridis", "vmin": 0.0} if is_leverage else both_signs
    drawn: Any
    if data.axes is None:
        points = data.all_points
        drawn = panel.scatter(points[:, 1], points[:, 0], c=shown.ravel(), s=12, **style)
    else:
        drawn = panel.pcolormesh(data.axes[1], data.axes[0], shown, shading="nearest", rasterized=True, **style)
        if has_index_axes(data):
            panel.invert_yaxis()
    if found.surface.n_components <= MAX_ELLIPSES:
        draw_ellipses(panel, found.surface)
    panel.set(xlabel=names[1], ylabel=names[0], title=name)
    figure.colorbar(drawn, ax=panel)
    figure.set_size_inches(7, 5)
    space_ticks(panel, 4.5)
    return figure
