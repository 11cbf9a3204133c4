r"""What all second-order solvers share: steps from a quadratic model of the cost, judged by what they gain.

At parameters p with residuals r and Jacobian J a step h comes from the model

    E(p + h) ~ E(p) + g^T h + 1/2 h^T J^T J h,         g = J^T r,

and is shortened to where the problem trusts its linearisation. It is taken if the cost falls by more than a small part
of the fall that the model predicts. A solver says how a step follows from the model (`_solved`), and how its step
control follows from the outcome of the step (`_next_control`). The rest is here: linearisation only where a step was
taken, constraints, trials, new plans, and the rules for stopping, which are MINPACK's with a watch for slow progress.

Where a tiled engine knows J^T J in closed form, its plan may serve J^T J at the last trial alone, and only residuals
where components have grown. J^T J can then be wrong by a quarter, and indefinite. A solver therefore asks for a plan
for its parameters before it linearises, unless it says that it `bears_wrong_curvature`.

References: Moré, Lecture Notes in Mathematics 630 (1978) 105; Nocedal & Wright, Numerical Optimization, 2nd edition
(2006), chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.checks import count, not_negative
from .._base.compile import shapes_of
from .._base.status import MAX_DISTANCE, Status
from .._constraints.active_constraints import ActiveConstraints
from .._linear.normal import Normal, needs_jacobian
from .._problem.base import Problem, half_square
from .base import SolverBase
from .distance import LEAST_DAMPING, undamped_fall
from .kept_cost import cost_is_kept
from .linearization import linearized
from .quadratic_state import (
    WATCHES,
    Linearization,
    Outcome,
    Position,
    Proposal,
    QuadraticState,
    Watch,
    first_state,
    host_array,
)

# Part of the predicted fall in cost that a step must gain to be taken, without unit: MINPACK's value, nearly 0, since
# any step that lowers the cost is worth taking.
ACCEPTED_GAIN = 1e-4
# Part of the predicted fall in cost, without unit, from which the model counts as good and the reach doubles: the usual
# value of trust-region methods (Nocedal & Wright, algorithm 4.1).
GOOD_GAIN = 0.75
# Fall of chi2 / s^2 in `patience` steps below which a valley is not worth following: a tenth of what noise makes of one
# parameter, as `distance` allows at an end.
LEVEL_FALL = 0.1
# Part of the cost left after `patience` steps from which it creeps: a width that creeps to its floor lowers it by half
# in so many steps, falls that end in rounding do by a factor of thousands.
CREEPING_PART = 0.3
# Damping, relative to D, of a parameter that stands at a bound: so large that it does not move.
FIXED_DAMPING = 1e8


@dataclass(frozen=True)
class QuadraticSteps(SolverBase):
    """The steps and stop rules of a second-order solver, over three methods that it adds.

    The settings are those of `LevenbergMarquardt`, whose text explains them.
    """

    max_steps: Any = 500
    ftol: Any = 1e-8
    xtol: Any = 1e-8
    gtol: Any = 1e-8
    reach: tuple[Any, Any] = (0.5, 3.0)
    slack: Any = 6e-4
    patience: Any = 16
    distance: Any = MAX_DISTANCE

    @property
    def bears_wrong_curvature(self) -> bool:
        """Whether steps stay good where J^T J is wrong, so that no plan for the old parameters is needed."""
        return False

    def _first_control(self, dtype: Any) -> Any:
        """The solver's step control at the start: a NamedTuple with a ``value``, which the history shows."""
        raise NotImplementedError

    def _solved(
        self,
        problem: Problem,
        state: QuadraticState,
        normal: Normal,
        constraints: ActiveConstraints | None,
        scaling: Array,
    ) -> tuple[Array, Array]:
        """The step (P,) from the quadratic model, for squared scales (P,), and whether it can be trusted.

        `constrained_system` gives the system under bounds and constraints; its ``solve`` stands clear of rounding with
        a damping of ``normal.least_damping`` or more. A step that cannot be trusted ends the fit as ILL_CONDITIONED.
        """
        raise NotImplementedError

    def _next_control(self, state: QuadraticState, outcome: Outcome) -> Any:
        """The step control after a trial; a value of NaN ends the fit as NON_FINITE."""
        raise NotImplementedError

    def _damping(self, state: QuadraticState) -> Array:
        """The damping of the linear system relative to D, 0 without one."""
        return jnp.zeros((), state.params.dtype)

    def _damping_now(self, state: QuadraticState) -> Array:
        """The damping of the next step: next to none where it is to tell how far the minimum is."""
        least = max(LEAST_DAMPING, state.linearization.normal.least_damping)
        return jnp.where(state.watch.is_probing, least, self._damping(state)).astype(state.params.dtype)

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        count(f"{name}.patience", self.patience)
        for setting in ("ftol", "xtol", "gtol", "slack"):
            not_negative(f"{name}.{setting}", getattr(self, setting))
        if not (np.isscalar(self.distance) and self.distance == np.inf):  # asks nothing
            not_negative(f"{name}.distance", self.distance)
        numbers = np.shape(self.reach) == (2,) and all(isinstance(r, (int, float, np.number)) for r in self.reach)
        if not numbers or not 0 < self.reach[0] <= self.reach[1]:
            raise ValueError(f"`{name}.reach` must be two increasing positive numbers, got {self.reach!r}")

    def init(self, problem: Problem, params: Array) -> QuadraticState:
        """The state at the start."""
        state, residuals = self.unevaluated(problem, params), problem.residuals(params)
        cost = half_square(residuals)
        return state._replace(
            position=Position(params, cost, residuals),
            status=jnp.asarray(int(Status.RUNNING)),
            watch=self._watched(state.watch, cost, problem.noise_variance(cost))[0],
        )

    def unevaluated(self, problem: Problem, params: Array, state: QuadraticState | None = None) -> QuadraticState:
        """The state at the start, or after a new plan, in NumPy: the next step first takes the cost.

        After a new plan a state keeps its proposal and, if it has the same form, J^T J: all that another plan changes
        are the tails that it leaves out. Where these are nothing beside the step, it keeps its cost, too.
        """
        residuals, normal = jax.tree.map(_zeros, shapes_of(_carried, problem, params))
        if state is None:
            dtype = np.dtype(params.dtype)
            position = Position(params, host_array(np.inf, dtype), residuals)
            return first_state(position, normal, self._first_control(dtype), self.reach[0], self.patience)
        kept: Linearization = state.linearization
        if _form(kept.normal) != _form(normal):
            kept = kept._replace(stale=host_array(True, bool), normal=normal)
        state = state._replace(linearization=kept)
        if cost_is_kept(problem, state):
            return state._replace(status=host_array(int(Status.RUNNING), int))
        return state.unevaluated()

    def parted(self, state: QuadraticState) -> tuple[QuadraticState, Any]:
        return state.with_normal(None), state.linearization.normal

    def joined(self, state: QuadraticState, large: Any) -> QuadraticState:
        return state.with_normal(large)

    def step(self, problem: Problem, state: QuadraticState) -> QuadraticState:
        """The state after one step, or with status REPLAN where the trial lies outside the plan."""
        is_new, ready = state.status == int(Status.UNEVALUATED), self._is_ready(problem, state)
        waits = state.proposal.made | is_new | ~jnp.asarray(ready)
        damping = self._damping_now(state)
        needed = ~waits & (state.linearization.stale | state.watch.is_probing)
        state = state._replace(linearization=linearized(problem, state, needed, damping))
        proposal = jax.lax.cond(waits, lambda: state.proposal, lambda: self._proposed(problem, state, damping))
        state = state._replace(proposal=proposal)
        trial = jnp.where(is_new, state.params, state.wanted)
        valid = problem.plan_is_valid(trial)
        if ready is True and valid is True:
            return self._judged(problem, state, trial, is_new)
        # The normal matrix goes around the branch, which would copy it.
        rest = state.with_normal(None)
        # Where there is no proposal yet, the plan is wanted for the parameters themselves.
        wanted_step = jnp.where(ready, state.proposal.step, 0)
        replan = rest._replace(
            status=jnp.asarray(int(Status.REPLAN)), proposal=state.proposal._replace(step=wanted_step)
        )
        rest = jax.lax.cond(
            is_new | (ready & valid),
            lambda: self._judged(problem, state, trial, is_new).with_normal(None),
            lambda: replan,
        )
        return rest.with_normal(state.linearization.normal)

    def _is_ready(self, problem: Problem, state: QuadraticState) -> Any:
        """Whether there is a proposal, or the problem can be linearised for one under its present plan."""
        if self.bears_wrong_curvature:
            return True
        valid = problem.curvature_is_valid(state.params)
        known = state.proposal.made | (~state.linearization.stale & ~state.watch.is_probing)
        return True if valid is True else known | valid

    def _proposed(self, problem: Problem, state: QuadraticState, damping: Array) -> Proposal:
        """The next step, and what the quadratic model says of it."""
        params, gradient, normal = state.params, state.linearization.gradient, state.linearization.normal
        if needs_jacobian(normal):
            normal = problem.linearize(params)[1].restored(normal)
        scaling = problem.scaling(params, normal.diagonal().astype(params.dtype))
        # The distance is that within the limits that are met, as errors take it: a limit ahead is no minimum.
        ahead = jnp.where(state.watch.is_probing, jnp.inf, scaling * jnp.maximum(1, damping))
        constraints = problem.active_constraints(params, gradient, ahead)
        step, trusted = self._solved(problem, state, normal, constraints, scaling)
        step = jnp.where(state.linearization.at_bound, 0, step)
        distance2 = undamped_fall(step, gradient, damping * scaling, damping) / problem.noise_variance(state.cost)
        step = problem.within_trust_region(params, step, state.reach)
        predicted = -jnp.vdot(step, gradient + 0.5 * normal.mv(step).astype(step.dtype), precision="highest")
        root = jnp.sqrt(scaling)
        size = jnp.linalg.norm(root * params)
        length = jnp.linalg.norm(root * step) / jnp.where(size > 0, size, 1)
        return Proposal(jnp.asarray(True), step, length, predicted, distance2, jnp.asarray(trusted))

    def _judged(self, problem: Problem, state: QuadraticState, trial: Array, is_new: Array) -> QuadraticState:
        """The state after its trial: the step taken or not, and what follows from it. Where it ``is_new``, the trial
        are its own parameters, and only their cost is taken.
        """
        predicted, trusted = state.proposal.predicted, state.proposal.trusted
        trial_residuals = problem.residuals(trial)
        trial_cost = half_square(trial_residuals)
        actual = state.cost - trial_cost
        # A product instead of a quotient: no division by a vanishing prediction, and NaN counts as failure.
        accepted = trusted & (predicted > 0) & (actual >= ACCEPTED_GAIN * predicted)
        accepted &= ~self._ends_here(state) | (actual >= GOOD_GAIN * predicted)
        outcome = Outcome(trial_cost, actual, predicted, accepted)
        moves = accepted | is_new
        cost = jnp.where(moves, trial_cost, state.cost)
        control = self._next_control(state, outcome)
        probing = state.watch.is_probing
        watch, is_slow = self._watched(state.watch, cost, problem.noise_variance(cost))
        residuals = jax.tree.map(lambda a, b: jnp.where(moves, a, b), trial_residuals, state.position.residuals)
        negligible = problem.is_negligible(residuals)
        ended = self._ended(state, problem.is_exact(residuals) | (negligible & _creeps(state.watch, watch, cost)))
        doubted = self._doubted(state, outcome, is_slow)
        told = self._told(state, outcome, doubted, problem.noise_variance(cost), negligible)
        status = jnp.where(ended == int(Status.RUNNING), told, ended)
        pending = jnp.where(probing, int(Status.RUNNING), doubted)
        watch = watch._replace(pending=jnp.where(is_new, state.watch.pending, pending))  # a new plan ends no question
        held = is_new | (probing & ~accepted)
        return state._replace(
            position=Position(
                params=jnp.where(moves, trial, state.params),
                cost=cost,
                residuals=residuals,
            ),
            status=jnp.where(is_new, int(Status.RUNNING), status),
            control=jax.tree.map(lambda a, b: jnp.where(held, a, b), state.control, control),
            reach=jnp.where(held, state.reach, self._next_reach(state.reach, outcome)),
            watch=watch,
            linearization=state.linearization._replace(stale=state.linearization.stale | (accepted & ~is_new)),
            proposal=state.proposal._replace(made=state.proposal.made & is_new),
        )

    def _ends_here(self, state: QuadraticState) -> Array:
        """Whether the minimum is near enough for the fit to end. It then ends where that is known, and takes no last
        step over which the model fails: behind it another limit may hold, and the minimum be further away.
        """
        near = state.proposal.trusted & (state.proposal.distance2 <= jnp.square(self.distance))
        return state.watch.is_probing & near

    def _next_reach(self, reach: Array, outcome: Outcome) -> Array:
        """Doubled where the linear model held well, halved where it failed, between the first reach and the longest."""
        good = outcome.actual >= GOOD_GAIN * outcome.predicted
        factor = jnp.where(outcome.accepted, jnp.where(good, 2.0, 1.0), 0.5)
        return jnp.clip(reach * factor, self.reach[0], self.reach[1])

    def _watched(self, watch: Watch, cost: Array, variance: Array) -> tuple[Watch, Array]:
        """The watch after one more step, and whether the cost fell by less than ``slack`` in ``patience`` steps."""
        due = WATCHES * (watch.steps + 1) >= self.patience
        fall = watch.costs[0] - cost
        is_slow = due & (fall < self.slack * cost)
        costs = jnp.where(due, jnp.append(watch.costs[1:], cost), watch.costs)
        recent = WATCHES * (watch.costs[-1] - cost)
        falls = (jnp.where(due, 2 * new / variance, old) for new, old in ((fall, watch.fall), (recent, watch.recent)))
        return Watch(costs, jnp.where(due, 0, watch.steps + 1), watch.pending, *falls), is_slow

    def _ended(self, state: QuadraticState, is_exact: Array) -> Array:
        """The status where a fit ends whatever the distance to the minimum is."""
        finite = jnp.isfinite(state.cost + state.optimality) & ~jnp.isnan(state.damping)
        untrusted = ~state.proposal.trusted & ~state.watch.is_probing
        return _first(
            [
                (~finite, Status.NON_FINITE),
                (untrusted, Status.ILL_CONDITIONED),
                (is_exact, Status.EXACT),
            ]
        )

    def _doubted(self, state: QuadraticState, outcome: Outcome, is_slow: Array) -> Array:
        """The end that the step speaks for. None of these rules says how far the minimum is, so that the next step is
        to confirm it.
        """
        _, actual, predicted, accepted = outcome
        length, eps = state.proposal.length, float(np.finfo(state.params.dtype).eps)
        small = self.ftol * state.cost
        hopeless = (jnp.abs(predicted) <= 4 * eps * state.cost) | (length <= eps)
        return _first(
            [
                (state.optimality <= self.gtol, Status.CONVERGED_GRADIENT),
                (accepted & (actual <= small) & (predicted <= small), Status.CONVERGED_COST),
                ((~accepted & hopeless) | ~jnp.isfinite(state.damping), Status.PRECISION),
                (is_slow, Status.CONVERGED_SLOWLY),
                (accepted & (length <= self.xtol), Status.CONVERGED_STEP),
            ]
        )

    def _told(
        self, state: QuadraticState, outcome: Outcome, doubted: Array, variance: Array, negligible: Array
    ) -> Array:
        """The status once an undamped step has told how far the minimum is.

        Where g^T N^-1 g / s^2 is small the fit ends as the step before it said; after a slow fall only if that is slow
        against the noise, too. So it does where a ``negligible`` misfit no longer falls. Far from the minimum it goes
        on, unless chi2 / s^2 no longer falls: then it is in a valley without a near end, or its rounding hides the way.
        """
        watch, pending = state.watch, state.watch.pending
        creeps, rounded, short = (
            pending == int(code) for code in (Status.CONVERGED_SLOWLY, Status.PRECISION, Status.CONVERGED_STEP)
        )
        near = self._ends_here(state) | (negligible & ~creeps & ~short)
        level = watch.recent < LEVEL_FALL
        gain = 2 * jnp.where(outcome.accepted, outcome.actual, 0) / variance
        vain = (gain < LEVEL_FALL) & ~short & (~creeps | (level & (watch.fall < LEVEL_FALL)))
        failed = jnp.where(rounded, int(Status.IMPRECISE), int(Status.VALLEY))
        told = jnp.where(near & (level | ~creeps), pending, jnp.where(vain, failed, int(Status.RUNNING)))
        asked = jnp.where(jnp.isinf(self.distance), doubted, int(Status.RUNNING))
        return jnp.where(watch.is_probing, told, asked)


def _first(rules: list[tuple[Array, Status]]) -> Array:
    """The status of the first rule that holds; RUNNING if none does."""
    status = jnp.asarray(int(Status.RUNNING))
    for rule, code in reversed(rules):
        status = jnp.where(rule, int(code), status)
    return status


def _creeps(before: Watch, watch: Watch, cost: Array) -> Array:
    """Whether the cost falls on without end, as a width creeps to its floor."""
    return (watch.steps == 0) & (cost > CREEPING_PART * before.costs[0])


def constrained_system(
    state: QuadraticState, normal: Normal, constraints: ActiveConstraints | None, scaling: Array
) -> tuple[Normal, Array]:
    """J^T J and the gradient for a step that leaves alone what stands at a bound, and obeys active constraints."""
    gradient = jnp.where(state.linearization.at_bound, 0, state.linearization.gradient)
    if constraints is not None:
        scales = scaling.astype(normal.diagonal().dtype)
        normal = normal.with_penalty(*constraints.penalty_blocks(scales))
        gradient = constraints.with_gap(gradient, scales)
    return normal, gradient


def _carried(problem: Problem, params: Array) -> tuple[Array, Any]:
    """Residuals and normal matrix, whose shapes a state has room for from its start."""
    residuals, jacobian = problem.linearize(params)
    return residuals, jacobian.normal(residuals)[0]


def _zeros(leaf: Any) -> Any:
    return np.zeros(leaf.shape, leaf.dtype)


def _form(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [leaf.shape for leaf in leaves]
