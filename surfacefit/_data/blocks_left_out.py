"""Splits of the data by blocks, which are left out in turn: how well does a fit predict what it has not seen?"""

from __future__ import annotations

import math

import numpy as np

from .data import SurfaceData


def folds(data: SurfaceData, block: int, count: int) -> np.ndarray:
    """The fold (N_used,), from 0, in which each point is left out: whole blocks of ``block`` samples a side, in up to
    ``count`` folds.

    The block at i_0, i_1, ... of the raster of blocks is in fold (i_0 + g i_1 + g^2 i_2 + ...) mod count, with the
    least g >= 2 that has no divisor in common with ``count``. Each fold is then spread over the whole map, and blocks
    side by side are in different folds.
    """
    points = data.used_points
    cells = np.floor((points - points.min(axis=0)) / (block * data.spacing) + 1e-9).astype(int)
    found, of_point = np.unique(folds_of_cells(cells, count), return_inverse=True)
    if len(found) < 2:
        raise ValueError(
            f"`n_components.block`={block} makes one block of all data: nothing can be left out; use smaller blocks"
        )
    return np.asarray(of_point.reshape(len(points)))


def folds_of_cells(cells: np.ndarray, count: int) -> np.ndarray:
    """The fold (N,) of each point, below ``count``, from the numbers (N, d) >= 0 of its block along each axis.

    All folds hold points where so many blocks do.
    """
    step = next(g for g in range(2, count + 2) if math.gcd(g, count) == 1)
    lattice = (cells @ np.array([pow(step, axis, count) for axis in range(cells.shape[1])])) % count
    if len(np.unique(lattice)) < min(count, len(np.unique(cells, axis=0))):  # few blocks, or many without points
        lattice = np.unique(cells, axis=0, return_inverse=True)[1].reshape(len(cells)) % count
    return np.asarray(lattice)
