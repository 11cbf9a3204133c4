"""One fit from checked data to a `FitResult`: the number of components if that is to be chosen, a beginning, the
solver's steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._base.compile_clock import compile_clock, seconds
from .._base.progress import Progress, ProgressBar
from .._base.status import Status
from .._base.threads import single_threaded_blas
from .._data.blocks_left_out import folds
from .._data.data import SurfaceData
from .._engines.engines import EngineChoice
from .._losses import Loss
from .._model.surface import GaussianSurface, checked_surface
from .._model.units import to_internal
from .._problem.prepare import Model, Prepared, precision, prepare
from .._results.criteria import AutoComponents, ComponentPath, Deviance
from .._results.result import FitResult, Settings, Timings
from .._search.choosing import Choice, Chosen
from .._search.context import SearchContext, penalty_cost
from .._search.initialization import Initialization, StartPlan, initialize
from .._solvers import Limits, Solution, Solver
from .._starts import RandomStarts, StartRequest
from .resets import with_resets
from .run_starts import RunOutcome, StartRuns

POINTS_PER_PARAMETER = 2
LIFT = 1e-2  # of the spread of the heights


@dataclass(frozen=True)
class Running:
    """How a model is fitted, from where, and who watches."""

    init: Any
    search: float | None
    seed: int
    solver: Solver
    engine: EngineChoice
    dtype: np.dtype
    progress: bool | None
    callback: Callable[[Progress], Any] | None
    max_time: float | None
    reset: bool = False


@dataclass(eq=False)
class Fitting:
    """A fit under way: the data, how they are fitted, and who watches since when. ``steps`` counts those of the choice
    of a number.
    """

    data: SurfaceData
    running: Running
    bar: ProgressBar
    begun: float
    spans: list[tuple[float, float]]
    steps: int = 0

    @property
    def deadline(self) -> float:
        return self.begun + (self.running.max_time or float("inf"))

    def chosen(self, model: Model, auto: AutoComponents) -> Chosen:
        """A number of components between 1 and ``model.n_components``, and the surface that was met with it."""
        fold = folds(self.data, auto.block, auto.folds) if auto.criterion == "held_out" else None
        layout = self._prepared(self.data, model).problem.parameterization.layout
        enough = (
            self.data.n_used // POINTS_PER_PARAMETER - (layout.n_parameters - layout.block_size)
        ) // layout.block_size
        most = max(1, min(auto.most, enough))
        deviance = Deviance.of(self.data, model.plain_loss(self.data).known_errors)
        choice = Choice(auto, most, deviance, lambda room: self._room(self.data, model, room), fold)
        with single_threaded_blas(1):
            return choice.chosen()

    def stepped(self, model: Model, start: Chosen | None) -> FitResult:
        """The fit of a number of components, from its beginning to the solver's end."""
        prepared = self._prepared(self.data, model)
        with single_threaded_blas(prepared.problem.parameterization.n_parameters):
            context = self._context(prepared)
            begins = self._begin(context, start)
            began = time.perf_counter()
            before = self.steps + context.steps

            def callback(best: Solution) -> bool:
                return context.watch(float(best.cost), before + int(best.steps), lambda: prepared.surface(best.params))

            runs = StartRuns(context, self.running.solver, Limits(self.deadline, callback))
            ended = runs.run_all(begins.starts, begins.halted)
            ended = with_resets(runs, ended) if self.running.reset else ended
        ended = ended._replace(solution=ended.solution._replace(steps=ended.solution.steps + before))
        path = None if start is None else start.path
        return _result(ended, prepared, self.running, self._timings(began), path)

    def _begin(self, context: SearchContext, start: Chosen | None) -> Initialization:
        plan = _plan(context.prepared, self.running)
        if start is None or start.halted is None:
            return initialize(context, plan)
        return initialize(context, replace(plan, search=0))._replace(halted=start.halted)

    def _room(self, data: SurfaceData, model: Model, room: int) -> SearchContext:
        return self._context(self._prepared(data, replace(model, n_components=room)))

    def _prepared(self, data: SurfaceData, model: Model) -> Prepared:
        running = self.running
        prepared = prepare(data, model, running.dtype, running.engine, running.init)
        if prepared.planner is not None and running.solver.needs_whole_jacobian:
            raise ValueError(
                f"`solver` needs the whole Jacobian, got {running.solver!r}: use engine='dense', or for"
                " Levenberg-Marquardt leave `method` at 'cholesky'"
            )
        return prepared

    def _context(self, prepared: Prepared) -> SearchContext:
        return SearchContext(prepared, _request(prepared, self.running), self.deadline, self._watch(prepared))

    def _watch(self, prepared: Prepared) -> Callable[[float, int, Callable[[], GaussianSurface]], bool]:
        """Shows the best so far: its cost in the problem's units, the steps so far, and a way to its surface. True: the
        fit must stop.
        """

        def watch(cost: float, steps: int, surface: Callable[[], GaussianSurface]) -> bool:
            rmse = float(np.sqrt(2 * cost / prepared.data.n_used)) * prepared.scaling.height_scale
            elapsed = time.perf_counter() - self.begun
            model = prepared.model
            progress = Progress(
                steps, cost * prepared.cost_unit, rmse, elapsed, lambda: _ordered(surface(), model), model.loss
            )
            self.bar.update(progress)
            callback = self.running.callback
            return bool(callback is not None and callback(progress))

        return watch

    def _timings(self, stepping: float) -> Timings:
        ended = time.perf_counter()
        before, after = (seconds([s for s in self.spans if (s[0] < stepping) is earlier]) for earlier in (True, False))
        return Timings(
            start=stepping - self.begun - before,
            compile=before + after,
            run=ended - stepping - after,
            total=ended - self.begun,
        )


def fitted(data: SurfaceData, model: Model, auto: AutoComponents | None, running: Running, begun: float) -> FitResult:
    """The fit of data by a model, of as many components as it says, or of at most so many if the number is to be
    chosen.
    """
    with precision(running.dtype), compile_clock() as spans:
        plain = auto is None and not StartPlan(running.init, running.search, running.seed).takes_steps
        label = f"fit K={model.n_components if auto is None else 'auto'}"
        n_starts = running.init.n if isinstance(running.init, RandomStarts) else 1
        bar = ProgressBar(running.progress, n_starts * int(running.solver.max_steps) if plain else None, label)
        fitting, chosen = Fitting(data, running, bar, begun, spans), None
        try:
            if auto is not None:
                chosen = fitting.chosen(model, auto)
                fitting.running = _from(running, chosen)
                fitting.steps = chosen.steps
                model = replace(model, n_components=1 if chosen.surface is None else chosen.surface.n_components)
            return fitting.stepped(model, chosen)
        finally:
            bar.close()


def _from(running: Running, chosen: Chosen) -> Running:
    """A fit that goes on from what was chosen; a limit may have been met before there was anything."""
    return replace(running, init="grid" if chosen.surface is None else chosen.surface, search=running.search or 0)


def _plan(prepared: Prepared, running: Running) -> StartPlan:
    init = running.init
    if isinstance(init, GaussianSurface):
        start = checked_surface("init", init, prepared.model.n_components, prepared.data.n_dim, prepared.model.signed)
        init = _lifted(to_internal(replace(start, background=None), prepared.scaling), prepared.model)
    return StartPlan(init, running.search, running.seed)


def _lifted(start: GaussianSurface, model: Model) -> GaussianSurface:
    """With amplitudes of zero, which no derivative would ever lead away from, a little above; unless they are fixed or
    may be negative.
    """
    zero = (start.amplitudes == 0) & ~np.asarray(model.constraints.fixed.get("amplitudes", False)) & (not model.signed)
    return replace(start, amplitudes=np.where(zero, LIFT, start.amplitudes))


def _request(prepared: Prepared, running: Running) -> StartRequest:
    """What a start works from, in the units of the fit: heights above the background at its start."""
    data, scaling = prepared.data, prepared.scaling
    with precision(np.dtype(np.float64)):
        background = np.asarray(prepared.background(jnp.asarray(data.used_points)))
    if not np.isfinite(background).all():
        raise ValueError(
            "`background` must be finite at its start at every point, got NaN or infinity: choose another start"
        )
    return StartRequest(
        points=scaling.points(data.used_points),
        heights=(data.used_heights - background) / scaling.height_scale,
        n_components=prepared.model.n_components,
        spacing=data.spacing / scaling.point_scale,
        rng=np.random.default_rng(running.seed),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        weights=prepared.by_point(prepared.problem.weights).astype(float),
        signed=prepared.model.signed,
    )


def _ordered(surface: GaussianSurface, model: Model) -> GaussianSurface:
    return surface if model.constraints.by_component else surface.sorted()


def _cost(surface: GaussianSurface, data: SurfaceData, loss: Loss) -> float:
    """Without a prior's part, in double precision."""
    with precision(np.dtype(np.float64)):
        residuals = loss.residuals(
            *(jnp.asarray(a, float) for a in (surface(data.used_points), data.used_heights, data.weights))
        )
        return 0.5 * float(jnp.sum(residuals**2))


def _starts(ended: RunOutcome, many: RandomStarts) -> np.ndarray:
    """The costs (n,) at the ends of all starts, NaN for those that were not tried."""
    return np.array(ended.costs + [np.nan] * (many.n - len(ended.costs)))


def _result(
    ended: RunOutcome, prepared: Prepared, running: Running, timings: Timings, path: ComponentPath | None
) -> FitResult:
    model, data, solution = prepared.model, prepared.data, ended.solution
    history: dict[str, np.ndarray] = ended.history._asdict()
    found = prepared.surface(solution.params)
    surface, order = _ordered(found, model), slice(None) if model.constraints.by_component else found.by_volume
    penalty = (
        0.0 if model.prior is None else float(penalty_cost(prepared.problem, solution.params)) * prepared.cost_unit
    )
    cost = float(solution.cost) * prepared.cost_unit
    if model.prior is not None or not np.isfinite(
        cost
    ):  # in single precision a cost can overflow where in double it does not
        cost = _cost(surface, data, model.plain_loss(data))
    return FitResult(
        surface=surface,
        data=data,
        cost=cost,
        status=Status(int(solution.status)),
        steps=int(solution.steps),
        history={**history, "cost": history["cost"].astype(float) * prepared.cost_unit},
        timings=timings,
        settings=Settings(
            solver=type(running.solver).__name__,
            dtype=running.dtype.name,
            covariance_type=model.covariance_type,
            amplitudes=model.amplitudes,
            min_width=model.min_width,
            n_parameters=prepared.n_parameters,
            engine="dense" if prepared.planner is None else "tiled",
            prior=model.prior,
            loss=model.loss,
            f_scale=model.f_scale,
            constraints=model.constraints,
        ),
        penalty=penalty,
        resets=ended.resets[order],
        starts=_starts(ended, running.init) * prepared.cost_unit if isinstance(running.init, RandomStarts) else None,
        path=path,
    )
