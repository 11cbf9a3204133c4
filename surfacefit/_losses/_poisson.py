r"""Counts: the likelihood of Poisson's distribution, as half the deviance D = 2 sum_j (f - z - z log(f / z)).

r is the deviance residual, +-D_j^(1/2) (McCullagh & Nelder, Generalized Linear Models, 1989, section 2.4). With t = f / z - 1 it is
r = z^(1/2) t phi(t)^(1/2), phi = 2 (t - log(1 + t)) / t^2, smooth through zero; for z = 0 it is (2 f)^(1/2). Below ``least``, next to
no counts, D goes on as a steep parabola, so that a rate at or below zero costs much, but not infinitely much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

NEAR, TERMS = 0.03, 12
LEAST_RATE = 1e-6  # of the mean of all counts


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
        return self._there(weights) * self.unit * self._deviance(model, heights)[0]

    def slopes(self, model: Array, heights: Array, weights: Array) -> Array:
        return self._there(weights) * self.unit * self.scale * self._deviance(model, heights)[1]

    def secants(self, model: Array, heights: Array, weights: Array) -> Array:
        rate, counts = self._rate(model), self._rate(heights)
        residual, slope = self._deviance(model, heights)
        met = jnp.abs(rate - counts) <= 1e-6 * jnp.maximum(counts, self.least)
        ratio = jnp.where(met, slope, residual / jnp.where(met, 1, rate - counts))
        return self._there(weights) * self.unit * self.scale * ratio

    def information(self, model: Array, heights: Array, weights: Array) -> Array:
        """What a rate is expected to say of itself, 1 / f."""
        return self._there(weights) * (self.unit * self.scale) ** 2 / jnp.maximum(self._rate(model), self.least)

    def scaled(self, shift: float, scale: float, cost_unit: float) -> Poisson:
        return replace(self, shift=shift, scale=scale, unit=1 / np.sqrt(cost_unit))

    def _rate(self, model: Array) -> Array:
        return self.shift + self.scale * model

    def _there(self, weights: Array) -> Array:
        return (weights > 0).astype(weights.dtype)

    def _deviance(self, model: Array, heights: Array) -> tuple[Array, Array]:
        """r and dr/df by point, in counts."""
        rate, counts = self._rate(model), jnp.maximum(self._rate(heights), 0)
        inside = jnp.maximum(rate, self.least)
        residual, slope = _above(inside, counts)
        below, edge = rate - inside, 1 - counts / inside
        steepness = jnp.maximum(jnp.maximum(counts, inside), 1) / inside**2
        size = jnp.sqrt(residual**2 + (2 * edge + steepness * below) * below)
        falls = edge + steepness * below  # the derivative of the cost; the root's sign is that of it
        outside = below < 0
        safe = jnp.where(outside, size, 1)
        return jnp.where(outside, jnp.where(falls < 0, -size, size), residual), jnp.where(outside, jnp.abs(falls) / safe, slope)


def _above(rate: Array, counts: Array) -> tuple[Array, Array]:
    """r and dr/df at rates above ``least``."""
    empty = counts <= 0
    some = jnp.where(empty, 1, counts)
    t = jnp.where(empty, 0.5, rate / some - 1)
    root = jnp.sqrt(_phi(t))
    residual = jnp.where(empty, jnp.sqrt(2 * rate), jnp.sqrt(some) * t * root)
    return residual, jnp.where(empty, 1 / jnp.sqrt(2 * rate), jnp.sqrt(some) / (rate * root))


def _phi(t: Array) -> Array:
    """2 (t - log(1 + t)) / t^2."""
    near = jnp.abs(t) < NEAR
    far = jnp.where(near, 1, t)
    series = sum((-t) ** n * (2 / (n + 2)) for n in range(TERMS))
    return jnp.where(near, series, 2 * (far - jnp.log1p(far)) / far**2)
