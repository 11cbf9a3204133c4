"""Where an image of two axes stands, or a line over one: cells, their edges, which way is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .panels import Style, draw_image, has_index_axes, panel_aspect

if TYPE_CHECKING:
    from .._data.data import SurfaceData

# Cells along each axis of the model's image: about one to a pixel of a panel on the screen.
MODEL_CELLS = 200

# Of the extent of the points: room for the markers at the rim.
POINTS_MARGIN = 0.03

# Points of the model's line between samples: a component at the smallest width still looks round.
CURVE_POINTS_PER_SAMPLE = 4

# Points of the model's line: about one to a pixel of the figure.
MIN_CURVE_POINTS = 1000

# Points of the model's line: keeps vector files small.
MAX_CURVE_POINTS = 20000


class Canvas(NamedTuple):
    """Cells of an image.

    edges : of rows (n + 1,) and of columns (m + 1,), rising.
    aspect : of matplotlib's panels.
    ratio : height over width of a panel.
    downwards : whether rows run downwards, as in an image.
    """

    edges: list[np.ndarray]
    aspect: str
    ratio: float
    downwards: bool = False

    @property
    def points(self) -> np.ndarray:
        """The middles (n, m, 2) of the cells."""
        middles = np.meshgrid(*(edge[1:] / 2 + edge[:-1] / 2 for edge in self.edges), indexing="ij")
        return np.stack(middles, axis=-1)


def grid_canvas(data: SurfaceData, axes: tuple[int, int]) -> Canvas:
    """Two axes of a grid, a cell a sample."""
    assert data.axes is not None
    steps = data.spacing[list(axes)]
    edges = [_cell_edges(data.axes[j], step) for j, step in zip(axes, steps, strict=True)]
    return Canvas(edges, *panel_aspect(edges, steps), downwards=has_index_axes(data))


def box_canvas(low: np.ndarray, high: np.ndarray, n_cells: int = MODEL_CELLS, downwards: bool = False) -> Canvas:
    """A box (2,), (2,) of two coordinates in even cells."""
    edges = [np.linspace(a, b, n_cells + 1) for a, b in zip(low, high, strict=True)]
    return Canvas(edges, *panel_aspect(edges, high - low), downwards=downwards)


def points_box(data: SurfaceData) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest coordinates (d,) of scattered points, with some room around them."""
    points = data.all_points
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, POINTS_MARGIN * (high - low), 0.5 * data.spacing)
    return low - margin, high + margin


def canvas_of(data: SurfaceData) -> Canvas:
    """Of data in 2-D: the cells of their grid, or the box of scattered points."""
    return box_canvas(*points_box(data)) if data.axes is None else grid_canvas(data, (0, 1))


def draw_on(panel: Any, canvas: Canvas, values: np.ndarray, style: Style) -> None:
    """Values (n, m) of cells as an image."""
    draw_image(panel, canvas.edges, values, style)
    panel.set_aspect(canvas.aspect)
    if canvas.downwards:
        panel.set_ylim(canvas.edges[0][-1], canvas.edges[0][0])


def _cell_edges(axis: np.ndarray, step: float) -> np.ndarray:
    """Edges (n + 1,) of the cells around positions (n,)."""
    if len(axis) == 1:
        return axis + step * np.array([-0.5, 0.5])
    inner = axis[1:] / 2 + axis[:-1] / 2
    return np.concatenate([[2 * axis[0] - inner[0]], inner, [2 * axis[-1] - inner[-1]]])


def sampled_curve(x: np.ndarray) -> np.ndarray:
    """Places (n,) of a smooth line over samples (N,)."""
    n_fine = int(np.clip(CURVE_POINTS_PER_SAMPLE * len(x), MIN_CURVE_POINTS, MAX_CURVE_POINTS))
    return np.linspace(x.min(), x.max(), n_fine)
