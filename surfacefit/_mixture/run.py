"""One mixture fit: compiled steps in chunks, resets between them, the best iterate kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._base.compile import quick_jit
from .._base.status import Status
from .._constraints.mixture_regularization import MOST_RESETS
from .expectation_maximization import RECORD_ROWS, State, StopRules, begin, expectation_maximization
from .mixture_data import mixture_of
from .mixture_model import Mixture
from .resets import has_collapsed, with_fresh_components
from .setup import Task
from .starts import Start

# Seconds that a chunk of steps should take: callbacks, limits and Ctrl-C wait for its end.
MIXTURE_CHUNK_SECONDS = 0.2

# Times as many steps as in the last chunk: the time of the first steps says little of the later ones.
MAX_CHUNK_GROWTH = 4

# Units in the last place of an eigenvalue of one: covariances lower than this have no Cholesky factor, floor or not.
MIN_EIGENVALUE_UNITS = 100

# Units in the last place of the objective: an iterate counts as lower than the best by more than this.
LOWER_ROUNDING_UNITS = 8


@dataclass(frozen=True)
class RunLimits:
    """When a run must end, on the ``time.perf_counter`` clock, and who sees each chunk (and stops it by True)."""

    deadline: float
    callback: Callable[[MixtureRun], bool]


class HistoryEntry(NamedTuple):
    """Log-likelihood and objective of an iterate, per unit weight, and whether it does not follow from the last one."""

    log_likelihood: float
    objective: float
    restarted: bool


class MixtureRun:
    """A fit from one start to its end.

    ``set_aside`` is the best iterate before the last reset, if any, and ``entries`` the history.
    """

    def __init__(self, task: Task, start: Start, limits: RunLimits, rng: np.random.Generator):
        self.task, self.limits, self.rng = task, limits, rng
        n_components = len(start.weights)
        self.resets = np.zeros(n_components, int)
        each = np.full(n_components, task.resets)
        self.rules = self._rules(each, each & (task.regularization.kind != "tied"))
        self.carry = begin(mixture_of(*start, np.float64))
        self.set_aside: State | None = None
        self.entries: list[HistoryEntry] = []

    @property
    def best(self) -> State:
        """The present iterate, or a better one that was set aside by a reset."""
        here, aside = self.carry.state, self.set_aside
        if aside is None:
            return here
        better = self.task.bounded and float(aside.objective) > float(here.objective)
        return aside if better or bool(self.carry.fresh) else here

    @property
    def steps(self) -> int:
        return int(self.carry.steps)

    def run(self) -> Status:
        """Steps until convergence or a limit; why the run ended."""
        try:
            return self._steps()
        except KeyboardInterrupt:
            if not self.entries:
                self._chunk(1)
            return Status.INTERRUPTED

    def _steps(self) -> Status:
        n_next = 1
        while True:
            tick, before = time.perf_counter(), len(self.entries)
            left = self.task.max_steps - self.steps + int(self.carry.fresh)
            self._chunk(min(n_next, RECORD_ROWS, left))
            outcome = self._settled()
            if outcome == Status.RUNNING and self.steps >= self.task.max_steps and not bool(self.carry.fresh):
                outcome = Status.MAX_STEPS
            if self.limits.callback(self) and outcome == Status.RUNNING:
                return Status.STOPPED
            if outcome != Status.RUNNING:
                return outcome
            if time.perf_counter() >= self.limits.deadline:
                return Status.MAX_TIME
            n_next = self._next_chunk(len(self.entries) - before, time.perf_counter() - tick)

    def _chunk(self, n_rows: int) -> None:
        restarted = bool(self.carry.fresh)
        self.carry, history = _advance(self.task.chunks, self.carry, self.rules, self.task.regularization, n_rows)
        likelihoods, objectives = np.asarray(history.log_likelihood), np.asarray(history.objective)
        for row in range(int(history.n_rows)):
            self.entries.append(HistoryEntry(float(likelihoods[row]), float(objectives[row]), restarted and row == 0))

    def _next_chunk(self, last: int, seconds: float) -> int:
        left = self.limits.deadline - time.perf_counter()
        per_step = max(seconds, 1e-6) / max(last, 1)
        return max(1, min(int(min(MIXTURE_CHUNK_SECONDS, left) / per_step), MAX_CHUNK_GROWTH * max(last, 1)))

    def _settled(self) -> Status:
        """RUNNING if the run can go on, after resets where they are due; else why it ends."""
        if np.asarray(self.carry.failing).any() and self._handled_failing():
            return Status.RUNNING
        status = Status(int(self.carry.status))
        if status in (Status.CONVERGED_COST, Status.PRECISION) and self._ended_lower:
            self._restore_best()
            return Status.RUNNING
        return status

    @property
    def _ended_lower(self) -> bool:
        """Whether the run has ended lower than what a reset set aside, by more than rounding."""
        here, best = float(self.carry.state.objective), float(self.best.objective)
        rounding = LOWER_ROUNDING_UNITS * float(np.finfo(self.task.chunks.points.dtype).eps) * abs(best)
        return self.task.bounded and best > here + rounding

    def _handled_failing(self) -> bool:
        """Resets failing components, or no longer checks those that must stay; whether the run can go on."""
        failing = np.flatnonzero(np.asarray(self.carry.failing))
        singular = int(self.carry.status) == Status.SINGULAR
        chosen = [int(k) for k in failing if self.resets[k] < MOST_RESETS and (singular or self._has_collapsed(int(k)))]
        if chosen:
            self._reset(chosen)
            return True
        check_mass, check_eigenvalue = np.array(self.rules.check_mass), np.array(self.rules.check_eigenvalue)
        check_mass[failing] &= self.resets[failing] < MOST_RESETS
        check_eigenvalue[failing] = False
        self.rules = self._rules(check_mass, check_eigenvalue)
        self.carry = self.carry._replace(failing=np.zeros(len(self.resets), bool))
        return not singular

    def _has_collapsed(self, k: int) -> bool:
        state = self.carry.state
        return has_collapsed(self.task, state.mixture, float(state.moments.mass[k]), k)

    def _reset(self, chosen: list[int]) -> None:
        """Goes on with fresh components; the best iterate so far is set aside if it is finite."""
        lowest = float(self.rules.min_eigenvalue)
        mixture = with_fresh_components(self.task, self.carry.state.mixture, chosen, lowest, self.rng)
        self.resets[chosen] += 1
        if np.isfinite(float(self.best.objective)):
            self.set_aside = self.best
        self._go_on_from(mixture)

    def _restore_best(self) -> None:
        """Goes on from the iterate set aside, since the run after a reset ended lower, and resets nothing any more."""
        best, none = self.best, np.zeros(len(self.resets), bool)
        self.rules, self.set_aside = self._rules(none, none), None
        self._go_on_from(best.mixture)

    def _go_on_from(self, mixture: Mixture) -> None:
        self.carry = begin(mixture)._replace(steps=self.carry.steps)

    def _rules(self, check_mass: np.ndarray, check_eigenvalue: np.ndarray) -> StopRules:
        lowest = max(float(self.task.regularization.floor), MIN_EIGENVALUE_UNITS * float(np.finfo(np.float64).eps))
        tol, min_mass, min_eigenvalue = (
            np.asarray(value, np.float64) for value in (self.task.tol, self.task.min_mass, lowest)
        )
        return StopRules(tol, min_mass, min_eigenvalue, check_mass, check_eigenvalue)


_advance = quick_jit(expectation_maximization)
