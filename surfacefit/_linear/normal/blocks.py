"""Blocks of overlapping components, in rows of a few neighbours: a product reads memory once and only gathers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._base.compile import concatenated
from ..cluster_preconditioner import Clusters, cluster_preconditioner
from ..linear_solve import solve_cholesky, solve_conjugate_gradients
from .block_pattern import BlockPattern

# Parameters up to which the blocks are put together and factorised: conjugate gradients to 5 % follow curved valleys
# badly (volcano, K = 32: 1.02 m after 400 steps, directly 0.94).
DIRECT_SOLVE_PARAMETERS = 1024


@register_dataclass
@dataclass(frozen=True, eq=False)
class BlockNormal:
    """J^T J as blocks.

    blocks (R, p, w p) : row by row the blocks of one component with w of its neighbours, zero where there is none.
    pattern : where they stand. cross (K, p, b), corner (b, b) : the border with the components and with itself.
    penalty (K, p, p) : what is added to the blocks on the diagonal, beside them: to write it into them copies all.
    """

    blocks: Array
    pattern: BlockPattern
    cross: Array
    corner: Array
    penalty: Array | None = None

    @property
    def least_damping(self) -> float:
        return 8 * float(np.finfo(self.blocks.dtype).eps)

    def bound(self, jacobian: Any) -> BlockNormal:
        return self

    def with_blocks(self, own: Array, corner: Array) -> BlockNormal:
        blocks = self.blocks.at[self.pattern.own, :, : own.shape[1]].add(own.astype(self.blocks.dtype))
        return replace(self, blocks=blocks, corner=self.corner + corner.astype(self.corner.dtype))

    def with_penalty(self, own: Array, corner: Array) -> BlockNormal:
        if not self.pattern.once:
            return self.with_blocks(own, corner)
        own = own.astype(self.blocks.dtype)
        penalty = own if self.penalty is None else self.penalty + own
        return replace(self, penalty=penalty, corner=self.corner + corner.astype(self.corner.dtype))

    def mv(self, vector: Array) -> Array:
        return self._product(partial(self.pattern.product, self.blocks), vector)

    def _product(self, of_blocks: Callable[[Array], Array], vector: Array) -> Array:
        """J^T J v, by the function (K, p) -> (K, p) of the blocks."""
        n_components, size, _ = self.cross.shape
        vector = vector.astype(self.blocks.dtype)
        parts, border = vector[: n_components * size].reshape(n_components, size), vector[n_components * size :]
        inner = of_blocks(parts) + jnp.einsum("kpb,b->kp", self.cross, border, precision="highest")
        if self.penalty is not None:
            inner = inner + jnp.einsum("kpq,kq->kp", self.penalty, parts, precision="highest")
        outer = jnp.einsum("kpb,kp->b", self.cross, parts, precision="highest") + jnp.matmul(
            self.corner, border, precision="highest"
        )
        return concatenated([inner.ravel(), outer])

    def repeated(self) -> Callable[[Array], Array]:
        """The function v -> J^T J v, for many products."""
        return partial(self._product, self.pattern.repeated(self.blocks))

    def diagonal(self) -> Array:
        return diagonal_of(self.diagonal_blocks(), self.corner)

    def diagonal_blocks(self) -> Array:
        """(K, p, p)."""
        blocks = self.blocks[self.pattern.own][:, :, : self.blocks.shape[1]]
        return blocks if self.penalty is None else blocks + self.penalty

    def solve(self, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
        """Directly where the whole matrix is small, else by conjugate gradients, trusted where they are finite."""
        if gradient.size <= DIRECT_SOLVE_PARAMETERS:
            return solve_cholesky(self.as_matrix().astype(gradient.dtype), gradient, scaling, damping)
        dtype = self.blocks.dtype
        g, scales, mu = (array.astype(dtype) for array in (gradient, scaling, damping))
        blocks, clusters = self.diagonal_blocks(), self.pattern.clusters
        together = None if clusters is None else partial(self._together, clusters, blocks)
        step = solve_conjugate_gradients(self.repeated(), blocks, self.corner, g, scales, mu, together=together)
        return step.astype(gradient.dtype), jnp.all(jnp.isfinite(step))

    def _together(self, clusters: Clusters, blocks: Array, roots: Array, damping: Array) -> Callable[[Array], Array]:
        return cluster_preconditioner(self.blocks, clusters, blocks, roots, damping, self.penalty)

    def as_matrix(self) -> Array:
        n_components, size, n_border = self.cross.shape
        owner, neighbour, blocks = self.pattern.pairs(self.blocks)
        square = jnp.zeros((n_components + 1, size, n_components + 1, size), blocks.dtype)
        square = square.at[owner, :, neighbour, :].add(blocks)
        if self.penalty is not None:
            each = np.arange(n_components)
            square = square.at[each, :, each, :].add(self.penalty)
        inner = square[:n_components, :, :n_components].reshape(n_components * size, n_components * size)
        cross = self.cross.reshape(n_components * size, n_border)
        return jnp.block([[inner, cross], [cross.T, self.corner]])


def scaled_blocks(normal: BlockNormal, factors: Array) -> BlockNormal:
    """D A D, with D the diagonal ``factors`` (P,), of a matrix A without a penalty."""
    n_components, size, _ = normal.cross.shape
    factors = factors.astype(normal.blocks.dtype)
    parts, border = factors[: n_components * size].reshape(n_components, size), factors[n_components * size :]
    parts = jnp.concatenate([parts, jnp.zeros((1, size), parts.dtype)])
    owner, neighbours = normal.pattern.owner, normal.pattern.neighbours
    across = parts[neighbours].reshape(len(owner), 1, -1)
    return replace(
        normal,
        blocks=parts[owner][:, :, None] * normal.blocks * across,
        cross=parts[:-1, :, None] * normal.cross * border,
        corner=border[:, None] * normal.corner * border,
    )


def diagonal_of(blocks: Array, border: Array) -> Array:
    """Diagonal (P,) of blocks (K, p, p) and of the border's block."""
    return concatenated([jnp.einsum("kpp->kp", blocks).ravel(), jnp.diag(border)])
