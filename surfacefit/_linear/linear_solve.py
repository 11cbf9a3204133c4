r"""The damped Gauss-Newton system (J^T J + mu D) h = -J^T r, by three methods.

All scale by D^{1/2}, so that units drop out. Cholesky works on A = D^{-1/2} J^T J D^{-1/2} + mu I, which squares the
condition number of J; it says whether the pivots of A stand clear of rounding. Where they do not, QR works on the
stacked system [J D^{-1/2}; sqrt(mu) I] y = -[r; 0] and squares nothing (Björck, Numerical Methods for Least Squares
Problems, 1996, section 2.4). Conjugate gradients need no matrix, only its products, and stop early: a tenth of the work
for steps nearly as good (Dembo, Eisenstat & Steihaug, SIAM J. Numer. Anal. 19 (1982) 400).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.sparse.linalg import cg

from .._base.compile import concatenated

# Residual of the scaled system relative to the gradient at which conjugate gradients stop. Jacksboro, K = 256, seconds
# to 28 m: 1.8 at 5 %, 2.4 at 1 %, 3.3 at 20 %.
CG_TOLERANCE = 0.05
# Iterations; most solves end by the tolerance after some tens. A poor step is only a shorter one.
CG_MOST_ITERATIONS = 100
# Least damping of the preconditioner's blocks: keeps single precision's elimination without pivots away from zero.
LEAST_PRECONDITIONER_DAMPING = 1e-5


def solve_cholesky(normal: Array, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
    """Step h (P,) from J^T J (P, P), J^T r (P,) and squared scales (P,), and whether it can be trusted.

    The damping is one number, or one a parameter. Parameters without effect, whose row of J^T J is zero, stay where
    they are.
    """
    root, size, eps = jnp.sqrt(scaling), len(scaling), float(np.finfo(normal.dtype).eps)
    matrix = normal / (root[:, None] * root[None, :])
    dead = jnp.diag(normal) == 0
    matrix = matrix + jnp.diag(jnp.where(dead, 1, damping))
    factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    trusted = jnp.all(jnp.diag(factor) ** 2 > 4 * size**0.5 * eps)
    return -cho_solve((factor, True), gradient / root) / root, trusted


def solve_qr(matrix: Array, residuals: Array, scaling: Array, damping: Array) -> Array:
    """Step h (P,) from J (N, P), r (N,) and squared scales (P,)."""
    root, size = jnp.sqrt(scaling), len(scaling)
    stacked = jnp.concatenate(
        [matrix / root, jnp.sqrt(damping).astype(matrix.dtype) * jnp.eye(size, dtype=matrix.dtype)]
    )
    target = jnp.concatenate([-residuals, jnp.zeros(size, matrix.dtype)])
    q, r = jnp.linalg.qr(stacked)
    return solve_triangular(r, jnp.matmul(target, q, precision="highest")) / root


def solve_conjugate_gradients(
    normal_mv: Callable[[Array], Array],
    blocks: Array,
    border: Array,
    gradient: Array,
    scaling: Array,
    damping: Array,
    iterations: int = CG_MOST_ITERATIONS,
) -> Array:
    """Step h (P,) from products with J^T J, nearly: the residual of the scaled system is CG_TOLERANCE of the gradient.

    Preconditioned by the diagonal blocks (K, p, p) and the border's block (b, b), all scaled and damped.
    """
    root, (count, size, _) = jnp.sqrt(scaling), blocks.shape
    parts, rest = root[: count * size].reshape(count, size), root[count * size :]
    each = jnp.broadcast_to(damping, root.shape)
    inner = _damped_inverses(
        blocks / (parts[:, :, None] * parts[:, None, :]), each[: count * size].reshape(count, size)
    )
    outer = _damped_inverses((border / (rest[:, None] * rest[None, :]))[None], each[count * size :][None])[0]

    def system(y: Array) -> Array:
        return normal_mv(y / root) / root + damping * y

    def precondition(y: Array) -> Array:
        own = jnp.einsum("kpq,kq->kp", inner, y[: count * size].reshape(count, size), precision="highest")
        return concatenated([own.ravel(), jnp.matmul(outer, y[count * size :], precision="highest")])

    y, _ = cg(system, -gradient / root, tol=CG_TOLERANCE, maxiter=iterations, M=precondition)
    return y / root


def _damped_inverses(blocks: Array, damping: Array) -> Array:
    """(B + M)^-1 of positive semidefinite blocks (n, p, p) and diagonal matrices M (n, p), by unrolled elimination
    without pivots.
    """
    size = blocks.shape[1]
    least = jnp.maximum(damping, LEAST_PRECONDITIONER_DAMPING).astype(blocks.dtype)
    rows = jnp.concatenate(
        [
            blocks + least[:, :, None] * jnp.eye(size, dtype=blocks.dtype),
            jnp.broadcast_to(jnp.eye(size, dtype=blocks.dtype), blocks.shape),
        ],
        2,
    )
    for k in range(size):
        pivot = rows[:, k] / rows[:, k, k, None]
        rows = rows - jnp.where(np.arange(size)[None, :, None] == k, 0, rows[:, :, k, None]) * pivot[:, None, :]
        rows = rows.at[:, k].set(pivot)
    return rows[:, :, size:]
