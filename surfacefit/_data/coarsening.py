"""Averages over blocks of a grid: a smaller map much like the whole, on which a fit takes less time.

The mean over a block with weights w^2 represents its points: the cost of a surface that is constant within each block
differs from the cost on all points by a constant, the scatter of the heights within the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .data import SurfaceData


@dataclass(frozen=True, eq=False)
class Blocks:
    """The averages as ``data`` on a coarser grid.

    ``block`` (N,) is the number, among the coarse grid's n used points, of the average that each point went into, with
    the weights ``squares`` (N,), w^2.
    """

    data: SurfaceData
    block: np.ndarray
    squares: np.ndarray

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """Weighted means (n,) of values (N,) at the points."""
        return np.bincount(self.block, self.squares * values) / np.bincount(self.block, self.squares)


def block_averages(data: SurfaceData, side: int) -> Blocks:
    """Data on a grid averaged over blocks of ``side`` points along each axis, fewer at the upper ends."""
    assert data.axes is not None
    shape = tuple(-(-n // side) for n in data.heights.shape)
    index = np.ix_(*(np.arange(n) // side for n in data.heights.shape))
    number = np.ravel_multi_index(index, shape)[data.used]
    counts = np.bincount(number, minlength=int(np.prod(shape)))
    filled, block = np.flatnonzero(counts), (np.cumsum(counts > 0) - 1)[number]
    blocks = Blocks(data, block, data.weights**2)
    used = np.zeros(shape, bool)
    heights, sigma = np.full(shape, np.nan), np.full(shape, np.nan)
    used.flat[filled] = True
    heights[used] = blocks.averaged(data.used_heights.astype(float))
    sigma[used] = 1 / np.sqrt(np.bincount(block, blocks.squares))
    axes = tuple(np.add.reduceat(axis, np.arange(0, len(axis), side)) / _counts(len(axis), side) for axis in data.axes)
    return replace(blocks, data=replace(data, heights=heights, used=used, axes=axes, sigma=sigma))


def _counts(length: int, side: int) -> np.ndarray:
    return np.bincount(np.arange(length) // side)
