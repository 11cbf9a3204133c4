"""Amplitudes as free numbers: above zero, or of either sign.

Pick one of these by name. Each sibling gives the amplitude of a free number, its derivative, and the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from scipy.special import expit

from .._base.devices import namespace
from .covariance.base import positive, positive_inverse

# Least amplitude, in units of the heights' standard deviation, that has a free number: at zero that would be minus
# infinity. Far below noise, and softplus still has a slope there that a fit can follow.
SMALLEST_AMPLITUDE = 1e-9


class AmplitudeType(Protocol):
    """Implementations are stateless and hashable: ``jit`` takes them as static data.

    They compute with NumPy for NumPy's arrays and with JAX for JAX's.
    """

    @property
    def signed(self) -> bool:
        """Whether an amplitude may be negative."""
        ...

    def value(self, free: Any) -> Any:
        """Amplitudes (K,) of free numbers (K,)."""
        ...

    def slope(self, free: Any) -> Any:
        """Derivatives (K,) of the amplitudes."""
        ...

    def free(self, value: Any) -> Any:
        """Free numbers (K,) of amplitudes (K,)."""
        ...


@dataclass(frozen=True)
class Positive:
    """a = softplus(alpha) > 0; an amplitude of zero or below gets a free number just above zero."""

    signed: bool = False

    def value(self, free: Any) -> Any:
        return positive(free)

    def slope(self, free: Any) -> Any:
        return expit(free) if namespace(free) is np else jax.nn.sigmoid(free)

    def free(self, value: Any) -> Any:
        return positive_inverse(namespace(value).maximum(value, SMALLEST_AMPLITUDE))


@dataclass(frozen=True)
class Signed:
    """a = alpha."""

    signed: bool = True

    def value(self, free: Any) -> Any:
        return free

    def slope(self, free: Any) -> Any:
        return namespace(free).ones_like(free)

    def free(self, value: Any) -> Any:
        return value


AMPLITUDE_TYPES: dict[str, AmplitudeType] = {"positive": Positive(), "signed": Signed()}
