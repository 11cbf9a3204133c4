"""Rasters of maps with periodic axes, and the places on them where a component lowers the cost most.

Cells go round: filters, windows and distances know no ends along a periodic axis. All scales are looked at on all
cells, by products with matrices of wrapped kernels, instead of on a pyramid, whose blocks would begin somewhere: data
that are shifted round have the same places, shifted. Where the data leave more than half of a period free, as a map of
a region does, the axis is cut open there: cells of the whole period would be too large, or too many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._model.gaussian import profile
from .._periodic.nearest import Periods, start_of_arc, wrapped
from .rasters import Raster
from .scales import SCALES, raised_norm

# Periods, or lengths of open axes, up to which windows are wide: a wider component is level.
WIDEST_WINDOW_SHARE = 0.25
# Images on either side that a window's kernel is summed over: the next is seven widths away for the widest.
KERNEL_IMAGES = 2


class RoundMap(Protocol):
    """What a raster that goes round is made of: the points and heights of a `StartRequest`."""

    @property
    def points(self) -> np.ndarray: ...
    @property
    def heights(self) -> np.ndarray: ...
    @property
    def squares(self) -> np.ndarray: ...
    @property
    def axes(self) -> tuple[np.ndarray, ...] | None: ...
    @property
    def low(self) -> np.ndarray: ...
    @property
    def periods(self) -> Periods | None: ...


class Places(NamedTuple):
    """What a component takes off the cost (n,) at places (n, d), in cells, with a width (n,) and a sign (n,)."""

    gains: np.ndarray
    places: np.ndarray
    widths: np.ndarray
    signs: np.ndarray


@dataclass(frozen=True, eq=False)
class TorusRaster(Raster):
    """A raster whose cells along periodic axes fill the period; ``periods`` (d,) are None for open axes. Axes of which
    the data cover a small part are cut open where there are none; ``turns`` (d,) are the periods of these.
    """

    periods: Periods = ()
    turns: Periods = ()

    @property
    def lengths(self) -> np.ndarray:
        """Cells of a period (d,) along each axis, infinite for open ones."""
        sizes = [len(axis) for axis in self.axes]
        return np.array([np.inf if p is None else n for p, n in zip(self.periods, sizes, strict=True)])

    def coordinates(self, index: np.ndarray) -> np.ndarray:
        columns = [
            np.interp(index[..., i], np.arange(len(axis)), axis)
            if period is None
            else axis[0] + index[..., i] * (period / len(axis))
            for i, (axis, period) in enumerate(zip(self.axes, self.periods, strict=True))
        ]
        return np.stack(columns, axis=-1)

    @cached_property
    def cell_sizes(self) -> list[np.ndarray]:
        return [
            (np.gradient(axis) if len(axis) > 1 else np.ones(1)) if p is None else np.full(len(axis), p / len(axis))
            for axis, p in zip(self.axes, self.periods, strict=True)
        ]

    def around(self, coordinates: np.ndarray) -> tuple[Any, Any]:
        low = np.array([_low(axis, turn) for axis, turn in zip(self.axes, self.turns, strict=True)])
        coordinates = wrapped(coordinates, low, self.turns)
        sides = []
        for i, (axis, period) in enumerate(zip(self.axes, self.periods, strict=True)):
            if period is None:
                upper = np.clip(np.searchsorted(axis, coordinates[:, i]), 0, len(axis) - 1)
                sides.append((np.maximum(upper - 1, 0), upper))
            else:
                below = np.floor((coordinates[:, i] - axis[0]) * (len(axis) / period)).astype(int)
                sides.append((below % len(axis), (below + 1) % len(axis)))
        corners = list(product(*sides))
        return sum(self.sums[corner] for corner in corners), sum(self.weights[corner] for corner in corners)

    def window(self, center: np.ndarray, radius: float) -> tuple[Any, ...]:
        numbers = self._numbers(center, radius)
        return np.ix_(
            *(n if p is None else n % len(axis) for n, p, axis in zip(numbers, self.periods, self.axes, strict=True))
        )

    def offsets(self, center: np.ndarray, radius: float) -> list[np.ndarray]:
        numbers = self._numbers(center, radius)
        return list(np.ix_(*(n - c for n, c in zip(numbers, center, strict=True))))

    def _numbers(self, center: np.ndarray, radius: float) -> list[np.ndarray]:
        """Numbers of the cells within a radius along each axis, counted on past the ends of a period, of which there is
        at most a whole one.
        """
        found = []
        for c, axis, period, plain in zip(center, self.axes, self.periods, super().window(center, radius), strict=True):
            if period is None:
                found.append(np.arange(plain.start, plain.stop))
                continue
            reach = min(radius, len(axis) / 2)
            first = int(np.ceil(c - reach))
            found.append(np.arange(first, first + max(1, min(int(np.floor(c + reach)) - first + 1, len(axis)))))
        return found

    @cached_property
    def scales(self) -> list[float]:
        """Widths of the windows in cells."""
        most = max(WIDEST_WINDOW_SHARE * len(axis) for axis in self.axes)
        levels = range(max(1, int(np.log2(max(most, 1))) + 1))
        return [scale * 2**level for level in levels for scale in SCALES if scale * 2**level <= most] or [1.0]

    @cached_property
    def kernels(self) -> list[list[np.ndarray]]:
        """For each scale a matrix (n, n) an axis, with the window around each cell."""
        lengths = [len(axis) for axis in self.axes]
        return [
            [_kernel(n, scale, p is not None) for n, p in zip(lengths, self.periods, strict=True)]
            for scale in self.scales
        ]

    @cached_property
    def window_norms(self) -> np.ndarray:
        """2 sum w g^2 (S, ...) around every cell, raised where there are next to no data."""
        squares = [[kernel**2 for kernel in kernels] for kernels in self.kernels]
        both = [[_filtered(array, kernels)[None] for array in (self.weights, self.counts)] for kernels in squares]
        return np.stack([raised_norm(*sums)[0] for sums in both])

    def candidates(self, residual: np.ndarray, signed: bool) -> Places:
        """Places that take more off the cost than their neighbours do, at each scale."""
        overlap = np.stack([_filtered(residual, kernels) for kernels in self.kernels])
        gain = np.square(overlap if signed else np.maximum(overlap, 0)) / self.window_norms
        which = np.nonzero((gain == self._greatest_around(gain)) & (gain > 0))
        widths = np.array(self.scales)[which[0]]
        return Places(gain[which], np.stack(which[1:], axis=1).astype(float), widths, np.copysign(1.0, overlap[which]))

    def _greatest_around(self, gain: np.ndarray) -> np.ndarray:
        for axis, period in enumerate(self.periods, start=1):
            before, after = np.roll(gain, 1, axis), np.roll(gain, -1, axis)
            if period is None:
                ends: list[Any] = [slice(None)] * gain.ndim
                before[(*ends[:axis], 0)] = -np.inf
                after[(*ends[:axis], -1)] = -np.inf
            gain = np.maximum(gain, np.maximum(before, after))
        return gain


def torus_raster(request: RoundMap, plain_axes: tuple[np.ndarray, ...], plain_cells: np.ndarray | None) -> TorusRaster:
    """The heights of a start on a raster that goes round, in place of one with ends."""
    assert request.periods is not None
    points, axes, index = request.points, list[np.ndarray](), list[np.ndarray]()
    periods, turns = list(request.periods), [None] * len(request.periods)
    numbers = np.arange(len(points)) if plain_cells is None else plain_cells
    plain = np.unravel_index(numbers, tuple(len(axis) for axis in plain_axes))
    for i, period in enumerate(request.periods):
        if period is None:
            axes.append(plain_axes[i])
            index.append(plain[i])
            continue
        begin = start_of_arc(points[:, i], float(period))
        if begin is not None:
            arc = begin + (points[:, i] - begin) % period
            axis, numbers = _cells_of_arc(request, arc, len(plain_axes[i]))
            axes.append(axis)
            index.append(numbers)
            periods[i], turns[i] = None, period
            continue
        count, first = _cells_of_period(request, i, float(period), len(plain_axes[i]))
        axes.append(first + np.arange(count) * (period / count))
        index.append(np.rint((points[:, i] - first) * (count / period)).astype(int) % count)
    cells = np.ravel_multi_index(tuple(index), tuple(len(axis) for axis in axes))
    empty, squares = np.zeros(0), request.squares
    raster = TorusRaster(empty, empty, empty, tuple(axes), cells, tuple(periods), tuple(turns))
    sums, weights, counts = (raster.gathered(v) for v in (squares * request.heights, squares, np.ones(len(squares))))
    return replace(raster, sums=sums, weights=weights, counts=counts)


def _cells_of_period(request: RoundMap, axis: int, period: float, count: int) -> tuple[int, float]:
    """How many cells a period has, and the middle of the first: those of the grid, or some points in each."""
    if request.axes is not None:
        own = request.axes[axis]
        step = (own[-1] - own[0]) / (len(own) - 1) if len(own) > 1 else period
        return max(1, round(period / step)), float(own[0])
    return count, float(request.low[axis] + 0.5 * period / count)


def _cells_of_arc(request: RoundMap, arc: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The middles of cells on an arc of points (N,), and the cell (N,) of each."""
    low, extent = float(arc.min()), float(np.ptp(arc))
    count = count if request.axes is None else len(np.unique(arc))
    step = extent / (count if request.axes is None else count - 1)
    first = low if request.axes is not None else low + step / 2
    return first + step * np.arange(count), np.clip(np.rint((arc - first) / step).astype(int), 0, count - 1)


def _low(axis: np.ndarray, turn: float | None) -> float:
    """Where a period begins that holds an arc of cells in its middle."""
    return 0.0 if turn is None else float((axis[0] + axis[-1] - turn) / 2)


def _filtered(array: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    for axis, kernel in enumerate(kernels):
        array = np.moveaxis(np.tensordot(kernel, array, (1, axis)), 0, axis)
    return array


@lru_cache(64)
def _kernel(length: int, scale: float, periodic: bool) -> np.ndarray:
    cells = np.arange(length)
    lags = cells[:, None] - cells
    if not periodic:
        return np.asarray(profile((lags / scale) ** 2))
    lags = np.minimum(lags % length, -lags % length)  # the same from either side, to the bit
    images = range(-KERNEL_IMAGES, KERNEL_IMAGES + 1)
    return np.asarray(sum(profile(((lags + n * length) / scale) ** 2) for n in images))
