"""An even lattice of equal components: it ignores the data but for their heights, so any fitter can start from it."""

from __future__ import annotations

import numpy as np

from .._model.gaussian import line_integrals
from .._model.surface import GaussianSurface
from .request import StartRequest

# Width of a component in cells of its lattice: at half a cell the sum of equal components is constant to 3 %.
WIDTH_PER_CELL = 0.5
# Narrowest width in sampling distances: a narrower component would be a spike on one sample.
MIN_WIDTH_SAMPLES = 0.5
# Smallest height per largest that a positive component starts with: from next to nothing its gradient would be, too.
MIN_HEIGHT_SHARE = 0.02
# Height, in units of the fit, to start with where all heights vanish.
ZERO_MAP_HEIGHT = 1e-6


def grid_start(request: StartRequest) -> GaussianSurface:
    """K components in even rows, half a cell wide, with amplitudes that add up to the heights near their centres.

    Gaussians of width s on a lattice of step h sum to the constant a prod(sqrt(2 pi) s / h), which the
    amplitudes a are divided by.
    """
    samples = np.maximum(request.extent / request.spacing, 1)
    unit, cells = even_lattice(request.n_components, samples)
    centers = request.low + unit * request.extent
    widths = np.maximum(WIDTH_PER_CELL * cells * request.extent, MIN_WIDTH_SAMPLES * request.spacing)
    overlap = np.prod(line_integrals(WIDTH_PER_CELL))
    amplitudes = heights_around(request, centers) / overlap ** len(request.spacing)
    return GaussianSurface(amplitudes, centers, np.apply_along_axis(np.diag, 1, widths**2))


def heights_around(request: StartRequest, centers: np.ndarray) -> np.ndarray:
    """Mean heights (K,) of the cells around each centre; unless signed, at least a small share of the largest.

    Where all heights vanish, the background already fits and components start next to nothing.
    """
    sums, weights = request.raster.around(centers)
    heights = np.where(weights > 0, sums / np.where(weights > 0, weights, 1), request.heights.mean())
    return (
        heights
        if request.signed
        else np.maximum(heights, MIN_HEIGHT_SHARE * np.abs(request.heights).max() or ZERO_MAP_HEIGHT)
    )


def even_lattice(count: int, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``count`` positions (K, d) in the unit cube and the cell (K, d) of each, for axes of ``samples`` points.

    The first axis is cut into rows in proportion to its samples, the components are dealt evenly to the rows,
    and each row is divided alike along the remaining axes.
    """
    d = len(samples)
    if d == 1:
        return (np.arange(count)[:, None] + 0.5) / count, np.full((count, 1), 1 / count)
    step = (np.prod(samples) / count) ** (1 / d)
    rows = int(np.clip(round(samples[0] / step), 1, min(count, samples[0])))
    edges = np.linspace(0, count, rows + 1).round().astype(int)
    positions, cells = [], []
    for row in range(rows):
        inner, inner_cells = even_lattice(edges[row + 1] - edges[row], samples[1:])
        first = np.full((len(inner), 1), (row + 0.5) / rows)
        positions.append(np.hstack([first, inner]))
        cells.append(np.hstack([np.full((len(inner), 1), 1 / rows), inner_cells]))
    return np.vstack(positions), np.vstack(cells)
