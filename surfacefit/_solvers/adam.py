r"""Adam: first-order steps scaled by running moments of the gradient, from optax, with a cosine schedule.

Kingma & Ba, Adam: a method for stochastic optimization, ICLR 2015 (arXiv 1412.6980); Loshchilov & Hutter, SGDR,
ICLR 2017 (arXiv 1608.03983) for the cosine decay. It needs no normal matrix, so a step is cheap in memory; it
takes hundreds of steps where Levenberg-Marquardt takes tens.

After a new plan it keeps the cost and the gradient that it took under the old one. Both were taken where the old plan
was valid, so they are right to the engine's cutoff, and no step is judged by a comparison of the two costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import not_negative, positive_number
from .._base.status import Status
from .._problem.base import Problem, half_square
from .base import SolverBase

if TYPE_CHECKING:
    import optax

# Learning rate at the end of the schedule, as a part of the first: small enough to settle, not so small that the last
# steps are lost.
LAST_RATE = 0.01


class AdamState(NamedTuple):
    """Parameters with their cost and gradient, the running moments, and the steps taken.

    ``brake`` is the factor of the learning rate, halved after each non-finite step.
    """

    params: Array
    cost: Array
    optimality: Array
    gradient: Array
    status: Array
    damping: Array
    moments: Any
    n_taken: Array
    brake: Array
    wanted: Array


@register_dataclass
@dataclass(frozen=True)
class Adam(SolverBase):
    """Adam on half the sum of squares (optax), learning rate decaying along a half cosine to 1 %.

    Parameters
    ----------
    max_steps : number of steps, which is also the length of the schedule. A new value compiles anew.
    learning_rate : first learning rate, in the unconstrained parameters of the scaled problem (all of order one).
    gtol : stop when no parameter's slope is larger than this, in the scaled problem.
    b1, b2 : decay of the first and second moments.

    A step to a non-finite cost is taken back, the moments are cleared and the learning rate is halved.

    >>> import surfacefit as sf
    >>> sf.Adam(learning_rate=0.02).learning_rate
    0.02
    """

    max_steps: int = field(default=1000, metadata={"static": True})
    learning_rate: Any = 0.03
    gtol: Any = 1e-8
    b1: float = field(default=0.9, metadata={"static": True})
    b2: float = field(default=0.999, metadata={"static": True})

    @property
    def uses_normal(self) -> bool:
        return False

    @property
    def takes_all_steps(self) -> bool:
        return True

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        positive_number(f"{name}.learning_rate", self.learning_rate)
        not_negative(f"{name}.gtol", self.gtol)
        for decay in ("b1", "b2"):
            if not_negative(f"{name}.{decay}", getattr(self, decay)) >= 1:
                raise ValueError(f"`{name}.{decay}` must be below 1, got {getattr(self, decay)!r}")

    def init(self, problem: Problem, params: Array) -> AdamState:
        """The state at the start."""
        residuals, gradient = _residuals_and_gradient(problem, params)
        cost = half_square(residuals)
        return AdamState(
            params=params,
            cost=cost,
            optimality=jnp.max(jnp.abs(gradient), initial=0.0),
            gradient=gradient,
            status=self._status(problem.is_exact(residuals), cost, jnp.asarray(jnp.inf, cost.dtype)),
            damping=jnp.asarray(self.learning_rate, params.dtype),
            moments=self._transform().init(params),
            n_taken=jnp.asarray(0),
            brake=jnp.asarray(1.0, params.dtype),
            wanted=params,
        )

    def step(self, problem: Problem, state: AdamState) -> AdamState:
        """The state after one step, or with status REPLAN where the trial lies outside the plan."""
        rate = state.brake * self.learning_rate * self._schedule()(state.n_taken.astype(state.params.dtype))
        rate = jnp.asarray(rate, state.params.dtype)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integer powers
            direction, moments = self._transform().update(state.gradient, state.moments)
        trial = problem.projected(state.params - rate * direction)
        replan = state._replace(status=jnp.asarray(int(Status.REPLAN)), wanted=trial)
        return jax.lax.cond(
            problem.plan_is_valid(trial), lambda: self._moved(problem, state, trial, rate, moments), lambda: replan
        )

    def _moved(self, problem: Problem, state: AdamState, trial: Array, rate: Array, moments: Any) -> AdamState:
        residuals, gradient = _residuals_and_gradient(problem, trial)
        cost = half_square(residuals)
        finite = jnp.isfinite(cost) & jnp.all(jnp.isfinite(gradient))

        def keep(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

        optimality = jnp.max(jnp.abs(gradient), initial=0.0)
        return AdamState(
            params=keep(trial, state.params),
            cost=keep(cost, state.cost),
            optimality=keep(optimality, state.optimality),
            gradient=keep(gradient, state.gradient),
            status=self._status(
                problem.is_exact(residuals), keep(cost, state.cost), keep(optimality, state.optimality)
            ),
            damping=rate,
            moments=keep(moments, self._transform().init(state.params)),
            n_taken=state.n_taken + 1,
            brake=keep(state.brake, 0.5 * state.brake),
            wanted=trial,
        )

    def _status(self, is_exact: Array, cost: Array, optimality: Array) -> Array:
        rules = [
            (~jnp.isfinite(cost), Status.NON_FINITE),
            (is_exact, Status.EXACT),
            (optimality <= self.gtol, Status.CONVERGED_GRADIENT),
        ]
        return jnp.select(
            [rule for rule, _ in rules], [jnp.asarray(int(code)) for _, code in rules], int(Status.RUNNING)
        )

    def _transform(self) -> optax.GradientTransformation:
        import optax  # here, since no other solver needs it

        return optax.scale_by_adam(b1=self.b1, b2=self.b2)

    def _schedule(self) -> optax.Schedule:
        import optax

        return optax.cosine_decay_schedule(1.0, max(self.max_steps, 1), alpha=LAST_RATE)


def _residuals_and_gradient(problem: Problem, params: Array) -> tuple[Array, Array]:
    residuals, jacobian = problem.linearize(params)
    gradient = jacobian.rmv(residuals)
    constraints = problem.active_constraints(params, gradient)
    gradient = gradient if constraints is None else constraints.tangential(gradient)
    return residuals, jnp.where(problem.at_bound(params, gradient), 0, gradient)
