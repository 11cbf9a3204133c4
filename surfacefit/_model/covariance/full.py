"""Any symmetric positive definite covariance: d widths and d (d - 1) / 2 free off-diagonal entries."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from .base import above_floor, positive


@dataclass(frozen=True)
class Full:
    shared: bool = False

    def n_parameters(self, n_dim: int) -> int:
        return n_dim * (n_dim + 1) // 2

    def cholesky(self, parameters: Array, floor: Array) -> Array:
        n_dim = floor.shape[0]
        zero = jnp.zeros(1, parameters.dtype)
        entries = jnp.concatenate([floor + positive(parameters[:n_dim]), parameters[n_dim:], zero])
        return entries[_places(n_dim)]

    def parameters(self, covariance: Array, floor: Array) -> Array:
        n_dim = floor.shape[0]
        factor, lower = jnp.linalg.cholesky(covariance), np.tril_indices(n_dim, -1)
        return jnp.concatenate([above_floor(jnp.diag(factor), floor), factor[lower]])


def _places(n_dim: int) -> np.ndarray:
    """Where each entry of the factor stands among the diagonal, the rows below it, and a zero at the end."""
    places = np.full((n_dim, n_dim), n_dim * (n_dim + 1) // 2)
    np.fill_diagonal(places, np.arange(n_dim))
    places[np.tril_indices(n_dim, -1)] = np.arange(n_dim, n_dim * (n_dim + 1) // 2)
    return places
