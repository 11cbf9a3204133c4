"""Points, heights and weights in the units of the fit: made here once from the user's data, then put on the device.

On the host they are NumPy arrays in float64 (`InternalData`), on the device the fields of a `SurfaceProblem` in the
precision of the fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._data.data import SurfaceData
from .._lists.overlaps import EvenGrid
from .._lists.round_overlaps import round_grid
from .._lists.tiles import Tiling, grid_tiles, scattered_tiles
from .._model.scaling import Scaling
from .._periodic.nearest import Periods
from .capacity import point_capacity

# Largest relative spread of the weights that counts as one weight for all points: rounding, far above that of float64.
EQUAL_WEIGHTS = 1e-9
# Largest relative difference of the steps of an axis that counts as even. A compromise: coordinates from files are
# rounded, but sums over an even grid need its points where they are said to be.
EVEN_STEPS = 1e-6


class InternalData(NamedTuple):
    """The used points (N, d), heights (N,) and weights (N,) in the units of the fit."""

    points: np.ndarray
    heights: np.ndarray
    weights: np.ndarray

    def cast(self, dtype: np.dtype) -> InternalData:
        """In the precision of the fit, which rearranging the points then costs no more memory than it must."""
        return InternalData(*(np.asarray(array, dtype) for array in self))

    def padded(self, data: SurfaceData) -> InternalData:
        """With points of weight zero up to the next capacity for maps like these data, which repeat the last one: as
        finite as the data.
        """
        spare = point_capacity(len(self.heights), data.used.size) - len(self.heights)
        return InternalData(_padded(self.points, spare), _padded(self.heights, spare), np.pad(self.weights, (0, spare)))

    def tiled(self, tiling: Tiling) -> InternalData:
        """In the order of the tiles, with weight zero at places that hold no point."""
        weights = tiling.spread(self.weights)
        weights[~tiling.filled.ravel()] = 0
        return InternalData(tiling.spread(self.points), tiling.spread(self.heights), weights)


def internal_data(data: SurfaceData, scaling: Scaling, weight: float) -> InternalData:
    """The used part of the data in the units of the fit, weights divided by ``weight`` (`weight_unit`)."""
    heights = data.used_heights.astype(np.float64)
    return InternalData(scaling.points(data.used_points), scaling.heights(heights), data.weights / weight)


def weight_unit(data: SurfaceData) -> float:
    """Root mean square of the weights 1 / sigma, which the weights of the fit are divided by."""
    return 1.0 if data.sigma is None else float(np.sqrt(np.mean(data.weights**2)))


def cost_unit(data: SurfaceData, scaling: Scaling) -> float:
    """Cost in the user's units for a cost of one in the units of the fit."""
    return residual_unit(data, scaling) ** 2


def residual_unit(data: SurfaceData, scaling: Scaling) -> float:
    """A weighted residual in the user's units for one of one in the units of the fit."""
    return float(scaling.height_scale * weight_unit(data))


def tiling_of(data: SurfaceData, internal: InternalData, size: int) -> Tiling:
    """The used points in tiles of about ``size``."""
    if data.axes is None:
        return scattered_tiles(internal.points, size)
    return grid_tiles(internal.points, data.used, size)


def even_grid(data: SurfaceData, scaling: Scaling, periods: Periods | None = None) -> EvenGrid | None:
    """The grid of the data in the units of the fit, if it is even, complete and evenly weighted, and whole along axes
    with ``periods``.
    """
    if data.axes is None or not data.used.all() or np.ptp(data.weights) > EQUAL_WEIGHTS * data.weights.max():
        return None
    axes = scaling.axes(data.axes)
    steps = np.array([(axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 1.0 for axis in axes])
    even = all(
        np.allclose(np.diff(axis), step, rtol=EVEN_STEPS, atol=0) for axis, step in zip(axes, steps, strict=True)
    )
    if not even:
        return None
    grid = EvenGrid(np.array([axis[0] for axis in axes]), steps, data.used.shape)
    if periods is None:
        return grid
    lengths = zip(periods, steps * np.array(grid.shape), strict=True)
    whole = all(period is None or np.isclose(period, length, rtol=EVEN_STEPS) for period, length in lengths)
    return round_grid(grid, periods) if whole else None


def _padded(array: np.ndarray, spare: int) -> np.ndarray:
    """With the last entry repeated, so that whatever is evaluated there is as finite as at the data."""
    return np.pad(array, [(0, spare)] + [(0, 0)] * (array.ndim - 1), mode="edge")
