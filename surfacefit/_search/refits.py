"""Joint refits of all components of a state, which give up early where they promise nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .._base.devices import on_cpu
from .._base.memory import MemoryShort
from .._base.status import Status
from .._base.threads import single_threaded_blas
from .._problem.problem import SurfaceProblem
from .._solvers import Limits, SolverRun
from .._solvers.work import step_seconds
from .context import SearchContext, SharedProgress
from .states import State

# Steps between two looks at how fast the cost falls. Judged every 5 steps instead, volcano K = 32 ended at 0.891 to
# 0.899 instead of 0.888 m.
JUDGED_STEPS = 10
# A refit is given up where its cost is further from the target than so many times its fall in the last JUDGED_STEPS
# steps. With 2 instead of 4 volcano K = 32 ended at 0.8934 instead of 0.8889 m.
MAX_FALLS_TO_TARGET = 4.0
# Relative fall of the cost in JUDGED_STEPS steps below which a refit has settled. With 5e-4 volcano K = 32 ended at
# 0.8912 instead of 0.8889 m.
SETTLED_FALL = 2e-4
# Nominal seconds (`_solvers/work`) of the steps before the first look at the clock: a processor half as fast as the
# nominal one takes a fifth of a second, as for any other chunk of steps.
FIRST_CHUNK_SECONDS = 0.1
# Refits at a time on a CPU, on any number of cores, since what a search finds depends on it: at K = 32 a step takes
# 2.9 ms alone, 2.2 ms with two at a time, 2.1 ms with three.
PARALLEL_REFITS = 2
# Parameters up to which refits run in parallel: products of larger matrices fill the cores by themselves.
MAX_PARALLEL_PARAMETERS = 1200

Made = TypeVar("Made")


def refit(
    context: SearchContext, blocks: np.ndarray, border: np.ndarray, steps: int, target: float | None = None
) -> State:
    """The state after up to ``steps`` joint Levenberg-Marquardt steps from blocks (K, p) and a border.

    The refit ends where the cost has settled. With a ``target`` cost it settles only below that, and also ends where
    the target is out of reach.
    """
    packing, progress = context.packing, context.progress
    params = packing.pack(blocks, border)
    limits = Limits(min(progress.deadline, progress.search_deadline), brief_steps=context.pace.brief)
    with single_threaded_blas(len(params)):
        run = SolverRun(packing.problem(len(blocks)), params, context.solver, limits, context.prepared.planner)
        last, run.n_next = np.inf, context.pace.chunk or _first_chunk(context)
        under_way = (Status.RUNNING, Status.UNEVALUATED)
        while run.status in under_way and run.steps < steps and not progress.cancelled:
            outcome = run.advance(min(run.steps + JUDGED_STEPS, steps))
            cost = run.cost()
            fall, last = last - cost, cost
            hopeless = target is not None and cost - target > MAX_FALLS_TO_TARGET * fall
            settled = (target is None or cost < target) and fall < SETTLED_FALL * cost
            if hopeless or settled or outcome == Status.MAX_TIME:
                break
    context.pace = context.pace._replace(chunk=run.n_next)
    progress.count(run.steps, run.steps * step_seconds(context.prepared))
    return packing.unpack(run.cost(), np.asarray(run.carry.best.params), len(blocks))


def _first_chunk(context: SearchContext) -> int:
    """Steps before the first look at the clock, when their time is not known yet."""
    return max(1, int(FIRST_CHUNK_SECONDS / step_seconds(context.prepared)))


def run_parallel(context: SearchContext, tasks: Sequence[Callable[[], State]]) -> list[State]:
    """The results of several refits, each on a thread of its own; those for which memory is short are left out.

    Where one raises, the others end after their next few steps.
    """
    if len(tasks) == 1:
        states = [unless_memory_short(tasks[0])]
    else:
        with ThreadPoolExecutor(len(tasks)) as pool:
            x64 = jnp.result_type(float) == np.float64
            futures = [pool.submit(copy_context().run, unless_memory_short, task, x64) for task in tasks]
            try:
                states = [future.result() for future in futures]
            except BaseException:
                context.progress.cancelled = True
                raise
            finally:
                wait(futures)
                context.progress.cancelled = False
    return [state for state in states if state is not None]


def n_parallel(context: SearchContext) -> int:
    """How many refits of a context run at a time: small products do not fill the cores of a processor."""
    small = context.prepared.planner is None and context.parameterization.n_parameters <= MAX_PARALLEL_PARAMETERS
    return PARALLEL_REFITS if small and on_cpu(context.prepared.problem) else 1


def unless_memory_short(task: Callable[[], Made], x64: bool | None = None) -> Made | None:
    """What a task returns, None where memory is short. A thread must set JAX's precision ``x64`` anew."""
    with nullcontext() if x64 is None else jax.enable_x64(x64):
        try:
            return task()
        except MemoryShort:  # components may have grown too wide for it
            return None


def reserve_plan_capacity(context: SearchContext) -> SurfaceProblem:
    """The problem with an even lattice of as many components as were asked for. From then on plans of the tiled engine
    have their capacities, so that the program of its steps is that of later ones.
    """
    problem = context.packing.problem(context.request.n_components)
    if context.prepared.planner is None:
        return problem
    params = context.packing.even_params()
    return context.prepared.planner(problem, params, params)


def compile_steps(context: SearchContext, problem: SurfaceProblem, quiet: SharedProgress) -> None:
    """Compiles the steps of a problem by one from an even lattice, unless that is no longer wanted."""
    if not quiet.cancelled:
        packing = context.packing
        limits = Limits(brief_steps=context.pace.brief)
        SolverRun(problem, packing.params(packing.even_start), context.solver, limits, None).advance(1)
