"""What each component of a result is worth, and which ones the data do not call for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from .._base.precision import precision
from .._constraints.box import bound_tolerance
from .._model.block_layout import ALPHA, block_indices
from .._problem.prepared import fixed_parameters, used_parameters
from .._problem.removal_cost import RIDGE, change_to_zero, quadratic_rise
from .constrained_directions import constrained_directions
from .covariances import Reduced, reduced
from .linearization import linearized_at
from .uncertainty import MOST_PARAMETERS, constraint_normals, misfit, normal_matrices

if TYPE_CHECKING:
    from .._results.result import FitResult


def worth(result: FitResult) -> np.ndarray:
    """The rise in cost (K,) for the loss of each component, in the user's units; see `FitResult.worth`.

    What is fixed or stands at a bound does not adapt, but for the amplitudes: to lose a component is to let them go.
    """
    if result.n_parameters > MOST_PARAMETERS:
        raise ValueError(
            f"`worth` takes the inverse of a matrix of {result.n_parameters} parameters: the limit is {MOST_PARAMETERS}"
        )
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        problem = prepared.fixing(params)
        normal, gradient, _ = (np.asarray(a) for a in normal_matrices(problem, params))
        normals = constraint_normals(
            constrained_directions(problem, params, gradient, bound_tolerance(result.settings.dtype))
        )
        parts, count = problem.parameterization, result.n_components
        index = block_indices(np.arange(count), parts.layout.block_size)
        ours = normals[index[:, ALPHA]].any(axis=0)
        precisions = _precisions(reduced(normal, normals[:, ~ours], used_parameters(prepared)), index)
        free = params[index[:, ALPHA]]
        change = -np.asarray(change_to_zero(parts, free))
        pressed = np.where(normals[index[:, ALPHA]][:, ours].any(axis=1), gradient[index[:, ALPHA]], 0.0)
        loss = change * pressed + quadratic_rise(change, precisions)
        return np.where(np.isfinite(loss), np.maximum(loss, 0), 0.0) * prepared.cost_unit


def redundant(result: FitResult) -> np.ndarray:
    """Which components (K,) the data do not call for; see `FitResult.redundant`."""
    worths, unit = result.worth, misfit(result)
    with precision(np.dtype(np.float64)):
        prepared, _ = linearized_at(result)
    layout = prepared.problem.parameterization.layout
    own = (~layout.blocks(fixed_parameters(prepared))[: result.n_components]).sum(axis=1)
    return (worths < 0.5 * own * np.log(result.n_points) * unit) & np.isfinite(unit)


def _precisions(inner: Reduced, index: np.ndarray) -> np.ndarray:
    """1 / variance (K,) of the first of the parameters (K, p) with the others held and all else adapting."""
    factor = np.linalg.cholesky(inner.matrix + RIDGE * np.eye(len(inner.matrix)))
    root = scipy.linalg.solve_triangular(factor, inner.basis.T, lower=True).T[index]
    sizes = np.linalg.norm(root, axis=2, keepdims=True)
    root = root / np.where(sizes > 0, sizes, 1)
    values, vectors = np.linalg.eigh(np.matmul(root, root.swapaxes(1, 2)))
    inverse = np.where(values > 1e-12, 1 / np.maximum(values, 1e-12), 0.0)
    return np.asarray(
        np.einsum("ka,ka,ka->k", vectors[:, ALPHA], vectors[:, ALPHA], inverse)
        / np.where(sizes > 0, sizes, 1)[:, ALPHA, 0] ** 2
    )
