"""What growth and search cost, in nominal seconds: counted from numbers of steps and sizes, not from the clock.

A budget of such work ends a search at the same place on any machine, whatever else runs there. Nominal seconds are
about CPU seconds of two cores of an Intel Xeon of 2024, both threads of a step counted; only their ratios matter, so
that a search spends its time on what finds most in it.
"""

from __future__ import annotations

from .._engines.jacobian import DenseEngine
from .._problem.prepared import Prepared

# Nominal seconds of a joint step of the smallest problem, which is the overhead of its dispatch. With the next three
# numbers, steps of K = 4 to 32 on 609 to 5,307 points are right within a third (0.8 to 9.8 CPU ms).
STEP_SECONDS = 8e-4
# Nominal seconds for the value of a component at a point: an exponential and the moments around it.
VALUE_SECONDS = 2.2e-8
# Nominal seconds for a point's part in an entry of J^T J.
PRODUCT_SECONDS = 2.2e-11
# Nominal seconds for an entry of J^T J times a column, in a Cholesky factorisation.
FACTOR_SECONDS = 2e-11
# The same for the blocks of its inverse, on one core of the host: 2 ms for 240 parameters.
INVERSE_SECONDS = 1.5e-10
# Nominal seconds for a component at a point that it reaches, in a step of the tiled engine: 36 to 78 CPU ms a step for
# 64 to 512 components on some 5,000 points.
TILED_VALUE_SECONDS = 1.5e-7
# Components that reach a point in a large surface: so many on an even lattice, through their tiles.
REACHING_COMPONENTS = 60
# Nominal seconds to prepare a local refit of one candidate.
LOCAL_SECONDS = 1.5e-3
# Nominal seconds of each of its steps, for a point of its window: 512 and 2,048 points take 0.15 and 0.3 to 0.5 CPU ms.
LOCAL_POINT_SECONDS = 2.5e-7


def step_seconds(prepared: Prepared) -> float:
    """Nominal seconds of a joint step, whether it is accepted or not."""
    problem = prepared.problem
    n_points, n_components = len(problem.points), problem.parameterization.n_components
    size, engine = problem.parameterization.n_parameters, problem.engine
    if prepared.planner is not None or not isinstance(engine, DenseEngine):
        return STEP_SECONDS + TILED_VALUE_SECONDS * n_points * min(n_components, REACHING_COMPONENTS)
    values = VALUE_SECONDS * n_points * n_components
    products = PRODUCT_SECONDS * n_points / engine.thinned * size**2
    return STEP_SECONDS + values + products + FACTOR_SECONDS * size**3


def removal_seconds(prepared: Prepared) -> float:
    """Nominal seconds to predict what the loss of each component costs: J^T J, and blocks of its inverse."""
    return step_seconds(prepared) + INVERSE_SECONDS * prepared.problem.parameterization.n_parameters**3


def local_seconds(n_candidates: int, n_points: int, steps: int) -> float:
    """Nominal seconds of local refits of so many candidates, on windows of so many points."""
    return n_candidates * (LOCAL_SECONDS + LOCAL_POINT_SECONDS * n_points * steps)
