"""Balls: one width for all axes (`_model/scaling` scales all axes alike for this type)."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from .base import above_floor, positive


@dataclass(frozen=True)
class Spherical:
    shared: bool = False

    def n_parameters(self, n_dim: int) -> int:
        return 1

    def cholesky(self, parameters: Array, floor: Array) -> Array:
        width = jnp.max(floor) + positive(parameters[0])
        return width * jnp.eye(floor.shape[0], dtype=floor.dtype)

    def parameters(self, covariance: Array, floor: Array) -> Array:
        width = jnp.sqrt(jnp.trace(covariance) / floor.shape[0])
        return above_floor(width, jnp.max(floor))[None]
