"""Which component is felt in which tile: pair lists from a cutoff, in a layout that compiled loops can walk.

A component is felt within ``radius`` of its own widths. Lists are made on the host, with a margin, and serve until a
component leaves the ellipsoid that was planned for it; then only the pairs of those that have moved are found anew. The
tiles' lists, sorted by length, are cut into levels of some components; a level's tiles, in order, into chunks. A chunk
is what compiled code does at once: so many components at each of its tiles. The number of chunks is data, not shape, so
that new lists compile nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._base.memory import MemoryShort, gigabytes
from .tiles import Tiling

# Widths that a component may move before its lists are renewed: more room means longer lists, less more new plans.
MARGIN_WIDTHS = 0.5
# Factor by which a component may widen before its lists are renewed; the same compromise.
MARGIN_STRETCH = 1.05
# Widths; a low component is kept at least so far out, as its amplitude may grow within one plan.
SMALLEST_RADIUS_WIDTHS = 3.0
# Widths; farther out exp(-r^2 / 2) is zero even in double precision.
UNDERFLOW_RADIUS_WIDTHS = 38.6
# Bytes that NumPy holds at most for a (component, tile) candidate: eight arrays of eight bytes an entry, counted below.
BYTES_A_CANDIDATE = 64


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """Where components are felt: |L^-1 (x - c)| <= radius. Arrays (K, d), (K, d, d) lower triangular, (K,)."""

    centers: np.ndarray
    factors: np.ndarray
    radii: np.ndarray

    def __getitem__(self, some: Any) -> Ellipsoids:
        return Ellipsoids(self.centers[some], self.factors[some], self.radii[some])

    @cached_property
    def inverse(self) -> np.ndarray:
        """L^-1 (K, d, d)."""
        return np.linalg.inv(self.factors)

    @property
    def half_sides(self) -> np.ndarray:
        """Half sides (K, d) of the boxes around them."""
        return self.radii[:, None] * np.sqrt(np.sum(self.factors**2, axis=2))


class TilePairs(NamedTuple):
    """Pairs (n,) of a component and a tile that it may touch, by rising component: a plan keeps them, as int32."""

    component: np.ndarray
    tile: np.ndarray


class ChunkShape(NamedTuple):
    """How many tiles compiled code takes at once, and how many components at each."""

    tiles: int
    members: int


@dataclass(frozen=True, eq=False)
class TileLists:
    """Chunks of (tile, component) pairs.

    order : (T,) tiles by falling length of their lists; rank : (T,) its inverse.
    offsets : (n_chunks,) place in ``order`` of each chunk's first tile.
    members : (n_chunks, tiles a chunk, members) components, ``nobody`` where there is none.
    """

    order: np.ndarray
    rank: np.ndarray
    offsets: np.ndarray
    members: np.ndarray
    n_pairs: int
    nobody: int


def planned(centers: np.ndarray, factors: np.ndarray, radii: np.ndarray) -> Ellipsoids:
    """The ellipsoids of components with room to move."""
    return Ellipsoids(centers, factors, radii * MARGIN_STRETCH + MARGIN_WIDTHS)


def cutoff_radii(amplitudes: Any, cutoff: Any, xp: Any = np) -> Any:
    """Radii (K,) in widths, sqrt(2 log(|a| / cutoff)), at which components have fallen to the height ``cutoff``.

    Not below SMALLEST_RADIUS_WIDTHS; UNDERFLOW_RADIUS_WIDTHS where the cutoff is zero. ``xp`` is `numpy`, or
    `jax.numpy` for arrays on the device.
    """
    tiny = float(np.finfo(amplitudes.dtype).tiny)
    with np.errstate(divide="ignore"):
        squares = 2 * xp.log(xp.maximum(xp.abs(amplitudes), tiny) / cutoff)
    return xp.clip(xp.sqrt(xp.maximum(squares, 0.0)), SMALLEST_RADIUS_WIDTHS, UNDERFLOW_RADIUS_WIDTHS)


def tile_lists(tiling: Tiling, pairs: TilePairs, n_components: int, shape: ChunkShape) -> TileLists:
    """The lists of all tiles, from their pairs with components."""
    by_tile = _by_tile(tiling, pairs, n_components)
    return _chunked(np.diff(by_tile.indptr), by_tile.indices, n_components, shape)


def touching(tiling: Tiling, ellipsoids: Ellipsoids, memory: float = float("inf")) -> sparse.csr_array:
    """Pairs as a sparse matrix (T, K)."""
    return _by_tile(tiling, tile_pairs(tiling, ellipsoids, memory), len(ellipsoids.radii))


def tile_pairs(tiling: Tiling, ellipsoids: Ellipsoids, memory: float = float("inf")) -> TilePairs:
    """All pairs of an ellipsoid and a tile that it may touch, found within so many bytes."""
    component, tile = _candidates(tiling, ellipsoids, memory)
    inverse = ellipsoids.inverse
    corner = np.einsum("kij,kj->ki", np.abs(inverse), tiling.half.max(axis=0)[None])
    reach = ellipsoids.radii + np.sqrt(np.sum(corner**2, axis=1))
    offset = tiling.middle[tile] - ellipsoids.centers[component]
    near = np.sum(np.einsum("pij,pj->pi", inverse[component], offset) ** 2, axis=1) <= reach[component] ** 2
    near &= tiling.filled[tile, 0]
    return TilePairs(component[near].astype(np.int32), tile[near].astype(np.int32))


def renewed_tile_pairs(
    before: TilePairs, tiling: Tiling, ellipsoids: Ellipsoids, moved: np.ndarray, memory: float = float("inf")
) -> TilePairs:
    """The pairs of all ellipsoids, where those of the ones that have not ``moved`` (K,) are the pairs ``before``."""
    some = np.flatnonzero(moved).astype(np.int32)
    new, kept = tile_pairs(tiling, ellipsoids[some], memory), ~moved[before.component]
    component = np.concatenate([before.component[kept], some[new.component]])
    ranked = np.argsort(component, kind="stable")
    return TilePairs(component[ranked], np.concatenate([before.tile[kept], new.tile])[ranked])


def _by_tile(tiling: Tiling, pairs: TilePairs, n_components: int) -> sparse.csr_array:
    ends = np.concatenate([[0], np.cumsum(np.bincount(pairs.component, minlength=n_components))])
    touched = np.ones(len(pairs.tile), bool)
    return sparse.csr_array((touched, pairs.tile, ends), shape=(n_components, tiling.n_tiles)).T.tocsr()


def _candidates(tiling: Tiling, ellipsoids: Ellipsoids, memory: float) -> tuple[np.ndarray, np.ndarray]:
    """(component, tile), by rising component, whose boxes overlap; found through a lattice of about one tile a cell."""
    low, high = tiling.middle.min(axis=0), tiling.middle.max(axis=0)
    cells = np.ceil((4 * tiling.n_tiles) ** (1 / len(low)))
    side = np.maximum(2 * tiling.half.mean(axis=0), (high - low) / cells) + 1e-12
    shape = np.floor((high - low) / side).astype(int) + 1
    cell = np.ravel_multi_index(tuple(np.minimum((tiling.middle - low) // side, shape - 1).astype(int).T), tuple(shape))
    by_cell = np.argsort(cell, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=int(np.prod(shape))))])
    reach = ellipsoids.half_sides + tiling.half.max(axis=0)
    first = np.clip(np.floor((ellipsoids.centers - reach - low) / side), 0, shape).astype(int)
    last = np.clip(np.floor((ellipsoids.centers + reach - low) / side), -1, shape - 1).astype(int)
    counts = np.maximum(last - first + 1, 0)
    need = BYTES_A_CANDIDATE * float(np.prod(counts.astype(float), axis=1).sum())
    if need > memory:
        raise MemoryShort(
            f"the lists of components in tiles need about {gigabytes(need)}, more than `max_memory` ="
            f" {gigabytes(memory)}:"
            " allow more, or use fewer or narrower components or a larger cutoff"
        )
    component, cells = _boxes(first, counts, shape)
    owner, place = ragged(ends[cells + 1] - ends[cells])
    tile = by_cell[ends[cells][owner] + place]
    component = component[owner]
    inside = (
        np.abs(tiling.middle[tile] - ellipsoids.centers[component])
        <= ellipsoids.half_sides[component] + tiling.half[tile]
    ).all(axis=1)
    return component[inside], tile[inside]


def _boxes(first: np.ndarray, counts: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(box, cell) for every cell of boxes with first corners (K, d) and counts (K, d) in a lattice of this shape."""
    box, place = ragged(np.prod(counts, axis=1))
    cell = np.zeros(len(box), int)
    stride = 1
    for axis in reversed(range(len(shape))):
        along = counts[box, axis]
        cell += (first[box, axis] + place % along) * stride
        place = place // along
        stride *= int(shape[axis])
    return box, cell


def ragged(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, place in the row) for rows of these lengths."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


def _chunked(lengths: np.ndarray, members: np.ndarray, nobody: int, shape: ChunkShape) -> TileLists:
    order = np.argsort(-lengths, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    tile, place = ragged(lengths)
    level, slot = place // shape.members, place % shape.members
    depth = -(-lengths // shape.members)
    tiles_at = np.array([np.count_nonzero(depth > j) for j in range(max(1, int(depth.max(initial=0))))])
    chunks_at = -(-tiles_at // shape.tiles)
    first = np.cumsum(chunks_at) - chunks_at
    chunk_of, place_of = ragged(chunks_at)
    table = np.full((len(chunk_of), *shape), nobody, np.int32)
    table[first[level] + rank[tile] // shape.tiles, rank[tile] % shape.tiles, slot] = members
    return TileLists(order, rank, (place_of * shape.tiles).astype(np.int32), table, len(members), nobody)
