r"""The damped Gauss-Newton system (J^T J + mu D) h = -J^T r, by two methods.

Both scale by D^{1/2}, so that units drop out. Cholesky works on A = D^{-1/2} J^T J D^{-1/2} + mu I, which squares the
condition number of J; it says whether the pivots of A stand clear of rounding. Where they do not, QR works on the
stacked system [J D^{-1/2}; sqrt(mu) I] y = -[r; 0] and squares nothing (Björck, Numerical Methods for Least Squares
Problems, 1996, section 2.4).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular


def solve_cholesky(normal: Array, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
    """Step h (P,) from J^T J (P, P), J^T r (P,) and squared scales (P,), and whether it can be trusted."""
    root, size, eps = jnp.sqrt(scaling), len(scaling), float(np.finfo(normal.dtype).eps)
    matrix = normal / (root[:, None] * root[None, :]) + damping * jnp.eye(size, dtype=normal.dtype)
    factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    trusted = jnp.all(jnp.diag(factor) ** 2 > 4 * size**0.5 * eps)
    return -cho_solve((factor, True), gradient / root) / root, trusted


def solve_qr(matrix: Array, residuals: Array, scaling: Array, damping: Array) -> Array:
    """Step h (P,) from J (N, P), r (N,) and squared scales (P,)."""
    root, size = jnp.sqrt(scaling), len(scaling)
    stacked = jnp.concatenate([matrix / root, jnp.sqrt(damping) * jnp.eye(size, dtype=matrix.dtype)])
    target = jnp.concatenate([-residuals, jnp.zeros(size, matrix.dtype)])
    q, r = jnp.linalg.qr(stacked)
    return solve_triangular(r, jnp.matmul(target, q, precision="highest")) / root
