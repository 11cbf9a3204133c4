"""Compiling aside: another thread compiles what a fit will need next, while components grow and a search makes trials.

What is compiled when changes no number. Where the main thread needs a program first, it waits for it if its turn has
come, and else compiles it by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._base.threads import without_blas_limits
from .context import SearchContext, SharedProgress
from .moves import warm_up
from .perturbations import MAX_FEW_COMPONENTS
from .pruning import without_least_useful
from .refits import compile_steps, refit, reserve_plan_capacity, unless_memory_short
from .states import State

# Seconds to wait for programs that another thread compiles; what is still missing is compiled where it is needed.
COMPILE_WAIT_SECONDS = 30.0

Task = Callable[[], object]


class WarmUps(NamedTuple):
    """Tasks that compile what trials need, the steps on all points, and what is needed later if at all."""

    trials: list[Task]
    all_points: list[Task]
    later: list[Task]


def warm_ups(
    context: SearchContext, small: SearchContext | None, quiet: SharedProgress, grows_on_small: bool = False
) -> WarmUps:
    """Tasks that compile what a search needs; they count no steps of the fit, but those of ``quiet``, which can also
    end them. Growth on the surrogate ``small`` compiles its steps, and leaves those on all points to a task.
    """
    alone = None if small is None else replace(small, progress=quiet)
    all_points: list[Task] = []
    if grows_on_small:
        all_points = [partial(compile_steps, context, reserve_plan_capacity(context), quiet)]
    if context.request.n_components <= MAX_FEW_COMPONENTS:
        settles = alone is not None and not grows_on_small
        return WarmUps([partial(_settle_once, alone)] if alone is not None and settles else [], all_points, [])
    local: Task = partial(warm_up, small or context)
    if alone is None:
        return WarmUps([local], [], [])
    roomy: Task = lambda: _prune_once(alone.with_more_room)  # noqa: E731
    if grows_on_small:  # what else trials need is compiled by the main thread meanwhile
        return WarmUps([local], all_points, [roomy])
    return WarmUps([partial(_prune_once, alone), local], all_points, [roomy])


def _settle_once(context: SearchContext) -> State:
    blocks, border = context.packing.blocks(context.packing.even_start), context.views.background_only().border
    return refit(context, blocks, border, 1)


def _prune_once(context: SearchContext) -> object:
    return without_least_useful(context, _settle_once(context), 1)


class Aside:
    """A thread that compiles, and what it has been asked for."""

    def __init__(self, progress: SharedProgress):
        self._progress = progress
        self._pool: ThreadPoolExecutor | None = None
        self._trials: list[Future[object]] = []
        self._all_points: list[Future[object]] = []

    def begin(self, tasks: WarmUps) -> None:
        """Lets the thread begin with tasks, unless it has some already."""
        if self._pool is not None:
            return
        self._pool = ThreadPoolExecutor(1)
        self._trials, self._all_points, _ = ([self._submitted(task) for task in some] for some in tasks)

    def _submitted(self, task: Task) -> Future[object]:
        assert self._pool is not None
        x64 = jnp.result_type(float) == np.float64
        return self._pool.submit(copy_context().run, unless_memory_short, partial(without_blas_limits, task), x64)

    def wait_for_trials(self) -> None:
        self._wait(self._trials)

    def wait_for_all_points(self) -> None:
        """Until the steps on all points are compiled; if the thread has not begun with them, it is not going to."""
        self._wait([future for future in self._all_points if not future.cancel()])

    def _wait(self, futures: list[Future[object]]) -> None:
        left = self._progress.deadline - time.perf_counter()
        wait(futures, timeout=max(0.0, min(left, COMPILE_WAIT_SECONDS)))

    def end(self) -> None:
        """Lets the thread end what it has begun, and nothing else."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
