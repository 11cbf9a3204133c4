"""The contract of a covariance type, and the transform to positive numbers that all of them use."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

# Least excess of a width over its floor, relative to the floor, that has a free number: at the floor itself that would
# be minus infinity, where no derivative leads away.
LEAST_EXCESS = 1e-3


class CovarianceType(Protocol):
    """The free numbers of one component's covariance, for points in ``n_dim`` dimensions.

    Implementations are stateless and hashable: ``jit`` takes them as static data.
    """

    @property
    def shared(self) -> bool:
        """Whether all components use the same numbers."""
        ...

    def n_parameters(self, n_dim: int) -> int:
        """Number of free numbers."""
        ...

    def cholesky(self, parameters: Array, floor: Array) -> Array:
        """Lower Cholesky factor (d, d) from free numbers (s,); its diagonal stays above ``floor`` (d,)."""
        ...

    def parameters(self, covariance: Array, floor: Array) -> Array:
        """Free numbers (s,) of a covariance (d, d); widths below the floor are raised to just above it."""
        ...


def positive(free: Array) -> Array:
    """Softplus log(1 + exp(x)): positive, linear for large x, exponential for small x."""
    return jax.nn.softplus(free)


def positive_inverse(value: Array) -> Array:
    """The x with softplus(x) = value, without overflow."""
    return value + jnp.log(-jnp.expm1(-value))


def above_floor(value: Array, floor: Array) -> Array:
    """Free number of a width that must exceed ``floor``; a width at or below it is taken as 0.1 % above."""
    return positive_inverse(jnp.maximum(value - floor, LEAST_EXCESS * floor))
