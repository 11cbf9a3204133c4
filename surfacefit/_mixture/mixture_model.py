r"""A mixture on the device, and its log-densities.

For points x (n, d) and K components of weight w_k, mean mu_k and covariance L_k L_k^T

    log p(x) = log sum_k w_k N(x; mu_k, L_k L_k^T),    log r_k(x) = log(w_k N(x; mu_k, L_k L_k^T)) - log p(x),

with u_k = L_k^{-1} (x - mu_k), so that log N = -|u_k|^2 / 2 - log det L_k - d/2 log(2 pi).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.lane_loop import each
from .._model.surface import inverse_lower, whitened

# Dimensions up to which products with d x d matrices are written out: XLA fuses them into one pass over the points. The
# code grows as d^2, and above this batched products are faster.
MAX_UNROLLED_DIMENSIONS = 4


class PointChunks(NamedTuple):
    """Points (C, n, d) in C chunks of equal size, and their weights (C, n).

    Weights are one on average, and zero at the places of the last chunk that hold no point.
    """

    points: Array
    weights: Array


class Mixture(NamedTuple):
    """Weights (K,), means (K, d), Cholesky factors (K, d, d) of the covariances."""

    weights: Any
    means: Any
    factors: Any


def log_joint(points: Array, mixture: Mixture) -> tuple[Array, Any]:
    """log(w_k N(x_n; mu_k, Sigma_k)) (K, n) for points (n, d), and u.

    u is one array (K, n, d), or in few dimensions a list of d arrays (K, n).
    """
    n_dim, inverses = points.shape[-1], inverse_factors(mixture.factors)
    log_heights = jnp.log(mixture.weights) + jnp.log(jnp.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
    log_heights -= 0.5 * n_dim * float(np.log(2 * np.pi))
    means, inverses = mixture.means.astype(points.dtype), inverses.astype(points.dtype)
    u: Any
    if n_dim <= MAX_UNROLLED_DIMENSIONS:
        u = whitened(points, means, inverses)
        squares = sum(part * part for part in u)
    else:
        u = jnp.einsum("kij,knj->kni", inverses, points - means[:, None], precision="highest")
        squares = (u * u).sum(axis=-1)
    return log_heights.astype(points.dtype)[:, None] - 0.5 * squares, u


def log_density(points: Array, mixture: Mixture) -> Array:
    """log p (n,) at points (n, d)."""
    return log_sum(log_joint(points, mixture)[0])


def log_responsibilities(points: Array, mixture: Mixture) -> Array:
    """log r (K, n) at points (n, d)."""
    joint, _ = log_joint(points, mixture)
    return joint - log_sum(joint)


def log_sum(joint: Array) -> Array:
    """log sum exp over the first axis."""
    highest = joint.max(axis=0)
    return highest + jnp.log(jnp.exp(joint - highest).sum(axis=0))


def factorized(covariances: Array) -> Array:
    """Lower factors (K, d, d) of covariances."""
    if covariances.shape[-1] <= MAX_UNROLLED_DIMENSIONS:
        return jnp.linalg.cholesky(covariances)
    factors: Array = each(jnp.linalg.cholesky, covariances, len(covariances))
    return factors


def inverse_factors(factors: Array) -> Array:
    """L^{-1} (K, d, d)."""
    if factors.shape[-1] <= MAX_UNROLLED_DIMENSIONS:
        return inverse_lower(factors)
    identity = jnp.eye(factors.shape[-1], dtype=factors.dtype)
    inverses: Array = each(
        lambda factor: jax.scipy.linalg.solve_triangular(factor, identity, lower=True), factors, len(factors)
    )
    return inverses
