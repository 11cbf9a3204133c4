"""The problem of a result, linearised at its surface, and the variance of its residuals.

Errors, removal costs and refits all begin here. One program on the device gives the derivatives; the algebra on them is
NumPy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jax import Array

from .._base.compile import pass_jit
from .._engines.engines import Dense, EngineChoice
from .._model.background import background_model
from .._model.parameters import factor_slopes
from .._model.surface import GaussianSurface
from .._model.units import to_internal
from .._problem.base import half_square
from .._problem.loss_views import information_jacobian, information_ratios, score_jacobian
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .._problem.problem_setup import problem_setup

if TYPE_CHECKING:
    from .._results.result import FitResult

# Entries of a Jacobian up to which it is held whole, here 32 MB: its QR decomposition keeps twice the digits of J^T J.
MAX_HELD_ENTRIES = 4_000_000


def model_of(result: FitResult, surface: GaussianSurface | None = None) -> ModelSpec:
    """What a result was fitted with, for its own surface or another one."""
    start = result.surface if surface is None else surface
    return ModelSpec(
        n_components=start.n_components,
        background=None if start.background is None else background_model(start.background),
        **result.settings.by_name(),
    )


def check_untied(result: FitResult, what: str) -> None:
    """ValueError where numbers of a fit follow from others, which ``what`` does not know."""
    if result.settings.constraints.ties:
        raise ValueError(
            f"`{what}` does not know of `tie`, by which numbers of this fit follow from others: fit without it"
        )


def linearized_at(result: FitResult) -> tuple[Prepared, np.ndarray]:
    """The problem of a result for the dense engine, in double precision, and the parameters (P,) of its surface."""
    prepared = problem_setup(result.data, model_of(result), np.dtype(np.float64), EngineChoice(Dense(), float("inf")))
    return prepared, params_of(result, prepared)


def params_of(result: FitResult, prepared: Prepared) -> np.ndarray:
    """The parameters (P,) of the surface of a result in a problem."""
    params: np.ndarray = prepared.host.parameterization.pack(to_internal(result.surface, prepared.scaling))
    return params


def residual_variance(result: FitResult) -> float:
    """s^2, the variance of a weighted residual in the user's units.

    1 for known errors (absolute sigmas, counts), 2 cost / (n - P) otherwise; infinite where no points are to spare.
    """
    if result.data.absolute_sigma or result.settings.loss == "poisson":
        return 1.0
    spare = result.n_points - result.n_parameters
    return 2 * result.cost / spare if spare > 0 else float("inf")


def residual_deviation(result: FitResult, prepared: Prepared, cost: float) -> float:
    """s in the units of a problem where the data have this cost, in which no square is too small for a number."""
    if result.data.absolute_sigma or result.settings.loss == "poisson":
        return 1 / prepared.residual_unit
    spare = result.n_points - result.n_parameters
    return float(np.sqrt(2 * cost / spare)) if spare > 0 else float("inf")


@dataclass(frozen=True, eq=False)
class Information:
    """What data and prior say of the parameters (P,) at the solution.

    cost : of the data.
    normal : N (P, P), J^T W J with the second derivatives W of the loss; with a prior its rows belong to J.
    gradient : (P,) of the cost.
    scores : sum_j psi_j^2 J_j^T J_j (P, P) over the data, with psi_j the derivative of the cost of a point.
    factor_slopes : d tril(L) / d shape (K, T, s) of the Cholesky factors.
    rows, score_rows : W^(1/2) J (N, P), with the rows of a prior below it, and psi_j J_j (N, P); None where they are
        too large to be held.
    """

    cost: float
    normal: np.ndarray
    gradient: np.ndarray
    scores: np.ndarray
    factor_slopes: np.ndarray
    rows: np.ndarray | None = None
    score_rows: np.ndarray | None = None


def information(prepared: Prepared, params: np.ndarray) -> Information:
    """At parameters (P,) of a problem for the dense engine."""
    problem, n = prepared.problem, prepared.data.n_used
    if len(problem.points) * len(params) > MAX_HELD_ENTRIES:
        found, *arrays = (np.asarray(array) for array in _normals(problem, params))
        return Information(float(found), *arrays)
    residuals, rows, ratios, slopes = (np.asarray(array) for array in _rows(problem, params))
    residuals, rows = (np.delete(array, np.s_[n : len(problem.points)], axis=0) for array in (residuals, rows))
    scores = residuals[:n, None] * rows[:n]
    weighted = rows.copy()
    weighted[:n] *= ratios[:n, None]
    cost = 0.5 * float(residuals[:n] @ residuals[:n])
    return Information(cost, weighted.T @ weighted, rows.T @ residuals, scores.T @ scores, slopes, weighted, scores)


def residual_rows(problem: SurfaceProblem, params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals and Jacobian at parameters (P,), with the rows of a prior below those of the data."""
    residuals, rows, _, _ = _rows(problem, params)
    return np.asarray(residuals), np.asarray(rows)


def normals(problem: SurfaceProblem, params: Array) -> tuple[Array, ...]:
    """The cost, N (P, P), the gradient (P,), the scores (P, P) and the slopes of the factors: see `Information`."""
    residuals, jacobian = problem.linearize(params)
    return (
        half_square(residuals[: len(problem.points)]),
        information_jacobian(problem, params).normal(residuals)[0].as_matrix(),
        jacobian.rmv(residuals),
        score_jacobian(problem, params).normal(residuals)[0].as_matrix(),
        factor_slopes(problem.parameterization, params),
    )


def rows(problem: SurfaceProblem, params: Array) -> tuple[Array, Array, Array, Array]:
    """Residuals (N + m,) and their Jacobian (N + m, P), with the rows of a prior; factors (N,) that turn rows of the
    data into those of W^(1/2) J; and the slopes of the factors.
    """
    residuals, jacobian = problem.linearize(params)
    ratios = information_ratios(problem, params)
    return residuals, jacobian.as_matrix(), ratios, factor_slopes(problem.parameterization, params)


_normals = pass_jit(normals)
_rows = pass_jit(rows)
