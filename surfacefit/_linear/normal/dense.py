"""The whole matrix, factorised: for some hundred parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..linear_solve import solve_cholesky


@register_dataclass
@dataclass(frozen=True, eq=False)
class DenseNormal:
    """J^T J as a matrix (P, P)."""

    matrix: Array

    @property
    def least_damping(self) -> float:
        return 8 * self.matrix.shape[0] ** 0.5 * float(np.finfo(self.matrix.dtype).eps)

    def bound(self, jacobian: Any) -> DenseNormal:
        return self

    def with_blocks(self, own: Array, corner: Array) -> DenseNormal:
        count, size, _ = own.shape
        index, end = np.arange(count)[:, None] * size + np.arange(size), count * size
        matrix = self.matrix.at[index[:, :, None], index[:, None, :]].add(own.astype(self.matrix.dtype))
        return DenseNormal(matrix.at[end:, end:].add(corner.astype(matrix.dtype)))

    def with_penalty(self, own: Array, corner: Array) -> DenseNormal:
        return self.with_blocks(own, corner)

    def mv(self, vector: Array) -> Array:
        return jnp.matmul(self.matrix, vector, precision="highest")

    def diagonal(self) -> Array:
        return jnp.diag(self.matrix)

    def solve(self, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
        return solve_cholesky(self.matrix, gradient, scaling, damping)

    def as_matrix(self) -> Array:
        return self.matrix
