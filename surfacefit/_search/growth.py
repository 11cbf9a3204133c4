"""Growth: components at the highest peaks of the residual, half as many again each round, with joint refits between.

Peaks are looked for over all scales by a matched filter (`find_peaks`). At fixed capacity nothing compiles on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .context import SearchContext, State

FIRST = 2
RATIO = 0.5
STEPS = 8


def grow(context: SearchContext, n_components: int) -> State:
    """A state of ``n_components``, grown from nothing. Raises Halt with what there is in ``context.best``."""
    context.make_room()
    return grown(context, context.empty(), n_components, context.keep)


def grown(
    context: SearchContext, state: State, n_components: int, keep: Callable[[State], Any] = lambda state: None
) -> State:
    """A state with components added until there are ``n_components``, or no peak is left; ``keep`` sees each round."""
    while state.size < n_components:
        wanted = min(n_components - state.size, max(FIRST if state.size == 0 else 1, round(RATIO * state.size)))
        blocks = context.blocks_at_peaks(state, wanted)
        if not len(blocks):
            break
        state = context.refit(np.concatenate([state.blocks, blocks]), state.border, STEPS)
        keep(state)
    return state
