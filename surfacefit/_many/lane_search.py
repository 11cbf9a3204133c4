"""A short search for all maps of a chunk, in common rounds: up to half of the components of each map are taken away at
random and grown anew, and what is lower is kept. So does the search of `fit`, with more ways to move.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._search.perturbations import INTERIM_STEPS, SETTLING_STEPS
from .._search.search import EXACT_SHARE
from .._search.states import State
from .lane_growth import refitted
from .lanes import Lane

# Rounds. Of 64 frames of 32 x 32 points with five components that overlap, 20 ended more than 0.1 % above the RMSE of
# `fit` with its own search without any, 8 after four, 4 after eight, the worst then 0.9 % above; `fit` takes five times
# as long as eight.
ROUNDS = 8

# Relative fall of the cost below which a regrown map has settled: 187 steps a frame instead of 220, and of 64 frames of
# five components the same four ended more than 0.1 % above the RMSE of `fit`.
LEAST_REGROWN_FALL = 1e-3


def search_all(lanes: Sequence[Lane], states: dict[int, State]) -> None:
    """Lowers the states of lanes with two components or more."""
    for number in range(ROUNDS):
        searched = [lane for lane in lanes if _may_be_lower(lane, states[lane.flat])]
        _regrown_once(searched, states, number)


def _may_be_lower(lane: Lane, state: State) -> bool:
    return state.size > 1 and state.cost > EXACT_SHARE * lane.context.views.background_only().cost


def _regrown_once(lanes: Sequence[Lane], states: dict[int, State], number: int) -> None:
    left = [(lane, _thinned(lane, states[lane.flat], number)) for lane in lanes]
    grown = []
    for (lane, _), state in zip(left, refitted(left, states, INTERIM_STEPS), strict=True):
        peaks = lane.context.views.blocks_at_peaks(state, states[lane.flat].size - state.size)
        grown.append((lane, np.concatenate([state.blocks, peaks])))
    for (lane, blocks), state in zip(grown, refitted(grown, states, SETTLING_STEPS, LEAST_REGROWN_FALL), strict=True):
        before = states[lane.flat]
        if len(blocks) == before.size and state.cost < before.cost:
            states[lane.flat] = state


def _thinned(lane: Lane, state: State, number: int) -> np.ndarray:
    """The blocks of a state without some, drawn for each round alike whatever the other maps are."""
    rng = np.random.default_rng((lane.run.seed, number))
    removed = rng.choice(state.size, int(rng.integers(1, max(1, state.size // 2) + 1)), replace=False)
    return np.delete(state.blocks, removed, axis=0)
