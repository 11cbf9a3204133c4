"""What a fit of a surface minimises: the misfit of a sum of Gaussians under a loss, and a prior."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._constraints.penalty import Penalty
from .._engines.jacobian import DenseEngine, Engine, Jacobian, PenalizedJacobian
from .._losses import Linear, Loss
from .._model.parameters import Components, Parameterization
from .base import half_square

# Units in the last place of the heights: residuals below are rounding. A few operations lie behind each height, each of
# which rounds by half a unit.
ROUNDING_UNITS = 4
# Times these that the residual of a single point may be where a fit is exact: what rounds by chance adds up at a few.
EXACT_ROUNDINGS = 1e3


# Misfit, in the spread of the heights, that is nothing where the cost creeps on.
NEGLIGIBLE_MISFIT = 1e-5


@register_dataclass
@dataclass(frozen=True, eq=False)
class SurfaceObjective:
    """Residuals r_j = w_j (f(x_j) - z_j), or those of another loss, and below them the rows of a prior.

    points (N, d), heights (N,), weights (N,) = 1 / sigma : the data.
    parameterization, engine : the surface, and how its Jacobian is held.
    penalty, loss : the prior's rows, or None; what a misfit costs.
    variance : of a residual where it is known, None where it is estimated from the residuals.
    """

    points: Array
    heights: Array
    weights: Array
    parameterization: Parameterization
    engine: Engine = field(default_factory=DenseEngine)
    penalty: Penalty | None = None
    loss: Loss = field(default_factory=Linear)
    variance: Any = None

    def residuals(self, params: Array) -> Array:
        """Residuals (N,) of the loss at parameters (P,), and below them those of a prior."""
        components = self.parameterization.components(params)
        model = self.engine.model(self.points, components)
        return self._with_rows(self.loss.residuals(model, self.heights, self.weights), params)

    def linearize(self, params: Array) -> tuple[Array, Jacobian]:
        """Residuals, and their Jacobian as an operator."""
        components = self.parameterization.components(params)
        model = self.engine.model(self.points, components)
        residuals = self._with_rows(self.loss.residuals(model, self.heights, self.weights), params)
        return residuals, self.jacobian(params, components, self.loss.slopes(model, self.heights, self.weights))

    def jacobian(self, params: Array, components: Components, weights: Array) -> Jacobian:
        """d (weights * model) / d parameters, and below it the rows of a prior."""
        jacobian = self.engine.jacobian(
            self.points, weights, components, self.parameterization.chain(params, components)
        )
        if self.penalty is None:
            return jacobian
        return PenalizedJacobian(jacobian, *self.penalty.slopes(self.parameterization, params))

    def _with_rows(self, residuals: Array, params: Array) -> Array:
        """Residuals (N,), and below them what a prior adds."""
        if self.penalty is None:
            return residuals
        own, border = self.penalty.rows(self.parameterization, params)
        return jnp.concatenate([residuals, own.ravel(), border])

    def plan_is_valid(self, params: Array) -> Array | bool:
        """Whether no component leaves at these parameters what the plan of the engine has room for."""
        if not self.engine.has_plan:
            return True
        return self.engine.plan_is_valid(self.parameterization.components(params))

    def curvature_is_valid(self, params: Array) -> Array | bool:
        """Whether J^T J may be asked for here as well, with an error too small to mislead an undamped step."""
        if not self.engine.has_plan:
            return True
        return self.engine.curvature_is_valid(self.parameterization.components(params))

    def is_exact(self, residuals: Array) -> Array:
        """Whether all points are met to rounding, also those of little weight, which cost nothing beside others."""
        roundings = self._roundings()
        each = jnp.all(jnp.abs(residuals[: len(roundings)]) <= EXACT_ROUNDINGS * roundings)
        return each & (half_square(residuals) <= half_square(roundings))

    def is_negligible(self, residuals: Array) -> Array:
        """Whether misfits are nothing beside the heights, in their cost and in the mean over the points, however much a
        few of these weigh.
        """
        roundings, share = (
            self._roundings(),
            NEGLIGIBLE_MISFIT / (ROUNDING_UNITS * float(np.finfo(self.heights.dtype).eps)),
        )
        some = roundings > 0
        ratios = jnp.where(some, residuals[: len(roundings)] / jnp.where(some, roundings, 1), 0)
        each = half_square(ratios) <= 0.5 * share**2 * jnp.count_nonzero(some).astype(ratios.dtype)
        return each & (half_square(residuals) <= share**2 * half_square(roundings))

    def _roundings(self) -> Array:
        eps = float(np.finfo(self.heights.dtype).eps)
        flat = jnp.zeros_like(self.heights)  # far from it an outlier's height is nothing that rounding could spoil
        met, unmet = (self.loss.slopes(model, self.heights, self.weights) for model in (self.heights, flat))
        slopes = jnp.minimum(met, unmet)
        return jnp.asarray(slopes * ROUNDING_UNITS * eps * jnp.maximum(1.0, jnp.abs(self.heights)))
