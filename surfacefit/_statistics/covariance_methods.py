r"""Covariances by "hessian", "sandwich" and "correlated": what errors assume about the noise.

With J the derivatives of the weighted residuals at the solution and N = J^T J (for a loss other than least squares
J^T W J with its second derivatives W), the covariance of the parameters is

- "hessian": s^2 N^+, with s^2 = 1 for known errors (absolute sigmas, counts) and 2 cost / (n - P) otherwise, as in
  `scipy.optimize.curve_fit`;
- "sandwich": N^+ (sum_j psi_j^2 J_j^T J_j) N^+ n / (n - P), with psi_j the derivative of the cost of a point. For
  errors that differ from point to point in an unknown way (White, Econometrica 48 (1980) 817; HC1 of MacKinnon & White,
  Journal of Econometrics 29 (1985) 305), and for robust losses (Huber, Fifth Berkeley Symposium 1 (1967) 221);
- "correlated": N^+ (J^T R J) N^+, with the noise's covariance R estimated from the residuals (`_data/noise`).

Directions that the data do not determine (the null space of N), and those that a limit holds, are left out of the
inverse.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .._base.precision import precision
from .._base.threads import single_threaded_blas
from .._constraints.box import bound_tolerance
from .._data.noise import Grid, correlated_noise
from .._model.scaling import root_mean_square
from .._problem.loss_views import held_by_prior
from .._problem.prepared import fixed_parameters, tie_plan, used_parameters
from .._problem.problem import SurfaceProblem
from .._results.record import EXACT_RMSE, MAX_EXACT_PARAMETERS
from .constrained_directions import constrained_directions, constraint_normals, held_changes
from .covariance_root import CovarianceRoot, inverse_root
from .linearization import MAX_HELD_ENTRIES, Information, information, linearized_at, residual_deviation, residual_rows
from .local_covariances import local_errors
from .tied_root import tied_root, tied_shares
from .uncertainty import Uncertainty
from .whole_covariance import WholeCovariance

if TYPE_CHECKING:
    from .._results.result import FitResult

# Names that `FitResult.uncertainty` takes.
METHODS = ("hessian", "sandwich", "correlated", "auto")

# Entries of the whole Jacobian, which "correlated" needs: 2.4 GB in double precision, and as much again beside it.
MAX_JACOBIAN_ENTRIES = 3e8


def uncertainty(result: FitResult, method: str, argument: str = "method") -> Uncertainty:
    """See `FitResult.uncertainty`; where the method does not apply, the error names the user's ``argument``."""
    if method == "auto":
        return result.uncertainty(_applicable(result))
    if why := _why_not(result, method):
        raise ValueError(f"`{argument}`={method!r} {why}")
    if result.n_parameters > MAX_EXACT_PARAMETERS:
        return _by_dissection(result)
    small = _entries(result) <= MAX_HELD_ENTRIES
    with precision(np.dtype(np.float64)), single_threaded_blas(result.n_parameters) if small else nullcontext():
        prepared, params = linearized_at(result)
        found = information(prepared, params)
        host, near = prepared.host_fixing(params), bound_tolerance(result.settings.dtype)
        used, deviation = used_parameters(prepared), residual_deviation(result, prepared, found.cost)
        if (plan := tie_plan(prepared)) is None:
            axes = constrained_directions(host, params, found.gradient, near)
            root = inverse_root(found, constraint_normals(axes), used, held_changes(axes))
        else:
            root = tied_root(prepared, plan, params, found, near)
        correlation_length = 0.0
        if not np.isfinite(deviation):  # as many parameters as points: nothing is known of the noise
            root, deviation = CovarianceRoot(np.zeros((len(used), 0)), np.eye(len(used))[:, used], 0), 1.0
        distance = _distance(result, found, root, deviation)
        if method == "sandwich":
            spare = max(result.n_points - result.n_parameters, 1)
            root, deviation = _sandwich(found, root), float(np.sqrt(result.n_points / spare))
        if method == "correlated":
            root, correlation_length = _correlated(result, prepared.problem, params, root)
            deviation = 1.0
        whole = WholeCovariance(prepared, params, root, deviation, fixed_parameters(prepared), found.factor_slopes)
        return Uncertainty(method, True, correlation_length, distance, whole)


def _applicable(result: FitResult) -> str:
    """The method that the residuals ask for, unless the fit is too large for it."""
    if result.n_parameters > MAX_EXACT_PARAMETERS:
        return "hessian"
    asked = result.diagnostics.errors
    return "hessian" if asked == "correlated" and _entries(result) > MAX_JACOBIAN_ENTRIES else asked


def _entries(result: FitResult) -> int:
    """Numbers in the whole Jacobian."""
    return result.n_points * result.n_parameters


def held_shares(result: FitResult) -> np.ndarray:
    """The share (P,) to which a prior holds each parameter, or (T,) each free number: see `_problem/loss_views`."""
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        host, near = prepared.host_fixing(params), bound_tolerance(result.settings.dtype)
        if (plan := tie_plan(prepared)) is not None:
            return tied_shares(prepared, plan, params, near)
        return held_by_prior(prepared.problem, host, params, near)


def _why_not(result: FitResult, method: str) -> str:
    """Why a method does not apply, and the way out; "" where it does."""
    if method != "hessian" and result.n_parameters > MAX_EXACT_PARAMETERS:
        return f"needs the whole normal matrix, of at most {MAX_EXACT_PARAMETERS} parameters: fit a part of the data"
    if method != "correlated":
        return ""
    if result.data.axes is None:
        return "needs the lags of a grid: for scattered points use 'sandwich'"
    if result.settings.loss != "linear":
        return f"is for loss='linear', this fit has {result.settings.loss!r}: use 'sandwich'"
    if _entries(result) > MAX_JACOBIAN_ENTRIES:
        return f"takes the whole Jacobian, {result.n_points} x {result.n_parameters}: fit a part of the data"
    return ""


def _by_dissection(result: FitResult) -> Uncertainty:
    with precision(np.dtype(np.float64)):
        return Uncertainty("hessian", False, 0.0, float("nan"), local_errors(result))


def _distance(result: FitResult, found: Information, root: CovarianceRoot, deviation: float) -> float:
    """sqrt(g^T N^+ g) / s; NaN where the residuals are too small, or too few, to tell s."""
    known = result.data.absolute_sigma or result.settings.loss == "poisson"
    if not root.root.size or not (known or result.rmse > EXACT_RMSE * root_mean_square(result.data.used_heights)):
        return float("nan")
    return float(np.linalg.norm(root.root.T @ found.gradient)) / deviation


def _sandwich(found: Information, root: CovarianceRoot) -> CovarianceRoot:
    """N^+ (sum_j psi_j^2 J_j^T J_j) N^+."""
    if found.score_rows is None:
        return root.sandwich(root.root.T @ found.scores @ root.root)
    changes = root.basis(found.score_rows)
    return root.sandwich(changes.T @ changes)


def _correlated(
    result: FitResult, problem: SurfaceProblem, params: np.ndarray, root: CovarianceRoot
) -> tuple[CovarianceRoot, float]:
    """N^+ (J^T R J) N^+, and the correlation length of the noise in samples."""
    (residuals, rows), grid = _grid_rows(result, problem, params), Grid(result.data.used)
    basis = root.basis(rows)
    noise = correlated_noise(grid, residuals, basis)
    return root.sandwich(basis.T @ grid.convolved(noise.kernel, basis)), noise.correlation_length


def _grid_rows(result: FitResult, problem: SurfaceProblem, params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N,) and rows (N, P) of the Jacobian at the used points of a grid."""
    residuals, rows = residual_rows(replace(problem, penalty=None), params)
    return residuals[: result.n_points], rows[: result.n_points]
