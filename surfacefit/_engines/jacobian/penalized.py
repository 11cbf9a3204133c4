"""Rows of a prior below those of the data: each belongs to one component, or to the border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from ..._base.compile import concatenated


@register_dataclass
@dataclass(frozen=True, eq=False)
class PenalizedJacobian:
    """A Jacobian (N, P) over rows (K, m, p) of the components and rows (q, b) of the border, in this order: N + K m + q
    in all.
    """

    data: Any
    own: Array
    border: Array

    def mv(self, vector: Array) -> Array:
        parts, border = self._split(vector)
        own = jnp.einsum("kmp,kp->km", self.own, parts, precision="highest")
        rest = jnp.matmul(self.border, border, precision="highest")
        return concatenated([self.data.mv(vector), own.ravel(), rest])

    def rmv(self, residuals: Array) -> Array:
        of_data, own, border = self._rows(residuals)
        return self.data.rmv(of_data) + self._transposed(own, border)

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[Any, Array]:
        of_data, own, border = self._rows(residuals)
        normal, gradient = self.data.normal(of_data, error)
        return normal.with_blocks(*self.prior_blocks()), gradient + self._transposed(own, border)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def block_diagonal(self) -> tuple[Array, Array]:
        blocks, corner = self.data.block_diagonal()
        own, border = self.prior_blocks()
        return blocks + own, corner + border

    def as_matrix(self) -> Array:
        count, rows, size = self.own.shape
        eye = jnp.eye(count, dtype=self.own.dtype)
        own = jnp.einsum("kl,kmp->kmlp", eye, self.own, precision="highest").reshape(count * rows, count * size)
        zeros = jnp.zeros((count * rows, self.border.shape[1]), own.dtype)
        before = jnp.zeros((self.border.shape[0], count * size), own.dtype)
        return jnp.concatenate([self.data.as_matrix(), jnp.hstack([own, zeros]), jnp.hstack([before, self.border])])

    def prior_blocks(self) -> tuple[Array, Array]:
        """What the prior adds to the blocks (K, p, p) of J^T J, and to that of the border (b, b)."""
        own = jnp.einsum("kmp,kmq->kpq", self.own, self.own, precision="highest")
        return own, jnp.matmul(self.border.T, self.border, precision="highest")

    def _split(self, vector: Array) -> tuple[Array, Array]:
        count, _, size = self.own.shape
        return vector[: count * size].reshape(count, size), vector[count * size :]

    def _rows(self, residuals: Array) -> tuple[Array, Array, Array]:
        count, rows, _ = self.own.shape
        end = len(residuals) - len(self.border)
        begin = end - count * rows
        return residuals[:begin], residuals[begin:end].reshape(count, rows), residuals[end:]

    def _transposed(self, own: Array, border: Array) -> Array:
        parts = jnp.einsum("kmp,km->kp", self.own, own, precision="highest")
        return concatenated([parts.ravel(), jnp.matmul(border, self.border, precision="highest")])
