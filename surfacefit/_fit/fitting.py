"""One fit from checked data to a `FitResult`: the number of components if that is to be chosen, a start, the solver's
steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._base.precision import precision
from .._base.progress import Progress, ProgressBar
from .._base.threads import blas_limits_kept, single_threaded_blas
from .._data.blocks_left_out import folds
from .._data.data import SurfaceData
from .._mesh.agreement import check_processes, is_watched, of_first
from .._mesh.stage import MeshStage
from .._model.surface import GaussianSurface
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared, factorised_rows
from .._problem.problem_setup import problem_setup
from .._regions.start import grows_by_regions, initialize_by_regions
from .._results.criteria import AutoComponents, Deviance
from .._results.record import Timings
from .._results.result import FitResult
from .._search.choosing import Choice, Chosen
from .._search.context import HURRIED, Pace, SearchContext, SharedProgress
from .._search.initialization import Initialization, StartPlan, initialize
from .._solvers import Limits, Solution
from .._solvers.loop import OneDevice
from .._starts import RandomStarts
from .._starts.turning import Turned
from .._system.compile_clock import compile_clock, seconds
from .make_result import background_result, make_result, ordered
from .resets import with_resets
from .run_spec import RunSpec
from .run_starts import StartRuns
from .solved_amplitudes import no_worse_than_background
from .start_request import start_plan, start_request

# Points for each parameter below which no larger number of components is tried: with fewer, noise is fitted.
LEAST_POINTS_PER_PARAMETER = 2
# Seconds of `max_time` up to which a fit is hurried: programs of optimised steps and of local refits take as long to
# compile.
HURRIED_SECONDS = 3.0


def fitted(
    data: SurfaceData, model: ModelSpec, run: RunSpec, *, begun: float, auto: AutoComponents | None = None
) -> FitResult:
    """The fit of a model to data. With ``auto`` the number of components is chosen first.

    ``begun`` is the time (`time.perf_counter`) that ``max_time`` and the timings count from.
    """
    with precision(run.dtype), blas_limits_kept(), compile_clock() as spans:
        check_processes(data, model, run)
        bar, turned = _bar(model, run, auto), Turned.of(data, model.periods, model.background)
        if isinstance(run.init, GaussianSurface):
            run = replace(run, init=turned.away(run.init))
        fitting, chosen = Fitting(turned.data, run, bar, begun, spans, home=turned.home), None
        try:
            if auto is not None:
                chosen = of_first(run.engine.mesh, run.engine.timeout, partial(fitting.choose, model, auto))
                fitting.run, fitting.steps = _from_chosen(run, auto, chosen), chosen.steps
                model = replace(model, n_components=1 if chosen.surface is None else chosen.surface.n_components)
                if chosen.surface is not None and not model.n_components:
                    return _at_home(fitting.without_components(model, chosen.surface, chosen), turned)
            return _at_home(fitting.fit(model, chosen), turned)
        finally:
            bar.close()


def _at_home(result: FitResult, turned: Turned) -> FitResult:
    """A result of turned data as one of the data that were given."""
    return (
        result
        if turned.data is turned.given
        else replace(result, surface=turned.home(result.surface), data=turned.given)
    )


def _as_it_is(surface: GaussianSurface) -> GaussianSurface:
    return surface


@dataclass(eq=False)
class Fitting:
    """A fit under way: the data, how they are fitted, and who watches since when.

    ``steps`` counts the steps that the choice of a number of components took, ``spans`` holds the times at which JAX
    compiled; ``home`` gives a surface as whoever watches sees it.
    """

    data: SurfaceData
    run: RunSpec
    bar: ProgressBar
    begun: float
    spans: list[tuple[float, float]]
    steps: int = 0
    home: Callable[[GaussianSurface], GaussianSurface] = _as_it_is

    @property
    def deadline(self) -> float:
        return self.begun + (self.run.max_time or float("inf"))

    def choose(self, model: ModelSpec, auto: AutoComponents) -> Chosen:
        """A number of components, and the surface that was reached with it."""
        fold = folds(self.data, auto.block, auto.folds) if auto.criterion == "held_out" else None
        layout = self._prepared(model).problem.parameterization.layout
        enough = self.data.n_used // LEAST_POINTS_PER_PARAMETER - (layout.n_parameters - layout.block_size)
        most = max(1, min(auto.most, enough // layout.block_size))
        deviance = Deviance.of(self.data, model.plain_loss(self.data).known_errors)

        def with_room(count: int) -> SearchContext:
            return self._context(self._prepared(replace(model, n_components=count)))

        with single_threaded_blas(1):
            return Choice(auto, most, deviance, with_room, fold).chosen()

    def fit(self, model: ModelSpec, chosen: Chosen | None) -> FitResult:
        """The fit of a number of components, from its start to the solver's end."""
        prepared = self._prepared(model)
        with single_threaded_blas(factorised_rows(prepared)):
            context = self._context(prepared)
            start = self._start(context, chosen)
            stepping = time.perf_counter()
            before = self.steps + context.progress.steps

            def callback(best: Solution) -> bool:
                steps = before + int(best.steps)
                return context.progress.callback(float(best.cost), steps, lambda: prepared.surface(best.params))

            stage = (
                None
                if self.run.engine.mesh is None
                else MeshStage(prepared, self.run.engine.mesh, self.run.engine.timeout)
            )
            place = OneDevice() if stage is None else stage.place
            limits = Limits(self.deadline, callback, context.pace.brief, place)
            runs = StartRuns(context, self.run.solver, limits, stage)
            ended = runs.run_from(start)
            ended = with_resets(runs, ended) if self.run.reset else ended
            if chosen is not None or not isinstance(self.run.init, GaussianSurface):
                ended = no_worse_than_background(context, ended)
        ended = ended._replace(solution=ended.solution._replace(steps=int(ended.solution.steps) + before))
        path = None if chosen is None else chosen.path
        return make_result(ended, prepared, self.run, self._timings(stepping), path)

    def without_components(self, model: ModelSpec, surface: GaussianSurface, chosen: Chosen) -> FitResult:
        """The background alone, where the data support no component."""
        prepared = self._prepared(model)
        return background_result(surface, prepared, self.run, self._timings(time.perf_counter()), chosen)

    def _start(self, context: SearchContext, chosen: Chosen | None) -> Initialization:
        plan = start_plan(context.prepared, self.run)
        if chosen is None and grows_by_regions(context, plan):
            return initialize_by_regions(context, plan)
        if chosen is None or chosen.halted is None:
            return initialize(context, plan)
        return initialize(context, replace(plan, search=0))._replace(halted=chosen.halted)

    def _prepared(self, model: ModelSpec) -> Prepared:
        run = self.run
        prepared = problem_setup(self.data, model, run.dtype, run.engine, run.init)
        if prepared.planner is not None and run.solver.needs_whole_jacobian:
            raise ValueError(
                f"`solver` needs the whole Jacobian, got {run.solver!r}: use engine='dense', or for"
                " Levenberg-Marquardt leave `method` at 'cholesky'"
            )
        return prepared

    def _context(self, prepared: Prepared) -> SearchContext:
        request = start_request(prepared, self.run.seed)
        hurried = self.run.max_time is not None and self.run.max_time <= HURRIED_SECONDS
        progress = SharedProgress(self.deadline)
        progress.callback = self._watcher(prepared, progress)
        return SearchContext(prepared, request, progress, pace=HURRIED if hurried else Pace())

    def _watcher(
        self, prepared: Prepared, shared: SharedProgress
    ) -> Callable[[float, int, Callable[[], GaussianSurface]], bool]:
        """A function that shows the best so far to the bar and the callback, and says whether the fit must stop.

        It is called with the cost in the units of the fit, the steps so far, and a function that gives the surface.
        """
        model, callback = prepared.model, self.run.callback if is_watched(self.run.engine.mesh) else None

        def watch(cost: float, steps: int, surface: Callable[[], GaussianSurface]) -> bool:
            progress = Progress(
                steps,
                cost * prepared.cost_unit,
                float(np.sqrt(2 * cost / prepared.data.n_used)) * prepared.scaling.height_scale,
                time.perf_counter() - self.begun,
                lambda: ordered(self.home(surface()), model),
                model.loss,
                shared.stage,
            )
            self.bar.update(progress)
            return bool(callback is not None and callback(progress))

        return watch

    def _timings(self, stepping: float) -> Timings:
        """Seconds, where the solver's own steps began at the time ``stepping``."""
        ended = time.perf_counter()
        before, after = seconds(self.spans, self.begun, stepping), seconds(self.spans, stepping, ended)
        return Timings(
            start=stepping - self.begun - before,
            compile=before + after,
            run=ended - stepping - after,
            total=ended - self.begun,
        )


def _bar(model: ModelSpec, run: RunSpec, auto: AutoComponents | None) -> ProgressBar:
    """A bar of the solver's steps where their largest number is known: where nothing is grown, searched or chosen."""
    known = auto is None and not StartPlan(run.init, run.search, run.seed).takes_steps
    n_starts = run.init.n if isinstance(run.init, RandomStarts) else 1
    label = f"fit K={model.n_components if auto is None else 'auto'}"
    show = run.progress if is_watched(run.engine.mesh) else False
    return ProgressBar(show, n_starts * int(run.solver.max_steps) if known else None, label)


def _from_chosen(run: RunSpec, auto: AutoComponents, chosen: Chosen) -> RunSpec:
    """A run that goes on from what was chosen; a limit may have ended the choice before there was anything.

    Where every component is significant none has collapsed, and a new place would be without the choice's reason.
    """
    init = "grid" if chosen.surface is None else chosen.surface
    return replace(run, init=init, search=run.search or 0, reset=run.reset and not auto.sees_noise)
