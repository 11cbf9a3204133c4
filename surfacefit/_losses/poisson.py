r"""Counts: the likelihood of Poisson's distribution, as half the deviance D = 2 sum_j (f - z - z log(f / z)).

r is the deviance residual, +-D_j^(1/2) (McCullagh & Nelder, Generalized Linear Models, 1989, section 2.4). With t = f /
z - 1 it is r = z^(1/2) t phi(t)^(1/2), phi = 2 (t - log(1 + t)) / t^2, smooth through zero; for z = 0 it is (2
f)^(1/2). Below ``least``, next to no counts, r goes on as a straight line, so that no rate where nothing was counted
costs next to nothing, and a negative one much, but not infinitely much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

# |f / z - 1| below which phi is taken from its series, where t - log(1 + t) loses all digits.
DEVIANCE_SERIES_BELOW = 0.03
# Terms of the series: the first one left out is below 0.03^12 = 5e-19.
SERIES_TERMS = 12
# Rate relative to the mean of all counts below which the residual goes on as a straight line: next to no counts.
LEAST_RATE = 1e-6


@register_dataclass
@dataclass(frozen=True)
class Poisson:
    """Counts z >= 0 of rate f = shift + scale f' for a model f' in the units of a fit; residuals times ``unit``."""

    least: Any
    shift: Any = 0.0
    scale: Any = 1.0
    unit: Any = 1.0

    @property
    def known_errors(self) -> bool:
        return True

    def residuals(self, model: Array, heights: Array, weights: Array) -> Array:
        return jnp.where(weights > 0, self.unit * self._deviance(model, heights)[0], 0)

    def slopes(self, model: Array, heights: Array, weights: Array) -> Array:
        return jnp.where(weights > 0, self.unit * self.scale * self._deviance(model, heights)[1], 0)

    def scores(self, model: Array, heights: Array, weights: Array) -> Array:
        rate, counts = self._rate(model), jnp.maximum(self._rate(heights), 0)
        inside = jnp.maximum(rate, self.least)
        some = jnp.where(counts > self.least, counts, 0)
        slope = _above(inside, some)[1]
        score = 1 - some / inside + slope**2 * (rate - inside)
        return jnp.where(weights > 0, self.unit**2 * self.scale * score, 0)

    def secants(self, model: Array, heights: Array, weights: Array) -> Array:
        rate, counts = self._rate(model), self._rate(heights)
        residual, slope = self._deviance(model, heights)
        met = jnp.abs(rate - counts) <= 1e-6 * counts + 2 * self.least
        ratio = jnp.where(met, slope, residual / jnp.where(met, 1, rate - counts))
        return jnp.where(weights > 0, self.unit * self.scale * ratio, 0)

    def information(self, model: Array, heights: Array, weights: Array) -> Array:
        """What a rate is expected to say of itself, 1 / f."""
        return jnp.where(weights > 0, (self.unit * self.scale) ** 2 / jnp.maximum(self._rate(model), self.least), 0)

    def scaled(self, shift: float, scale: float, cost_unit: float) -> Poisson:
        return replace(self, shift=shift, scale=scale, unit=1 / np.sqrt(cost_unit))

    def _rate(self, model: Array) -> Array:
        return self.shift + self.scale * model

    def _deviance(self, model: Array, heights: Array) -> tuple[Array, Array]:
        """r and dr/df by point, in counts."""
        rate, counts = self._rate(model), jnp.maximum(self._rate(heights), 0)
        inside = jnp.maximum(rate, self.least)
        # Counts come from the units of a fit, where none is zero but for rounding.
        residual, slope = _above(inside, jnp.where(counts > self.least, counts, 0))
        return residual + slope * (rate - inside), slope


def _above(rate: Array, counts: Array) -> tuple[Array, Array]:
    """r and dr/df at rates above ``least``."""
    empty = counts <= 0
    some = jnp.where(empty, 1, counts)
    ratio = jnp.where(empty, 1.5, rate / some)
    t, root = ratio - 1, jnp.sqrt(_phi(ratio))
    residual = jnp.where(empty, jnp.sqrt(2 * rate), jnp.sqrt(some) * t * root)
    return residual, jnp.where(empty, 1 / jnp.sqrt(2 * rate), jnp.sqrt(some) / (rate * root))


def _phi(ratio: Array) -> Array:
    """2 (t - log(1 + t)) / t^2 at t = ratio - 1 > -1, which rounding may take for -1."""
    t = ratio - 1
    near = jnp.abs(t) < DEVIANCE_SERIES_BELOW
    far = jnp.where(near, 1, t)
    series = sum((-t) ** n * (2 / (n + 2)) for n in range(SERIES_TERMS))
    return jnp.where(near, series, 2 * (far - jnp.log(jnp.where(near, 2, ratio))) / far**2)
