"""The contract of a covariance type, and the transform to positive numbers that all of them use."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._base.devices import namespace

# Least excess of a width over its floor, relative to the floor: the bound of its free number in a fit, and invisible in
# its cost. At the floor itself the free number would be minus infinity, and far below the bound every step looks small.
LEAST_EXCESS = 1e-8
# The same for a width that is given, in a start or in a result: near enough to the floor for errors to be taken there,
# and far enough for first-order methods to leave it.
GIVEN_EXCESS = 1e-5


class CovarianceType(Protocol):
    """The free numbers of each component's covariance, for points in ``n_dim`` dimensions.

    Implementations are pytrees, most of them without arrays. They compute with NumPy for NumPy's arrays and with JAX
    for JAX's (`namespace`), for any number of components in the leading axes.
    """

    @property
    def shared(self) -> bool:
        """Whether all components use the same numbers."""
        ...

    def n_parameters(self, n_dim: int) -> int:
        """Number of free numbers."""
        ...

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        """Lower Cholesky factors (..., d, d) from free numbers (..., s), their diagonal above ``floor`` (..., d)."""
        ...

    def parameters(self, covariance: Any, floor: Any) -> Any:
        """Free numbers (..., s) of covariances (..., d, d); widths below the floor are raised to just above it."""
        ...


def positive(free: Any) -> Any:
    """Softplus log(1 + exp(x)): positive, linear for large x, exponential for small x."""
    return np.logaddexp(free, 0.0) if namespace(free) is np else _positive(free)


@jax.custom_jvp
def _positive(free: Array) -> Array:
    return jnp.maximum(free, 0) + jnp.log1p(jnp.exp(-jnp.abs(free)))


@_positive.defjvp
def _positive_slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (free,), (change,) = primals, tangents
    return _positive(free), jax.nn.sigmoid(free) * change


def positive_inverse(value: Any) -> Any:
    """The x with softplus(x) = value, without overflow."""
    xp = namespace(value)
    return value + xp.log(-xp.expm1(-value))


def above_floor(value: Any, floor: Any) -> Any:
    """Free numbers of widths that must exceed ``floor``, of one shape; one at or below is raised by GIVEN_EXCESS."""
    return positive_inverse(namespace(value, floor).maximum(value - floor, GIVEN_EXCESS * floor))


def floors(floor: Any, components: Any) -> Any:
    """The floors (..., d) of widths, of each of the components (..., s): one for all, or some with leading axes."""
    return namespace(floor, components).broadcast_to(floor, (*components.shape[:-1], floor.shape[-1]))


def for_each(array: Any, components: Any) -> Any:
    """An array once for each of the components (..., s), in leading axes."""
    return namespace(array, components).broadcast_to(array, (*components.shape[:-1], *array.shape))
