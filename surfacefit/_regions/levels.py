"""A map on coarser cells: means of the heights over blocks of a grid, and what components leave of them.

The mean over a block with weights w^2 represents its points (`_data/coarsening`), as long as components are wider than
the block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .._model.surface import GaussianSurface
from .._starts.rasters import Raster
from .rendering import add_components


@dataclass(eq=False)
class Level:
    """Cells of ``side`` points along each axis of a grid: sums of w^2 z and w^2 and numbers of points in a raster, with
    heights z above the background at its start. ``scatter`` is the part of the cost within the cells.

    ``left`` are the mean heights above surface and background in each cell, zero where there are no points.
    """

    raster: Raster
    side: int
    scatter: float
    left: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.left = self._means()

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        return self.raster.axes

    @cached_property
    def cell(self) -> np.ndarray:
        """The middle size (d,) of the cells along each axis."""
        return np.array([np.median(np.abs(sizes)) for sizes in self.raster.cell_sizes])

    @property
    def sums(self) -> np.ndarray:
        """Sums of w^2 times what is left of the heights."""
        return self.left * self.raster.weights

    @property
    def cost(self) -> float:
        """1/2 sum w^2 (f - z)^2 over all points, for a surface that is constant within each cell."""
        left = self.left.ravel()
        return self.scatter + 0.5 * float(np.einsum("i,i,i->", self.raster.weights.ravel(), left, left))

    def leave(self, surface: GaussianSurface, rise: np.ndarray | float) -> None:
        """Sets ``left`` to what components leave over a background that has risen by ``rise`` (n_1, ..., n_d)."""
        self.left = self._means() - np.where(self.raster.weights > 0, rise, 0.0)
        self.add(surface, -1.0)

    def add(self, surface: GaussianSurface, sign: float) -> None:
        """Adds components to ``left`` (``sign`` 1), or takes them from it (-1)."""
        add_components(self.left, self.axes, surface, sign)

    def _means(self) -> np.ndarray:
        raster = self.raster
        return np.divide(raster.sums, raster.weights, out=np.zeros_like(raster.sums), where=raster.weights > 0)


def level_of(raster: Raster, side: int) -> Level:
    """The level of ``side`` points a cell along each axis, fewer at the upper ends."""
    sums, weights, counts = (_block_sums(array, side) for array in (raster.sums, raster.weights, raster.counts))
    axes = tuple(_block_sums(axis, side) / _block_sums(np.ones(len(axis)), side) for axis in raster.axes)
    coarse = Raster(sums, weights, counts, axes, np.zeros(0, int))
    return Level(coarse, side, max(0.0, 0.5 * (_energy(raster) - _energy(coarse))))


def _energy(raster: Raster) -> float:
    """The sum of squares of the cells' means, by their weights."""
    filled = raster.weights > 0
    return float((raster.sums[filled] ** 2 / raster.weights[filled]).sum())


def _block_sums(array: np.ndarray, side: int) -> np.ndarray:
    for axis in range(array.ndim if side > 1 else 0):
        array = np.add.reduceat(array, np.arange(0, array.shape[axis], side), axis)
    return array
