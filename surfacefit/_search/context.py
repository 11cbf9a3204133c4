"""What growth and search work with: a problem, views of its states, and the limits of the fit.

Where data cross between host and device. Growth and search run on the host: peak filters, k-d trees and windows are
SciPy's, and candidates are ranked and drawn there. The device evaluates residuals and takes solver steps. Fetches from
the device, each of which waits for it, counted on a map of 48 x 48 points: 52 in a fit that grows in six rounds, and
6.5 for each refit of a search. They are

- in a growth round the residuals (N,), the new blocks, one record for each chunk of steps, and the parameters at the
  end of the refit;
- in a trial or perturbation the same, without residuals; and once in a search round the components and residuals of
  its state, the removal losses, two sets of blocks, and the result of each batch of local refits.

They cannot be one a round. Peaks are found on the host, so the residuals must come there, and limits, the callback and
Ctrl-C are seen between chunks of steps. Parameters are a few kilobytes, and each transfer waits for work that the next
decision needs in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from .._base.status import Status
from .._data.windows import Windows
from .._model.parameters import Parameterization
from .._model.surface import GaussianSurface
from .._problem.capacity import component_capacity
from .._problem.prepared import Prepared
from .._solvers import LevenbergMarquardt
from .._starts import StartRequest
from .residual_views import ResidualViews
from .states import Packing, State

# Points a window of a local refit: 8 components have 48 parameters in two dimensions, so that each has some 40 points;
# more make a local refit slower than what the truer promise saves in joint refits.
WINDOW_POINTS = 2048
# Points: the least size of a window's arrays, so that tiny maps share one compiled program.
MIN_WINDOW_POINTS = 32

Callback = Callable[[float, int, Callable[[], GaussianSurface]], bool]
"""Sees the best cost, the steps so far and a way to the surface; True: the fit must stop."""


class FitHalted(Exception):
    """Growth or search must end: a limit of the fit was met, or the callback asked to stop."""

    def __init__(self, status: Status):
        super().__init__(status)
        self.status = status


class SearchOver(Exception):
    """The time or the work allowed for the search is used up; the fit goes on."""


@dataclass(eq=False)
class SharedProgress:
    """Limits, callback, steps and best state of one fit, shared by its context and the surrogates of that.

    Times are those of the ``time.perf_counter`` clock, ``work`` is in nominal seconds (`_solvers/work`). ``cancelled``
    ends all refits after their next steps; ``stage`` says what is being done.
    """

    deadline: float = float("inf")
    callback: Callback = lambda cost, steps, surface: False
    search_deadline: float = float("inf")
    search_work: float = float("inf")
    steps: int = 0
    work: float = 0.0
    cancelled: bool = False
    stage: str = ""
    best: State | None = None
    _lock: Any = field(default_factory=Lock)

    def count(self, steps: int, work: float) -> None:
        """Adds joint steps, and nominal seconds of work."""
        with self._lock:
            self.steps += steps
            self.work += work

    def record(self, state: State) -> None:
        """Makes a state the best so far if it is. More components are always better: a prior may cost more than they
        gain.
        """
        best = self.best
        if best is None or state.size > best.size or (state.size == best.size and state.cost <= best.cost):
            self.best = state


class Pace(NamedTuple):
    """Steps of a refit between two looks at the clock, 0 before the first one, and steps of each run that are taken by
    code that is not optimised (`Limits`).
    """

    chunk: int = 0
    brief: int = 0

    @property
    def hurried(self) -> bool:
        """Whether all steps are such, and no moves are tried: the fit is over before optimised code, and a program for
        local refits, would pay.
        """
        return self.brief >= ALL_STEPS


# Steps: more than any run takes.
ALL_STEPS = 10**9
# The pace of a fit whose steps are all by programs that compile soon.
HURRIED = Pace(brief=ALL_STEPS)


def wider(count: int) -> int:
    """A quarter more components."""
    return count + max(1, count // 4)


@dataclass(eq=False)
class SearchContext:
    """A problem on which states are grown, searched and refitted.

    A surrogate knows the context that it stands for, its ``original``, and shares the progress of that; if it averages
    blocks of a grid, ``block`` (N,) is the number of the average here that each of the original's points went into.
    """

    prepared: Prepared
    request: StartRequest
    progress: SharedProgress = field(default_factory=SharedProgress)
    original: SearchContext | None = None
    block: np.ndarray | None = None
    window_points: int = WINDOW_POINTS
    pace: Pace = field(default_factory=Pace)
    solver: Any = field(default_factory=lambda: LevenbergMarquardt(slack=0.0, distance=np.inf))

    @property
    def parameterization(self) -> Parameterization:
        return self.prepared.problem.parameterization

    @cached_property
    def packing(self) -> Packing:
        return Packing(self.prepared, self.request)

    @cached_property
    def views(self) -> ResidualViews:
        return ResidualViews(self.packing)

    @cached_property
    def windows(self) -> Windows:
        points = self.views.points
        rounded = max(MIN_WINDOW_POINTS, 1 << (len(points) - 1).bit_length())
        return Windows(points, min(self.window_points, rounded), self.request.periods)

    @cached_property
    def with_more_room(self) -> SearchContext:
        """The same problem with room for a quarter more components; for the dense engine."""
        prepared, count = self.prepared, wider(self.request.n_components)
        room = max(self.parameterization.n_components, component_capacity(count))
        parts = replace(self.parameterization, n_components=room)
        model, problem = replace(prepared.model, n_components=count), replace(prepared.problem, parameterization=parts)
        return SearchContext(
            replace(prepared, model=model, problem=problem),
            replace(self.request, n_components=count),
            self.progress,
            original=self.original or self,
            window_points=self.window_points,
            pace=self.pace._replace(chunk=0),
        )

    def record(self, state: State) -> None:
        """Makes a state the best so far if it is, then does as `check_limits`."""
        self.progress.record(state)
        self.check_limits()

    def check_limits(self) -> None:
        """Shows the best state so far to the callback and looks at the clock and at the work done.

        Raises `FitHalted` where the fit must end, `SearchOver` where only the search must.
        """
        progress, now = self.progress, time.perf_counter()
        best, owner = progress.best, self.original or self
        if best is not None and progress.callback(best.cost, progress.steps, lambda: owner.packing.physical(best)):
            raise FitHalted(Status.STOPPED)
        if now >= progress.deadline:
            raise FitHalted(Status.MAX_TIME)
        if now >= progress.search_deadline or progress.work >= progress.search_work:
            raise SearchOver
