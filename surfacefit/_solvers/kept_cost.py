"""Whether the cost and the residuals at a point outlast a new plan, so that a step need not take them again.

Another plan leaves out other tails, below the engine's cutoff. While a step lowers the cost by far more than these may
make of it, the difference of a cost under the old plan and one under the new says as well what the step gains. Taking
the cost again is one of two passes over the points of a step in which components leave their plan, and in the first
steps of a large fit some do each time.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .._base.compile import quick_jit
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._losses import Linear
from .._problem.base import Problem
from .._problem.problem import SurfaceProblem
from .quadratic_state import QuadraticState

# Part of the predicted fall in cost by which tails may change the cost at most: the gain of a step is known to so much,
# and the damping that follows from it bears more. The bound lets all components of the longest list differ.
TAILS_PART = 0.1


def cost_is_kept(problem: Problem, state: QuadraticState) -> bool:
    """Whether a state that waits with its proposal for a new plan, that of ``problem``, keeps its cost.

    Never where systems are solved directly: there a pass is cheap, and steps keep their last bits. Nor where it is not
    the engine that has the plan: of a map on disk a plan is a pass, which says what the cost is.
    """
    if state.params.size <= DIRECT_SOLVE_PARAMETERS or not isinstance(problem, SurfaceProblem):
        return False
    if not problem.engine.has_plan or not isinstance(problem.loss, Linear) or not bool(state.proposal.made):
        return False
    tails = float(_tails(problem, state.cost))
    return tails <= TAILS_PART * float(state.proposal.predicted)


def cost_of_tails(problem: Any, cost: Array) -> Array:
    """How far a cost 1/2 |r|^2 may change where other tails are left out: |r| |t| + 1/2 |t|^2, for tails t as high at
    each point as its engine leaves out at most.
    """
    norm = problem.engine.left_out() * jnp.linalg.norm(problem.weights)
    return jnp.sqrt(2 * cost) * norm + 0.5 * norm**2


_tails = quick_jit(cost_of_tails)
