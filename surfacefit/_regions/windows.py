"""Small problems, one for each group: the cells of its window, averaged where they are many, and its components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .groups import Group
from .levels import Level

# Cells that a window has room for: 24 components of 36 cells each, with a halo as wide as half of them on all sides.
WINDOW_CELLS = 2304


class WindowProblems(NamedTuple):
    """G small problems, each on W cells: ``points`` (G, W, d) from the windows' middles, mean heights ``left`` above
    all components and ``weights`` (G, W); blocks ``start`` (G, m, p) and how many are used ``n_start`` (G,).
    """

    points: np.ndarray
    left: np.ndarray
    weights: np.ndarray
    start: np.ndarray
    n_start: np.ndarray


def window_problems(
    level: Level, groups: list[Group], blocks: np.ndarray, centers: slice, room: int
) -> tuple[WindowProblems, np.ndarray]:
    """The problems of groups of up to ``room`` components, and the windows' middles (G, d); ``centers`` are the columns
    of a block with its centre.
    """
    count, n_dim = len(groups), len(level.axes)
    points, left, weights = (np.zeros((count, WINDOW_CELLS, *more), np.float32) for more in ((n_dim,), (), ()))
    start, middles = np.zeros((count, room, blocks.shape[1])), np.empty((count, n_dim))
    for g, group in enumerate(groups):
        axes, z, squares = window(level, group)
        n, middles[g] = z.size, [0.5 * (axis[0] + axis[-1]) for axis in axes]
        mesh = np.meshgrid(*(axis - m for axis, m in zip(axes, middles[g], strict=True)), indexing="ij")
        points[g, :n] = np.stack([one.ravel() for one in mesh], axis=1)
        left[g, :n], weights[g, :n] = z.ravel(), np.sqrt(squares).ravel()
        start[g, : len(group.members)] = blocks[group.members]
        start[g, : len(group.members), centers] -= middles[g]
    sizes = np.array([len(group.members) for group in groups], np.float32)
    return WindowProblems(points, left, weights, start.astype(np.float32), sizes), middles


def window(level: Level, group: Group) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Axes, mean heights left and weights w^2 of a group's window, in blocks of cells so large that there is room."""
    part = tuple(slice(a, b) for a, b in zip(group.low, group.high, strict=True))
    axes = [axis[s] for axis, s in zip(level.axes, part, strict=True)]
    z, squares = level.left[part], level.raster.weights[part]
    side = 1
    while np.prod([-(-n // side) for n in z.shape]) > WINDOW_CELLS:
        side += 1
    if side == 1:
        return axes, z, squares
    sums, squares = z * squares, squares
    for i in range(z.ndim):
        starts = np.arange(0, sums.shape[i], side)
        sums, squares = np.add.reduceat(sums, starts, i), np.add.reduceat(squares, starts, i)
        axes[i] = np.add.reduceat(axes[i], starts) / np.diff(np.append(starts, len(axes[i])))
    return axes, np.divide(sums, squares, out=np.zeros_like(sums), where=squares > 0), squares
