"""The only loop: runs any solver in compiled chunks of steps, and keeps the best iterate whatever happens.

`solve` is the pure form, one ``while_loop`` that passes ``jit`` and ``vmap``. `run` is the form for people: it
returns to the host after every chunk, to show progress, call back, and honour a time limit and Ctrl-C.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import brief_jit, pass_jit, quick_jit
from .._base.memory import MemoryShort
from .._base.precision import on_host
from .._base.status import Status
from .._problem.base import Problem, half_square
from .._system.processes import ProcessLost
from .base import Solver, check_state

# Steps a dispatch at most: to come back to the host costs about as much as one small step, so 64 hide it. It is also
# the number of rows of a chunk's history.
CHUNK_STEPS = 64
# Seconds a dispatch is to last: short enough that a progress bar moves and Ctrl-C is obeyed at once.
CHUNK_SECONDS = 0.2


class Solution(NamedTuple):
    """What `surfacefit.solve` gives, as JAX arrays (with a leading axis under ``vmap``).

    ``params`` (P,) are the best parameters met, ``cost`` is ``|r|^2 / 2`` there, ``status`` a `Status` code as an
    integer, ``steps`` the number of steps taken. With an ``adjoint``, ``minimum`` says what its derivatives are worth.
    """

    params: Array
    cost: Array
    status: Any
    steps: Any
    minimum: Any = None


class Record(NamedTuple):
    """One row a step: cost and damping after it, optimality where the solver last linearised."""

    cost: Any
    optimality: Any
    damping: Any


class Carry(NamedTuple):
    """What the loop carries from step to step."""

    state: Any
    best: Solution


class OneDevice:
    """Where a run's arrays are: on the one device to which JAX brings them by itself. A mesh of devices says more."""

    def placed(self, tree: Any) -> Any:
        """The arrays where the run has them."""
        return tree

    def brought_back(self, params: Any) -> Any:
        """Parameters for all that is computed after the run."""
        return params

    def computed(self, function: Callable[[], Any]) -> Any:
        """What a function gives; `ProcessLost` where another process that takes part does not answer."""
        return function()

    def agreed(self, *numbers: Any) -> tuple[Any, ...]:
        """Numbers on which all processes that take part act: those of the first."""
        return numbers


@dataclass(frozen=True)
class Limits:
    """When a run must end, on the ``time.perf_counter`` clock, who sees each chunk (True from it: stop), and how many
    steps are taken by code that XLA does not optimise: for a run that is expected to end within them. ``place`` says
    where it runs.
    """

    deadline: float = float("inf")
    callback: Callable[[Solution], Any] = lambda solution: False
    brief_steps: int = 0
    place: Any = field(default_factory=OneDevice)

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return bool(self.place.agreed(int(time.perf_counter() >= self.deadline))[0])


RunPlanner = Callable[[Any, Array, Array], Any]
"""Gives a problem a plan that is valid at two sets of parameters: (problem, wanted, params) -> problem."""


class Planner(Protocol):
    """Makes the plans of a fit, run by run."""

    def for_run(self, with_normal: bool = True) -> RunPlanner:
        """For a run whose solver asks for normal matrices, or does not."""
        ...


class Adjoint(Protocol):
    """A way to differentiate through the end of a solver."""

    def solution(self, solve: Callable[..., Solution], problem: Any, params: Array, solver: Any) -> Solution:
        """What ``solve(problem, params, solver)`` gives, with derivatives."""
        ...


def solve(problem: Problem, params: Array, solver: Solver, adjoint: Adjoint | None = None) -> Solution:
    """Minimise a problem from a start (P,), as a pure function of arrays for use under ``jit`` and ``vmap``.

    ``problem`` is any record with the methods of a problem, such as `SurfaceProblem` with its dense engine (plans of a
    tiled one are renewed by `fit` alone); ``solver`` any solver object.
    Gives the best parameters met, their cost ``|r|^2 / 2``, a `Status` code and the number of steps. Nothing is scaled,
    and no failure raises: a fit among those of a ``vmap`` that fails keeps its best parameters, and its status says so.
    With ``adjoint=surfacefit.Implicit()`` derivatives go through the solution of a `SurfaceProblem`, forwards and
    backwards. See `SurfaceProblem.from_start` for an example.
    """
    if adjoint is not None:
        return adjoint.solution(_solved, problem, params, solver)
    return _solved(problem, params, solver)


def _solved(problem: Problem, params: Array, solver: Solver) -> Solution:
    carry, _ = advance(solver, problem, begin(solver, problem, params), solver.max_steps, None)
    if solver.fallback is not None:
        carry, _ = advance(solver.fallback, problem, resumed(carry), solver.max_steps - carry.best.steps, None)
    exhausted = carry.best.status == Status.RUNNING
    return carry.best._replace(status=jnp.where(exhausted, Status.MAX_STEPS, carry.best.status))


def run(
    problem: Problem,
    start: Array,
    solver: Solver,
    limits: Limits,
    planner: Planner | None = None,
    outcome: Status | None = None,
) -> tuple[Solution, Record]:
    """Minimise in chunks of steps, under limits; gives the solution and the history, one row a step.

    The planner is asked for a plan before the first step, and whenever a solver wants to leave the one it has. With an
    ``outcome`` no step is taken: the fit has ended already.
    """
    solver_run = SolverRun(problem, start, solver, limits, planner)
    if outcome is None:
        try:
            outcome = solver_run.advance(int(solver.max_steps))
        except KeyboardInterrupt:
            outcome = Status.INTERRUPTED
    return solver_run.ended_as(outcome)


class SolverRun:
    """The run of a solver from one start: where it stands, and the rows of its history."""

    def __init__(self, problem: Problem, start: Array, solver: Solver, limits: Limits, planner: Planner | None):
        self.solver, self.limits = solver, limits
        self.planner = None if planner is None else planner.for_run(solver.uses_normal)
        start = limits.place.placed(start)
        self.problem = problem if self.planner is None else self.planner(problem, start, start)
        self.carry = self._begun(start)
        self.records: list[Record] = []
        self.n_next = 1
        self.unserved: np.ndarray | None = None

    def _begun(self, start: Array) -> Carry:
        state = self.solver.unevaluated(self.problem, start)
        if state is None:
            return _begin(self.solver, self.problem, start)
        return self._placed(Carry(state, Solution(start, state.cost, state.status, _code(0))))

    def _placed(self, carry: Carry) -> Carry:
        placed: Carry = self.limits.place.placed(carry)
        return placed

    @property
    def steps(self) -> int:
        return int(self.carry.best.steps)

    @property
    def status(self) -> Status:
        return Status(int(self.carry.best.status))

    def cost(self) -> float:
        cost = float(self.carry.best.cost)
        return cost if np.isfinite(cost) else float("inf")

    def advance(self, total: int) -> Status:
        """Steps up to ``total`` since the start; RUNNING if nothing but their number ended them."""
        outcome = self.status
        try:
            while outcome in (Status.RUNNING, Status.UNEVALUATED) and self.steps < total:
                self._chunk(min(self.n_next, total - self.steps))
                told = _told_to_stop(self.carry.best, self.limits)
                self.n_next, told = self.limits.place.agreed(self.n_next, int(told))
                goes_on = self.status in (Status.RUNNING, Status.UNEVALUATED)
                outcome = Status(told) if goes_on else self.status
        except ProcessLost:
            return Status.PROCESS_LOST
        return outcome

    def _chunk(self, n_steps: int) -> None:
        tick, before = time.perf_counter(), self.steps
        advance, most = _advance, n_steps
        if before < self.limits.brief_steps:
            advance, most = _advance_briefly, min(n_steps, self.limits.brief_steps - before)

        def computed() -> tuple[Carry, Any]:
            carry, record = advance(self.solver, self.problem, self.carry, most)
            best = carry.best
            # One transfer, after which `status`, `steps` and `cost` ask for no other.
            return carry, on_host((record, best.status, best.steps, best.cost))

        self.carry, (record, status, steps, cost) = self.limits.place.computed(computed)
        best = self.carry.best._replace(status=status, steps=steps, cost=cost)
        self.carry = self._placed(self.carry._replace(best=best))
        taken = self.steps - before
        self.records.append(Record(*(column[:taken] for column in record)))
        if taken:
            self.n_next = _next_chunk(taken, time.perf_counter() - tick, self.limits)
        if self.status == Status.ILL_CONDITIONED and self.solver.fallback is not None:
            self.solver, self.carry, self.n_next = self.solver.fallback, resumed(self.carry), 1
        if taken:
            self.unserved = None
        if self.status == Status.REPLAN and self.planner is not None:
            self._replan(self.planner)

    def _replan(self, planner: RunPlanner) -> None:
        """A plan for the step that the solver proposes; where there can be none, the fit ends with its best.

        A solver that asks for the same plan again, without a step in between, has got none that serves.
        """
        state, best = self.carry
        wanted = np.asarray(state.wanted)
        if self.unserved is not None and np.array_equal(wanted, self.unserved, equal_nan=True):
            self._end(Status.NO_PLAN)
            return
        try:
            self.problem = planner(self.problem, state.wanted, state.params)
        except MemoryShort:
            self._end(Status.MAX_MEMORY)
            return
        self.unserved = wanted
        renewed = self.solver.unevaluated(self.problem, state.params, state)
        if renewed is None:
            renewed = _replanned(self.solver, self.problem, state)
        self.carry = self._placed(Carry(renewed, best._replace(status=renewed.status)))

    def _end(self, status: Status) -> None:
        state, best = self.carry
        self.carry = Carry(state, best._replace(status=_code(status)))

    def solution(self, outcome: Status) -> Solution:
        """The best so far, which ended with that status; its cost is taken if no step has done so."""
        best = self.carry.best
        if self.status == Status.UNEVALUATED and self.steps == 0 and outcome != Status.PROCESS_LOST:
            best = best._replace(cost=_cost(self.problem, best.params))
        cost, steps = on_host((best.cost, best.steps))
        return Solution(self.limits.place.brought_back(best.params), cost, _code(outcome), steps)

    def ended_as(self, outcome: Status) -> tuple[Solution, Record]:
        """The solution and the history of a run that ended so."""
        if outcome in (Status.RUNNING, Status.UNEVALUATED):  # the latter where no step is allowed
            outcome = Status.MAX_STEPS
        return self.solution(outcome), self.history()

    def history(self) -> Record:
        if not self.records:
            return Record(*(np.zeros(0) for _ in Record._fields))
        return Record(*(np.concatenate(column) for column in zip(*self.records, strict=True)))


def begin(solver: Solver, problem: Problem, params: Array) -> Carry:
    """The carry before the first step."""
    state = solver.init(problem, params)
    check_state(solver, state)
    return Carry(state, Solution(params, state.cost, state.status, jnp.asarray(0)))


def resumed(carry: Carry) -> Carry:
    """A carry that goes on, if the solver before it gave up for ill-conditioning."""
    gave_up = carry.best.status == Status.ILL_CONDITIONED
    running = jnp.asarray(int(Status.RUNNING))
    state = carry.state._replace(status=jnp.where(gave_up, running, carry.state.status))
    return Carry(state, carry.best._replace(status=jnp.where(gave_up, running, carry.best.status)))


def advance(
    solver: Solver, problem: Problem, carry: Carry, n_steps: Any, n_rows: int | None
) -> tuple[Carry, Record | None]:
    """Up to ``n_steps`` more steps, with a record of ``n_rows`` rows (none if None)."""
    first = carry.best.steps
    rows = None
    if n_rows is not None:
        rows = Record(*(jnp.zeros(n_rows, carry.best.cost.dtype) for _ in Record._fields))

    def more(loop: tuple[Carry, Record | None]) -> Array:
        best = loop[0].best
        return (best.status == Status.UNEVALUATED) | ((best.status == Status.RUNNING) & (best.steps - first < n_steps))

    def body(loop: tuple[Carry, Record | None]) -> tuple[Carry, Record | None]:
        (old, best), rows = loop
        state = solver.step(problem, old)
        check_state(solver, state, "step")
        is_step = (state.status != Status.REPLAN) & (old.status != Status.UNEVALUATED)
        if rows is not None:
            here = best.steps - first
            values = (state.cost, state.optimality, state.damping)
            rows = Record(*(row.at[here].set(value) for row, value in zip(rows, values, strict=True)))
        # Weakly typed numbers would make the next call another program.
        carry = jax.tree.map(_strongly_typed, Carry(state, _better(best, state, is_step)))
        return carry, rows

    return jax.lax.while_loop(more, body, (carry, rows))


def _strongly_typed(leaf: Any) -> Array:
    return jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype)


def _code(number: int) -> Any:
    return np.asarray(int(number))


def _better(best: Solution, state: Any, is_step: Array) -> Solution:
    lower = state.cost <= best.cost
    params = jnp.where(lower, state.params, best.params)
    steps = best.steps + jnp.where(is_step, 1, 0)
    return Solution(params, jnp.where(lower, state.cost, best.cost), state.status, steps)


def _recorded(solver: Solver, problem: Problem, carry: Carry, large: Any, n_steps: Any) -> tuple[Carry, Record | None]:
    whole = carry._replace(state=solver.joined(carry.state, large))
    return advance(solver, problem, whole, n_steps, CHUNK_STEPS)


def replanned(solver: Solver, problem: Problem, state: Any) -> Any:
    return solver.replanned(problem, state)


def cost(problem: Problem, params: Array) -> Array:
    return half_square(problem.residuals(params))


_begin = pass_jit(begin)
_cost = pass_jit(cost)
_replanned = quick_jit(replanned)
_recorded_in_place, _recorded_briefly = quick_jit(_recorded, overwritten=(3,)), brief_jit(_recorded, overwritten=(3,))


def _advance(solver: Solver, problem: Problem, carry: Carry, n_steps: int) -> tuple[Carry, Record]:
    """Up to so many steps, in place of the large arrays of the state: of a carry that is given, only `best` is left."""
    state, large = solver.parted(carry.state)
    after: tuple[Carry, Record] = _recorded_in_place(solver, problem, carry._replace(state=state), large, n_steps)
    return after


def _advance_briefly(solver: Solver, problem: Problem, carry: Carry, n_steps: int) -> tuple[Carry, Record]:
    """The same by code that XLA does not optimise."""
    state, large = solver.parted(carry.state)
    after: tuple[Carry, Record] = _recorded_briefly(solver, problem, carry._replace(state=state), large, n_steps)
    return after


def cost_at(problem: Problem, params: Array) -> float:
    """The cost at parameters (P,), on the host."""
    return float(_cost(problem, params))


def _told_to_stop(best: Solution, limits: Limits) -> Status:
    if limits.callback(best):
        return Status.STOPPED
    return Status.MAX_TIME if time.perf_counter() >= limits.deadline else Status.RUNNING


def _next_chunk(last: int, seconds: float, limits: Limits) -> int:
    """Steps for the next dispatch: short enough that a bar moves and the deadline is met."""
    left = limits.deadline - time.perf_counter()
    per_step = max(seconds, 1e-6) / max(last, 1)
    return max(1, min(int(min(CHUNK_SECONDS, left) / per_step), 4 * max(last, 1), CHUNK_STEPS))
