"""Who moves: the few components that made nearly all of a joint step, where there are such few."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of h^T D h: the part that the components which go on by themselves must hold.
MOVING_PART = 0.95
# Of the components: the largest share that may go on by themselves. A step of theirs then costs a fifth at most.
MOVING_SHARE = 0.2


def moving(whole: Any, diagonal: Any, step: Any) -> np.ndarray:
    """The components, by their numbers, that made nearly all of a step h (P,); none where they are many."""
    moves = component_moves(whole, diagonal, step)
    order, total = np.argsort(-moves, kind="stable"), moves.sum()
    if not (np.isfinite(total) and total > 0):
        return np.zeros(0, int)
    count = 1 + int(np.searchsorted(np.cumsum(moves[order]), MOVING_PART * total))
    few = count <= int(MOVING_SHARE * int(whole.parameterization.n_active))
    return np.sort(order[:count]) if few else np.zeros(0, int)


def component_moves(whole: Any, diagonal: Any, step: Any) -> np.ndarray:
    """The part (K,) of each component in h^T D h, for a step h (P,) and the diagonal D (P,) of J^T J."""
    layout = whole.parameterization.layout
    return np.asarray(layout.blocks(np.asarray(diagonal, float) * np.asarray(step, float) ** 2).sum(axis=1))
