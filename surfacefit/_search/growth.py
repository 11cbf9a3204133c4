"""Growth: components at the highest peaks of the residual, half as many again each round, with joint refits between.

Peaks are looked for over all scales by a matched filter (`find_peaks`). The problem has room for all components from
the first round, so that nothing compiles on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .context import SearchContext
from .refits import refit, reserve_plan_capacity
from .states import State

# Components of the first round: the background and one component alone would compete for the same heights.
FIRST_COMPONENTS = 2
# Peaks at which a single component is tried, each over GROWTH_STEPS: of 40 windows of real maps the highest peak alone
# led to the best minimum in 39.
FIRST_PEAKS = 3
# Part of the cost that a single component leaves, up to which others are not tried: of 180 windows of maps and curves
# none ended higher, with 0.25 two (by up to 2 %), with 0.5 ten (by up to 17 %).
MAX_LEFT_BY_SINGLE = 0.1
# New components a round, per component there. A quarter instead of a half, with as many steps, ended higher after the
# search that follows: volcano K = 32 0.896 instead of 0.888 m.
GROWTH_RATIO = 0.5
# Joint steps a round: what has settled by then is right for the next peaks. With 16 volcano K = 32 ended at 0.904 m.
GROWTH_STEPS = 8


def grow(context: SearchContext, n_components: int) -> State:
    """A state of ``n_components``, grown from nothing. Raises `FitHalted`; the best so far is in the progress."""
    reserve_plan_capacity(context)
    nothing = context.views.background_only()
    if n_components == 1:
        return _best_single(context, nothing)
    return grow_from(context, nothing, n_components, context.record)


def _best_single(context: SearchContext, nothing: State) -> State:
    """The best of single components that start at different peaks; a search has nothing to add to it."""
    best = nothing
    for first, last in ((0, 1), (1, FIRST_PEAKS)):
        for block in context.views.blocks_at_peaks(nothing, last)[first:]:
            state = refit(context, block[None], nothing.border, GROWTH_STEPS)
            best = state if not best.size or state.cost < best.cost else best
            context.record(best)
        if best.cost < MAX_LEFT_BY_SINGLE * nothing.cost:
            break
    return best


def grow_on_averages(context: SearchContext, averages: SearchContext, n_components: int) -> State:
    """A state of ``n_components`` grown on averages of the data, with its cost on all points; raises as `grow` does."""
    reserve_plan_capacity(context)
    on_all_points, nothing = context.views.with_cost, averages.views.background_only()
    grown = grow_from(averages, nothing, n_components, lambda state: context.record(on_all_points(state)))
    return on_all_points(grown)


def grow_from(
    context: SearchContext, state: State, n_components: int, record: Callable[[State], Any] = lambda state: None
) -> State:
    """A state with components added until there are ``n_components`` or no peak is left; ``record`` sees each round."""
    while state.size < n_components:
        blocks = context.views.blocks_at_peaks(state, wanted_components(state.size, n_components))
        if not len(blocks):
            break
        state = refit(context, np.concatenate([state.blocks, blocks]), state.border, GROWTH_STEPS)
        record(state)
    return state


def wanted_components(there: int, n_components: int) -> int:
    """How many components the next round of growth adds to those that are there, at most."""
    wanted = max(1 if there else FIRST_COMPONENTS, round(GROWTH_RATIO * there))
    return min(n_components - there, wanted)
