"""Amplitudes as free numbers: above zero, or of either sign.

Pick one of these by name. Each sibling gives the amplitude of a free number, its derivative, and the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from .covariance.base import positive, positive_inverse

# Least amplitude, in units of the heights' standard deviation, that has a free number: at zero that would be minus
# infinity. Far below noise, and softplus still has a slope there that a fit can follow.
SMALLEST_AMPLITUDE = 1e-9


class AmplitudeType(Protocol):
    """Implementations are stateless and hashable: ``jit`` takes them as static data."""

    @property
    def signed(self) -> bool:
        """Whether an amplitude may be negative."""
        ...

    def value(self, free: Array) -> Array:
        """Amplitudes (K,) of free numbers (K,)."""
        ...

    def slope(self, free: Array) -> Array:
        """Derivatives (K,) of the amplitudes."""
        ...

    def free(self, value: Array) -> Array:
        """Free numbers (K,) of amplitudes (K,)."""
        ...


@dataclass(frozen=True)
class Positive:
    """a = softplus(alpha) > 0; an amplitude of zero or below gets a free number just above zero."""

    signed: bool = False

    def value(self, free: Array) -> Array:
        return positive(free)

    def slope(self, free: Array) -> Array:
        return jax.nn.sigmoid(free)

    def free(self, value: Array) -> Array:
        return positive_inverse(jnp.maximum(value, SMALLEST_AMPLITUDE))


@dataclass(frozen=True)
class Signed:
    """a = alpha."""

    signed: bool = True

    def value(self, free: Array) -> Array:
        return free

    def slope(self, free: Array) -> Array:
        return jnp.ones_like(free)

    def free(self, value: Array) -> Array:
        return value


AMPLITUDE_TYPES: dict[str, AmplitudeType] = {"positive": Positive(), "signed": Signed()}
