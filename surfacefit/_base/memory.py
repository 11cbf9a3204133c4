"""How much memory a fit will need, before it takes any."""

from __future__ import annotations

import os
from dataclasses import dataclass

import jax
import numpy as np

SHARE = 0.6
UNKNOWN = 8e9


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
    return 1e9 * asked if asked is not None else SHARE * _installed()


def _installed() -> float:
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return float(stats.get("bytes_limit", UNKNOWN))
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def check_dense(n_parameters: int, dtype: np.dtype, limit: float) -> None:
    """A dense fit holds a few copies of its normal matrix."""
    need = 5.0 * n_parameters**2 * dtype.itemsize
    if need > limit:
        raise ValueError(
            f"a dense fit of {n_parameters} parameters needs about {gigabytes(need)}, more than `max_memory` ="
            f" {gigabytes(limit)}:"
            " use engine='tiled', fewer components, or allow more"
        )
