"""How much memory a fit will need, before it takes any."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from .._system.container import memory_bytes
from .devices import device_of, on_cpu

# Share of the device's memory that a fit may take unasked: the rest is for the arrays of the user and for what XLA
# holds beside those that are counted here; a guess on the safe side.
DEFAULT_MEMORY_SHARE = 0.6
# Bytes that a device is taken to have where it does not say: what a small laptop or GPU has.
UNKNOWN_MEMORY_BYTES = 8e9
# Numbers of float64 for each point that the host holds at once where a fit is at its peak, beside its coordinates, and
# copies of its coordinates: heights, weights, rasters and residuals of growth. Maps of 1 to 4 million points took 212
# bytes a point with a tiled engine in float32, 185 with a dense one in float64, of which the device's part is below.
HOST_NUMBERS, HOST_COORDINATES = 12, 3
# The same on the device, in the precision of the fit.
DEVICE_NUMBERS, DEVICE_COORDINATES = 12, 2
# Arrays of a chunk's columns that a dense fit holds at once: the columns, the monomials, and their product.
DENSE_CHUNK_ARRAYS = 3.0
# Sets of blocks that a tiled fit holds at once: in the solver's state, and those in use as products read them.
BLOCK_ARRAYS = 2.0
# Matrices of P x P numbers that a dense fit holds at its peak: J^T J, its scaled copy, the factor, and two that XLA
# keeps in the loop.
DENSE_MATRICES = 5.0


class MemoryShort(ValueError):
    """A plan would need more memory than is allowed."""


@dataclass(frozen=True)
class Need:
    """Bytes that a fit holds at its peak: arrays over the points, lists, blocks or matrices, and one chunk of work."""

    points: float
    lists: float
    blocks: float
    work: float

    @property
    def total(self) -> float:
        return self.points + self.lists + self.blocks + self.work


def tiled_need(
    n_places: int, n_dim: int, members: tuple[int, int, int], n_rows: int, block_size: int, places: int, itemsize: int
) -> Need:
    """Need of the tiled engine, from what was measured to be alive at once.

    Arrays over the places, `point_bytes`; lists on the host and on the device; sets of blocks in single precision; in a
    chunk the columns of monomials.
    """
    n_chunks, tiles, slots = members
    columns = 4 + (1 + n_dim + n_dim * (n_dim + 1) // 2)
    return Need(
        points=n_places * point_bytes(n_dim, itemsize),
        lists=float(3 * n_chunks * tiles * slots * 4),
        blocks=float(BLOCK_ARRAYS * n_rows * 8 * block_size**2 * 4),
        work=float(tiles * slots * places * columns * itemsize),
    )


def cluster_bytes(n_clusters: int, size: int, block_size: int) -> float:
    """Bytes of the inverses of clusters of ``size`` components in single precision, and of where their blocks stand."""
    return float(4 * n_clusters * (size * block_size) ** 2 + 4 * n_clusters * size**2)


def dense_need(n_points: int, n_dim: int, n_parameters: int, chunk_numbers: int, itemsize: int) -> Need:
    """Need of the dense engine: arrays over the points, copies of the normal matrix, and a chunk of columns."""
    return Need(
        points=n_points * point_bytes(n_dim, itemsize),
        lists=0.0,
        blocks=DENSE_MATRICES * n_parameters**2 * itemsize,
        work=DENSE_CHUNK_ARRAYS * chunk_numbers * itemsize,
    )


def memory_limit(asked: float | None) -> float:
    """Bytes that a fit may take: as asked in GB (1e9 bytes), else a share of the device's memory."""
    return 1e9 * asked if asked is not None else DEFAULT_MEMORY_SHARE * _installed()


def _installed() -> float:
    device = device_of()
    if device.platform == "cpu":
        allowed = memory_bytes()
        return allowed if isfinite(allowed) else UNKNOWN_MEMORY_BYTES
    stats = device.memory_stats() or {}
    return float(stats.get("bytes_limit", UNKNOWN_MEMORY_BYTES))


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def point_bytes(n_dim: int, itemsize: int) -> float:
    """Bytes that a fit holds for each point, on the device, and where that is the host, for the host's arrays too."""
    on_device = (DEVICE_NUMBERS + DEVICE_COORDINATES * n_dim) * itemsize
    return float(on_device + (8 * (HOST_NUMBERS + HOST_COORDINATES * n_dim) if on_cpu() else 0))


def check_points(n_points: int, n_dim: int, dtype: np.dtype, limit: float) -> None:
    """Whether memory suffices for what any fit holds of its points, before copies of them are made."""
    need = n_points * point_bytes(n_dim, dtype.itemsize)
    if need > limit:
        raise MemoryShort(
            f"a fit of {n_points} points needs about {gigabytes(need)}, more than `max_memory` ="
            f" {gigabytes(limit)}: fit fewer points (`heights[::2, ::2]`), or allow more"
        )


def check_dense(need: Need, n_points: int, n_parameters: int, limit: float) -> None:
    """Whether memory suffices for a dense fit with this `dense_need`."""
    if need.total > limit:
        raise MemoryShort(
            f"a dense fit of {n_parameters} parameters to {n_points} points needs about {gigabytes(need.total)}, more"
            f" than `max_memory` = {gigabytes(limit)}: use engine='tiled', fewer components or points, or allow more"
        )
