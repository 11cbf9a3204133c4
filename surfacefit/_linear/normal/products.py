"""No matrix: products J^T (J v), pass by pass over the points, and the diagonal blocks as preconditioner."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._base.compile import concatenated
from ..linear_solve import CG_MOST_ITERATIONS, solve_conjugate_gradients
from .blocks import diagonal_of


@register_dataclass
@dataclass(frozen=True, eq=False)
class ProductNormal:
    """J^T J by its Jacobian operator, with diagonal blocks (K, p, p) and the border's block (b, b); CG for so many
    iterations.

    ``penalty`` are of such shapes, and added to the operator.
    """

    blocks: Array
    border: Array
    jacobian: Any = None
    penalty: tuple[Array, Array] | None = None
    iterations: int = field(default=CG_MOST_ITERATIONS, metadata={"static": True})

    @property
    def least_damping(self) -> float:
        return 8 * float(np.finfo(self.blocks.dtype).eps)

    def bound(self, jacobian: Any) -> ProductNormal:
        return replace(self, jacobian=jacobian)

    def with_blocks(self, own: Array, corner: Array) -> ProductNormal:
        return replace(self, blocks=self.blocks + own, border=self.border + corner)

    def with_penalty(self, own: Array, corner: Array) -> ProductNormal:
        return replace(self.with_blocks(own, corner), penalty=(own, corner))

    def mv(self, vector: Array) -> Array:
        product = self.jacobian.rmv(self.jacobian.mv(vector))
        if self.penalty is None:
            return product
        own, corner = self.penalty
        parts = vector[: own.shape[0] * own.shape[1]].reshape(own.shape[:2])
        inner = jnp.einsum("kpq,kq->kp", own, parts, precision="highest")
        return product + concatenated([inner.ravel(), jnp.matmul(corner, vector[parts.size :], precision="highest")])

    def diagonal(self) -> Array:
        return diagonal_of(self.blocks, self.border)

    def solve(self, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
        step = solve_conjugate_gradients(self.mv, self.blocks, self.border, gradient, scaling, damping, self.iterations)
        return step, jnp.all(jnp.isfinite(step))

    def as_matrix(self) -> Array:
        size = self.diagonal().size
        return jax.lax.map(self.mv, jnp.eye(size, dtype=self.blocks.dtype))


def needs_jacobian(normal: Any) -> bool:
    """Whether a normal matrix works only while the Jacobian operator is put back."""
    return isinstance(normal, ProductNormal)
