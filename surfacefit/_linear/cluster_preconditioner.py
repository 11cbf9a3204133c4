r"""Approximate inverses of a block matrix: of clusters of components that stand side by side, each inverted as a whole.

Components that overlap strongly make J^T J nearly singular, along directions that a few neighbours share. With blocks
of single components as preconditioner, conjugate gradients then need hundreds of iterations; with those of clusters,
which see most of such directions whole, a third, and a fifth where several sets of clusters, with other borders each,
are added (additive Schwarz; Toselli & Widlund, Domain Decomposition Methods (2005), section 1.3). Of a cluster whose
matrix has no factor in single precision, each component is inverted alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.tree_util import register_dataclass

from .._base.lane_loop import each

# Least damping with which single components are inverted, relative to squared scales: single precision bears their
# elimination without pivots down to this.
LEAST_BLOCK_DAMPING = 1e-5
# The same for a cluster of a hundred parameters, whose factor is made of sums ten times as long.
LEAST_CLUSTER_DAMPING = 1e-4
# Clusters that are inverted at once on an accelerator: of each some matrices of 37 kB exist at a time.
CLUSTERS_AT_ONCE = 512


@register_dataclass
@dataclass(frozen=True, eq=False)
class Clusters:
    """members (C, m) : the components of each cluster, K for none. place (s, K) : where in ``members.ravel()`` each
    component stands, in each of s sets of clusters. blocks (C, m, m) : for two members of a cluster, where their block
    stands among those of a block matrix, counted row by row and neighbour by neighbour; beyond the last for none. Only
    those of a member with itself and with earlier ones are read.
    """

    members: Array
    place: Array
    blocks: Array


def cluster_preconditioner(
    rows: Array, clusters: Clusters, blocks: Array, roots: Array, damping: Array, penalty: Array | None = None
) -> Callable[[Array], Array]:
    """The function y (K, p) -> M^-1 y of A = R^-1 (J^T J + penalty) R^-1 + damping: the inverses of its clusters, those
    of all sets added.

    ``rows`` (R, p, w p) are of J^T J, ``blocks`` and ``penalty`` (K, p, p) on the diagonal of the sum and of what is
    added. ``roots``, ``damping`` (K, p).
    """
    alone = damped_inverses(scaled(blocks, roots), damping)
    inverses = _inverses(rows, clusters, alone, roots, damping, penalty)

    def precondition(y: Array) -> Array:
        padded = jnp.concatenate([y, jnp.zeros((1, y.shape[1]), y.dtype)])
        parts = padded[clusters.members].reshape(len(inverses), -1)
        turned = jnp.einsum("cab,cb->ca", inverses, parts, precision="highest")
        turned = turned.reshape(-1, y.shape[1])
        return sum((turned[place] for place in clusters.place[1:]), turned[clusters.place[0]])

    return precondition


def scaled(blocks: Array, roots: Array) -> Array:
    """Blocks (n, p, p) with rows and columns divided by their roots (n, p)."""
    return blocks / (roots[:, :, None] * roots[:, None, :])


def cluster_matrices(rows: Array, clusters: Clusters, penalty: Array | None = None) -> Array:
    """The matrices (C, mp, mp) of clusters, of which what is above the diagonal may be missing: parts of J^T J +
    penalty, as `cluster_preconditioner` takes them.
    """
    size = rows.shape[1]
    width = clusters.members.shape[1] * size
    found = gathered(rows.reshape(len(rows), size, -1, size), clusters.blocks).reshape(-1, width, width)
    if penalty is None:
        return found
    onto = jnp.concatenate([penalty, jnp.zeros((1, size, size), rows.dtype)])
    return found + jax.vmap(_on_diagonal)(onto[clusters.members])


def _inverses(
    rows: Array, clusters: Clusters, alone: Array, roots: Array, damping: Array, penalty: Array | None
) -> Array:
    """The inverses (C, mp, mp) of clusters; of one without a factor those of its components, ``alone`` (K, p, p)."""
    members, size = clusters.members, roots.shape[1]
    one = jnp.ones((1, size), roots.dtype)
    of_members = (jnp.concatenate([each, one])[members].reshape(len(members), -1) for each in (1 / roots, damping))
    single = jnp.concatenate([alone, jnp.zeros((1, size, size), alone.dtype)])
    by_block = rows.reshape(len(rows), size, -1, size)
    onto = None if penalty is None else jnp.concatenate([penalty, jnp.zeros((1, size, size), rows.dtype)])

    def inverse(cluster: tuple[Array, Array, Array, Array]) -> Array:
        components, blocks, factors, added = cluster
        width = factors.shape[0]
        # Gathered first: XLA would look up each number's block by itself where it scales the matrix.
        whole = jax.lax.optimization_barrier(gathered(by_block, blocks)).reshape(width, width)
        if onto is not None:
            whole = whole + _on_diagonal(onto[components])
        matrix = whole * (factors[:, None] * factors) + jnp.diag(jnp.maximum(added, LEAST_CLUSTER_DAMPING))
        factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
        half = solve_triangular(factor, jnp.eye(width, dtype=matrix.dtype), lower=True)
        return jax.lax.cond(
            jnp.all(jnp.isfinite(half)),
            lambda: jnp.matmul(half.T, half, precision="highest"),
            lambda: _on_diagonal(single[components]),
        )

    found: Array = each(inverse, (members, clusters.blocks, *of_members), CLUSTERS_AT_ONCE)
    return found


def _on_diagonal(blocks: Array) -> Array:
    """The matrix (m p, m p) with blocks (m, p, p) on its diagonal."""
    count, size = blocks.shape[:2]
    eye = jnp.eye(count, dtype=blocks.dtype)
    return (eye[:, None, :, None] * blocks[:, :, None]).reshape(count * size, count * size)


def gathered(by_block: Array, blocks: Array) -> Array:
    """The matrix (m, p, m, p) of a cluster, of which what is above the diagonal may be missing, from R rows of w blocks
    (R, p, w, p), by the ``blocks`` (m, m) of `Clusters`; of many at once, by theirs (C, m, m).
    """
    row, slot = blocks // by_block.shape[2], blocks % by_block.shape[2]
    found = by_block.at[row, :, slot].get(mode="fill", fill_value=0)
    return jnp.swapaxes(found, -3, -2)


def damped_inverses(blocks: Array, damping: Array) -> Array:
    """(B + M)^-1 of positive semidefinite blocks (n, p, p) and diagonal matrices M (n, p), by unrolled elimination
    without pivots.
    """
    size = blocks.shape[1]
    least = jnp.maximum(damping, LEAST_BLOCK_DAMPING).astype(blocks.dtype)
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
