"""Points in tiles: blocks of a grid in any dimension, k-d leaves of equal count for scattered points.

A tile is a fixed number of places; each holds one point, or nothing (weight zero). Tiles and places are a few more than
there must be (`rounded_up`), so that similar maps, and maps of one shape that miss other points, share compiled
programs. Everything here is NumPy on the host: a tiling is made once a fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._base.compile import FINEST_SIZES_PER_OCTAVE, stepped_up


@dataclass(frozen=True, eq=False)
class Tiling:
    """Which point stands where, and the box that each tile fills.

    order : (T, n) index of the point at each place; places without a point repeat one of the tile's points.
    filled : (T, n) whether the place holds a point of its own; the last tiles may hold none, and repeat others' points.
    low, high : (T, d) corners of the tiles' boxes.
    """

    order: np.ndarray
    filled: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def n_tiles(self) -> int:
        return len(self.order)

    @property
    def size(self) -> int:
        """Places a tile."""
        return int(self.order.shape[1])

    @cached_property
    def middle(self) -> np.ndarray:
        return (self.low + self.high) / 2

    @cached_property
    def half(self) -> np.ndarray:
        """Half sides (T, d)."""
        return (self.high - self.low) / 2

    def widened(self, margin: np.ndarray) -> Tiling:
        """With boxes that reach by a margin (d,) further on all sides."""
        return replace(self, low=self.low - margin, high=self.high + margin)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values (N, ...) of the points at their places (T n, ...)."""
        return values[self.order.ravel()]


def grid_tiles(points: np.ndarray, used: np.ndarray, size: int) -> Tiling:
    """Blocks of about ``size`` places: points (N, d) that stand where a grid is ``used``."""
    sides = block_sides(used.shape, size)
    tile, n_tiles = np.zeros(used.shape, np.int32), 1
    for i, index in enumerate(np.ogrid[tuple(slice(n) for n in used.shape)]):
        n_blocks = -(-used.shape[i] // sides[i])
        tile = tile * np.int32(n_blocks) + (index // sides[i]).astype(np.int32)
        n_tiles *= n_blocks
    return _gathered(points, tile[used], int(n_tiles), int(np.prod(sides)))


def scattered_tiles(points: np.ndarray, size: int) -> Tiling:
    """Leaves of a k-d tree with at most ``size`` points each and counts that differ by one at most.

    Every leaf is halved at the median of its longest side, so that points in a crowd get small tiles.
    """
    leaves, columns = [np.arange(len(points))], list(np.ascontiguousarray(points.T))
    while len(leaves[0]) > size:
        leaves = [half for leaf in leaves for half in _halves(columns, leaf)]
    tile = np.empty(len(points), np.int32)
    for number, leaf in enumerate(leaves):
        tile[leaf] = number
    return _gathered(points, tile, len(leaves), size)


def block_sides(shape: tuple[int, ...], size: int) -> np.ndarray:
    """Sides (d,) of a block of at most ``size`` places, as even as the grid allows."""
    sides, left = np.ones(len(shape), int), float(size)
    for rank, axis in enumerate(np.argsort(shape)):
        sides[axis] = max(1, min(shape[axis], int(left ** (1 / (len(shape) - rank)) + 1e-9)))
        left /= sides[axis]
    return sides


def with_multiple(tiling: Tiling, count: int) -> Tiling:
    """The tiling with tiles that hold no point, so that their number is a multiple of ``count``."""
    spare = [(0, -tiling.n_tiles % count), (0, 0)]
    order, low, high = (np.pad(one, spare, mode="edge") for one in (tiling.order, tiling.low, tiling.high))
    return Tiling(order, np.pad(tiling.filled, spare), low, high)


def in_parts(tiling: Tiling, count: int) -> list[Tiling]:
    """The tiling cut into so many equal runs of tiles."""
    arrays = (tiling.order, tiling.filled, tiling.low, tiling.high)
    return [Tiling(*parts) for parts in zip(*(np.split(one, count) for one in arrays), strict=True)]


def _halves(columns: list[np.ndarray], leaf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    along = max((column[leaf] for column in columns), key=np.ptp)
    middle = len(leaf) // 2
    ranked = leaf[np.argpartition(along, middle)] if middle else leaf
    return (ranked[middle:], ranked[:middle]) if len(leaf) % 2 else (ranked[:middle], ranked[middle:])


def _gathered(points: np.ndarray, tile: np.ndarray, n_tiles: int, most: int) -> Tiling:
    """The tiling that puts each point into its tile, of ``most`` points; tiles without points vanish."""
    counts = np.bincount(tile, minlength=n_tiles)
    ranked = np.argsort(tile, kind="stable")
    counts = counts[counts > 0]
    first = np.cumsum(counts) - counts
    spare = stepped_up(len(counts), FINEST_SIZES_PER_OCTAVE) - len(counts)
    counts, first = np.pad(counts, (0, spare)), np.pad(first, (0, spare), mode="edge")
    place = np.arange(min(most, stepped_up(int(counts.max()), FINEST_SIZES_PER_OCTAVE)))
    filled = place < counts[:, None]
    if len(ranked) <= np.iinfo(np.int32).max:
        ranked, first = ranked.astype(np.int32), first.astype(np.int32)
    order = np.where(filled, place.astype(first.dtype), first.dtype.type(0))
    order += first[:, None]
    order = ranked[order]
    sides = [(column[order].min(axis=1), column[order].max(axis=1)) for column in points.T]
    low, high = (np.stack(side, axis=1) for side in zip(*sides, strict=True))
    return Tiling(order, filled, low, high)
