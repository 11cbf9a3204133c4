"""The run of a solver over a map on disk, which goes on where a checkpoint says that it stood.

All that later steps depend on is written after each pass: the solver's state, the best so far, both sets of parameters
that are known with their sums, and the capacities of compiled programs. A process that is killed loses the pass that it
was in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax import Array

from .._base.status import Status
from .._solvers import Limits, Record, Solution, Solver
from .._solvers.loop import Carry, SolverRun
from .checkpoint import WAY_OUT, BadCheckpoint, Checkpoint, filled
from .planner import StreamedPlanner
from .problem import KnownPoint, StreamedProblem
from .window_sums import MapSums

# Arrays of a start at the head of a checkpoint: amplitudes, centres, covariances, and the background's numbers.
START_ARRAYS = 4


@dataclass(eq=False)
class Keeper:
    """Where a run writes where it stands, None for nowhere, and what was read from there; ``start`` are the arrays of
    the fit's start, which are written too.
    """

    checkpoint: Checkpoint | None = None
    arrays: list[np.ndarray] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    start: list[np.ndarray] = field(default_factory=list)


class StreamedRun(SolverRun):
    """A `SolverRun` that writes where it stands after each pass, and begins there if ``resumed``."""

    def __init__(
        self,
        problem: StreamedProblem,
        start: Array,
        solver: Solver,
        limits: Limits,
        planner: StreamedPlanner,
        keeper: Keeper,
    ):
        self.keeper, self.streamed = keeper, planner
        if keeper.arrays:
            self.solver, self.limits, self.planner = solver, limits, planner
            self.n_next, self.unserved = 1, None
            self._restore(problem)
            return
        super().__init__(problem, start, solver, limits, planner)
        self._keep()

    def ended(self) -> tuple[Solution, Record]:
        """The solution and the history, after all steps that limits allow."""
        try:
            outcome = self.advance(int(self.solver.max_steps))
        except KeyboardInterrupt:
            outcome = Status.INTERRUPTED
        if outcome in (Status.RUNNING, Status.UNEVALUATED):
            outcome = Status.MAX_STEPS
        return self.solution(outcome), self.history()

    def _chunk(self, n_steps: int) -> None:
        before = self.problem
        super()._chunk(n_steps)
        if self.problem is not before or self.status not in (Status.RUNNING, Status.UNEVALUATED):
            self._keep()

    def _keep(self) -> None:
        checkpoint = self.keeper.checkpoint
        if checkpoint is None:
            return
        unserved = self.carry.best.params if self.unserved is None else self.unserved
        problem: Any = self.problem
        tree = (self.keeper.start, self.carry, problem.there, problem.here, self.history(), unserved)
        checkpoint.write(tree, {"capacities": self.streamed.capacities, "is_unserved": self.unserved is not None})

    def _restore(self, problem: StreamedProblem) -> None:
        told, arrays = self.keeper.told, self.keeper.arrays
        self.streamed.capacities = {str(name): int(n) for name, n in told["capacities"].items()}
        carried, there, here, history, unserved = _parts(arrays[START_ARRAYS:])
        n_parameters = problem.parameterization.n_parameters
        if np.shape(there.params) != (n_parameters,) or np.shape(here.params) != (n_parameters,):
            raise BadCheckpoint(f"the checkpoint holds other arrays than this fit carries: {WAY_OUT}")
        self.problem = self.streamed.renewed(problem, there, here)
        state = self.solver.unevaluated(self.problem, there.params)
        template = Carry(state, Solution(there.params, state.cost, state.status, np.asarray(0)))
        self.carry = filled(template, carried)
        self.records = [history] if len(history.cost) else []
        self.unserved = unserved if told["is_unserved"] else None


def _parts(arrays: list[np.ndarray]) -> tuple[list[np.ndarray], KnownPoint, KnownPoint, Record, np.ndarray]:
    """The arrays of the carry, whose number only the solver knows, and what stands behind them."""
    rest = list(arrays)

    def taken(number: int) -> list[np.ndarray]:
        some = rest[-number:]
        del rest[-number:]
        return some

    (unserved,), history = taken(1), Record(*taken(len(Record._fields)))
    here, there = (
        KnownPoint(first, MapSums(*sums)) for first, *sums in (taken(1 + len(MapSums._fields)) for _ in "ht")
    )
    return rest, there, here, history, unserved
