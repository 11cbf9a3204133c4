"""The Jacobian by the free numbers, J M: the chain rule around the operator of any engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from .._linear.normal import DenseNormal


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiedJacobian:
    """J M (N, T), from the operator of J (N, P) and ``slopes`` M (P, T)."""

    jacobian: Any
    slopes: Array

    def mv(self, vector: Array) -> Array:
        product: Array = self.jacobian.mv(jnp.matmul(self.slopes, vector, precision="highest"))
        return product

    def rmv(self, residuals: Array) -> Array:
        return jnp.matmul(self.jacobian.rmv(residuals), self.slopes, precision="highest")

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[DenseNormal, Array]:
        """M^T (J^T J) M as a matrix: there are few free numbers."""
        held, gradient = self.jacobian.normal(residuals, error)
        whole = self.jacobian.restored(held).as_matrix()
        half = jnp.matmul(whole, self.slopes.astype(whole.dtype), precision="highest")
        normal = jnp.matmul(self.slopes.T.astype(whole.dtype), half, precision="highest")
        return DenseNormal(normal), jnp.matmul(gradient, self.slopes, precision="highest")

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def block_diagonal(self) -> tuple[Array, Array]:
        """No blocks, and J M's normal matrix as that of the border: free numbers belong to several components."""
        zeros = jnp.zeros((0, 0, 0), self.slopes.dtype)
        return zeros, jnp.matmul(self.as_matrix().T, self.as_matrix(), precision="highest")

    def as_matrix(self) -> Array:
        return jnp.matmul(self.jacobian.as_matrix(), self.slopes, precision="highest")
