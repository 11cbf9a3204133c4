"""The loss of Cauchy's distribution, rho(s) = log(1 + s): outliers end without weight."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from .robust import Robust, Shape


def _ratio(s: Array) -> Array:
    tiny = s < np.finfo(s.dtype).eps
    safe = jnp.where(tiny, 1, s)
    return jnp.where(tiny, 1, jnp.log1p(safe) / safe)


def _slope(s: Array) -> Array:
    return 1 / (1 + s)


def _bend(s: Array) -> Array:
    return (1 - s) / (1 + s) ** 2


# The loss where f_scale is one.
SHAPE = Shape(_ratio, _slope, _bend)


def cauchy(scale: float) -> Robust:
    """Squares well below ``scale``, logarithms well above."""
    return Robust(scale, SHAPE)
