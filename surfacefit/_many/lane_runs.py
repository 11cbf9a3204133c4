"""The solver's steps for the lanes of a stack, by one program for all whose problems have the same form.

On a CPU maps are fitted one after another inside the program, each with a loop of its own: none waits for another, and
branches are branches. On an accelerator all step together. Where there are many components a lane has an engine with
lists of those near each tile, else one with every component at every point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base import devices
from .._base.compile import batch_jit
from .._base.lane_loop import of_first
from .._base.precision import on_host
from .._engines.engines import Tiled
from .._engines.jacobian import LocalEngine
from .._engines.jacobian.local import CURVED_SQUARES, distances, reach
from .._lists.tiles import Tiling
from .._problem.internal_data import InternalData, tiling_of
from .._problem.problem import SurfaceProblem
from .._runs.capped_weights import caps_of, run_under_caps, takes_stages, wide_rows
from .._solvers import Limits, Solution, Solver, solve
from .._solvers.lane_buckets import solve_together
from .lane_stacks import LaneStack
from .lanes import Lane

# Components from which lists pay for their compiling: a frame of 64 x 64 points with 16 takes as long either way, one
# with 24 takes 23 ms instead of 45.
LEAST_COMPONENTS = 16
# Points a tile: with 128 a step of 40 components on 64 x 64 points took 3.1 ms instead of 2.1, as lists are longer.
TILE_POINTS = 64
# Of all tiles: those of each rank, the most crowded first.
RANK_SHARES = (1 / 8, 3 / 8, 1 / 2)
# Components that a tile of each rank has room for at the least level, and those of them in J^T J. Of frames of 64 x 64
# points with 40 components three in four take it; with a tenth less room and levels of 1.3 a frame took 62 ms instead
# of 59.
LEAST_ROOMS = ((18, 12), (13, 8), (9, 6))
# Room at each further level for each of the one before: half as many more.
LEVEL_RATIO = 1.5
# Part of the columns' products of the dense engine up to which lists are used: a compromise, as lists take time of
# their own.
MOST_PRODUCTS = 1 / 3


def solve_stack(stack: LaneStack) -> Solution:
    """The solutions (B, ...) of the lanes of a stack from their starts, with what is fixed held there.

    Lanes whose weights span many decades are solved as `fit` does, in stages.
    """
    found, solver = _solved_alike(stack), stack.first.run.solver
    if stack.first.prepared.data.sigma is None or not takes_stages(solver):
        return found
    weights = np.asarray(stack.problem.weights)
    for row in wide_rows(np.broadcast_to(weights, (len(stack), weights.shape[1]))):
        lane, start = stack.lane(int(row)), stack.params[row]
        prepared = lane.prepared
        caps = caps_of(np.asarray(prepared.problem.weights))
        one, _ = run_under_caps(prepared.fixing(start), start, solver, Limits(), prepared.planner, caps)
        columns = zip(jax.tree.leaves(found), jax.tree.leaves(one), strict=True)
        found = jax.tree.unflatten(jax.tree.structure(found), [_with_row(a, row, b) for a, b in columns])
    return found


def _with_row(column: Any, row: int, value: Any) -> np.ndarray:
    changed = np.array(column)
    changed[row] = np.asarray(value)
    return changed


def _solved_alike(stack: LaneStack) -> Solution:
    """The solutions of all lanes by one program. A lane's engine follows from its own data and start, never from those
    of others.
    """
    solver, like = stack.first.run.solver, stack.first
    has_lists = like.device.platform == "cpu" and stack.n_components >= LEAST_COMPONENTS
    if not has_lists and not stack.first.prepared.model.constraints.fixed:
        return solve_stacked(solver, stack.problems(np.arange(len(stack))), stack.params, like)
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
    return solve_all(solver, problems, list(stack.params), like)


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


def solve_all(solver: Solver, problems: Sequence[SurfaceProblem], starts: Sequence[Any], like: Lane) -> Solution:
    """The solutions (n, ...) of problems from their starts, as NumPy arrays, by the programs of a lane."""
    forms: dict[Any, list[int]] = {}
    for n, pair in enumerate(zip(problems, starts, strict=True)):
        leaves, structure = jax.tree.flatten(pair)
        kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
        forms.setdefault((structure, kinds), []).append(n)
    found = []
    for members in forms.values():
        some = jax.tree.map(lambda *leaves: np.stack(leaves), *(problems[n] for n in members))
        found.append(solve_stacked(solver, some, np.stack([starts[n] for n in members]), like))
    order = np.argsort(np.concatenate(list(forms.values())))
    whole: Solution = jax.tree.map(lambda *columns: np.concatenate(columns)[order], *found)
    return whole


def solve_stacked(solver: Solver, problems: SurfaceProblem, starts: np.ndarray, like: Lane) -> Solution:
    """The solutions (n, ...) of problems of one form, whose leaves have a leading axis, from starts (n, P)."""
    found = [
        _solved(solver, jax.tree.map(lambda leaf, at=at: leaf[at : at + like.room], (problems, starts)), like)
        for at in range(0, len(starts), like.room)
    ]
    whole: Solution = found[0] if len(found) == 1 else jax.tree.map(lambda *columns: np.concatenate(columns), *found)
    return whole


def _solved(solver: Solver, pairs: tuple[SurfaceProblem, np.ndarray], like: Lane) -> Solution:
    """The solutions of up to as many problems, with their starts, as there is room for."""
    count = len(pairs[1])
    whole = jax.tree.map(lambda leaf: _filled(leaf, like.room), pairs)
    if like.device.platform != "cpu":
        problems, starts = devices.moved(whole, like.device)
        return solve_together(solver, problems, starts, count)
    solution: Solution = jax.tree.map(lambda column: column[:count], on_host(_one_by_one(solver, count, *whole)))
    return solution


def _filled(leaf: np.ndarray, room: int) -> np.ndarray:
    """An array (n, ...) with the first entry repeated up to the room."""
    spare = room - len(leaf)
    return np.concatenate([leaf, np.broadcast_to(leaf[:1], (spare, *leaf.shape[1:]))]) if spare else leaf


def solved_one_by_one(solver: Solver, count: Array, problems: SurfaceProblem, starts: Array) -> Solution:
    """The solutions of the first ``count`` problems; each has room for more, so that few programs serve."""

    def solved(n: Array) -> Solution:
        problem, start = jax.tree.map(lambda leaf: leaf[n], (problems, starts))
        return jax.tree.map(jnp.asarray, solve(problem, start, solver))

    found: Solution = of_first(count, starts.shape[0], solved)
    return found


_one_by_one = batch_jit(solved_one_by_one)
