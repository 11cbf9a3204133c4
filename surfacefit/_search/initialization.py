"""The parameters that a solver starts from: a start as it is, or what growth and search have made of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.memory import MemoryShort
from .._base.status import Status
from .._base.threads import without_blas_limits
from .._model.surface import GaussianSurface
from .._solvers.work import step_seconds
from .._starts import STARTS, RandomStarts
from .._system.container import cores
from .context import FitHalted, Pace, SearchContext, SharedProgress
from .growth import grow, grow_on_averages
from .moves import warm_up
from .perturbations import MAX_FEW_COMPONENTS, tries_moves
from .pruning import without_least_useful
from .refits import compile_steps, refit, reserve_plan_capacity, unless_memory_short
from .search import Effort, search
from .states import State
from .surrogate import averages_suffice, suitable_surrogate, surrogate

# Starts that growth makes.
GROWN = ("auto", "growth")
# All starts that `init=` names.
INITS = (*GROWN, *STARTS)
# Nominal seconds of work (`_solvers/work`) that the search of `search=None` takes at most in two dimensions:
# about 40 s on two cores, as much as the searches at K = 64 and 100 took before work was priced in CPU seconds.
MAX_SEARCH_WORK = 60.0
# The same for each component. The volcano without background ended at 0.8854 m with 0.75 (4 seeds, K = 32), 0.8822 with
# 0.9 (24 seeds); K = 8 and 16 take about as long as before, when more gained little (2.5016 and 2.5002, 1.3601 and
# 1.3601 m with a third more).
SEARCH_WORK_PER_COMPONENT = 0.9
# Numbers of a component of such work, those in two dimensions; of more, work grows with their cube, and the most with
# their number: joint steps grow with the square, and it takes more rounds. EMD-3197, K = 25 signed, ended at 0.1163
# with the square, which is a work of 60, and below 0.116 in 17 of 24 fits with 100.
USUAL_COMPONENT_NUMBERS = 6
# Numbers from which on work grows no more: those in three dimensions, the most that were measured.
MOST_MEASURED_NUMBERS = 10
# Work of the same search per work of growth, where that is more: at K = 1024 the rounds of 20 s won 0.9 to 0.3 % of the
# RMSE each, as many seconds of plain steps 0.1 %.
SEARCH_PER_GROWTH = 2.0
# Rounds without a better state after which the same search ends, however many the components are.
MAX_PATIENCE_ROUNDS = 40
# Rounds at least: a round of trials leaves the minimum only if it is to be searched further.
MIN_PATIENCE_ROUNDS = 1
# The same of the fewest components, for which no moves are tried: one round to look, one of perturbations.
FEW_PATIENCE_ROUNDS = 2
# Fewer rounds for few components, which leave little to find: this many for each component above EASY_COMPONENTS.
ROUNDS_PER_COMPONENT = 3
# Share of `max_time` that growth may take: the rest is for the missing components' peaks and a joint refit, which win
# more than as many rounds of growth.
GROWTH_TIME_SHARE = 0.7
# Steps on all points that finish what was found on averages, taken by code that is not optimised: of 21 fits of seven
# maps, K = 4 to 16, 20 ended within 30 steps, one took 213.
FINISHING_STEPS = 64
# Nominal seconds (`_solvers/work`) of a step on all points up to which that code is quicker: 30 of its steps then take
# half a second longer, and its program 1.4 s of CPU less.
MAX_FINISHING_STEP_SECONDS = 1.2e-2
# Components whose best minimum growth nearly always finds; one round is searched then.
EASY_COMPONENTS = 4
# Rounds where seconds were asked for: no end but by time.
UNLIMITED_ROUNDS = 10**9
# Seconds to wait for programs that another thread compiles; what is still missing is compiled where it is needed.
COMPILE_WAIT_SECONDS = 30.0

Task = Callable[[], object]


@dataclass(frozen=True)
class StartPlan:
    """How to begin: ``init`` is one of `INITS`, several random starts, or a surface in the units of the fit; ``search``
    are seconds, None for the default.
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
    """Parameters (P,) of each start, made as they are asked for, and a status if a limit of the fit was met."""

    starts: Iterator[Array]
    halted: Status | None


def initialize(context: SearchContext, plan: StartPlan) -> Initialization:
    """The start that a plan asks for, grown and searched around; whatever ends that early, the best is kept."""
    packing, progress = context.packing, context.progress
    if plan.search is None and context.request.n_components == 1:  # growth alone finds the best single component
        plan = replace(plan, search=0)
    if isinstance(plan.init, RandomStarts):
        return Initialization((packing.params(STARTS["random"](context.request)) for _ in range(plan.init.n)), None)
    if not plan.is_grown:
        surface = plan.init if isinstance(plan.init, GaussianSurface) else STARTS[plan.init](context.request)
        params = packing.params(surface)
        if not plan.searches:
            return Initialization(iter([params]), None)
        progress.best = context.views.state(params)
    halted = grow_then_search(context, plan)
    best = progress.best or context.views.background_only()
    if halted is not None and best.size < context.request.n_components:
        best = _with_peaks(context, best)
    best = packing.padded(best)
    return Initialization(iter([packing.pack(best.blocks, best.border)]), halted)


def _with_peaks(context: SearchContext, best: State) -> State:
    """The state with components that growth has not reached at the peaks above it, where that lowers the cost."""
    blocks = context.views.blocks_at_peaks(best, context.request.n_components - best.size)
    if not len(blocks):
        return best
    filled = context.views.with_cost(best._replace(blocks=np.concatenate([best.blocks, blocks])))
    return filled if filled.cost < best.cost else best


def grow_then_search(context: SearchContext, plan: StartPlan) -> Status | None:
    """Leaves the best state in the context's progress; returns a status if a limit of the fit was met.

    What the search needs is compiled by another thread while components grow, unless there is only one core.
    """
    progress, quiet, pace = context.progress, SharedProgress(), context.pace
    small, averages = _surrogates(context, plan)
    aside = Aside(progress)
    try:
        if plan.searches and cores() > 1:
            aside.begin(warm_ups(context, small, quiet, averages is not None))
        before = progress.work
        state = _grown(context, averages, pace, aside.wait_for_all_points) if plan.is_grown else progress.best
        if plan.searches and state is not None and state.size:
            effort = _effort(plan, state, progress.work - before)
            aside.begin(warm_ups(context, small, quiet, False))
            aside.wait_for_trials()
            suitable = suitable_surrogate(context, small, state)
            if suitable is None:
                context.pace = pace
            rng = np.random.default_rng(plan.seed)
            search(context, suitable, state, effort, rng, aside.wait_for_all_points)
    except FitHalted as halt:
        return halt.status
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except MemoryShort:
        if progress.best is None:
            raise
        return Status.MAX_MEMORY
    finally:
        quiet.cancelled = True  # what is being compiled ends; nothing is begun after it
        aside.end()
    return None


def _surrogates(context: SearchContext, plan: StartPlan) -> tuple[SearchContext | None, SearchContext | None]:
    """The surrogate of a search, and the averages on which components grow; where these do, the context's own steps
    only finish.
    """
    steps_are_cheap = step_seconds(context.prepared) <= MAX_FINISHING_STEP_SECONDS
    # In a hurry one program for all points is there sooner than two.
    small = surrogate(context) if plan.searches and not (context.pace.hurried and steps_are_cheap) else None
    averages = small if plan.is_grown and small is not None and small.block is not None else None
    if averages is not None and steps_are_cheap:
        context.pace = context.pace._replace(brief=max(context.pace.brief, FINISHING_STEPS))
    return small, averages


def _grown(
    context: SearchContext, averages: SearchContext | None, pace: Pace, before_all_points: Callable[[], object]
) -> State:
    """The state that growth leads to in its share of the time that is left: on averages, or where these do not suffice
    on all points, at a ``pace``.
    """
    progress, now, count = context.progress, time.perf_counter(), context.request.n_components
    deadline = progress.deadline
    progress.deadline = now + GROWTH_TIME_SHARE * (deadline - now)
    try:
        if averages is not None:
            state = grow_on_averages(context, averages, count)
            if averages_suffice(context, averages, state):
                return state
            before_all_points()
            context.pace = pace
        return grow(context, count)
    finally:
        progress.deadline = deadline


def _effort(plan: StartPlan, state: State, growth_work: float) -> Effort:
    """How long to search: the seconds that were asked for, else an amount of work."""
    if plan.search is not None:
        return Effort(UNLIMITED_ROUNDS, deadline=time.perf_counter() + plan.search)
    rounds = ROUNDS_PER_COMPONENT * (state.size - EASY_COMPONENTS)
    least = FEW_PATIENCE_ROUNDS if state.size <= MAX_FEW_COMPONENTS else MIN_PATIENCE_ROUNDS
    patience = min(MAX_PATIENCE_ROUNDS, max(least, rounds))
    numbers = min(MOST_MEASURED_NUMBERS, max(USUAL_COMPONENT_NUMBERS, state.blocks.shape[1]))
    times = numbers / USUAL_COMPONENT_NUMBERS
    work = min(MAX_SEARCH_WORK * times, SEARCH_WORK_PER_COMPONENT * times**3 * state.size)
    return Effort(patience, work=max(work, SEARCH_PER_GROWTH * growth_work))


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
    if not tries_moves(context, context.request.n_components):
        settles: list[Task] = [] if alone is None or grows_on_small else [partial(_settle_once, alone)]
        return WarmUps(settles, all_points, [])
    trials: list[Task] = [partial(warm_up, small or context)]
    if alone is None:
        return WarmUps(trials, [], [])
    if not grows_on_small:  # else the main thread compiles it meanwhile
        trials = [partial(_prune_once, alone), *trials]
    return WarmUps(trials, all_points, [partial(_prune_with_more_room, alone)])


def _settle_once(context: SearchContext) -> State:
    blocks, border = context.packing.blocks(context.packing.even_start), context.views.background_only().border
    return refit(context, blocks, border, 1)


def _prune_once(context: SearchContext) -> object:
    return without_least_useful(context, _settle_once(context), 1)


def _prune_with_more_room(context: SearchContext) -> object:
    return _prune_once(context.with_more_room)


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
