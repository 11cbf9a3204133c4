"""What growth and search cost, in nominal seconds: counted from numbers of steps and sizes, not from the clock.

A budget of such work ends a search at the same place on any machine, whatever else runs there. Nominal seconds are
about CPU seconds of one core of 2024; only their ratios matter.
"""

from __future__ import annotations

from .._engines.jacobian import DenseEngine
from .._problem.prepared import Prepared

# Nominal seconds of a joint step of the smallest problem, which is the overhead of its dispatch.
STEP_SECONDS = 3e-4
# Nominal seconds for the value of a component at a point: an exponential and the moments around it.
VALUE_SECONDS = 2.5e-9
# Nominal seconds for a point's part in an entry of J^T J.
PRODUCT_SECONDS = 2e-12
# Nominal seconds for an entry of J^T J times a column, in a Cholesky factorisation.
FACTOR_SECONDS = 2e-11
# Nominal seconds for a component at a point that it reaches, in a step of the tiled engine.
TILED_VALUE_SECONDS = 2e-8
# Components that reach a point in a large surface: so many on an even lattice, through their tiles.
REACHING_COMPONENTS = 60
# Nominal seconds of a step of a local refit of one candidate, on one window of points.
LOCAL_STEP_SECONDS = 8e-4


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


def local_seconds(n_candidates: int, steps: int) -> float:
    """Nominal seconds of local refits of so many candidates."""
    return LOCAL_STEP_SECONDS * n_candidates * steps
