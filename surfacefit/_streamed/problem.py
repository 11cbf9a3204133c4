"""The problem of a map on disk, as far as a solver sees it: what is known of it at two sets of parameters.

Residuals can be asked for where a pass over the map was made, and nowhere else; a solver that wants to go elsewhere
asks for a new plan, which is another pass (`planner`). What it gets instead of residuals are their sums: the cost, and
all that the gradient takes. J^T J of an even grid follows from the components alone. So a step reads each point once.

Where a map has gaps, J^T J is that of the grid without them, which is larger by a positive definite part: steps still
lead down, and are shorter than they might be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._engines.jacobian import Curvature
from .._model.parameters import ChainRule, Components
from .._problem.objective import NEGLIGIBLE_MISFIT, ROUNDING_UNITS
from .._problem.problem import SurfaceProblem
from .window_sums import MapSums


class KnownPoint(NamedTuple):
    """Parameters (P,) and what a pass over the map has given there."""

    params: Any
    sums: MapSums


@register_dataclass
@dataclass(frozen=True, eq=False)
class StreamedProblem(SurfaceProblem):
    """A `SurfaceProblem` whose points are on disk; ``points`` (2, d) are the corners of the grid.

    n_points () : points with a height. rounding () : of heights in the precision of the passes. there, here : the sets
    of parameters that are known: the last that were wanted, and those of the solver. curvature : J^T J there.
    """

    n_points: Any = None
    rounding: Any = None
    there: KnownPoint | None = None
    here: KnownPoint | None = None
    curvature: Curvature | None = None

    def residuals(self, params: Array) -> Any:
        """The sums (`MapSums`) at parameters (P,) that are known; a cost of NaN at others."""
        assert self.there is not None
        assert self.here is not None
        there, here = (jnp.all(params == known.params) for known in (self.there, self.here))
        sums = jax.tree.map(lambda a, b: jnp.where(there, a, b), self.there.sums, self.here.sums)
        return sums._replace(cost=jnp.where(there | here, sums.cost, jnp.nan))

    def linearize(self, params: Array) -> tuple[Any, Any]:
        """The sums, and the operator that turns them into a gradient and J^T J."""
        components = self.parameterization.components(params)
        chain = self.parameterization.chain(params, components)
        assert self.curvature is not None
        return self.residuals(params), StreamedJacobian(self.curvature, components, chain)

    def plan_is_valid(self, params: Array) -> Array:
        """Whether these parameters are known; what is not finite is known to be of no use."""
        assert self.there is not None
        assert self.here is not None
        known = jnp.all(params == self.there.params) | jnp.all(params == self.here.params)
        return known | ~jnp.all(jnp.isfinite(params))

    def curvature_is_valid(self, params: Array) -> Array:
        """Whether J^T J was planned for these parameters."""
        assert self.there is not None
        return jnp.all(params == self.there.params) | ~jnp.all(jnp.isfinite(params))

    def noise_variance(self, cost: Array) -> Array:
        """2 cost / (n - P) with n points and P parameters in use."""
        layout = self.parameterization.layout
        in_use = jnp.asarray(self.parameterization.n_active, cost.dtype) * layout.block_size + layout.n_border
        freedom = jnp.asarray(self.n_points, cost.dtype) - in_use
        return jnp.where(freedom > 0, 2 * cost / jnp.maximum(freedom, 1), jnp.inf)

    def is_exact(self, residuals: Any) -> Array:
        """Whether the residuals are mere rounding, in their sum of squares."""
        return residuals.cost <= 0.5 * self.n_points * jnp.square(ROUNDING_UNITS * self.rounding)

    def is_negligible(self, residuals: Any) -> Array:
        """Whether the misfit is nothing beside the spread of the heights."""
        return residuals.cost <= 0.5 * self.n_points * NEGLIGIBLE_MISFIT**2


@register_dataclass
@dataclass(frozen=True, eq=False)
class StreamedJacobian:
    """What a solver asks of a Jacobian, from sums over the map."""

    curvature: Curvature
    components: Components
    chain: ChainRule

    def normal(self, residuals: Any, error: Any = 0.0) -> tuple[Any, Array]:
        """J^T J in closed form, and J^T r from the sums ``residuals``."""
        gradient = self.chain.transpose(residuals.moments, residuals.border)
        return self.curvature.normal(self.components, self.chain, residuals.cross, residuals.corner), gradient

    def restored(self, normal: Any) -> Any:
        return normal


def same(params: Any, known: KnownPoint | None) -> bool:
    """Whether a pass was made at exactly these parameters."""
    return known is not None and np.array_equal(np.asarray(params), np.asarray(known.params))
