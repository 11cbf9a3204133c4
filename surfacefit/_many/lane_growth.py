"""Growth in rounds that all maps of a chunk share: peaks of each map's residual, then joint steps of all by one
program. The rounds are those of `grow`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._search.growth import FIRST_PEAKS, GROWTH_STEPS, MAX_LEFT_BY_SINGLE, wanted_components
from .lane_peaks import Blocks, StackPeaks
from .lane_runs import solve_stacked
from .lane_stacks import LaneStack, States

# Steps over which the cost of a refit is watched for having settled: enough to get over a few that failed.
SETTLED_STEPS = 8


def grow_all(peaks: StackPeaks, rows: np.ndarray) -> States:
    """The states (n, ...) that growth leads some lanes of a stack to."""
    stack = peaks.stack
    states = stack.backgrounds_only().some(rows)
    if stack.n_components == 1:
        return _grown_single(peaks, rows, states)
    under_way = np.arange(len(rows))
    while len(under_way):
        under_way = _grown_once(peaks, rows, states, under_way)
    return states


def _grown_once(peaks: StackPeaks, rows: np.ndarray, states: States, under_way: np.ndarray) -> np.ndarray:
    """Those of the lanes under way that have grown in one more round and may grow further; their states are changed."""
    most = peaks.stack.n_components
    before = states.some(under_way)
    wanted = {int(size): wanted_components(int(size), most) for size in np.unique(before.sizes)}
    counts = np.array([wanted[int(size)] for size in before.sizes])
    grown = with_blocks(before, peaks.blocks(rows[under_way], before, counts))
    some = np.flatnonzero(grown.sizes > before.sizes)
    under_way, grown = under_way[some], grown.some(some)
    states.put(under_way, refitted(peaks.stack, rows[under_way], grown))
    return under_way[grown.sizes < most]


def _grown_single(peaks: StackPeaks, rows: np.ndarray, states: States) -> States:
    """The best of single components from the highest peaks, as far as the first leaves room for another."""
    best = states.some(np.arange(len(rows)))
    for first, last in ((0, 1), (1, FIRST_PEAKS)):
        tried = np.flatnonzero(best.costs >= MAX_LEFT_BY_SINGLE * states.costs)
        if not len(tried):
            break
        found = peaks.blocks(rows[tried], states.some(tried), np.full(len(tried), last))
        rank = np.arange(len(found.owners)) - np.searchsorted(found.owners, found.owners)
        for n in range(first, last):
            at = np.flatnonzero(rank == n)
            owners = tried[found.owners[at]]
            if not len(owners):
                break
            single = Blocks(np.arange(len(at)), found.blocks[at])
            ended = refitted(peaks.stack, rows[owners], with_blocks(states.some(owners), single))
            lower = (best.sizes[owners] == 0) | (ended.costs < best.costs[owners])
            best.put(owners[lower], ended.some(np.flatnonzero(lower)))
    return best


def with_blocks(states: States, more: Blocks) -> States:
    """States with further components, as far as there is room."""
    blocks = states.blocks.copy()
    rank = np.arange(len(more.owners)) - np.searchsorted(more.owners, more.owners)
    blocks[more.owners, states.sizes[more.owners] + rank] = more.blocks
    return states._replace(sizes=states.sizes + np.bincount(more.owners, minlength=len(states.sizes)), blocks=blocks)


def refitted(
    stack: LaneStack, rows: np.ndarray, states: States, steps: int = GROWTH_STEPS, slack: float = 0.0
) -> States:
    """The states of lanes after some joint steps, or when the cost falls by less than the fraction ``slack`` in
    SETTLED_STEPS of them.
    """
    if not len(rows):
        return states
    solver: Any = replace(stack.first.context.solver, max_steps=steps, slack=slack, patience=SETTLED_STEPS)
    params = stack.packed(rows, states)
    solution = solve_stacked(solver, stack.problems(rows, states.sizes), params, stack.first)
    stack.steps[rows] += solution.steps
    return stack.states(np.asarray(solution.cost, float), np.asarray(solution.params), states.sizes)
