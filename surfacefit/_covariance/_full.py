"""Any symmetric positive definite covariance: d widths and d (d - 1) / 2 free off-diagonal entries."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from ._base import above_floor, positive


@dataclass(frozen=True)
class Full:
    shared: bool = False

    def n_parameters(self, n_dim: int) -> int:
        return n_dim * (n_dim + 1) // 2

    def cholesky(self, parameters: Array, floor: Array) -> Array:
        n_dim = floor.shape[0]
        lower = np.tril_indices(n_dim, -1)
        diagonal = jnp.diag(floor + positive(parameters[:n_dim]))
        return diagonal.at[lower].set(parameters[n_dim:])

    def parameters(self, covariance: Array, floor: Array) -> Array:
        n_dim = floor.shape[0]
        factor = jnp.linalg.cholesky(covariance)
        lower = np.tril_indices(n_dim, -1)
        return jnp.concatenate([above_floor(jnp.diag(factor), floor), factor[lower]])
