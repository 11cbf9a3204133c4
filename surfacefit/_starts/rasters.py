"""Rasters, by which grids and scattered points are treated alike: of one map, and of many maps padded to one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from .._base.compile import stepped_up
from .scales import Norms, norms_of

# Sizes of an axis between a power of two and the next to which rasters of different sizes are padded: at most a quarter
# more cells an axis, and few shapes.
RASTER_SIZES_PER_OCTAVE = 4


@dataclass(frozen=True, eq=False)
class Raster:
    """Sums of w^2 z and of w^2 in the cells of a grid, and numbers of points; coordinates of the cells' middles,
    and the cell of each point, None where these are the points in their order.
    """

    sums: np.ndarray
    weights: np.ndarray
    counts: np.ndarray
    axes: tuple[np.ndarray, ...]
    cells: np.ndarray | None

    @cached_property
    def points_per_weight(self) -> np.ndarray:
        """1 / w^2 in the cells, as the mean over their points has it; zero in cells without points."""
        return np.divide(self.counts, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)

    @cached_property
    def norms(self) -> Norms:
        """2 sum w g^2 (S, ...) at every cell of each level, as `norms_of` has them."""
        return [one[0] for one in norms_of(self.weights[None], self.counts[None], np.array([self.weights.shape]))]

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Sums over cells of values (N,) at the points."""
        shape = tuple(len(axis) for axis in self.axes)
        if self.cells is None:
            return np.add(values, 0.0).reshape(shape)
        return np.bincount(self.cells, values, int(np.prod(shape))).reshape(shape)

    def coordinates(self, index: np.ndarray) -> np.ndarray:
        """Coordinates (..., d) of fractional indices (..., d)."""
        columns = [np.interp(index[..., i], np.arange(len(axis)), axis) for i, axis in enumerate(self.axes)]
        return np.stack(columns, axis=-1)

    def steps(self, index: np.ndarray) -> np.ndarray:
        """Cell sizes (d,) at an index (d,)."""
        return np.array(
            [size[min(max(round(i), 0), len(size) - 1)] for i, size in zip(index, self.cell_sizes, strict=True)]
        )

    @cached_property
    def cell_sizes(self) -> list[np.ndarray]:
        """Sizes of the cells along each axis."""
        return [np.gradient(axis) if len(axis) > 1 else np.ones(1) for axis in self.axes]

    def window(self, center: np.ndarray, radius: float) -> tuple[Any, ...]:
        """The index of the cells within a radius of a place (d,) along each axis, in cells; at least one."""
        starts = [max(0, int(np.ceil(c - radius))) for c in center]
        sizes = [len(axis) for axis in self.axes]
        stops = [min(n, int(np.floor(c + radius)) + 1) for c, n in zip(center, sizes, strict=True)]
        return tuple(
            slice(min(a, n - 1), max(b, min(a, n - 1) + 1)) for a, b, n in zip(starts, stops, sizes, strict=True)
        )

    def offsets(self, center: np.ndarray, radius: float) -> list[np.ndarray]:
        """Along each axis the offsets of these cells from the place, which broadcast to the window."""
        window = self.window(center, radius)
        return list(np.ix_(*(np.arange(s.start, s.stop) - c for s, c in zip(window, center, strict=True))))

    def around(self, coordinates: np.ndarray) -> tuple[Any, Any]:
        """Sums of heights and counts of points (K,) in the 2^d cells around coordinates (K, d)."""
        sides = []
        for i, axis in enumerate(self.axes):
            upper = np.clip(np.searchsorted(axis, coordinates[:, i]), 0, len(axis) - 1)
            sides.append((np.maximum(upper - 1, 0), upper))
        corners = list(product(*sides))
        return sum(self.sums[corner] for corner in corners), sum(self.weights[corner] for corner in corners)


@dataclass(frozen=True, eq=False)
class Rasters:
    """Sums of w^2 and numbers of points (B, ...) in the cells of B maps, 1 for B where all have the same; ``sizes``
    (B, d) are the cells of each map along the axes, the others are padding. ``axes`` are the coordinates (B, n) of the
    cells along each axis, ``steps`` their sizes.
    """

    weights: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    axes: tuple[np.ndarray, ...]
    steps: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, rasters: Sequence[Raster], shape: tuple[int, ...]) -> Rasters:
        """Rasters padded to a shape, or the one that all maps share."""
        weights, counts = (padded([getattr(one, name) for one in rasters], shape) for name in ("weights", "counts"))
        axes, steps = (
            tuple(padded([columns[i] for columns in each], (length,)) for i, length in enumerate(shape))
            for each in ([one.axes for one in rasters], [one.cell_sizes for one in rasters])
        )
        return cls(weights, counts, np.array([one.weights.shape for one in rasters]), axes, steps)

    @cached_property
    def points_per_weight(self) -> np.ndarray:
        """As `Raster.points_per_weight`."""
        return np.divide(self.counts, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)

    @cached_property
    def norms(self) -> Norms:
        return norms_of(self.weights, self.counts, self.sizes)

    def rows(self, maps: np.ndarray) -> np.ndarray:
        """Where these arrays hold what belongs to maps of these numbers."""
        return maps if len(self.weights) > 1 else np.zeros_like(maps)

    def some(self, maps: np.ndarray) -> Rasters:
        """Those of some maps, by their numbers."""
        if len(self.weights) == 1 or np.array_equal(maps, np.arange(len(self.weights))):
            return self
        columns = [tuple(axis[maps] for axis in each) for each in (self.axes, self.steps)]
        fewer = Rasters(self.weights[maps], self.counts[maps], self.sizes[maps], columns[0], columns[1])
        vars(fewer)["norms"] = [one[maps] for one in self.norms]
        return fewer

    def located(self, maps: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates and cell sizes (M, d) at centres (M, d), in cells, of some maps (M,)."""
        rows, coordinates, steps = self.rows(maps), np.empty_like(centers), np.empty_like(centers)
        for i, (axis, step) in enumerate(zip(self.axes, self.steps, strict=True)):
            last = self.sizes[rows, i] - 1
            at = np.clip(centers[:, i], 0, last)
            below = np.minimum(np.floor(at).astype(int), np.maximum(last - 1, 0))
            start, end = axis[rows, below], axis[rows, np.minimum(below + 1, last)]
            coordinates[:, i] = start + (at - below) * (end - start)
            steps[:, i] = step[rows, np.rint(at).astype(int)]
        return coordinates, steps


def padded(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of several shapes as one (B, ...), with zeros beyond their ends."""
    whole = np.zeros((len(arrays), *shape))
    for one, array in zip(whole, arrays, strict=True):
        one[tuple(slice(n) for n in array.shape)] = array
    return whole


def padded_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which a map of some shape is padded, whatever others there are."""
    return tuple(stepped_up(n, RASTER_SIZES_PER_OCTAVE) for n in shape)
