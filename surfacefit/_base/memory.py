"""How much memory a fit will need, before it takes any."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from .devices import device_of

# Share of the device's memory that a fit may take unasked: the rest is for the arrays of the user and for what XLA
# holds beside those that are counted here; a guess on the safe side.
DEFAULT_MEMORY_SHARE = 0.6
# Bytes that a device is taken to have where it does not say: what a small laptop or GPU has.
UNKNOWN_MEMORY_BYTES = 8e9
# Matrices of P x P numbers that a dense fit holds at its peak: J^T J, its scaled copy, the factor, and two that XLA
# keeps in the loop.
DENSE_MATRICES = 5.0


class MemoryShort(ValueError):
    """A plan would need more memory than is allowed."""


@dataclass(frozen=True)
class Need:
    """Bytes that a tiled fit holds at its peak: arrays over the points, lists, blocks, and one chunk of work."""

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

    Twelve arrays over the places beside the coordinates; lists on the host and on the device; three sets of blocks in
    single precision (in the solver's state, new, and in the loop's copy); in a chunk the columns of monomials.
    """
    n_chunks, tiles, slots = members
    columns = 4 + (1 + n_dim + n_dim * (n_dim + 1) // 2)
    return Need(
        points=float(n_places * (12 + 2 * n_dim) * itemsize),
        lists=float(3 * n_chunks * tiles * slots * 4),
        blocks=float(3 * n_rows * 8 * block_size**2 * 4),
        work=float(tiles * slots * places * columns * itemsize),
    )


def memory_limit(asked: float | None) -> float:
    """Bytes that a fit may take: as asked in GB (1e9 bytes), else a share of the device's memory."""
    return 1e9 * asked if asked is not None else DEFAULT_MEMORY_SHARE * _installed()


def _installed() -> float:
    device = device_of()
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return float(stats.get("bytes_limit", UNKNOWN_MEMORY_BYTES))
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return UNKNOWN_MEMORY_BYTES


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def check_dense(n_parameters: int, dtype: np.dtype, limit: float) -> None:
    """A dense fit holds a few copies of its normal matrix."""
    need = DENSE_MATRICES * n_parameters**2 * dtype.itemsize
    if need > limit:
        raise ValueError(
            f"a dense fit of {n_parameters} parameters needs about {gigabytes(need)}, more than `max_memory` ="
            f" {gigabytes(limit)}:"
            " use engine='tiled', fewer components, or allow more"
        )
