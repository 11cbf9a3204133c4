"""How much each component of a result lowers the cost, and which ones the data do not support."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from .._base.precision import precision
from .._constraints.box import bound_tolerance, fixed_masks
from .._model.background import NoBackground
from .._model.block_layout import ALPHA, block_indices
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import Parameterization
from .._problem.prepared import used_parameters
from .._problem.removal_cost import INVERSE_RIDGE, change_to_zero, quadratic_rise
from .._results.record import MAX_EXACT_PARAMETERS
from .constrained_directions import constrained_directions, constraint_normals
from .covariance_methods import held_shares
from .covariance_root import ReducedNormal, reduced_normal
from .linearization import check_untied, information, linearized_at, residual_variance

if TYPE_CHECKING:
    from .._results.result import FitResult

# Of the largest eigenvalue of a component's block, which is of order one: smaller ones are rounding, and count as zero.
MIN_BLOCK_EIGENVALUE = 1e-12


def worth(result: FitResult) -> np.ndarray:
    """The rise in cost (K,) if each component were removed, in the user's units; see `FitResult.worth`.

    Numbers that are fixed or stand at a bound do not adapt, except amplitudes at a bound: to remove a component is to
    let its amplitude go.
    """
    if result.n_parameters > MAX_EXACT_PARAMETERS:
        raise ValueError(
            f"`worth` takes the inverse of a matrix of {result.n_parameters} parameters: the limit is"
            f" {MAX_EXACT_PARAMETERS}"
        )
    with precision(np.dtype(np.float64)):
        check_untied(result, "worth")
        prepared, params = linearized_at(result)
        found, host = information(prepared, params), prepared.host_fixing(params)
        normal, gradient, parts = found.normal, found.gradient, host.parameterization
        axes = constrained_directions(host, params, gradient, bound_tolerance(result.settings.dtype))
        normals = constraint_normals(axes)
        index = block_indices(np.arange(result.n_components), parts.layout.block_size)
        alphas = index[:, ALPHA]
        of_amplitudes = normals[alphas].any(axis=0)
        curvatures = _curvatures(reduced_normal(normal, normals[:, ~of_amplitudes], used_parameters(prepared)), index)
        change = -change_to_zero(parts, params[alphas])
        slopes = np.where(normals[alphas][:, of_amplitudes].any(axis=1), gradient[alphas], 0.0)
        rise = change * slopes + quadratic_rise(change, curvatures)
        return np.where(np.isfinite(rise), np.maximum(rise, 0), 0.0) * prepared.cost_unit


def redundant(result: FitResult) -> np.ndarray:
    """Which components (K,) the data do not support; see `FitResult.redundant`.

    Without a component of p free numbers the BIC falls by p log n and rises by 2/s^2 times the rise in cost. What a
    prior holds of these numbers is not counted.
    """
    variance = residual_variance(result)
    return (result.worth < 0.5 * _own_numbers(result) * np.log(result.n_points) * variance) & np.isfinite(variance)


def _own_numbers(result: FitResult) -> np.ndarray:
    """How many free numbers each component (K,) has for itself, without what a prior holds of them."""
    settings, count = result.settings, result.n_components
    kind, floor = COVARIANCE_TYPES[settings.covariance_type], np.ones(result.surface.n_dim)
    parts = Parameterization(floor, NoBackground(), np.asarray(float(count)), kind, count)
    own, _ = fixed_masks(settings.constraints.fixed, parts)
    numbers = np.asarray(np.broadcast_to(~own, (count, own.shape[1])).sum(axis=1))
    if settings.prior is None:
        return numbers
    return numbers - held_shares(result)[block_indices(np.arange(count), own.shape[1])].sum(axis=1)


def _curvatures(inner: ReducedNormal, index: np.ndarray) -> np.ndarray:
    """Second derivatives (K,) of the cost along each alpha, with the rest of its block (K, p) held.

    All other parameters adapt: this is [C_k^-1]_aa with C_k the block of the inverse for component k.
    """
    factor = np.linalg.cholesky(inner.matrix + INVERSE_RIDGE * np.eye(len(inner.matrix)))
    root = scipy.linalg.solve_triangular(factor, inner.basis.T, lower=True).T[index]
    sizes = np.linalg.norm(root, axis=2, keepdims=True)
    sizes = np.where(sizes > 0, sizes, 1)
    root = root / sizes
    values, vectors = np.linalg.eigh(np.matmul(root, root.swapaxes(1, 2)))
    inverse = np.where(values > MIN_BLOCK_EIGENVALUE, 1 / np.maximum(values, MIN_BLOCK_EIGENVALUE), 0.0)
    own = np.einsum("ka,ka,ka->k", vectors[:, ALPHA], vectors[:, ALPHA], inverse)
    return np.asarray(own / sizes[:, ALPHA, 0] ** 2)
