"""Where a fit's stepping begins: at a start as it is, or where growth and search have led."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import Status
from .._base.threads import cores
from .._model.surface import GaussianSurface
from .._starts import STARTS, RandomStarts
from .context import Halt, SearchContext, State, attempted
from .growth import grow
from .moves import warm_up
from .pruning import without_least
from .search import Effort, search
from .surrogate import suitable_surrogate, surrogate

GROWN = ("auto", "growth")
INITS = (*GROWN, *STARTS)
SHORT_SECONDS = 9.0
AS_GROWTH = 2.0
MOST_ROUNDS, FEW = 40, 4
LONG_PATIENCE = 10**9
PATIENCE = 30.0  # seconds to wait for what compiles beside


@dataclass(frozen=True)
class StartPlan:
    """How to begin: ``init`` is one of INITS, several random starts, or a surface in the units of the fit; seconds to
    search, None for the default.
    """

    init: str | GaussianSurface | RandomStarts
    search: float | None
    seed: int

    @property
    def takes_steps(self) -> bool:
        return self.is_grown or self.searches

    @property
    def is_grown(self) -> bool:
        return isinstance(self.init, str) and self.init in GROWN

    @property
    def searches(self) -> bool:
        return self.search != 0 if self.search is not None else self.init == "auto"


class Initialization(NamedTuple):
    """Parameters (P,) to step from, of one start or several that are made as they are asked for, and a status if a
    limit was met.
    """

    starts: Iterator[Array]
    halted: Status | None


def initialize(context: SearchContext, plan: StartPlan) -> Initialization:
    """The start that is asked for, grown and searched around as the plan says; whatever ends it early, the best is
    kept.
    """
    if isinstance(plan.init, RandomStarts):
        return Initialization((context.params(STARTS["random"](context.request)) for _ in range(plan.init.n)), None)
    if not plan.is_grown:
        surface = plan.init if isinstance(plan.init, GaussianSurface) else STARTS[plan.init](context.request)
        params = context.params(surface)
        if not plan.searches:
            return Initialization(iter([params]), None)
        context.best = context.state(params)
    halted = grow_then_search(context, plan)
    best = context.filled(context.best or context.empty())
    return Initialization(iter([context.pack(best.blocks, best.border)]), halted)


def grow_then_search(context: SearchContext, plan: StartPlan) -> Status | None:
    aside = ThreadPoolExecutor(1)
    small = surrogate(context) if plan.searches else None
    x64 = jnp.result_type(float) == np.float64

    def compiling() -> list[Future[object]]:
        return [aside.submit(attempted, task, x64) for task in _warm_ups(context, small)] if plan.searches else []

    try:
        ready = compiling() if cores() > 1 else []
        begun = time.perf_counter()
        state = grow(context, context.request.n_components) if plan.is_grown else context.best
        if plan.searches and state is not None and state.size:
            seconds, patience = _effort(plan, state, time.perf_counter() - begun)
            ready = ready or compiling()
            wait(ready[:2], timeout=max(0.0, min(context.deadline - time.perf_counter(), PATIENCE)))
            effort = Effort(patience, time.perf_counter() + seconds)
            search(context, suitable_surrogate(context, small, state), state, effort, np.random.default_rng(plan.seed))
    except Halt as halt:
        return halt.status
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except MemoryShort:
        if context.best is None:
            raise
        return Status.MAX_MEMORY
    finally:
        aside.shutdown(wait=False, cancel_futures=True)
    return None


def _warm_ups(context: SearchContext, small: SearchContext | None) -> list[Callable[[], object]]:
    """What compiles for the search while components are grown, in the order in which it is needed."""
    tasks: list[Callable[[], object]] = [partial(warm_up, small or context)]
    if small is not None:
        alone = replace(small, whole=None)  # counts no steps of the fit
        tasks = [partial(_pruned, alone), *tasks, lambda: _pruned(alone.roomier)]
    return tasks


def _pruned(small: SearchContext) -> object:
    return without_least(small, small.refit(small.blocks(small.even), small.empty().border, 1), 1)


def _effort(plan: StartPlan, state: State, growing: float) -> tuple[float, int]:
    """Seconds to search, and rounds without a better state after which it ends."""
    if plan.search is None:
        return max(SHORT_SECONDS, AS_GROWTH * growing), min(MOST_ROUNDS, max(1, 3 * (state.size - FEW)))
    return plan.search, LONG_PATIENCE
