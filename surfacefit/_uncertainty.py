r"""Standard errors of a fit.

With J the derivatives of the weighted residuals at the solution, the parameters' covariance is s^2 (J^T J)^-1 with
s^2 = 1 for absolute sigmas and 2 cost / (N - P) otherwise; a physical number y(p) has the variance
y' C y'^T (delta method). Directions that the data do not determine, the null space of J^T J, are left out of the
inverse, and every number that they move has an infinite error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ._engines import Dense, EngineChoice
from ._prepare import Model, Prepared, precision, prepare
from ._problem import SurfaceProblem
from ._scaling import Scaling
from ._surface import GaussianSurface
from ._usefulness import losses

if TYPE_CHECKING:
    from ._result import FitResult

MOST_PARAMETERS = 5000


def standard_errors(result: FitResult) -> GaussianSurface:
    """Errors of every number of ``result.surface``, in its structure and units."""
    prepared, start = _prepared(result)
    with precision(np.dtype(np.float64)):
        normal, slopes = (np.asarray(array) for array in _linearized(prepared.problem, prepared.scaling, start))
        variances, unit = _variances(normal, slopes), _misfit(result, prepared)
        errors = np.sqrt(np.where(np.isinf(variances), np.inf, np.where(variances > 0, np.maximum(variances, 1e-300) * unit, 0.0)))
        _, unravel = ravel_pytree(jax.tree.map(jnp.asarray, result.surface))
        return jax.tree.map(np.asarray, unravel(jnp.asarray(errors)))


def worth(result: FitResult) -> np.ndarray:
    """The rise in cost (K,) for the loss of each component, in the user's units; see `FitResult.worth`."""
    prepared, start = _prepared(result)
    with precision(np.dtype(np.float64)):
        rises = losses(prepared.problem, prepared.problem.parameterization.pack(start))
        return np.asarray(rises)[: result.n_components] * prepared.cost_unit


def redundant(result: FitResult) -> np.ndarray:
    """Which components (K,) the data do not call for; see `FitResult.redundant`."""
    prepared, _ = _prepared(result)
    own = prepared.problem.parameterization.block_size
    variance = _misfit(result, prepared) * prepared.cost_unit
    return result.worth < 0.5 * own * np.log(result.n_points) * variance


def _prepared(result: FitResult) -> tuple[Prepared, GaussianSurface]:
    """The problem of a result in double precision, and its surface in the units of that."""
    if result.n_parameters > MOST_PARAMETERS:
        raise ValueError(f"this takes the inverse of a matrix of {result.n_parameters} parameters: the limit is {MOST_PARAMETERS}")
    model = Model.of(result)
    with precision(np.dtype(np.float64)):
        prepared = prepare(result.data, model, np.dtype(np.float64), EngineChoice(Dense(), float("inf")))
        return prepared, prepared.scaling.surface_to_internal(result.surface)


@jax.jit
def _linearized(problem: SurfaceProblem, scaling: Scaling, surface: GaussianSurface) -> tuple[Array, Array]:
    """J^T J (P, P) at a surface in the problem's units, and the derivatives (M, P) of all physical numbers."""
    params = problem.parameterization.pack(surface)

    def physical(params: Array) -> Array:
        inner = problem.surface(params)
        count = surface.n_components
        active = GaussianSurface(inner.amplitudes[:count], inner.centers[:count], inner.covariances[:count], inner.background)
        return ravel_pytree(scaling.surface_to_physical(active))[0]

    residuals, jacobian = problem.linearize(params)
    normal, _ = jacobian.normal(residuals)
    return normal.as_matrix(), jax.jacfwd(physical)(params)


def _variances(normal: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """diag(Y N^+ Y^T) (M,) for Y (M, P), infinite where Y has a part in the null space of N."""
    root = np.sqrt(np.diag(normal))
    dead = root == 0
    root = np.where(dead, 1.0, root)
    values, vectors = np.linalg.eigh(normal / np.outer(root, root))
    known = values > len(values) * np.finfo(float).eps * max(values.max(), 1.0)
    parts = (slopes / root) @ vectors
    variances = np.sum(parts[:, known] ** 2 / values[known], axis=1)
    size = np.linalg.norm(parts, axis=1)
    lost = np.linalg.norm(parts[:, ~known], axis=1) > 1e-6 * np.maximum(size, np.finfo(float).tiny)
    return np.where(lost, np.inf, variances)


def _misfit(result: FitResult, prepared: Prepared) -> float:
    """s^2 in the problem's units, where weights have mean square one and heights are of order one."""
    if result.data.absolute_sigma:
        return 1 / prepared.cost_unit
    free = result.n_points - result.n_parameters
    return 2 * result.cost / prepared.cost_unit / free if free > 0 else float("inf")
