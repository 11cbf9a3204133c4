"""The contract of a loss."""

from __future__ import annotations

from typing import Protocol

from jax import Array


class Loss(Protocol):
    """A pytree of numbers. All arrays are (N,): model f, heights z, weights w = 1 / sigma (0: no point there)."""

    @property
    def known_errors(self) -> bool:
        """Whether it is a likelihood by itself, in no need of a scale from the misfit."""
        ...

    def residuals(self, model: Array, heights: Array, weights: Array) -> Array:
        """r, of the sign of f - z; the cost is |r|^2 / 2."""
        ...

    def slopes(self, model: Array, heights: Array, weights: Array) -> Array:
        """dr/df >= 0."""
        ...

    def scores(self, model: Array, heights: Array, weights: Array) -> Array:
        """r dr/df, the derivative of the cost of a point, in a form that JAX can differentiate by all its numbers."""
        ...

    def secants(self, model: Array, heights: Array, weights: Array) -> Array:
        """r / (f - z): the weights of plain least squares of the same cost here."""
        ...

    def information(self, model: Array, heights: Array, weights: Array) -> Array:
        """The second derivative of the cost by f as error bars take it, not negative."""
        ...

    def scaled(self, shift: float, scale: float, cost_unit: float) -> Loss:
        """For heights shift + scale z', and costs in this unit."""
        ...
