"""A mixture fit on its way: compiled steps in chunks, components placed anew between them, the best iterate kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._base.compile import quick_jit
from .._base.status import Status
from .._constraints.mixture_regularization import MOST_RESETS, MixtureRegularization, collapsed, fresh_component, lifted
from .cloud import to_device
from .expectation_maximization import (
    ROWS,
    Cloud,
    Mixture,
    State,
    Watch,
    begin,
    expectation_maximization,
    log_density,
    log_responsibilities,
)
from .starts import Start, restricted

CHUNK_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class Task:
    """What is fitted, in the units of the fit: points (N, d) and weights (N,), the same on the device, regularization.

    ``least`` is the mass, in units of an average point, below which a component is placed anew, ``needed`` the number
    of distinct points, and ``bounded`` whether the objective is, so that a collapsed iterate may count as the best.
    """

    points: np.ndarray
    weights: np.ndarray
    cloud: Cloud
    regularization: MixtureRegularization
    least: float
    needed: int
    bounded: bool
    resets: bool
    tol: float
    max_steps: int


@dataclass(frozen=True)
class Limits:
    """When a run must end, on the ``time.perf_counter`` clock, and who sees each chunk (True from it: stop)."""

    deadline: float
    callback: Callable[[MixtureRun], bool]


class Entry(NamedTuple):
    """Log-likelihood and objective per unit weight of an iterate, and whether it does not follow from the one
    before.
    """

    log_likelihood: float
    objective: float
    restarted: bool


class MixtureRun:
    """One start on its way to its end."""

    def __init__(self, task: Task, start: Start, limits: Limits, rng: np.random.Generator):
        self.task, self.limits, self.rng = task, limits, rng
        n_components = len(start.weights)
        self.resets = np.zeros(n_components, int)
        each = np.full(n_components, task.resets)
        self.watch = self._watch(each, each & (task.regularization.kind != "tied"))
        self.carry = begin(to_device(*start, np.float64))
        self.left: State | None = None
        self.entries: list[Entry] = []

    @property
    def best(self) -> State:
        """The present iterate, or a better one that was left for a reset."""
        here, left = self.carry.state, self.left
        if left is None:
            return here
        better = self.task.bounded and float(left.objective) > float(here.objective)
        return left if better or bool(self.carry.fresh) else here

    @property
    def steps(self) -> int:
        return int(self.carry.steps)

    @property
    def _left_wins(self) -> bool:
        """Whether the run has ended lower than what was left for a reset, by more than rounding."""
        here, best = float(self.carry.state.objective), float(self.best.objective)
        return self.task.bounded and best > here + 8 * float(np.finfo(self.task.cloud.points.dtype).eps) * abs(best)

    def run(self) -> Status:
        """Steps until convergence or a limit; why it ended."""
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
            self._chunk(min(n_next, ROWS, left))
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
        self.carry, record = _advance(self.task.cloud, self.carry, self.watch, self.task.regularization, n_rows)
        for row in range(int(record.n_rows)):
            self.entries.append(
                Entry(float(record.log_likelihood[row]), float(record.objective[row]), restarted and row == 0)
            )

    def _settled(self) -> Status:
        """RUNNING if the run may go on, after failing components have been dealt with; else why it ends."""
        if np.asarray(self.carry.failing).any() and self._dealt_with_failing():
            return Status.RUNNING
        status = Status(int(self.carry.status))
        if status in (Status.CONVERGED_COST, Status.PRECISION) and self._left_wins:
            self._take_up_best()
            return Status.RUNNING
        return status

    def _dealt_with_failing(self) -> bool:
        """Places failing components anew, or stops watching those that must stay; whether the run can go on."""
        failing = np.flatnonzero(np.asarray(self.carry.failing))
        singular = int(self.carry.status) == Status.SINGULAR
        chosen = [int(k) for k in failing if self.resets[k] < MOST_RESETS and (singular or self._is_lost(int(k)))]
        if chosen:
            self._place_anew(chosen)
            return True
        thin, flat = np.array(self.watch.thin), np.array(self.watch.flat)
        thin[failing] &= self.resets[failing] < MOST_RESETS
        flat[failing] = False
        self.watch = self._watch(thin, flat)
        self.carry = self.carry._replace(failing=jnp.zeros_like(self.carry.failing))
        return not singular

    def _is_lost(self, k: int) -> bool:
        """Whether a component has too little mass, or stands on too few distinct points."""
        mass = float(self.carry.state.moments.mass[k])
        if mass < self.task.least:
            return True
        shares = np.exp(self._at_points(_log_responsibilities, self.carry.state.mixture)[k])
        return collapsed(self.task.points, self.task.weights * shares, self.task.needed)

    def _place_anew(self, chosen: list[int]) -> None:
        weights, means, factors = (np.array(array, np.float64) for array in self.carry.state.mixture)
        weights[chosen] = 0
        share = 1 / len(weights)
        for k in chosen:
            densities = np.zeros(len(self.task.points))
            if weights.sum() > 0:
                densities = self._at_points(_log_density, _mixture(weights, means, factors))
            means[k], covariance = fresh_component(self.task.points, self.task.weights, densities, share, self.rng)
            if self.task.regularization.kind != "tied":
                factors[k] = self._wide_enough(covariance)
            others = weights.sum()
            weights *= (1 - share) / others if others > 0 else 0
            weights[k] = share if others > 0 else 1
        self.resets[chosen] += 1
        self._begin_again(_mixture(weights, means, factors))

    def _wide_enough(self, covariance: np.ndarray) -> np.ndarray:
        """Cholesky factor (d, d) of a covariance of the type, neither at the floor nor all too flat."""
        form = restricted(covariance[None], np.ones(1), self.task.regularization.kind)
        lowest = max(float(self.watch.low), 1e-2 * np.linalg.eigvalsh(form[0])[-1])
        return np.linalg.cholesky(np.asarray(lifted(jnp.asarray(form), jnp.asarray(lowest)).covariances))[0]

    def _begin_again(self, mixture: Mixture) -> None:
        """Goes on from another mixture; what is left counts for good only where the objective has a bound."""
        if np.isfinite(float(self.best.objective)):
            self.left = self.best
        self.carry = begin(mixture)._replace(steps=self.carry.steps)

    def _take_up_best(self) -> None:
        """Goes on from the best iterate, when the way after a reset ended lower, and lets its components be."""
        best, none = self.best, np.zeros(len(self.resets), bool)
        self.watch, self.left = self._watch(none, none), None
        self.carry = begin(best.mixture)._replace(steps=self.carry.steps)

    def _watch(self, thin: np.ndarray, flat: np.ndarray) -> Watch:
        lowest = max(float(self.task.regularization.floor), 100 * float(np.finfo(np.float64).eps))
        tol, least, low = (jnp.asarray(value, np.float64) for value in (self.task.tol, self.task.least, lowest))
        return Watch(tol, least, low, jnp.asarray(thin), jnp.asarray(flat))

    def _at_points(self, function: Callable[..., Any], mixture: Mixture) -> np.ndarray:
        """A function's values (..., N) at all points, a chunk at a time."""
        parts = [np.asarray(function(chunk, mixture), np.float64) for chunk in self.task.cloud.points]
        return np.concatenate(parts, axis=-1)[..., : len(self.task.points)]

    def _next_chunk(self, last: int, seconds: float) -> int:
        left = self.limits.deadline - time.perf_counter()
        per_step = max(seconds, 1e-6) / max(last, 1)
        return max(1, min(int(min(CHUNK_SECONDS, left) / per_step), 4 * max(last, 1)))


def _mixture(*arrays: np.ndarray) -> Mixture:
    return Mixture(*(jnp.asarray(array, np.float64) for array in arrays))


_advance = quick_jit(expectation_maximization)
_log_density = quick_jit(log_density)
_log_responsibilities = quick_jit(log_responsibilities)
