"""Runs of a second-order solver whose late steps cost what still moves: between joint steps, the few components that
move go on by themselves, all others held.

Who moves is told by the last joint step h: component k by its part of h^T D h, with the diagonal D of J^T J. Where a
few hold nearly all of it, as among thousands of sources on a map each of which ends when it has ended, their steps are
as cheap as they are few, with a damping of their own, and their cost is that of the whole. Where components move
together, as on terrain, no few hold it, and all steps are joint ones.

A joint step follows, which moves all and says anew who moves; whether a fit has ended is decided by joint steps alone.
This is block coordinate descent by the Gauss-Southwell rule (Nutini et al., J. Mach. Learn. Res. 23 (2022) 131), with
joint steps between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import LIMIT_STATUSES, Status
from .._solvers.loop import Carry, Limits, Planner, Record, Solution, SolverRun
from .._solvers.quadratic_state import QuadraticState
from .partial_problem import PartialProblems
from .who_moves import moving

# Components from which it is worth while: below, another program takes longer to compile than joint steps take.
MOVING_FROM = 2000
# Joint steps before the first of them: the program that they need takes about as long to compile.
MOVING_AFTER = 8
# Of a joint step: what a step of moving components costs however few they are, to pass over all points.
MOVING_OVERHEAD = 0.05


@dataclass(eq=False)
class MovingRun:
    """The run of a solver from one start, with steps of the components that move between its joint steps.

    Where these win less than the joint step before them, which costs as much as all of them, the next ``pause`` joint
    steps follow each other; twice as many each time.
    """

    run: SolverRun
    partial: PartialProblems
    pause: int = 1
    waits: int = MOVING_AFTER
    begun: float = field(default_factory=time.perf_counter)
    is_compiled: bool = False

    @property
    def whole(self) -> Any:
        """The problem of all components, with its plan."""
        return self.run.problem

    def advance(self, total: int) -> Status:
        """Joint steps up to ``total`` since the start; RUNNING if nothing but their number ended them."""
        outcome, run = self.run.status, self.run
        while outcome in (Status.RUNNING, Status.UNEVALUATED) and run.steps < total:
            before = run.cost()
            outcome = run.advance(run.steps + 1)
            self.waits = max(0, self.waits - 1)
            members = self.moving() if outcome == Status.RUNNING else np.zeros(0, int)
            if len(members):
                told = self.move(members, before - run.cost())
                outcome = told if told in LIMIT_STATUSES else outcome
        return outcome

    def moving(self) -> np.ndarray:
        """The components that go on by themselves now, by their numbers; none before an end that is to be confirmed."""
        state = self.run.carry.state
        if self.waits or bool(state.watch.is_probing) or not self._has_time():
            return np.zeros(0, int)
        return moving(self.whole, state.linearization.normal.diagonal(), state.proposal.step)

    def _has_time(self) -> bool:
        """Whether a limit of time leaves enough for compiling, which takes no longer than the joint steps before it and
        heeds no limit.
        """
        now = time.perf_counter()
        return self.is_compiled or self.run.limits.deadline - now >= now - self.begun

    def move(self, members: np.ndarray, won: float) -> Status:
        """Steps of some components, which cost about as much as the joint step before, that has ``won`` something."""
        try:
            part = self._part(members)
        except MemoryShort:
            return Status.RUNNING
        self.is_compiled = True
        before, share = self.run.cost(), len(members) / int(self.whole.parameterization.n_active)
        try:
            outcome = part.advance(int(1 / (share + MOVING_OVERHEAD)))
        finally:
            self._take(members, part)
        if before - self.run.cost() < won:
            self.waits, self.pause = self.pause, 2 * self.pause
        else:
            self.pause = 1
        return outcome

    def _part(self, members: np.ndarray) -> SolverRun:
        """The run of some components from where the whole stands, with its step control."""
        run, state = self.run, self.run.carry.state
        problem, start = self.partial.problem(self.whole, state.params, members)

        def callback(now: Solution) -> Any:
            params: Any = self.partial.merged(self.whole, state.params, members, now.params)
            return run.limits.callback(now._replace(params=params, steps=run.steps))

        part = SolverRun(problem, start, run.solver, replace(run.limits, callback=callback), self.partial.planner)
        begun: QuadraticState = part.carry.state
        begun = begun._replace(control=state.control, reach=state.reach)
        part.carry = part.carry._replace(state=begun)
        return part

    def _take(self, members: np.ndarray, part: SolverRun) -> None:
        """Goes on from where some components have come to."""
        run, (state, best) = self.run, self.run.carry
        if not (part.steps and part.cost() < run.cost()):
            return
        params: Any = self.partial.merged(self.whole, state.params, members, part.carry.best.params)
        state, cost = state.moved_to(params), part.carry.best.cost
        run.carry, run.unserved = Carry(state, best._replace(params=params, cost=cost, status=state.status)), None


def run_what_moves(
    problem: Any, start: Array, solver: Any, limits: Limits, planner: Planner, partial: PartialProblems
) -> tuple[Solution, Record]:
    """As `run`, with steps of the components that move between joint ones; the history is that of joint steps."""
    run = SolverRun(problem, start, solver, limits, planner)
    try:
        outcome = MovingRun(run, partial).advance(int(solver.max_steps))
    except KeyboardInterrupt:
        outcome = Status.INTERRUPTED
    return run.ended_as(outcome)
