"""The start of a fit of very many components, grown by regions."""

from __future__ import annotations

import time
from dataclasses import replace

from .._base.devices import on_cpu
from .._base.memory import MemoryShort
from .._base.status import Status
from .._losses import Linear
from .._search.context import FitHalted, SearchContext
from .._search.initialization import GROWTH_TIME_SHARE, Initialization, StartPlan, grow_then_search
from .growth import CELLS_PER_COMPONENT, RegionGrowth

# Share of `max_time` after which all components that are missing are added in one round: a sweep of all of them, for
# which there is time until growth must end, wins more than rounds that it would cut off.
LAST_ROUND_TIME_SHARE = 0.4
# Components from which a start is grown by regions: programs of levels take about a minute of CPU to compile, as long
# as growth by joint steps alone takes at 1,300.
LEAST_REGION_COMPONENTS = 2000


def grows_by_regions(context: SearchContext, plan: StartPlan) -> bool:
    """Whether a start is: of many components of their own shapes, with nothing fixed, by plain least squares on a grid
    of enough points and no period that is fitted by the tiled engine on a CPU.
    """
    prepared = context.prepared
    problem, constraints = prepared.problem, prepared.model.constraints
    plain = isinstance(problem.loss, Linear) and problem.penalty is None and problem.width_limits is None
    plain = plain and not constraints.fixed and not problem.parameterization.layout.n_shared
    plain = plain and prepared.model.periods is None
    on_grid = prepared.data.axes is not None and prepared.planner is not None and on_cpu(problem)
    count = context.request.n_components
    many = count >= LEAST_REGION_COMPONENTS and len(context.request.heights) >= CELLS_PER_COMPONENT * count
    return plan.is_grown and plain and on_grid and many


def initialize_by_regions(context: SearchContext, plan: StartPlan) -> Initialization:
    """The start grown by regions; whatever ends that early, the best is kept. Seconds of a search come after it."""
    halted, progress, packing = _grown(context), context.progress, context.packing
    progress.best = packing.padded(progress.best or context.views.background_only())
    if halted is None and plan.search:
        halted = grow_then_search(context, replace(plan, init=packing.surface(progress.best)))
    best = progress.best
    return Initialization(iter([packing.pack(best.blocks, best.border)]), halted)


def _grown(context: SearchContext) -> Status | None:
    """Leaves the best state in the context's progress; a status if a limit of the fit was met.

    Where it was met, the components that are missing stand at peaks.
    """
    progress, now = context.progress, time.perf_counter()
    deadline = progress.deadline
    progress.deadline = now + GROWTH_TIME_SHARE * (deadline - now)
    growth = RegionGrowth.of_nothing(context)
    growth.last_round = now + LAST_ROUND_TIME_SHARE * (deadline - now)
    try:
        growth.grow()
    except FitHalted as halt:
        _fill(context, growth)
        return halt.status
    except KeyboardInterrupt:
        _fill(context, growth)
        return Status.INTERRUPTED
    except MemoryShort:
        if progress.best is None:
            raise
        return Status.MAX_MEMORY
    finally:
        progress.deadline, progress.stage = deadline, ""
    return None


def _fill(context: SearchContext, growth: RegionGrowth) -> None:
    """Puts the missing components at the peaks above those that there are, where that lowers the cost."""
    missing = context.request.n_components - len(growth.components)
    if missing > 0 and growth.add_at_peaks(missing):
        context.progress.record(growth.state)
