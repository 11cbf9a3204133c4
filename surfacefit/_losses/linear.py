"""Plain least squares: rho(s) = s."""

from __future__ import annotations

from dataclasses import dataclass

from jax import Array
from jax.tree_util import register_dataclass


@register_dataclass
@dataclass(frozen=True)
class Linear:
    """r = w (f - z)."""

    @property
    def known_errors(self) -> bool:
        return False

    def residuals(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights * (model - heights)

    def slopes(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights

    def scores(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights**2 * (model - heights)

    def secants(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights

    def information(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights**2

    def scaled(self, shift: float, scale: float, cost_unit: float) -> Linear:
        return self
