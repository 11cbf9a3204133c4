r"""A prior on components, for fits by maximum a posteriori: it keeps widths from collapsing and amplitudes bounded.

Its negative logarithm is a sum of squares, so that it joins the data as rows of the least-squares problem. With the
covariance Sigma = L L^T, Psi = C C^T, m = nu + d + 1 and M = L^{-1} C the inverse Wishart density gives

    -log p = (m log|Sigma| + tr(Psi Sigma^{-1})) / 2 = sum_ij M_ij^2 / 2 + m sum_i log L_ii + const,

whose terms off the diagonal are squares already. On it, with t = log(m L_ii^2 / C_ii^2), stands m (t + e^{-t} - 1) / 2,
which is r^2 / 2 of the smooth, rising r = sqrt(m) t phi(t)^(1/2), phi = (t + e^{-t} - 1) / t^2. A half-normal amplitude
is r = a / tau.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import moderate_number
from .._model.block_layout import ALPHA
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import inverse_lower
from .mixture_regularization import prior_scale

# |t| below which phi(t) is taken from its series: the closed form loses digits there by cancellation, and the first
# term that is left out, t^3 / 120, is below 1e-8.
PENALTY_SERIES_BELOW = 1e-2


@dataclass(frozen=True, eq=False)
class SurfacePrior:
    r"""A prior for `fit`: inverse Wishart on each covariance, half-normal on each amplitude; the fit then is MAP.

    Minimises the weighted squares / 2 minus log p, with

    .. math:: \log p = -\sum_k \Bigl(\tfrac{\nu+d+1}{2} \log|\Sigma_k| + \tfrac12 \mathrm{tr}(\Psi \Sigma_k^{-1})
              + \tfrac{a_k^2}{2\tau^2}\Bigr) + \text{const},

    so errors must be known: it needs ``sigma`` with ``absolute_sigma=True``.

    Parameters
    ----------
    scale : Psi, in squared units of the coordinates: a positive number (times the identity), or symmetric positive
        definite (d, d). The mode is Psi / (nu + d + 1). None (default): nothing is said of covariances.
    degrees_of_freedom : nu > d - 1. None (default): d + 2.
    amplitude : tau, in units of the heights. None (default): nothing is said of amplitudes. Signed amplitudes get a
        normal.

    A tied covariance counts once. Source of the form: Fraley & Raftery, J. Classification 24 (2007) 155.

    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> prior = sf.SurfacePrior(scale=6.0)
    >>> spike = np.where(x == 0, 1.0, 0.0)
    >>> options = {"coords": x, "background": None, "sigma": 0.3, "absolute_sigma": True}
    >>> narrow, wide = (sf.fit(spike, 1, prior=p, **options).surface.principal_widths[0, 0] for p in (None, prior))
    >>> bool(wide > 5 * narrow)
    True
    """

    scale: Any = None
    degrees_of_freedom: float | None = None
    amplitude: float | None = None


class PriorRows(NamedTuple):
    """What a prior adds to the residuals: rows (K, m) of the components' own parameters, and (q,) of the border's."""

    own: Array
    border: Array


@register_dataclass
@dataclass(frozen=True, eq=False)
class Penalty:
    """A prior in the units of the fit: factor C (d, d), pull m and 1 / tau, all rows times ``unit``."""

    factor: Any
    pull: Any
    steepness: Any
    unit: Any
    on_shapes: bool = field(metadata={"static": True})
    on_amplitudes: bool = field(metadata={"static": True})

    def rows(self, parts: Parameterization, params: Array) -> PriorRows:
        """The rows at parameters (P,); those of idle components are zero."""
        blocks, shared, _ = parts.layout.split(params)
        active = parts.active[:, None].astype(params.dtype)
        border = self._shape_rows(parts, shared) if self._tied(parts) else jnp.zeros(0, params.dtype)
        return PriorRows(active * jax.vmap(lambda block: self._own(parts, block))(blocks), border)

    def slopes(self, parts: Parameterization, params: Array) -> PriorRows:
        """Their derivatives (K, m, p) and (q, s + b)."""
        blocks, shared, background = parts.layout.split(params)
        active = parts.active[:, None, None].astype(params.dtype)
        own = active * jax.vmap(jax.jacfwd(lambda block: self._own(parts, block)))(blocks)
        width = shared.size + background.size
        if not self._tied(parts):
            return PriorRows(own, jnp.zeros((0, width), params.dtype))
        border = jax.jacfwd(lambda shape: self._shape_rows(parts, shape))(shared)
        return PriorRows(own, jnp.pad(border, [(0, 0), (0, width - shared.size)]))

    def _tied(self, parts: Parameterization) -> bool:
        return self.on_shapes and parts.covariance.shared

    def _own(self, parts: Parameterization, block: Array) -> Array:
        rows = (
            [self.unit * self.steepness * parts.amplitude.value(block[ALPHA : ALPHA + 1])] if self.on_amplitudes else []
        )
        if self.on_shapes and not parts.covariance.shared:
            rows.append(self._shape_rows(parts, block[parts.layout.shapes]))
        return jnp.concatenate([*rows, jnp.zeros(0, block.dtype)])

    def _shape_rows(self, parts: Parameterization, shape: Array) -> Array:
        lower = parts.covariance.cholesky(shape, parts.floor)
        whitened = jnp.matmul(inverse_lower(lower[None])[0], self.factor, precision="highest")
        log_ratio = jnp.log(self.pull) + 2 * jnp.log(jnp.diag(lower) / jnp.diag(self.factor))
        off = whitened[np.tril_indices(parts.n_dim, -1)]
        return self.unit * jnp.concatenate([jnp.sqrt(self.pull) * _root(log_ratio), off])


def _root(t: Array) -> Array:
    """sign(t) sqrt(t + exp(-t) - 1), smooth through zero."""
    near = jnp.abs(t) < PENALTY_SERIES_BELOW
    far = jnp.where(near, 1.0, t)
    exact = (far + jnp.expm1(-far)) / far**2
    series = 0.5 - t / 6 + t**2 / 24
    return t * jnp.sqrt(jnp.where(near, series, exact))


def checked_prior(prior: Any, n_dim: int, absolute_sigma: bool) -> SurfacePrior | None:
    """The option ``prior``, with plain numbers and Psi as a matrix."""
    if prior is None:
        return None
    if not isinstance(prior, SurfacePrior):
        raise TypeError(f"`prior` must be None or a surfacefit.SurfacePrior(...), got {prior!r}")
    if prior.scale is None and prior.amplitude is None:
        raise ValueError("`prior` says nothing: give it `scale` (of the covariances), `amplitude`, or both")
    if prior.scale is None and prior.degrees_of_freedom is not None:
        raise ValueError("`prior.degrees_of_freedom` belongs to `prior.scale`: give that, too")
    if not absolute_sigma:
        raise ValueError("`prior` is weighed against known errors: give `sigma`, and absolute_sigma=True")
    freedom, amplitude = prior.degrees_of_freedom, prior.amplitude
    if freedom is not None and moderate_number("prior.degrees_of_freedom", freedom) <= n_dim - 1:
        raise ValueError(
            f"`prior.degrees_of_freedom` must exceed d - 1 = {n_dim - 1}, got {freedom:g}: None means d + 2"
        )
    return SurfacePrior(
        None if prior.scale is None else prior_scale(prior.scale, n_dim),
        None if freedom is None else float(freedom),
        None if amplitude is None else moderate_number("prior.amplitude", amplitude),
    )


def penalty(prior: SurfacePrior | None, scaling: Scaling, n_dim: int, cost_unit: float) -> Penalty | None:
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
        on_shapes=prior.scale is not None,
        on_amplitudes=prior.amplitude is not None,
    )
