"""What a start works from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._data.data import lattice
from .._periodic.nearest import Periods
from .rasters import Raster
from .torus import torus_raster

# Scattered points a cell of the raster, on average: fewer leave too many cells empty, more blur narrow peaks.
POINTS_PER_CELL = 2
# Largest weight per weight of the points that carry the heights. A compromise: squared it is far below the rounding of
# a sum, and far above ratios of weights that tell good data from bad.
MAX_WEIGHT_RATIO = 1e3


@dataclass(frozen=True, eq=False)
class StartRequest:
    """Points (N, d), heights (N,) above the background, in the units of the fit; how many components to place.

    ``spacing`` (d,) is the sampling distance, ``weights`` (N,) are 1 / sigma, one each if None; ``axes`` and ``used``
    describe the grid, where there is one, and else ``scattered`` are the points; amplitudes may be negative where
    ``signed``. ``periods`` are those of the axes, None where no axis has one.
    """

    scattered: np.ndarray | None
    heights: np.ndarray
    n_components: int
    spacing: np.ndarray
    rng: np.random.Generator
    axes: tuple[np.ndarray, ...] | None = None
    used: np.ndarray | None = None
    weights: np.ndarray | None = None
    signed: bool = False
    periods: Periods | None = None

    @property
    def points(self) -> np.ndarray:
        """The points (N, d); those of a grid are made anew, as they would take more memory than the heights."""
        if self.scattered is not None:
            return self.scattered
        axes, used = self._grid
        points = lattice(axes)
        return points if used.all() else points[used.ravel()]

    @property
    def _grid(self) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        assert self.axes is not None
        assert self.used is not None
        return self.axes, self.used

    @cached_property
    def _corners(self) -> tuple[np.ndarray, np.ndarray]:
        if self.scattered is not None:
            return self.scattered.min(axis=0), self.scattered.max(axis=0)
        axes, used = self._grid
        axes = tuple(axis[part] for axis, part in zip(axes, _box(used), strict=True))
        return np.array([axis[0] for axis in axes]), np.array([axis[-1] for axis in axes])

    @property
    def low(self) -> np.ndarray:
        """Lower corner (d,) of the points."""
        return self._corners[0]

    @property
    def extent(self) -> np.ndarray:
        """Side lengths (d,) of the points' box, at least one sampling distance."""
        return np.maximum(self._corners[1] - self._corners[0], self.spacing)

    @cached_property
    def squares(self) -> np.ndarray:
        """Weights w^2 (N,) for starts: those of the fit, but none far above that of the points which carry the heights.

        Where weights span many decades, as those of sigma = sqrt(z) do at the feet of a peak, sums over a window would
        otherwise hold nothing but the heaviest points. The bound is MAX_WEIGHT_RATIO times the weight at which half of
        sum (w z)^2 is reached.
        """
        if self.weights is None:
            return np.broadcast_to(1.0, len(self.heights))
        if np.ptp(self.weights) == 0:
            return np.broadcast_to(self.weights[0] ** 2, len(self.heights))
        order = np.argsort(self.weights)
        reached = np.cumsum((self.weights * self.heights)[order] ** 2)
        middle = self.weights[order[np.searchsorted(reached, reached[-1] / 2)]]
        return np.minimum(self.weights, MAX_WEIGHT_RATIO * middle if reached[-1] > 0 else np.inf) ** 2

    @cached_property
    def raster(self) -> Raster:
        """The heights on a grid: their own as far as it is used, or averages over cells for scattered points."""
        if self.periods is not None:
            return torus_raster(self, *cells_of(self))
        (axes, cells), squares = cells_of(self), self.squares
        empty = Raster(np.zeros(0), np.zeros(0), np.zeros(0), axes, cells)
        if squares.strides == (0,) and squares[0] == 1 and cells is None:  # as they are, without copies
            shape = tuple(len(axis) for axis in axes)
            ones = np.broadcast_to(1.0, shape)
            return Raster(np.asarray(self.heights, float).reshape(shape), ones, ones, axes, cells)
        return replace(
            empty,
            sums=empty.gathered(squares * self.heights),
            weights=empty.gathered(squares),
            counts=empty.gathered(np.ones(len(squares))),
        )


def cells_of(request: StartRequest) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
    """Axes of a raster of the points, and the cell (N,) of each, None if each has its own."""
    if request.axes is not None and request.used is not None:
        return _used_part(request.axes, request.used)
    return _bins(request)


def _used_part(axes: tuple[np.ndarray, ...], used: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
    """The axes of a grid from the first to the last point used along each, and the cell of each point, None if each
    has its own: what lies beyond is no place for a peak.
    """
    if used.all():
        return axes, None
    box = _box(used)
    return tuple(axis[part] for axis, part in zip(axes, box, strict=True)), np.flatnonzero(used[box])


def _box(used: np.ndarray) -> tuple[slice, ...]:
    """From the first to the last point used along each axis."""
    box = []
    for axis in range(used.ndim):
        there = np.flatnonzero(used.any(axis=tuple(i for i in range(used.ndim) if i != axis)))
        box.append(slice(there[0], there[-1] + 1))
    return tuple(box)


def _bins(request: StartRequest) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Axes of even cells that hold some points each, and the cell (N,) of each point."""
    spread = np.ptp(request.points, axis=0) > 0
    n_axes = max(1, int(np.count_nonzero(spread)))
    cells = max(1, round((len(request.heights) / POINTS_PER_CELL) ** (1 / n_axes)))
    shape = np.where(spread, cells, 1)
    index = ((request.points - request.low) / request.extent * shape).astype(int)
    index = np.clip(index, 0, shape - 1)
    axes = tuple(
        low + extent * (np.arange(n) + 0.5) / n
        for low, extent, n in zip(request.low, request.extent, shape, strict=True)
    )
    return axes, np.ravel_multi_index(tuple(index.T), tuple(shape))
