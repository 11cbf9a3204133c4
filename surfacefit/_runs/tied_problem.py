"""A problem in the free numbers of a fit whose parameters follow from these: the way there and back around a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import plain_jit
from .._base.status import Status
from .._model.step_lengths import floor_slopes, from_floor, relative_change, within_extent
from .._problem.problem import SCALING_FLOOR, SurfaceProblem, positive_scaling
from .._solvers import Limits, Record, Solution, Solver, run
from .._solvers.loop import Planner, RunPlanner
from .._ties.limits import at_limit
from .._ties.tied_jacobian import TiedJacobian
from .._ties.tied_map import TiedMap

# Change of the logarithm of a width, and of an angle in radians, that a step may make at most: a component then keeps
# its place in the linear model.
LONGEST_TURN = 1.0


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiedProblem:
    """The misfit of a surface in its free numbers theta (T,): r(F(theta)), with the Jacobian J M."""

    inner: SurfaceProblem
    tied: TiedMap

    def residuals(self, params: Array) -> Array:
        return self.inner.residuals(self.tied.params(params))

    def linearize(self, params: Array) -> tuple[Array, TiedJacobian]:
        residuals, jacobian = self.inner.linearize(self.tied.params(params))
        return residuals, TiedJacobian(jacobian, self.tied.slopes(params))

    def scaling(self, params: Array, diagonal: Array) -> Array:
        """The diagonal, not below a part of its mean over free numbers of the same kind; see `SurfaceProblem`."""
        kinds = self._kinds
        same = (kinds[:, None] == kinds[None, :]) & (kinds >= 0)[:, None]
        shares = (same / np.maximum(same.sum(axis=1, keepdims=True), 1)).astype(diagonal.dtype)
        slopes = floor_slopes(self.inner.parameterization, self.tied.params(params))[self.tied.plan.free]
        slopes = jnp.where(self.tied.is_turned, 1, slopes)
        floor = SCALING_FLOOR * jnp.matmul(shares, diagonal, precision="highest")
        return positive_scaling(diagonal, slopes**2 * floor)

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        """The step, each number shortened by as much as the components that it moves ask for."""
        parts, free = self.inner.parameterization, self.tied.plan.free
        whole, slopes = self.tied.params(params), self.tied.slopes(params)
        change = relative_change(parts, whole, jnp.matmul(slopes, step, precision="highest"))
        factor = jnp.minimum(1.0, reach / jnp.maximum(change, np.finfo(step.dtype).tiny))
        layout, tiny = parts.layout, float(np.finfo(step.dtype).eps)
        moves = jnp.abs(slopes) > tiny
        own = moves[: layout.n_own].reshape(layout.n_components, layout.block_size, -1).any(axis=1)
        own |= moves[layout.n_own : layout.n_own + layout.n_shared].any(axis=0)
        shortened = step * jnp.min(jnp.where(own, factor[:, None], 1), axis=0, initial=1)
        turned = jnp.clip(shortened, -LONGEST_TURN, LONGEST_TURN)
        spread = jnp.zeros_like(whole).at[free].set(jnp.where(self.tied.is_turned, 0, shortened))
        spread = within_extent(parts, whole, from_floor(parts, whole, spread), self._extent)
        shortened = jnp.where(self.tied.is_turned, turned, spread[free])
        return self.projected(params + shortened) - params

    def projected(self, params: Any) -> Any:
        return jnp.clip(params, self.tied.low, self.tied.high)

    def at_bound(self, params: Array, gradient: Array) -> Array:
        return at_limit(self.tied, params, gradient)

    def active_constraints(self, params: Array, gradient: Array, scaling: Array | None = None) -> None:
        return None

    def plan_is_valid(self, params: Array) -> Array | bool:
        return self.inner.plan_is_valid(self.tied.params(params)) if self.inner.engine.has_plan else True

    def curvature_is_valid(self, params: Array) -> Array | bool:
        return self.inner.curvature_is_valid(self.tied.params(params)) if self.inner.engine.has_plan else True

    def noise_variance(self, cost: Array) -> Array:
        """The known one, or 2 cost / (n - T) with n points of some weight and T free numbers."""
        if self.inner.variance is not None:
            return jnp.asarray(self.inner.variance, cost.dtype)
        freedom = jnp.count_nonzero(self.inner.weights).astype(cost.dtype) - len(self.tied.plan.free)
        return jnp.where(freedom > 0, 2 * cost / jnp.maximum(freedom, 1), jnp.inf)

    def is_exact(self, residuals: Array) -> Array:
        return self.inner.is_exact(residuals)

    def is_negligible(self, residuals: Array) -> Array:
        return self.inner.is_negligible(residuals)

    @property
    def _extent(self) -> Array:
        return jnp.abs(self.inner.points).max(initial=0)

    @property
    def _kinds(self) -> np.ndarray:
        """The kind (T,) of each free number, the same for the same number of all components; -1 for the border's."""
        plan, layout = self.tied.plan, self.inner.parameterization.layout
        own = plan.free % layout.block_size + layout.block_size * self.tied.is_turned
        return np.where(plan.free < layout.n_own, own, -1)


@dataclass(frozen=True, eq=False)
class TiedPlanner:
    """Makes plans for the parameters that follow from free numbers."""

    planner: Planner

    def for_run(self, with_normal: bool = True) -> RunPlanner:
        own = self.planner.for_run(with_normal)

        def plan(problem: TiedProblem, wanted: Array, params: Array) -> TiedProblem:
            tied = problem.tied
            return replace(problem, inner=own(problem.inner, _params(tied, wanted), _params(tied, params)))

        return plan


def run_tied(
    problem: SurfaceProblem,
    tied: TiedMap,
    solver: Solver,
    limits: Limits,
    planner: Planner | None,
    halted: Status | None,
) -> tuple[Solution, Record]:
    """A run in the free numbers from those of a map; the solution has all parameters (P,)."""

    def whole(solution: Solution) -> Solution:
        return solution._replace(params=_params(tied, solution.params))

    seen = replace(limits, callback=lambda solution: limits.callback(whole(solution)))
    plans = None if planner is None else TiedPlanner(planner)
    solution, record = run(TiedProblem(problem, tied), jnp.asarray(tied.free), solver, seen, plans, halted)
    return whole(solution), record


def params_of_free(tied: TiedMap, theta: Array) -> Array:
    return tied.params(theta)


_params = plain_jit(params_of_free)
