"""A smooth absolute value: rho(s) = 2 ((1 + s)^(1/2) - 1)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from .robust import Robust, Shape


def _ratio(s: Array) -> Array:
    return 2 / (1 + jnp.sqrt(1 + s))


def _slope(s: Array) -> Array:
    return 1 / jnp.sqrt(1 + s)


def _bend(s: Array) -> Array:
    return (1 + s) ** -1.5


# The loss where f_scale is one.
SHAPE = Shape(_ratio, _slope, _bend)


def soft_l1(scale: float) -> Robust:
    """Squares well below ``scale``, absolute values well above."""
    return Robust(scale, SHAPE)
