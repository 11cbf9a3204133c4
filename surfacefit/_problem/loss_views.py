r"""What the loss and the prior of a problem say at some parameters, for error bars, searches and criteria.

With N = N_data + N_prior, the second derivatives of the cost, a free number i is held by the prior to the share
(N_prior N^-1)_ii, between 0 and 1. P free numbers then count as

    p = P - tr(N_prior N^-1) = tr(N_data N^-1),

the trace of the hat matrix, where N has an inverse: Moody, NIPS 4 (1992) 847; Hastie, Tibshirani & Friedman, The
Elements of Statistical Learning, section 7.6. What a bound holds, or neither data nor prior determine, counts as one,
as it does without a prior.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import pass_jit
from .._engines.jacobian import Jacobian
from .._model.block_layout import block_indices
from .base import half_square
from .objective import SurfaceObjective


def information_jacobian(problem: SurfaceObjective, params: Array) -> Jacobian:
    """J whose J^T J is the information of the data on the parameters: rows weighted by the loss' information."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    information = problem.loss.information(model, problem.heights, problem.weights)
    return problem.jacobian(params, components, jnp.sqrt(information))


def information_ratios(problem: SurfaceObjective, params: Array) -> Array:
    """What to multiply the rows of J (N,) by for rows of `information_jacobian`: 1 for least squares."""
    model = problem.engine.model(problem.points, problem.parameterization.components(params))
    slopes = problem.loss.slopes(model, problem.heights, problem.weights)
    information = problem.loss.information(model, problem.heights, problem.weights)
    return jnp.where(slopes > 0, jnp.sqrt(information) / jnp.where(slopes > 0, slopes, 1), 0)


def score_jacobian(problem: SurfaceObjective, params: Array) -> Jacobian:
    """J whose rows are the derivatives of the cost of each point."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    slopes = problem.loss.residuals(model, problem.heights, problem.weights) * problem.loss.slopes(
        model, problem.heights, problem.weights
    )
    return problem.engine.jacobian(
        problem.points, slopes, components, problem.parameterization.chain(params, components)
    )


def secant_weights(problem: SurfaceObjective, params: Array) -> Array:
    """Weights (N,) with which plain least squares have the same cost here."""
    model = problem.engine.model(problem.points, problem.parameterization.components(params))
    return problem.loss.secants(model, problem.heights, problem.weights)


def penalty_cost(problem: SurfaceObjective, params: Array) -> Array:
    """What the prior adds to the cost, 0 without one."""
    none = jnp.zeros((), params.dtype)
    if problem.penalty is None:
        return none
    return sum((half_square(rows) for rows in problem.penalty.rows(problem.parameterization, params)), none)


def normal_with_prior(problem: SurfaceObjective, params: Array) -> tuple[Array, ...]:
    """What a prior adds to the blocks (K, p, p) of N and to its border's block, N (P, P) itself, and the gradient (P,)
    of the cost.
    """
    residuals, jacobian = problem.linearize(params)
    informed: Any = information_jacobian(problem, params)
    whole = informed.restored(informed.normal(residuals)[0]).as_matrix()
    return *informed.prior_blocks(), whole, jacobian.rmv(residuals)


def held_by_prior(problem: SurfaceObjective, host: Any, params: np.ndarray, near: float) -> np.ndarray:
    """The share (P,) to which the prior holds each parameter; ``host`` has the limits, met by a number ``near`` one."""
    prior, normal, gradient = whole_with_prior(problem, params)
    with np.errstate(invalid="ignore"):  # a side without a limit is infinitely far away
        free = ~np.asarray(host.at_bound(params, gradient.astype(params.dtype), near))
    return shares_of(normal, prior, free)


def shares_of(normal: np.ndarray, prior: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The diagonal (n,) of N_prior N^+ over what is ``free`` (n,), zero elsewhere; clear of rounding."""
    known = free & (np.diag(normal) > 0)
    root = np.sqrt(np.diag(normal)[known])
    scale, inner = np.outer(root, root), np.ix_(known, known)
    inverse = np.linalg.pinv(normal[inner] / scale, rcond=len(root) * np.finfo(np.float64).eps, hermitian=True)
    shares = np.zeros(len(normal))
    shares[known] = np.clip(np.einsum("ij,ji->i", prior[inner] / scale, inverse), 0.0, 1.0)
    return shares


def whole_with_prior(problem: SurfaceObjective, params: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N_prior and N (P, P), and the gradient (P,) of the cost."""
    own, border, normal, gradient = (np.asarray(array, float) for array in _normal_with_prior(problem, params))
    (count, size), prior = own.shape[:2], np.zeros_like(normal)
    index, end = block_indices(np.arange(count), size), count * size
    prior[index[:, :, None], index[:, None, :]] = own
    prior[end:, end:] = border
    return prior, normal, gradient


_normal_with_prior = pass_jit(normal_with_prior)
