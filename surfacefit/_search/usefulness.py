"""Which components of a state are of little use."""

from __future__ import annotations

import numpy as np

from .._problem.removal_cost import losses
from .workbench import State, Workbench

MOST_BY_INVERSE = 1500  # parameters


def invertible(bench: Workbench) -> bool:
    """Whether J^T J is at hand, and small enough to be inverted."""
    return bench.prepared.planner is None and bench.parameterization.n_parameters <= MOST_BY_INVERSE


def removal_losses(bench: Workbench, state: State) -> np.ndarray:
    """The rise in cost (K,) for the loss of each component of a state, where ``invertible``."""
    return np.asarray(losses(bench.problem(state.size), bench.pack(state.blocks, state.border)))[: state.size]
