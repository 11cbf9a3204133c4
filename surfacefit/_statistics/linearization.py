"""The problem of a result, linearised at its surface, and the variance of its residuals.

Errors, removal costs and refits all begin here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._engines.engines import Dense, EngineChoice
from .._model.background import background_model
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface
from .._model.units import to_internal
from .._problem.loss_views import information_jacobian, score_jacobian
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup

if TYPE_CHECKING:
    from .._results.result import FitResult


def model_of(result: FitResult, surface: GaussianSurface | None = None) -> ModelSpec:
    """What a result was fitted with, for its own surface or another one."""
    start = result.surface if surface is None else surface
    return ModelSpec(
        n_components=start.n_components,
        background=None if start.background is None else background_model(start.background),
        **result.settings.by_name(),
    )


def linearized_at(result: FitResult) -> tuple[Prepared, Array]:
    """The problem of a result for the dense engine, in double precision, and the parameters (P,) of its surface."""
    prepared = problem_setup(result.data, model_of(result), np.dtype(np.float64), EngineChoice(Dense(), float("inf")))
    return prepared, pack(prepared.problem.parameterization, to_internal(result.surface, prepared.scaling))


def residual_variance(result: FitResult) -> float:
    """s^2, the variance of a weighted residual in the user's units.

    1 for known errors (absolute sigmas, counts), 2 cost / (n - P) otherwise; infinite where no points are to spare.
    """
    if result.data.absolute_sigma or result.settings.loss == "poisson":
        return 1.0
    spare = result.n_points - result.n_parameters
    return 2 * result.cost / spare if spare > 0 else float("inf")


def normals(problem: SurfaceProblem, params: Array) -> tuple[Array, Array, Array]:
    """N (P, P), the gradient (P,), and sum_j psi_j^2 J_j^T J_j (P, P), at parameters (P,).

    N is J^T W J with the second derivatives W of the loss, psi_j the derivative of the cost of a point.
    """
    residuals, jacobian = problem.linearize(params)
    information = information_jacobian(problem, params)
    return (
        information.normal(residuals)[0].as_matrix(),
        jacobian.rmv(residuals),
        score_jacobian(problem, params).normal(residuals)[0].as_matrix(),
    )


pack = quick_jit(Parameterization.pack)
normal_matrices = quick_jit(normals)
