"""Huber's loss: rho(s) = s up to 1, then 2 s^(1/2) - 1. Ann. Math. Statist. 35 (1964) 73."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from .robust import Robust, Shape


def _ratio(s: Array) -> Array:
    far = jnp.maximum(s, 1)
    return jnp.where(s <= 1, 1, (2 * jnp.sqrt(far) - 1) / far)


def _slope(s: Array) -> Array:
    return 1 / jnp.sqrt(jnp.maximum(s, 1))


def _bend(s: Array) -> Array:
    return jnp.where(s <= 1, jnp.ones_like(s), 0)


# The loss where f_scale is one.
SHAPE = Shape(_ratio, _slope, _bend)


def huber(scale: float) -> Robust:
    """Squares below ``scale``, absolute values above."""
    return Robust(scale, SHAPE)
