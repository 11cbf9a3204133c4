"""What each component contributes: curves in 1-D, small maps in 2-D, the highest along each axis in 3-D; numbered."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import Canvas, box_canvas, canvas_of, draw_on, points_box, sampled_curve
from .panels import (
    FIGURE_INCHES,
    MAX_ELLIPSES,
    Style,
    axis_names,
    draw_ellipses,
    has_index_axes,
    height_name,
    space_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._model.surface import GaussianSurface
    from .._results.result import FitResult

# Okabe and Ito's colours, told apart by colour-blind eyes, without black (the data) and yellow (too light for lines).
CURVE_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")

# Panels of single components, the largest first: three rows of four with that of their sum.
MOST_CONTRIBUTIONS = 11

# Panels in a row: four of them fill the width of a page.
CONTRIBUTIONS_A_ROW = 4

# Numbers written beside components, the largest first: more cover each other.
MOST_NUMBERS = 60

# Cells along each axis of a box in 3-D: a hundred thousand in all take a tenth of a second a hundred components.
SPACE_CELLS = 48


def draw_components(figure: Figure, result: FitResult) -> None:
    """The contribution of each component of a fit."""
    data, surface = result.data, result.surface
    if not surface.n_components:
        raise ValueError("`kind`='components' shows components, and this fit has none: use kind='fit'")
    names, heights = axis_names(data), height_name(data)
    if data.n_dim == 1:
        panel = draw_curves(figure, surface, sampled_curve(data.used_points[:, 0]), names[0], heights)
        panel.plot(data.used_points[:, 0], data.used_heights, ".", color="0.6", zorder=0, rasterized=True)
    elif data.n_dim == 2:
        draw_contributions(figure, surface, canvas_of(data), names, heights)
    else:
        low, high = points_box(data)
        draw_projections(figure, surface, np.stack([low, high], axis=1), names, heights, has_index_axes(data))


def draw_curves(figure: Figure, surface: GaussianSurface, x: np.ndarray, name: str, heights: str) -> Axes:
    """Components (1-D) on top of the background, each filled with a colour and numbered, under their sum."""
    figure.set_size_inches(FIGURE_INCHES, FIGURE_INCHES / 3)
    panel = figure.subplots()
    whole = surface(x)
    background = whole - replace(surface, background=None)(x)
    for k in surface.by_volume:
        color = CURVE_COLORS[k % len(CURVE_COLORS)]
        top = background + surface.component(k)(x)
        panel.fill_between(x, background, top, color=color, alpha=0.35, linewidth=0)
        panel.plot(x, top, color=color, linewidth=1)
    panel.plot(x, whole, color="black", linewidth=1, label="model")
    panel.plot(x, background, color="0.4", linewidth=1, linestyle="--", label="background")
    panel.set(xlabel=name, ylabel=heights, xlim=(x.min(), x.max()))
    panel.legend(frameon=False, fontsize="small")
    for k in surface.by_volume[:MOST_NUMBERS]:
        center = float(np.asarray(surface.centers)[k, 0])
        if x.min() <= center <= x.max():
            top = np.interp(center, x, background) + np.asarray(surface.amplitudes)[k]
            panel.annotate(str(k), (center, top), (0, 3), textcoords="offset points", ha="center", fontsize="small")
    return panel


def draw_contributions(
    figure: Figure, surface: GaussianSurface, canvas: Canvas, names: list[str], heights: str
) -> None:
    """The sum of components (2-D) with their numbers, then the components of largest volume one by one."""
    from matplotlib.cm import ScalarMappable

    shown = surface.by_volume[:MOST_CONTRIBUTIONS]
    images = [replace(surface, background=None)(canvas.points), *(surface.component(k)(canvas.points) for k in shown)]
    shares = np.abs(surface.volumes) / (np.abs(surface.volumes).sum() or 1.0)
    texts = [f"sum, K = {surface.n_components}", *(f"{k}: {shares[k]:.1%} of the volume" for k in shown)]
    columns = min(CONTRIBUTIONS_A_ROW, len(images))
    rows = -(-len(images) // columns)
    inches = FIGURE_INCHES / CONTRIBUTIONS_A_ROW
    figure.set_size_inches(inches * columns + 0.8, (inches * canvas.ratio * 0.9 + 0.5) * rows + 0.3)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    style = contribution_style(surface, images[0])
    for panel, values, text in zip(panels.ravel(), images, texts, strict=False):
        draw_on(panel, canvas, values, style)
        panel.set_title(text, fontsize="medium")
        space_ticks(panel, 0.8 * inches)
    for panel in panels.ravel()[len(images) :]:
        panel.set_axis_off()
    draw_numbered(panels[0, 0], surface)
    for panel, k in zip(panels.ravel()[1:], shown, strict=False):
        draw_ellipses(panel, surface.component(k))
    _name_outer(panels, names, len(images))
    figure.colorbar(ScalarMappable(**style), ax=panels, label=heights)


def draw_projections(
    figure: Figure, surface: GaussianSurface, box: np.ndarray, names: list[str], heights: str, downwards: bool = False
) -> None:
    """The sum of components in a box (3, 2) of space: the value farthest from zero along each axis, with their
    numbers.
    """
    from matplotlib.cm import ScalarMappable

    figure.set_size_inches(FIGURE_INCHES, 0.36 * FIGURE_INCHES)
    panels = figure.subplots(1, 3)
    alone = replace(surface, background=None)
    middles = [low + (np.arange(SPACE_CELLS) + 0.5) / SPACE_CELLS * (high - low) for low, high in box]
    values = alone(np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1))
    style = contribution_style(surface, values)
    for panel, (j, k) in zip(panels, combinations(range(3), 2), strict=True):
        (i,) = {0, 1, 2} - {j, k}
        canvas = box_canvas(box[[j, k], 0], box[[j, k], 1], SPACE_CELLS, downwards)
        draw_on(panel, canvas, _farthest_from_zero(values, i), style)
        panel.set_title(f"highest along {names[i]}", fontsize="medium")
        panel.set(xlabel=names[k], ylabel=names[j])
        space_ticks(panel, 0.22 * FIGURE_INCHES)
        draw_numbered(panel, projected(alone, j, k))
    figure.colorbar(ScalarMappable(**style), ax=panels, label=heights)


def projected(surface: GaussianSurface, j: int, k: int) -> GaussianSurface:
    """The shadow on two axes: the ellipse of each component is the outline of its ellipsoid."""
    pair = np.array([j, k])
    covariances = np.asarray(surface.covariances)[:, pair][:, :, pair]
    return replace(surface, centers=np.asarray(surface.centers)[:, pair], covariances=covariances)


def draw_numbered(panel: Axes, surface: GaussianSurface) -> None:
    """Ellipses with the numbers of their components, the largest of them."""
    from matplotlib.patheffects import withStroke

    if surface.n_components <= MAX_ELLIPSES:
        draw_ellipses(panel, surface)
    for k in surface.by_volume[:MOST_NUMBERS]:
        panel.annotate(
            str(k),
            tuple(np.asarray(surface.centers)[k, ::-1]),
            color="white",
            fontsize="small",
            ha="center",
            va="center",
            annotation_clip=True,
            path_effects=[withStroke(linewidth=2, foreground="black", alpha=0.6)],
        )


def contribution_style(surface: GaussianSurface, values: np.ndarray) -> Style:
    """Colours from zero upwards; on both sides of zero alike where there are pits."""
    from matplotlib.colors import Normalize

    largest = float(np.abs(values).max()) or 1.0
    if np.any(np.asarray(surface.amplitudes) < 0):
        return {"cmap": "RdBu_r", "norm": Normalize(-largest, largest)}
    return {"cmap": "viridis", "norm": Normalize(0, largest)}


def _farthest_from_zero(values: np.ndarray, axis: int) -> np.ndarray:
    low, high = values.min(axis=axis), values.max(axis=axis)
    return np.where(-low > high, low, high)


def _name_outer(panels: Any, names: list[str], count: int) -> None:
    """Names along the left, and below the lowest of each column of the first ``count`` panels."""
    columns = panels.shape[1]
    for panel in panels[:, 0]:
        panel.set_ylabel(names[0])
    for n in range(max(count - columns, 0), count):
        panels[n // columns, n % columns].set_xlabel(names[1])
        panels[n // columns, n % columns].tick_params(labelbottom=True)
