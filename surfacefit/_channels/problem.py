"""What a fit of several channels minimises: the misfits of all, of sums of the same Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from .._engines.jacobian import Jacobian, TiledEngine
from .._problem.problem import SurfaceProblem
from .operators import ChannelsApart, ChannelsTogether, channel_models
from .parameters import ChannelParameterization


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelProblem(SurfaceProblem):
    """Residuals w_cn (f_c(x_n) - z_cn), channel after channel: heights and weights are (C, N).

    How far a step may go is `SurfaceProblem`'s, which asks the layout where centres and shapes stand.
    importance (C,) : each channel's squared weight.
    """

    importance: Any = None

    def residuals(self, params: Array) -> Array:
        """Residuals (C N,)."""
        models = channel_models(self.engine, self.points, self._parts, params)
        return (self.weights * (models - self.heights)).ravel()

    def linearize(self, params: Array) -> tuple[Array, Jacobian]:
        """Residuals, and their Jacobian as an operator."""
        kind: Any = ChannelsTogether if isinstance(self.engine, TiledEngine) else ChannelsApart
        operator = kind(self.engine, self.points, self.weights, self._parts, params, self.importance)
        return self.residuals(params), operator

    @property
    def _parts(self) -> ChannelParameterization:
        parts = self.parameterization
        assert isinstance(parts, ChannelParameterization)
        return parts

    def _roundings(self) -> Array:
        return jnp.ravel(super()._roundings())
