"""`fit` of a map on disk: a survey, a start, then the solver's steps, each of which reads every point once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._base.checks import shortly
from .._base.precision import precision
from .._base.progress import ProgressBar
from .._base.threads import blas_limits_kept, single_threaded_blas
from .._batches.fingerprint import told_and_hashed
from .._data.data import grid_axes
from .._data.unread_map import UnreadMap
from .._engines.engines import Streamed, checked_streamed
from .._fit.make_result import make_result, ordered
from .._fit.options import Specs, checked_options
from .._fit.run_spec import RunSpec
from .._fit.run_starts import RunOutcome
from .._fit.start_request import start_plan
from .._model.surface import GaussianSurface
from .._problem.internal_data import EVEN_STEPS
from .._problem.prepared import Prepared, factorised_rows
from .._results.record import Timings
from .._solvers import Limits, Solution
from .._solvers.quadratic_steps import QuadraticSteps
from .._starts import RandomStarts
from .._system.compile_clock import compile_clock, seconds
from .checkpoint import Checkpoint
from .map_reader import MapReader, window_sides
from .result import StreamedResult
from .run import START_ARRAYS, Keeper, StreamedRun
from .setup import StandIn, StreamedHow, background_of, streamed_setup
from .starts import restored, start_of, start_params, stored
from .survey import Survey, survey
from .watching import Watcher

# Options that a map on disk cannot have, by name, with what to give instead.
IN_MEMORY_ONLY = {
    "mask": "make such heights NaN",
    "sigma": "leave it out",
    "prior": "leave it out",
    "f_scale": "leave it out",
    "beam": "fit a part of the map",
    "periods": "fit a part of the map without, or averages of it",
    "tie": "fit averages, or a part of the map",
    "search": "leave it out: what is fitted to averages is searched by the same `init`",
}
# Options that change no number of a fit.
NOT_FITTED_HERE = ("heights", "engine", "max_memory", "max_time", "callback", "progress", "mask", "sigma")


def fit_streamed(found: UnreadMap, options: Mapping[str, Any], begun: float) -> StreamedResult:
    """The fit of a map on disk with the keywords of `fit`, ``engine`` a `Streamed` or "auto"."""
    engine = options["engine"] if isinstance(options["engine"], Streamed) else Streamed()
    checked_streamed(engine)
    _check(options)
    axes, falling = _even_axes(found, options["coords"])
    reader = MapReader(found, falling, window_sides(found.shape, found.chunks))
    bar = ProgressBar(options["progress"], None, f"fit K={options['n_components']}")
    watcher = Watcher(bar, options["callback"], found.size, begun)
    try:
        with precision(np.dtype(np.float64)), blas_limits_kept(), compile_clock() as spans:
            whole = survey(reader, axes, found.labels, watcher.seen)
            specs = checked_options({**options, "engine": "auto", "reset": False, "coords": None}, StandIn.of(whole))
            return _StreamedFit(reader, whole, specs, engine, watcher, options, begun, spans).result()
    finally:
        bar.close()


@dataclass(eq=False)
class _StreamedFit:
    """A fit under way."""

    reader: MapReader
    whole: Survey
    specs: Specs
    engine: Streamed
    watcher: Watcher
    options: Mapping[str, Any]
    begun: float
    spans: list[tuple[float, float]]

    def result(self) -> StreamedResult:
        model, run, auto = self.specs
        if not isinstance(run.solver, QuadraticSteps):
            raise ValueError(f"`solver` must be 'lm' or 'dogleg' for a map on disk, got {run.solver!r}")
        keeper = self._keeper()
        if keeper.arrays:
            start = restored(keeper.arrays[:START_ARRAYS], background_of(self.whole, model, None))
        else:
            start = start_of(self.whole, model, run, auto)
        model = replace(model, n_components=start.n_components)
        how = StreamedHow(
            run.dtype, self.engine.cutoff, self.engine.threads, self.options["max_memory"], self.watcher.seen
        )
        prepared = streamed_setup(self.reader, StandIn.of(self.whole), model, start, how)
        keeper.start = stored(start, prepared.background)
        return self._stepped(prepared, run, start, keeper)

    def _stepped(self, prepared: Prepared, run: RunSpec, start: GaussianSurface, keeper: Keeper) -> StreamedResult:
        """The solver's steps from the start, or from where a checkpoint stands."""
        model, stepping = prepared.model, time.perf_counter()

        def callback(best: Solution) -> bool:
            cost = float(best.cost) * prepared.cost_unit
            return self.watcher.stepped(
                int(best.steps), cost, self.whole.n_points, lambda: ordered(prepared.surface(best.params), model)
            )

        inner: Any = start_plan(prepared, replace(run, init=start)).init
        params: Any = start_params(prepared, inner)
        problem: Any = prepared.fixing(params)
        planner: Any = prepared.planner
        limits = Limits(self.begun + (run.max_time or float("inf")), callback)
        with single_threaded_blas(factorised_rows(prepared)):
            steps = StreamedRun(problem, params, run.solver, limits, planner, keeper)
            solution, history = steps.ended()
        ended = RunOutcome(solution, history, np.zeros(model.n_components, int), [float(solution.cost)])
        found = make_result(ended, prepared, replace(run, init=start), self._timings(stepping), None)
        known = {one.name: getattr(found, one.name) for one in fields(found)}
        settings = replace(found.settings, engine="streamed")
        return StreamedResult(**{**known, "data": self.whole.averages, "settings": settings}, whole=self.whole)

    def _keeper(self) -> Keeper:
        """The checkpoint, and what it holds."""
        path = self.engine.checkpoint
        if path is None:
            return Keeper()
        named = {name: value for name, value in self.options.items() if name not in NOT_FITTED_HERE}
        named |= {"cutoff": self.engine.cutoff, "shape": self.reader.map.shape, "heights": np.array(self.reader.sums)}
        checkpoint = Checkpoint(Path(path), {name: told_and_hashed(value) for name, value in named.items()})
        if self.engine.resume is False or not checkpoint.exists():
            return Keeper(checkpoint)
        return Keeper(checkpoint, *checkpoint.read())

    def _timings(self, stepping: float) -> Timings:
        ended = time.perf_counter()
        before, after = seconds(self.spans, self.begun, stepping), seconds(self.spans, stepping, ended)
        return Timings(stepping - self.begun - before, before + after, ended - stepping - after, ended - self.begun)


def _check(options: Mapping[str, Any]) -> None:
    """Refuses what a map on disk cannot have."""
    for name, instead in IN_MEMORY_ONLY.items():
        if options[name] is not None and options[name] is not False and not np.all(options[name] == 0):
            raise ValueError(f"`{name}` is not known to fits of maps on disk, got {shortly(options[name])}: {instead}")
    if options["loss"] != "linear":
        raise ValueError(f"`loss` must be 'linear' for a map on disk, got {options['loss']!r}")
    if options["sampling"] != "points":
        raise ValueError(f"`sampling` must be 'points' for a map on disk, got {options['sampling']!r}")
    if options["reset"]:
        raise ValueError("`reset` needs the residuals of all points, which a map on disk does not give: leave it out")
    if isinstance(options["init"], RandomStarts):
        raise ValueError("`init` must be one start for a map on disk, got RandomStarts: fit averages by these first")


def _even_axes(found: UnreadMap, coords: Any) -> tuple[tuple[np.ndarray, ...], tuple[int, ...]]:
    """Rising coordinates of each axis, and the axes along which those of the map fall; uneven ones are refused."""
    if not found.shape or 0 in found.shape:
        raise ValueError(f"`heights` must not be empty, got shape {found.shape}")
    axes = grid_axes(found.coords if coords is None else coords, found.shape)
    falling = tuple(i for i, axis in enumerate(axes) if len(axis) > 1 and axis[0] > axis[-1])
    rising = tuple(axis[::-1] if i in falling else axis for i, axis in enumerate(axes))
    for i, axis in enumerate(rising):
        steps = np.diff(axis)
        if len(steps) and not np.allclose(steps, steps.mean(), rtol=EVEN_STEPS, atol=0):
            raise ValueError(
                f"`coords[{i}]` must have even steps for a map on disk, got {steps.min():g} to {steps.max():g}"
            )
    return rising, falling
