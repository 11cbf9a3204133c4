"""What growth and search cost, in nominal seconds: counted from numbers of steps and sizes, not from the clock.

A budget of such work ends a search at the same place on any machine, whatever else runs there. Nominal seconds are
about CPU seconds of two cores of an Intel Xeon of 2024, both threads of a step counted; only their ratios matter, so
that a search spends its time on what finds most in it.
"""

from __future__ import annotations

from .._engines.jacobian import DenseEngine
from .._engines.step_costs import dense_step_seconds, tiled_step_seconds
from .._problem.prepared import Prepared

# Nominal seconds for an entry of J^T J times a column, where blocks of the inverse are made on one core of the host: 2
# ms for 240 parameters.
INVERSE_SECONDS = 1.5e-10
# Nominal seconds to prepare a local refit of one candidate.
LOCAL_SECONDS = 1.5e-3
# Nominal seconds of each of its steps, for a point of its window: 512 and 2,048 points take 0.15 and 0.3 to 0.5 CPU ms.
LOCAL_POINT_SECONDS = 2.5e-7


def step_seconds(prepared: Prepared) -> float:
    """Nominal seconds of a joint step, whether it is accepted or not."""
    problem, parts = prepared.problem, prepared.problem.parameterization
    size = (len(problem.points), parts.n_components, parts.n_parameters)
    if prepared.planner is not None or not isinstance(problem.engine, DenseEngine):
        return tiled_step_seconds(*size)
    return dense_step_seconds(*size, problem.engine.thinned)


def removal_seconds(prepared: Prepared) -> float:
    """Nominal seconds to predict what the loss of each component costs: J^T J, and blocks of its inverse."""
    return step_seconds(prepared) + INVERSE_SECONDS * prepared.problem.parameterization.n_parameters**3


def local_seconds(n_candidates: int, n_points: int, steps: int) -> float:
    """Nominal seconds of local refits of so many candidates, on windows of so many points."""
    return n_candidates * (LOCAL_SECONDS + LOCAL_POINT_SECONDS * n_points * steps)
