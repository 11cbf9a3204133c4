r"""Levenberg-Marquardt.

At parameters p with residuals r and Jacobian J each step solves

    (J^T J + mu D) h = -J^T r,         D = diag(J^T J), floored by the problem,

shortens h to where the problem trusts its linearisation, and compares the reduction of the cost with the one
that the quadratic model predicts, rho = (E(p) - E(p + h)) / (-g^T h - 1/2 h^T J^T J h). A positive rho accepts the
step; the damping follows Nielsen's rule, mu <- mu max(1/3, 1 - (2 rho - 1)^3) after success and mu <- mu nu,
nu <- 2 nu after failure, which reacts smoothly where factors of ten overshoot.

References: Marquardt, SIAM J. Appl. Math. 11 (1963) 431; Moré, Lecture Notes in Mathematics 630 (1978) 105;
Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, Technical University of Denmark.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.status import Status
from .._constraints.active_constraints import ActiveConstraints
from .._engines.jacobian import Jacobian
from .._linear.linear_solve import solve_qr
from .._linear.normal import DenseNormal
from .._problem.problem import Problem, half_square
from .base import cosine_optimality

ACCEPTED_GAIN = 1e-4
WATCHES = 4  # times that `slack` is looked at in `patience` steps
CURVATURE_ERROR = 0.01  # of J^T J, relative to the damping: the gradient stays exact
LARGEST_QR = 2**25
IMMOVABLE = 1e8  # damping of what stands at a bound


class LevenbergMarquardtState(NamedTuple):
    """Where the solver stands. Then the linearisation at ``params``, made anew where ``stale``, and the step that it
    proposes: ``step`` and the fall in cost that it predicts, made anew unless ``proposed``.
    """

    params: Array
    cost: Array
    residuals: Array
    status: Array

    damping: Array
    growth: Array
    reach: Array
    watched_costs: Array
    watched_steps: Array

    stale: Array
    optimality: Array
    gradient: Array
    held: Array
    normal: Any

    proposed: Array
    step: Array
    length: Array
    predicted: Array
    trusted: Array

    @property
    def wanted(self) -> Array:
        """Where the residuals are asked for next."""
        return self.params + self.step


class Trial(NamedTuple):
    """What came of a trial step: its cost, the fall in cost, and the verdict."""

    cost: Array
    actual: Array
    accepted: Array
    rounding: Array
    creeps: Array


@register_dataclass
@dataclass(frozen=True)
class LevenbergMarquardt:
    r"""Levenberg-Marquardt with Nielsen's damping: the right choice in nearly every fit.

    Parameters
    ----------
    max_steps : limit on steps, accepted or not.
    ftol : stop when a full step lowers the cost by less than this fraction, as predicted and in fact.
    xtol : stop when a step changes the parameters by less than this fraction, in the metric of D.
    gtol : stop when no column of the Jacobian makes a larger cosine than this with the residuals.
    slack, patience : stop when ``patience`` steps (rounded up to a multiple of 4) together lower the cost by less than
        the fraction ``slack``. Sums of Gaussians end in long, nearly level valleys, often with a component on its way
        to infinity; 0.06 % of the cost in 16 steps is 0.03 % of the RMSE. ``slack=0`` follows the valley to its end.
    damping : initial mu.
    reach : how far a step may move a component, in its own widths: at first and at least, and at most. It doubles while
        the linear model holds (gain above 3/4) and halves where a step fails.
    method : "cholesky" on the normal equations, which hands over to "qr" where they are too ill-conditioned.

    `ftol`, `xtol` and `gtol` mean what they mean in MINPACK; below the rounding of the dtype they have no effect, and
    `slack` ends most fits before them. The method and its sources are in the module's text.

    >>> import surfacefit as sf
    >>> sf.LevenbergMarquardt(max_steps=20).max_steps
    20
    """

    max_steps: Any = 500
    ftol: Any = 1e-8
    xtol: Any = 1e-8
    gtol: Any = 1e-8
    damping: Any = 0.1
    reach: tuple[Any, Any] = (0.5, 3.0)
    slack: Any = 6e-4
    patience: Any = 16

    method: str = field(default="cholesky", metadata={"static": True})

    @property
    def fallback(self) -> LevenbergMarquardt | None:
        """The solver that takes over where the normal equations are too ill-conditioned."""
        return replace(self, method="qr") if self.method == "cholesky" else None

    def init(self, problem: Problem, params: Array) -> LevenbergMarquardtState:
        dtype, size = params.dtype, params.size
        residuals = problem.residuals(params)
        normal = jax.eval_shape(lambda: problem.linearize(params)[1].normal(residuals)[0])
        return LevenbergMarquardtState(
            params=params,
            cost=half_square(residuals),
            residuals=residuals,
            status=jnp.asarray(int(Status.RUNNING)),
            damping=jnp.asarray(self.damping, dtype),
            growth=jnp.asarray(2.0, dtype),
            reach=jnp.asarray(self.reach[0], dtype),
            watched_costs=jnp.full(WATCHES, jnp.inf, dtype).at[-1].set(half_square(residuals)),
            watched_steps=jnp.asarray(0),
            stale=jnp.asarray(True),
            optimality=jnp.asarray(jnp.inf, dtype),
            gradient=jnp.zeros(size, dtype),
            held=jnp.zeros(size, bool),
            normal=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), normal),
            proposed=jnp.asarray(False),
            step=jnp.zeros(size, dtype),
            length=jnp.zeros((), dtype),
            predicted=jnp.zeros((), dtype),
            trusted=jnp.asarray(True),
        )

    def replanned(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        """The state under a problem whose plan was renewed: it keeps its proposal, and linearises anew where that
        fails.

        The cost is taken again, since another plan leaves out other tails.
        """
        residuals = problem.residuals(state.params)
        _, jacobian = problem.linearize(state.params)
        normal, _ = jax.eval_shape(jacobian.normal, residuals)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), normal)
        running = jnp.asarray(int(Status.RUNNING))
        return state._replace(
            residuals=residuals, cost=half_square(residuals), normal=zeros, stale=jnp.asarray(True), status=running
        )

    def step(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        state = jax.lax.cond(state.proposed, lambda: state, lambda: self._proposed(problem, state))
        least = _least_damping(state)
        # The normal matrix goes around the branch, which would copy it.
        rest = state._replace(normal=None)
        replan = rest._replace(status=jnp.asarray(int(Status.REPLAN)))
        rest = jax.lax.cond(
            problem.plan_is_valid(state.wanted), lambda: self._judged(problem, rest, least), lambda: replan
        )
        return rest._replace(normal=state.normal)

    def _proposed(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        """The next step, and what the quadratic model says of it."""
        state = jax.lax.cond(state.stale, lambda: _linearized(problem, state), lambda: state)
        _, jacobian = problem.linearize(state.params)
        normal = jacobian.restored(state.normal)
        scaling = problem.scaling(normal.diagonal().astype(state.params.dtype))
        walls = problem.active_constraints(state.params, state.gradient, scaling * jnp.maximum(1, state.damping))
        step, trusted = self._solve(jacobian, walls, state, scaling)
        step = problem.within_trust_region(state.params, jnp.where(state.held, 0, step), state.reach)
        predicted = -jnp.vdot(step, state.gradient + 0.5 * normal.mv(step).astype(step.dtype), precision="highest")
        root = jnp.sqrt(scaling)
        size = jnp.linalg.norm(root * state.params)
        length = jnp.linalg.norm(root * step) / jnp.where(size > 0, size, 1)
        return state._replace(
            proposed=jnp.asarray(True), step=step, length=length, predicted=predicted, trusted=trusted
        )

    def _judged(self, problem: Problem, state: LevenbergMarquardtState, least: float) -> LevenbergMarquardtState:
        """The step taken or not, and the damping that follows from it."""
        predicted, trusted = state.predicted, state.trusted
        trial_residuals = problem.residuals(state.wanted)
        trial_cost = half_square(trial_residuals)
        actual = state.cost - trial_cost
        # A product instead of a quotient: no division by a vanishing prediction, and NaN counts as failure.
        accepted = trusted & (predicted > 0) & (actual >= ACCEPTED_GAIN * predicted)
        damping, growth = _damping(state, actual, predicted, accepted, least)
        cost = jnp.where(accepted, trial_cost, state.cost)
        due = WATCHES * (state.watched_steps + 1) >= self.patience
        creeps = due & (state.watched_costs[0] - cost < self.slack * cost)
        status = self._status(state, Trial(trial_cost, actual, accepted, problem.rounding_cost(), creeps))
        return state._replace(
            params=jnp.where(accepted, state.wanted, state.params),
            cost=cost,
            residuals=jnp.where(accepted, trial_residuals, state.residuals),
            status=jnp.where(trusted | (status == int(Status.NON_FINITE)), status, int(Status.ILL_CONDITIONED)),
            damping=damping,
            growth=growth,
            reach=self._reach(state.reach, actual, predicted, accepted),
            watched_costs=jnp.where(due, jnp.append(state.watched_costs[1:], cost), state.watched_costs),
            watched_steps=jnp.where(due, 0, state.watched_steps + 1),
            stale=state.stale | accepted,
            proposed=jnp.asarray(False),
        )

    def _solve(
        self, jacobian: Jacobian, walls: ActiveConstraints | None, state: LevenbergMarquardtState, scaling: Array
    ) -> tuple[Array, Array]:
        """The damped Gauss-Newton step beside what is held, and whether it can be trusted."""
        damping = jnp.where(state.held, IMMOVABLE, state.damping)
        if self.method == "qr":
            matrix, residuals = jacobian.as_matrix(), state.residuals
            if walls is not None:
                matrix, residuals = walls.augmented_rows(matrix, residuals, scaling)
            return solve_qr(matrix, residuals, scaling, damping), jnp.asarray(True)
        normal, gradient = jacobian.restored(state.normal), jnp.where(state.held, 0, state.gradient)
        if walls is not None:
            scales = scaling.astype(normal.diagonal().dtype)
            normal, gradient = normal.with_penalty(*walls.penalty_blocks(scales)), walls.with_gap(gradient, scales)
        step, trusted = normal.solve(gradient, scaling, damping)
        return step, trusted | (not _fits_qr(state))

    def _reach(self, reach: Array, actual: Array, predicted: Array, accepted: Array) -> Array:
        """Doubled where the linear model held well, halved where it failed, between the first reach and the longest."""
        factor = jnp.where(accepted, jnp.where(actual >= 0.75 * predicted, 2.0, 1.0), 0.5)
        return jnp.clip(reach * factor, self.reach[0], self.reach[1])

    def _status(self, state: LevenbergMarquardtState, trial: Trial) -> Array:
        trial_cost, actual, accepted, rounding, creeps = trial
        predicted, length = state.predicted, state.length
        eps = float(np.finfo(state.params.dtype).eps)
        small = self.ftol * state.cost
        rules = [
            (~jnp.isfinite(state.cost + state.optimality), Status.NON_FINITE),
            ((state.cost <= rounding) | (accepted & (trial_cost <= rounding)), Status.EXACT),
            (state.optimality <= self.gtol, Status.CONVERGED_GRADIENT),
            (accepted & (actual <= small) & (predicted <= small), Status.CONVERGED_COST),
            (accepted & (length <= self.xtol), Status.CONVERGED_STEP),
            (creeps, Status.CONVERGED_SLOWLY),
            (~accepted & (jnp.abs(predicted) <= 4 * eps * state.cost), Status.PRECISION),
            (~accepted & (length <= eps), Status.PRECISION),
            (~jnp.isfinite(state.damping), Status.PRECISION),
        ]
        return jnp.select(
            [rule for rule, _ in rules], [jnp.asarray(int(code)) for _, code in rules], int(Status.RUNNING)
        )


def _fits_qr(state: LevenbergMarquardtState) -> bool:
    """Whether J and its copies fit in memory; where not, the damping stays where the solution can be trusted."""
    return isinstance(state.normal, DenseNormal) and state.residuals.size * state.params.size <= LARGEST_QR


def _least_damping(state: LevenbergMarquardtState) -> float:
    return float(np.finfo(state.params.dtype).eps) if _fits_qr(state) else state.normal.least_damping


def _linearized(problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
    _, jacobian = problem.linearize(state.params)
    normal, gradient = jacobian.normal(state.residuals, CURVATURE_ERROR * state.damping)
    diagonal = jacobian.restored(normal).diagonal().astype(gradient.dtype)
    held = problem.at_bound(state.params, gradient)
    walls = problem.active_constraints(state.params, gradient)
    free = jnp.where(held, 0, gradient if walls is None else walls.tangential(gradient))
    optimality = cosine_optimality(free, diagonal, state.cost)
    return state._replace(optimality=optimality, gradient=gradient, held=held, normal=normal, stale=jnp.asarray(False))


def _damping(
    state: LevenbergMarquardtState, actual: Array, predicted: Array, accepted: Array, least: float
) -> tuple[Array, Array]:
    """Nielsen's rule, with the damping kept above rounding."""
    gain = jnp.where(accepted, actual, 0.0) / jnp.where(accepted, predicted, 1.0)
    eased = state.damping * jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
    damping = jnp.where(accepted, jnp.maximum(eased, least), state.damping * state.growth)
    return damping, jnp.where(accepted, jnp.full_like(state.growth, 2.0), 2 * state.growth)
