"""Axis-parallel ellipsoids: one width per axis."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from .base import above_floor, positive


@dataclass(frozen=True)
class Diag:
    shared: bool = False

    def n_parameters(self, n_dim: int) -> int:
        return n_dim

    def cholesky(self, parameters: Array, floor: Array) -> Array:
        return jnp.diag(floor + positive(parameters))

    def parameters(self, covariance: Array, floor: Array) -> Array:
        return above_floor(jnp.sqrt(jnp.diag(covariance)), floor)
