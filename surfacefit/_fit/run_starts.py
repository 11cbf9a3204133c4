"""The solver's steps from one start, or from each of several with the same compiled program, the best kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import LIMIT_STATUSES, Status
from .._mesh.stage import MeshStage
from .._problem.prepared import Prepared, tie_plan, tied_at
from .._problem.problem import SurfaceProblem
from .._runs.capped_weights import caps_of, run_under_caps, takes_stages
from .._runs.moving_run import MOVING_FROM, run_what_moves
from .._runs.partial_problem import PartialProblems
from .._runs.tied_problem import run_tied
from .._runs.who_moves import MOVING_SHARE
from .._search.context import SearchContext
from .._search.initialization import Initialization
from .._solvers import Limits, Record, Solution, Solver, run
from .._solvers.loop import Planner
from .._solvers.quadratic_steps import QuadraticSteps


class RunOutcome(NamedTuple):
    """The best solution, the history of the steps that led to it, how often each component (K,) was reset, and the
    costs at the ends of all starts, in the units of the fit.
    """

    solution: Solution
    history: Record
    resets: np.ndarray
    costs: list[float]


@dataclass(frozen=True, eq=False)
class StartRuns:
    """The solver's runs of one fit, from each of its starts, on the one device of the context or on a mesh."""

    context: SearchContext
    solver: Solver
    limits: Limits
    stage: MeshStage | None = None

    @property
    def prepared(self) -> Prepared:
        return self.context.prepared

    @property
    def planner(self) -> Planner | None:
        return self.prepared.planner if self.stage is None else self.stage.planner

    def problem_at(self, start: Array) -> SurfaceProblem:
        """The problem where the solver's steps are taken, with what is fixed held at a start."""
        return self.prepared.fixing(start) if self.stage is None else self.stage.problem_at(start)

    def run_from(self, start: Initialization) -> RunOutcome:
        """The best end of all starts. Where a limit ended growth, the steps take what is left of the time."""
        halted = self.limits.place.agreed(start.halted)[0]
        if halted is not Status.MAX_TIME or self.limits.over:
            return self.run_all(start.starts, halted)
        ended = self.run_all(start.starts, None)
        return ended if int(ended.solution.status) in LIMIT_STATUSES else with_status(ended, halted)

    def run_all(self, starts: Iterable[Array], halted: Status | None) -> RunOutcome:
        """The best end of all starts; with a status ``halted`` none takes steps. A limit that is met ends all runs."""
        best: RunOutcome | None = None
        try:
            for start in starts:
                told = None if best is None else self._told(best)
                if best is not None and told is not None:
                    return with_status(best, told)
                best = self._next(best, self.limits.place.agreed(start)[0], halted)
        except KeyboardInterrupt:
            if best is None:
                raise
            return with_status(best, Status.INTERRUPTED)
        assert best is not None
        return best

    def _told(self, best: RunOutcome) -> Status | None:
        """The status that keeps the next start from being tried, if a limit was met."""
        status = Status(int(best.solution.status))
        if status in LIMIT_STATUSES:
            return status
        return Status.MAX_TIME if self.limits.over else None

    def _next(self, best: RunOutcome | None, start: Array, halted: Status | None) -> RunOutcome:
        problem = self.problem_at(start)
        if best is None:
            try:
                solution, history = self._run(problem, start, self.limits, halted)
            except KeyboardInterrupt:  # while the first program was compiled: the start may be what a search has led to
                solution, history = run(problem, start, self.solver, self.limits, self.planner, Status.INTERRUPTED)
            return RunOutcome(
                solution, history, np.zeros(self.prepared.model.n_components, int), [float(solution.cost)]
            )
        try:
            solution, history = self._run(problem, start, self.limits_after(best.solution))
        except MemoryShort:
            return best._replace(costs=[*best.costs, np.nan])
        steps, costs = int(best.solution.steps) + int(solution.steps), [*best.costs, float(solution.cost)]
        if np.isfinite(costs[-1]) and not costs[-1] >= float(best.solution.cost):
            return RunOutcome(solution._replace(steps=steps), history, best.resets, costs)
        told = Status(int(solution.status)) if int(solution.status) in LIMIT_STATUSES else None
        return with_status(best._replace(solution=best.solution._replace(steps=steps), costs=costs), told)

    def _run(
        self, problem: SurfaceProblem, start: Array, limits: Limits, halted: Status | None = None
    ) -> tuple[Solution, Record]:
        if (plan := tie_plan(self.prepared)) is not None:
            tied = tied_at(self.prepared, plan, start)
            return run_tied(problem, tied, self.solver, limits, self.planner, halted)
        if halted is not None:
            return run(problem, start, self.solver, limits, self.planner, halted)
        if self._caps:
            return run_under_caps(problem, start, self.solver, limits, self.planner, self._caps)
        if self._partial is not None and self.planner is not None:
            return run_what_moves(problem, start, self.solver, limits, self.planner, self._partial)
        return run(problem, start, self.solver, limits, self.planner)

    @cached_property
    def _partial(self) -> PartialProblems | None:
        """Problems of the components that still move; None where steps of all of them are cheap, or on a mesh."""
        if self.stage is not None or not isinstance(self.solver, QuadraticSteps):
            return None
        if self.prepared.model.n_components < MOVING_FROM:
            return None
        return PartialProblems.of(self.prepared, MOVING_SHARE)

    @cached_property
    def _caps(self) -> list[float]:
        """The caps of weights under which the first runs are made; none where the weights are alike."""
        if self.prepared.data.sigma is None or not takes_stages(self.solver):
            return []
        return caps_of(np.asarray(self.prepared.problem.weights))

    def limits_after(self, best: Solution) -> Limits:
        """Limits with a callback that still sees the best of all starts, and counts the steps of all."""

        def callback(now: Solution) -> Any:
            seen = now if float(now.cost) < float(best.cost) else best
            return self.limits.callback(seen._replace(steps=int(best.steps) + int(now.steps)))

        return replace(self.limits, callback=callback)


def with_status(ended: RunOutcome, status: Status | None) -> RunOutcome:
    return ended if status is None else ended._replace(solution=ended.solution._replace(status=int(status)))
