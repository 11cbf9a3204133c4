r"""A prior as rows of the least-squares problem, in the units of a fit.

Its negative logarithm is a sum of squares, so that it joins the data as rows of the least-squares problem. With the
covariance Sigma = L L^T, Psi = C C^T, m = nu + d + 1 and M = L^{-1} C the inverse Wishart density gives

    -log p = (m log|Sigma| + tr(Psi Sigma^{-1})) / 2 = sum_ij M_ij^2 / 2 + m sum_i log L_ii + const,

whose terms off the diagonal are squares already. On it, with t = log(m L_ii^2 / C_ii^2), stands m (t + e^{-t} - 1) / 2,
which is r^2 / 2 of the smooth, rising r = sqrt(m) t phi(t)^(1/2), phi = (t + e^{-t} - 1) / t^2. A half-normal amplitude
is r = a / tau, a normal centre r = (c - mean) / deviation, and so is a number of the background.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._model.block_layout import ALPHA
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import inverse_lower
from .mixture_regularization import prior_scale
from .prior import SurfacePrior

# |t| below which phi(t) is taken from its series: the closed form loses digits there by cancellation, and the first
# term that is left out, t^3 / 120, is below 1e-8.
PENALTY_SERIES_BELOW = 1e-2


class PriorRows(NamedTuple):
    """What a prior adds to the residuals: rows (K, m) of the components' own parameters, and (q,) of the border's."""

    own: Array
    border: Array


@register_dataclass
@dataclass(frozen=True, eq=False)
class Penalty:
    """A prior in the units of the fit: factor C (d, d), pull m and 1 / tau, all rows times ``unit``; ``places`` are
    means (K, d) of centres and their 1 / deviation, ``levels`` the same of the background's numbers (m,), or None.
    """

    factor: Any
    pull: Any
    steepness: Any
    unit: Any
    places: tuple[Any, Any] | None
    levels: tuple[Any, Any] | None
    on_shapes: bool = field(metadata={"static": True})
    on_amplitudes: bool = field(metadata={"static": True})

    def rows(self, parts: Parameterization, params: Array) -> PriorRows:
        """The rows at parameters (P,); those of idle components are zero."""
        blocks, shared, background = parts.layout.split(params)
        active = parts.active[:, None].astype(params.dtype)
        own = jax.vmap(lambda block, *place: self._own(parts, block, place))(blocks, *(self.places or ()))
        return PriorRows(active * own, self._border(parts, jnp.concatenate([shared, background])))

    def slopes(self, parts: Parameterization, params: Array) -> PriorRows:
        """Their derivatives (K, m, p) and (q, s + b)."""
        blocks, shared, background = parts.layout.split(params)
        active = parts.active[:, None, None].astype(params.dtype)
        slope = jax.jacfwd(lambda block, *place: self._own(parts, block, place))
        own = active * jax.vmap(slope)(blocks, *(self.places or ()))
        border = jax.jacfwd(lambda vector: self._border(parts, vector))(jnp.concatenate([shared, background]))
        return PriorRows(own, border)

    def _border(self, parts: Parameterization, vector: Array) -> Array:
        """Rows (q,) of the numbers (s + b,) that all components share, and of the background."""
        shared, background = vector[: parts.layout.n_shared], vector[parts.layout.n_shared :]
        rows = [self._shape_rows(parts, shared)] if self.on_shapes and parts.covariance.shared else []
        if self.levels is not None:
            mean, steepness = self.levels
            rows.append(self.unit * steepness * (background - mean))
        return jnp.concatenate([*rows, jnp.zeros(0, vector.dtype)])

    def _own(self, parts: Parameterization, block: Array, place: tuple[Array, ...]) -> Array:
        rows = (
            [self.unit * self.steepness * parts.amplitude.value(block[ALPHA : ALPHA + 1])] if self.on_amplitudes else []
        )
        if self.on_shapes and not parts.covariance.shared:
            rows.append(self._shape_rows(parts, block[parts.layout.shapes]))
        if place:
            mean, steepness = place
            rows.append(self.unit * steepness * _to_nearest(block[parts.layout.centers] - mean, parts.periods))
        return jnp.concatenate([*rows, jnp.zeros(0, block.dtype)])

    def _shape_rows(self, parts: Parameterization, shape: Array) -> Array:
        lower = parts.covariance.cholesky(shape, parts.floor)
        whitened = jnp.matmul(inverse_lower(lower[None])[0], self.factor, precision="highest")
        log_ratio = jnp.log(self.pull) + 2 * jnp.log(jnp.diag(lower) / jnp.diag(self.factor))
        off = whitened[np.tril_indices(parts.n_dim, -1)]
        return self.unit * jnp.concatenate([jnp.sqrt(self.pull) * _root(log_ratio), off])


def _to_nearest(offset: Array, periods: Any) -> Array:
    """An offset (d,) to the nearest image."""
    for axis, period in enumerate(periods or ()):
        if period is not None:
            offset = offset.at[axis].add(-period * jnp.round(offset[axis] / period))
    return offset


def _root(t: Array) -> Array:
    """sign(t) sqrt(t + exp(-t) - 1), smooth through zero."""
    near = jnp.abs(t) < PENALTY_SERIES_BELOW
    far = jnp.where(near, 1.0, t)
    exact = (far + jnp.expm1(-far)) / far**2
    series = 0.5 - t / 6 + t**2 / 24
    return t * jnp.sqrt(jnp.where(near, series, exact))


def penalty(
    prior: SurfacePrior | None, scaling: Scaling, n_dim: int, cost_unit: float, parts: Parameterization
) -> Penalty | None:
    """A prior in the units of the fit, in NumPy; a cost of one there is ``cost_unit`` in the user's."""
    if prior is None:
        return None
    freedom = n_dim + 2.0 if prior.degrees_of_freedom is None else prior.degrees_of_freedom
    scale = np.eye(n_dim) if prior.scale is None else prior_scale(prior.scale, n_dim)
    inner = scale / np.outer(scaling.point_scale, scaling.point_scale)
    steepness = 0.0 if prior.amplitude is None else float(scaling.height_scale) / float(prior.amplitude)
    return Penalty(
        np.linalg.cholesky(inner),
        np.asarray(freedom + n_dim + 1),
        np.asarray(steepness),
        np.asarray(1 / np.sqrt(cost_unit)),
        _places(prior.centers, scaling, parts.n_components),
        _levels(prior.background, scaling, parts.background),
        on_shapes=prior.scale is not None,
        on_amplitudes=prior.amplitude is not None,
    )


def _places(centers: tuple[Any, Any] | None, scaling: Scaling, room: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Means and 1 / deviations (K, d) in the units of the fit, with rows of zeros where there is more room."""
    if centers is None:
        return None
    means, deviations = scaling.points(centers[0]), centers[1] / scaling.point_scale
    more = [(0, room - len(means)), (0, 0)]
    return np.pad(means, more), np.pad(1 / deviations, more)


def _levels(given: tuple[Any, Any] | None, scaling: Scaling, inner: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The same (m,) of a background: each number of it changes its unit by itself."""
    if given is None:
        return None
    outer = inner.to_physical(scaling)
    means = np.asarray(outer.with_vector(given[0]).to_internal(scaling).vector(), float)
    units = np.asarray(outer.with_vector(given[0] + 1.0).to_internal(scaling).vector(), float) - means
    return means, 1 / (given[1] * units)
