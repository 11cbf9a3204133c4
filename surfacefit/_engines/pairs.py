"""Which component is felt in which tile: pair lists from a cutoff, in a layout that compiled loops can walk.

A component is felt within ``radius`` of its own widths. Lists are made on the host, with a margin, and serve until a
component leaves the ellipsoid that was planned for it. The tiles' lists, sorted by length, are cut into levels of
MEMBERS components; a level's tiles, in order, into chunks. A chunk is what compiled code does at once: MEMBERS
components at each of its tiles. The number of chunks is data, not shape, so that new lists compile nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._base.memory import MemoryShort, gigabytes
from .tiles import Tiling

MEMBERS = 8
MARGIN = 0.5
SMALLEST_RADIUS = 3.0
UNDERFLOW = 38.6
BYTES_A_CANDIDATE = 64


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """Where components are felt: |L^-1 (x - c)| <= radius. Arrays (K, d), (K, d, d) lower triangular, (K,)."""

    centers: np.ndarray
    factors: np.ndarray
    radii: np.ndarray

    @property
    def half_sides(self) -> np.ndarray:
        """Half sides (K, d) of the boxes around them."""
        return self.radii[:, None] * np.sqrt(np.sum(self.factors**2, axis=2))


@dataclass(frozen=True, eq=False)
class TileLists:
    """Chunks of (tile, component) pairs.

    order : (T,) tiles by falling length of their lists; rank : (T,) its inverse.
    offsets : (n_chunks,) place in ``order`` of each chunk's first tile.
    members : (n_chunks, tiles a chunk, MEMBERS) components, K where there is none.
    """

    order: np.ndarray
    rank: np.ndarray
    offsets: np.ndarray
    members: np.ndarray
    n_pairs: int


def planned(centers: np.ndarray, factors: np.ndarray, radii: np.ndarray) -> Ellipsoids:
    """The ellipsoids of components with room to move."""
    return Ellipsoids(centers, factors, radii * 1.05 + MARGIN)


def cutoff_radii(amplitudes: np.ndarray, cutoff: float) -> np.ndarray:
    """Radius (K,) in widths at which a component has fallen to ``cutoff``, where heights are of order one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (
            2 * np.log(np.maximum(np.abs(amplitudes), 1e-300) / cutoff)
            if cutoff > 0
            else np.full(len(amplitudes), np.inf)
        )
    return np.clip(np.sqrt(np.maximum(squares, 0.0)), SMALLEST_RADIUS, UNDERFLOW)


def tile_lists(tiling: Tiling, ellipsoids: Ellipsoids, tiles_a_chunk: int, memory: float = float("inf")) -> TileLists:
    """The lists of all tiles that an ellipsoid may touch, made within so many bytes."""
    by_tile = touching(tiling, ellipsoids, memory)
    return _chunked(np.diff(by_tile.indptr), by_tile.indices, len(ellipsoids.radii), tiles_a_chunk)


def touching(tiling: Tiling, ellipsoids: Ellipsoids, memory: float = float("inf")) -> sparse.csr_array:
    """Pairs as a sparse matrix (T, K)."""
    component, tile = _candidates(tiling, ellipsoids, memory)
    inverse = np.linalg.inv(ellipsoids.factors)
    corner = np.einsum("kij,kj->ki", np.abs(inverse), tiling.half.max(axis=0)[None])
    reach = ellipsoids.radii + np.sqrt(np.sum(corner**2, axis=1))
    offset = tiling.middle[tile] - ellipsoids.centers[component]
    near = np.sum(np.einsum("pij,pj->pi", inverse[component], offset) ** 2, axis=1) <= reach[component] ** 2
    component, tile = component[near], tile[near]
    ends = np.concatenate([[0], np.cumsum(np.bincount(component, minlength=len(reach)))])
    by_component = sparse.csr_array((np.ones(len(tile), bool), tile, ends), shape=(len(reach), tiling.n_tiles))
    return by_component.T.tocsr()


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


def _chunked(lengths: np.ndarray, members: np.ndarray, nobody: int, tiles_a_chunk: int) -> TileLists:
    order = np.argsort(-lengths, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    tile, place = ragged(lengths)
    level, slot = place // MEMBERS, place % MEMBERS
    depth = -(-lengths // MEMBERS)
    tiles_at = np.array([np.count_nonzero(depth > j) for j in range(max(1, int(depth.max(initial=0))))])
    chunks_at = -(-tiles_at // tiles_a_chunk)
    first = np.cumsum(chunks_at) - chunks_at
    chunk_of, place_of = ragged(chunks_at)
    table = np.full((len(chunk_of), tiles_a_chunk, MEMBERS), nobody, np.int32)
    table[first[level] + rank[tile] // tiles_a_chunk, rank[tile] % tiles_a_chunk, slot] = members
    return TileLists(order, rank, (place_of * tiles_a_chunk).astype(np.int32), table, len(members))
