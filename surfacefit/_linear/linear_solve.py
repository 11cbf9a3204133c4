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
from .cluster_preconditioner import damped_inverses, scaled

# Residual of the scaled system relative to the gradient at which conjugate gradients stop. Jacksboro, K = 256, seconds
# to 28 m: 1.8 at 5 %, 2.4 at 1 %, 3.3 at 20 %.
CG_TOLERANCE = 0.05
# Iterations; most solves end by the tolerance after some tens. A poor step is only a shorter one.
CG_MOST_ITERATIONS = 100


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
    """Step h (P,) from J (N, P), r (N,) and squared scales (P,).

    The right side is factorised as one more column, which leaves Q^T times it in R, so that Q need not be made: for
    8,251 rows and 251 parameters that takes 127 ms instead of 217 on one core.
    """
    root, size = jnp.sqrt(scaling), len(scaling)
    stacked = jnp.concatenate(
        [matrix / root, jnp.sqrt(damping).astype(matrix.dtype) * jnp.eye(size, dtype=matrix.dtype)]
    )
    target = jnp.concatenate([-residuals, jnp.zeros(size, matrix.dtype)])
    factor = jnp.linalg.qr(jnp.column_stack([stacked, target]), mode="r")
    return solve_triangular(factor[:size, :size], factor[:size, size]) / root


def solve_conjugate_gradients(
    normal_mv: Callable[[Array], Array],
    blocks: Array,
    border: Array,
    gradient: Array,
    scaling: Array,
    damping: Array,
    iterations: int = CG_MOST_ITERATIONS,
    together: Callable[[Array, Array], Callable[[Array], Array]] | None = None,
) -> Array:
    """Step h (P,) from products with J^T J, nearly: the residual of the scaled system is CG_TOLERANCE of the gradient.

    Preconditioned by the diagonal blocks (K, p, p) and the border's block (b, b), all scaled and damped; where
    ``together`` is given, by the function (K, p) -> (K, p) that it makes of the components' roots and damping (K, p).
    """
    root, (count, size, _) = jnp.sqrt(scaling), blocks.shape
    parts, rest = root[: count * size].reshape(count, size), root[count * size :]
    each = jnp.broadcast_to(damping, root.shape)
    of_parts = each[: count * size].reshape(count, size)
    outer = damped_inverses(scaled(border[None], rest[None]), each[count * size :][None])[0]
    inner = _one_by_one(blocks, parts, of_parts) if together is None else together(parts, of_parts)

    def system(y: Array) -> Array:
        return normal_mv(y / root) / root + damping * y

    def precondition(y: Array) -> Array:
        own = inner(y[: count * size].reshape(count, size))
        return concatenated([own.ravel(), jnp.matmul(outer, y[count * size :], precision="highest")])

    y, _ = cg(system, -gradient / root, tol=CG_TOLERANCE, maxiter=iterations, M=precondition)
    return y / root


def _one_by_one(blocks: Array, roots: Array, damping: Array) -> Callable[[Array], Array]:
    """The function y (K, p) -> M^-1 y with each component's block inverted alone."""
    inverses = damped_inverses(scaled(blocks, roots), damping)
    return lambda y: jnp.einsum("kpq,kq->kp", inverses, y, precision="highest")
