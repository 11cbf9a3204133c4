"""Growth: components are added where they win most, in batches, with joint refits between.

Each round looks at the highest peaks of the residual (matched filter over all scales) and at every component's halves, refits each of
these on its neighbourhood, and adds the ones that win most. At fixed capacity nothing compiles on the way.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ._moves import Move, Neighbourhood, applied, warm_up
from ._workbench import State, Workbench

FIRST = 2
RATIO = 0.3
STEPS = 10
MOST_SPLITS = 128


def grow(bench: Workbench, n_components: int, state: State | None = None) -> State:
    """A state of ``n_components``, grown from another one or from nothing. Raises Halt with what there is in ``bench.best``."""
    state = bench.empty() if state is None else state
    with ThreadPoolExecutor(1) as aside:  # compiles while the first components are fitted
        aside.submit(warm_up, bench)
        while state.count < n_components:
            wanted = min(n_components - state.count, max(FIRST if state.count == 0 else 1, round(RATIO * state.count)))
            around = Neighbourhood(bench, state)
            blocks = applied(state, best_additions(around, wanted)) if state.count else around.first(wanted)
            if len(blocks) == state.count:
                break
            state = bench.refit(blocks, state.border, STEPS)
            bench.keep(state)
    return state


def best_additions(around: Neighbourhood, wanted: int) -> list[Move]:
    """The ``wanted`` additions that win most, no two of which split the same component."""
    moves = around.raced(around.additions(2 * wanted + 4, largest_misfit(around, 4 * wanted + 4)))
    chosen: list[Move] = []
    parents: set[int] = set()
    for move in moves:
        parent = int(move.members[0]) if move.splits else -1
        if len(chosen) == wanted or not np.isfinite(move.fall):
            break
        if parent not in parents:
            chosen.append(move)
            parents |= {parent} - {-1}
    return chosen


def largest_misfit(around: Neighbourhood, most: int) -> np.ndarray:
    """Up to ``most`` components worth splitting: those with the most misfit under them."""
    return around.by_misfit()[: min(most, MOST_SPLITS)]
