"""Growth in rounds that all maps of a chunk share: peaks of each map's residual, then joint steps of all by one
program. The rounds are those of `grow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._search.growth import FIRST_PEAKS, GROWTH_STEPS, MAX_LEFT_BY_SINGLE, wanted_components
from .._search.states import State
from .lane_runs import solve_all
from .lanes import Lane

# Steps over which the cost of a refit is watched for having settled: enough to get over a few that failed.
SETTLED_STEPS = 8


def grow_all(lanes: Sequence[Lane]) -> dict[int, State]:
    """The state that growth leads to, by the number of each lane's map."""
    states = {lane.flat: lane.context.views.background_only() for lane in lanes}
    single = [lane for lane in lanes if lane.prepared.model.n_components == 1]
    _grow_single(single, states)
    under_way = [lane for lane in lanes if lane.prepared.model.n_components > 1]
    while under_way:
        under_way = _grown_once(under_way, states)
    return states


def _grown_once(lanes: Sequence[Lane], states: dict[int, State]) -> list[Lane]:
    """Those lanes that have grown in one more round and may grow further."""
    found: list[tuple[Lane, np.ndarray]] = []
    for lane in lanes:
        state, count = states[lane.flat], lane.prepared.model.n_components
        blocks = lane.context.views.blocks_at_peaks(state, wanted_components(state.size, count))
        if len(blocks):
            found.append((lane, np.concatenate([state.blocks, blocks])))
    for (lane, _), state in zip(found, refitted(found, states), strict=True):
        states[lane.flat] = state
    return [lane for lane, blocks in found if len(blocks) < lane.prepared.model.n_components]


def _grow_single(lanes: Sequence[Lane], states: dict[int, State]) -> None:
    """The best of single components from the highest peaks, as far as the first leaves room for another."""
    nothing = dict(states)
    for first, last in ((0, 1), (1, FIRST_PEAKS)):
        tried = [
            (lane, block[None])
            for lane in lanes
            if states[lane.flat].cost >= MAX_LEFT_BY_SINGLE * nothing[lane.flat].cost
            for block in lane.context.views.blocks_at_peaks(nothing[lane.flat], last)[first:]
        ]
        for (lane, _), state in zip(tried, refitted(tried, nothing), strict=True):
            if not states[lane.flat].size or state.cost < states[lane.flat].cost:
                states[lane.flat] = state


def refitted(
    lanes: Sequence[tuple[Lane, np.ndarray]], states: dict[int, State], steps: int = GROWTH_STEPS, slack: float = 0.0
) -> list[State]:
    """The states of lanes after some joint steps from blocks (K, p) and the borders of their states, or when the cost
    falls by less than the fraction ``slack`` in SETTLED_STEPS of them.
    """
    if not lanes:
        return []
    problems, starts = [], []
    for lane, blocks in lanes:
        packing = lane.context.packing
        problems.append(packing.problem(len(blocks)))
        starts.append(np.asarray(packing.pack(blocks, states[lane.flat].border)))
    solver: Any = replace(lanes[0][0].context.solver, max_steps=steps, slack=slack, patience=SETTLED_STEPS)
    refitted = []
    for (lane, blocks), solution in zip(lanes, solve_all(solver, problems, starts, lanes[0][0].room), strict=True):
        lane.steps += int(solution.steps)
        refitted.append(lane.context.packing.unpack(float(solution.cost), np.asarray(solution.params), len(blocks)))
    return refitted
