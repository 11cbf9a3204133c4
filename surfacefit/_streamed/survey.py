"""The first pass over a map: counts, mean and spread, a sample of its points, and averages over blocks.

What a fit in memory takes from all heights at once follows from these: units, the background's start, a map that is
small enough to fit and to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import MOST_MAGNITUDE
from .._data.data import SurfaceData
from .._data.labels import Labels
from .._data.unread_map import Window
from .map_reader import MapReader, each_window, told

# Blocks of the averaged map, at most: one that is fitted in seconds and drawn whole.
MOST_BLOCKS = 2**18
# Points of the sample, at most: of so many a quantile is right to a thousandth.
MOST_SAMPLED = 2**18


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a map after one pass, in the user's units, axes rising.

    n_points, n_nan : points with a height, and without. mean, deviation : of the heights.
    averages : block averages as data, with sigma = 1 / sqrt(points of the block) times ``spread`` of one.
    counts : points of each block. block : points along each side of a block. points (n, d), heights (n,) : the sample.
    axes : of the whole map.
    """

    n_points: int
    n_nan: int
    mean: float
    deviation: float
    averages: SurfaceData
    counts: np.ndarray
    block: int
    points: np.ndarray
    heights: np.ndarray
    axes: tuple[np.ndarray, ...]

    @property
    def corners(self) -> np.ndarray:
        """The first and the last point of the grid (2, d)."""
        return np.array([[axis[0] for axis in self.axes], [axis[-1] for axis in self.axes]])

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis of the map."""
        return tuple(len(axis) for axis in self.axes)

    def document(self) -> dict[str, Any]:
        """What a file keeps of it, beside the averages."""
        return {
            "shape": list(self.shape),
            "corners": self.corners,
            "n_points": self.n_points,
            "n_nan": self.n_nan,
            "mean": np.asarray(self.mean),
            "deviation": np.asarray(self.deviation),
            "counts": self.counts,
            "block": self.block,
        }

    @property
    def spacing(self) -> np.ndarray:
        """Distance (d,) of neighbouring points along each axis."""
        steps = np.array([(axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 0.0 for axis in self.axes])
        return np.where(steps > 0, steps, steps.max() if steps.max() > 0 else 1.0)


def survey(
    reader: MapReader, axes: tuple[np.ndarray, ...], labels: Labels | None, seen: Callable[[int], None]
) -> Survey:
    """The survey of a map with axes that rise; ``seen`` is told of the points read so far."""
    shape = reader.map.shape
    block, every = _side(shape, MOST_BLOCKS), _side(shape, MOST_SAMPLED)
    sums, counts = (np.zeros(tuple(-(-n // block) for n in shape)) for _ in range(2))
    moments = _Moments()
    sampled: list[tuple[np.ndarray, np.ndarray]] = []
    for window, heights in each_window(reader, seen):
        known = ~np.isnan(heights)
        moments.add(heights, known, window)
        place = tuple(slice(side.start // block, -(-side.stop // block)) for side in window)
        sums[place] += _by_block(np.where(known, heights, 0).astype(float), window, block)
        counts[place] += _by_block(known.astype(float), window, block)
        sampled.append(_some(heights, window, axes, every))
    if not moments.count:
        raise ValueError(f"no point is left to fit: all {reader.map.size} `heights` are NaN")
    data = _averages(sums, counts, axes, block, labels, _dtype(reader))
    points, some = (np.concatenate(parts) for parts in zip(*sampled, strict=True))
    return Survey(
        n_points=moments.count,
        n_nan=reader.map.size - moments.count,
        mean=moments.mean,
        deviation=float(np.sqrt(moments.squares / moments.count)),
        averages=data,
        counts=counts,
        block=block,
        points=points,
        heights=some,
        axes=axes,
    )


@dataclass(eq=False)
class _Moments:
    """Count, mean and sum of squared deviations of what was added, put together by the rule of Chan, Golub and LeVeque
    (The American Statistician 37 (1983) 242).
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, heights: np.ndarray, known: np.ndarray, window: Window) -> None:
        some = heights[known].astype(float)
        if not some.size:
            return
        largest = float(np.abs(some).max())
        if not largest <= MOST_MAGNITUDE:
            raise ValueError(
                f"`heights` must be finite and at most {MOST_MAGNITUDE:g}, got {largest:g} in {told(window)}: rescale,"
                " or make such points NaN"
            )
        mean, count = float(some.mean()), some.size
        total = self.count + count
        shift = mean - self.mean
        self.squares += float(np.sum((some - mean) ** 2)) + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total


def _side(shape: tuple[int, ...], most: int) -> int:
    """The least side of blocks of which there are at most so many."""
    side = max(1, int((np.prod(shape, dtype=float) / most) ** (1 / len(shape))))
    while np.prod([-(-n // side) for n in shape], dtype=float) > most:
        side += 1
    return side


def _by_block(values: np.ndarray, window: Window, block: int) -> np.ndarray:
    """Sums of a window's values over the blocks of the whole grid."""
    for axis, side in enumerate(window):
        first = side.start // block * block
        cuts = np.maximum(np.arange(first, side.stop, block) - side.start, 0)
        values = np.add.reduceat(values, cuts, axis=axis)
    return values


def _some(
    heights: np.ndarray, window: Window, axes: tuple[np.ndarray, ...], every: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points and heights of a lattice of the whole grid within a window."""
    part = tuple(slice(-side.start % every, None, every) for side in window)
    lattice = np.meshgrid(*(axis[side][p] for axis, side, p in zip(axes, window, part, strict=True)), indexing="ij")
    points, some = np.stack(lattice, axis=-1).reshape(-1, len(axes)), heights[part].ravel()
    known = ~np.isnan(some)
    return points[known], some[known].astype(float)


def _averages(
    sums: np.ndarray,
    counts: np.ndarray,
    axes: tuple[np.ndarray, ...],
    block: int,
    labels: Labels | None,
    dtype: np.dtype,
) -> SurfaceData:
    used = counts > 0
    heights = np.full(sums.shape, np.nan)
    heights[used] = sums[used] / counts[used]
    sigma = np.full(sums.shape, np.nan)
    sigma[used] = 1 / np.sqrt(counts[used])
    coarse = tuple(np.add.reduceat(a, np.arange(0, len(a), block)) / _lengths(len(a), block) for a in axes)
    even = None if np.ptp(counts) == 0 else sigma
    missing = int(np.count_nonzero(~used))
    return SurfaceData(heights.astype(dtype), used, coarse, None, even, False, missing, 0, labels=labels)


def _lengths(n: int, block: int) -> np.ndarray:
    return np.bincount(np.arange(n) // block)


def _dtype(reader: MapReader) -> np.dtype:
    kind = reader.map.dtype
    return np.dtype(np.float32) if kind.kind == "f" and kind.itemsize <= 4 else np.dtype(np.float64)
