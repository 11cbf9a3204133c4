"""Which engine serves a lane: components near each tile where there are many of them, else every one at every point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._base.devices import on_cpu
from .._engines.engines import Tiled
from .._engines.jacobian import LocalEngine
from .._engines.jacobian.local import CURVED_SQUARES, distances, reach
from .._engines.tiles import Tiling
from .._problem.internal_data import InternalData, tiling_of
from .._problem.problem import SurfaceProblem
from .._solvers import Solution
from .lane_runs import solve_all, solve_stacked
from .lane_stacks import LaneStack
from .lanes import Lane

# Components from which lists pay for their compiling: a frame of 64 x 64 points with 16 takes as long either way, one
# with 24 takes 23 ms instead of 45.
LEAST_COMPONENTS = 16
# Points a tile: with 128 a step of 40 components on 64 x 64 points took 3.1 ms instead of 2.1, as lists are longer.
TILE_POINTS = 64
# Of all tiles: those of each rank, the most crowded first.
RANK_SHARES = (1 / 8, 3 / 8, 1 / 2)
# Components that a tile of each rank has room for at the least level, and those of them in J^T J; each further level
# has room for half as many more. Of frames of 64 x 64 points with 40 components three in four take the first; with a
# tenth less room and levels of 1.3 a frame took 62 ms instead of 59.
LEAST_ROOMS = ((18, 12), (13, 8), (9, 6))
LEVEL_RATIO = 1.5
# Part of the columns' products of the dense engine up to which lists are used: a compromise, as lists take time of
# their own.
MOST_PRODUCTS = 1 / 3


def solve_stack(stack: LaneStack) -> Solution:
    """The solutions (B, ...) of the lanes of a stack from their starts, with what is fixed held there.

    A lane's engine follows from its own data and start, never from those of others.
    """
    solver, room = stack.first.run.solver, stack.first.room
    has_lists = on_cpu() and stack.n_components >= LEAST_COMPONENTS
    if not has_lists and not stack.first.prepared.model.constraints.fixed:
        return solve_stacked(solver, stack.problems(np.arange(len(stack))), stack.params, room)
    problems, tilings = [], dict[Any, Tiling]()
    for row, params in enumerate(stack.params):
        lane = stack.lane(row)
        problem = lane.prepared.fixing(params)
        if has_lists:
            key = lane.prepared.data.used.tobytes(), problem.points.tobytes()
            if key not in tilings:
                tilings[key] = _tiling(lane)
            problem = _with_lists(problem, lane, params, tilings[key])
        problems.append(problem)
    return solve_all(solver, problems, list(stack.params), room)


def _tiling(lane: Lane) -> Tiling:
    views = lane.context.views
    return tiling_of(lane.prepared.data, InternalData(views.points, views.heights, views.weights), TILE_POINTS)


def _with_lists(problem: SurfaceProblem, lane: Lane, params: np.ndarray, tiling: Tiling) -> SurfaceProblem:
    """The problem with lists of the least level that has room at its start; as it is where that is too high."""
    dtype = problem.points.dtype
    parts = lane.prepared.host.parameterization.components(np.asarray(params, float))
    cutoff = float(Tiled().cutoff)
    nearest, finite = distances(tiling.middle, tiling.half, parts, np)
    counts = (nearest <= reach(parts.amplitudes, cutoff, np)).sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    rooms = _rooms(counts[order], (nearest <= CURVED_SQUARES).sum(axis=1)[order], len(parts.amplitudes))
    if rooms is None or not finite:
        return problem
    place: Any = np.zeros(len(problem.points), np.int32)
    filled = np.flatnonzero(tiling.filled)
    place[tiling.order.ravel()[filled]] = filled
    places: Any = tiling.order.astype(np.int32)
    rest: list[Any] = [np.asarray(one, dtype) for one in (tiling.filled, tiling.middle, tiling.half, cutoff)]
    return replace(problem, engine=LocalEngine(places, rest[0], place, rest[1], rest[2], rest[3], rooms))


def _rooms(counts: np.ndarray, curved: np.ndarray, n_components: int) -> tuple[tuple[int, int, int], ...] | None:
    """The rooms of the ranks for tiles (T,) that need so many components, most crowded first; None where lists are not
    worth their while.
    """
    ends = np.round(np.cumsum(RANK_SHARES) * len(counts)).astype(int)
    tiles = np.diff(ends, prepend=0)
    factor = 1.0
    while True:
        rooms = [(int(factor * room), int(factor * few)) for room, few in LEAST_ROOMS]
        products = float(sum(n * few**2 for n, (_, few) in zip(tiles, rooms, strict=True)))
        if rooms[0][0] > n_components or products > MOST_PRODUCTS * len(counts) * n_components**2:
            return None
        fits = all(
            (counts[end - n : end] <= room).all() and (curved[end - n : end] <= few).all()
            for end, n, (room, few) in zip(ends, tiles, rooms, strict=True)
        )
        if fits:
            return tuple((int(n), room, few) for n, (room, few) in zip(tiles, rooms, strict=True) if n)
        factor *= LEVEL_RATIO
