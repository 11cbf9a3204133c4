"""The number of components of each map of a batch, chosen as `fit` chooses it, map by map on all cores.

The choice (`_search/choosing.py`) ends at a surface for each map; from these the batch is fitted as from given starts.
Maps whose heights support no component have the background alone as their result.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._base.precision import precision
from .._base.progress import ProgressBar
from .._base.status import Status
from .._base.threads import blas_limits_kept, single_threaded_blas
from .._fit.fitting import Fitting
from .._many.batch_record import Results
from .._many.batch_result import BatchResult
from .._many.fit_many import BatchWork, work_of
from .._many.lanes import Batch, Lane
from .._many.map_numbers import MapEnds
from .._many.stack import MapStack
from .._model.background import background_model
from .._model.surface import GaussianSurface
from .._results.criteria import AutoComponents, ComponentPath, auto_components
from .._results.result import FitResult
from .._system.container import cores


@dataclass(frozen=True, eq=False)
class ChosenMaps:
    """The source of a batch whose numbers were chosen: results with the path of all numbers tried; ``empty`` has those
    of the background alone.
    """

    batch: Batch
    paths: Mapping[int, ComponentPath]
    empty: Mapping[int, FitResult]

    @property
    def stack(self) -> MapStack:
        return self.batch.stack

    def result(self, flat: int, ends: MapEnds) -> FitResult:
        """The result of a map, made from where its fit ended."""
        if flat in self.empty:
            return self.empty[flat]
        return replace(self.batch.result(flat, ends), path=self.paths[flat])


def is_chosen(n_components: Any) -> bool:
    """Whether a number of components is to be chosen."""
    return isinstance(n_components, AutoComponents) or (isinstance(n_components, str) and n_components == "auto")


def fit_with_chosen_numbers(options: dict[str, Any]) -> BatchResult:
    """The result of `fit_many` with ``n_components="auto"``."""
    auto, init = auto_components(options["n_components"]), options["init"]
    assert isinstance(auto, AutoComponents)
    if not (isinstance(init, str) and init in ("auto", "growth")):
        raise ValueError(
            f"`init` must be 'auto' where `n_components` is chosen, which grows its own start, got {init!r}"
        )
    work = work_of({**options, "n_components": 1, "init": "growth"})
    choice = _Choices(work, auto)
    try:
        with blas_limits_kept():
            choice.choose()
        return choice.result()
    finally:
        work.watch.bar.close()


@dataclass(eq=False)
class _Choices:
    """What has been chosen: the surface of each map with a component, the path of each, results without components."""

    work: BatchWork
    auto: AutoComponents
    surfaces: dict[int, GaussianSurface] = field(default_factory=dict)
    paths: dict[int, ComponentPath] = field(default_factory=dict)
    empty: dict[int, FitResult] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    unfit: dict[int, Status] = field(default_factory=dict)

    def choose(self) -> None:
        """Chooses for all maps, until a limit is met; each in a thread of its own."""
        with ThreadPoolExecutor(cores()) as pool:
            waiting = {pool.submit(self._choose_one, flat) for flat in range(len(self.work.batch.stack))}
            try:
                for done in as_completed(waiting):
                    done.result()
                    self.work.watch.add(1)
                    if self.work.watch.told != Status.RUNNING:
                        break
            except KeyboardInterrupt:
                self.work.watch.told = Status.INTERRUPTED
            finally:
                pool.shutdown(cancel_futures=True)

    def _choose_one(self, flat: int) -> None:
        with precision(self.work.dtype), single_threaded_blas(1):
            lane = self.work.batch.lane(flat)
            if not isinstance(lane, Lane):
                self.unfit[flat] = lane
                return
            model, watch = lane.prepared.model, self.work.watch
            fitting = Fitting(lane.prepared.data, lane.run, ProgressBar(False, None, ""), watch.begun, [])
            chosen = fitting.choose(model, self.auto)
            surface = chosen.surface
            assert surface is not None  # nothing halts the choice of a single map
            self.steps[flat], self.paths[flat] = chosen.steps, chosen.path
            if surface.n_components:
                self.surfaces[flat] = surface
            else:
                self.empty[flat] = fitting.without_components(model, surface, chosen)

    def result(self) -> BatchResult:
        """The batch, fitted from what was chosen."""
        n_maps, before = len(self.work.batch.stack), self.work.watch.told
        counts = np.ones(n_maps, int)
        starts: list[GaussianSurface | str] = ["growth"] * n_maps
        for flat, surface in self.surfaces.items():
            counts[flat], starts[flat] = surface.n_components, surface
        batch, watch = replace(self.work.batch, counts=counts, starts=starts), self.work.watch
        watch.counting, watch.told = False, Status.RUNNING  # what was chosen is fitted, however late it is
        flats = np.array(sorted(self.surfaces), int)
        ends = batch.no_ends(n_maps, self.work.first)
        ends.put(flats, self.work.ends(flats.tolist(), batch))
        for flat, steps in self.steps.items():
            ends.steps[flat] += steps
        for flat, status in self.unfit.items():
            ends.status[flat] = int(status)
        for flat, alone in self.empty.items():
            _put_background(ends, flat, alone)
        ends.status[ends.status == int(Status.RUNNING)] = int(before)
        source = ChosenMaps(batch, self.paths, self.empty)
        return BatchResult(batch.stack.shape, Results(source, ends, np.arange(n_maps), {}))


def _put_background(ends: MapEnds, flat: int, alone: FitResult) -> None:
    """Where the fit of the background alone has ended."""
    ends.status[flat], ends.cost[flat], ends.steps[flat] = int(alone.status), alone.cost, alone.steps
    ends.n_parameters[flat], ends.n_used[flat] = alone.n_parameters, alone.n_points
    ends.surfaces.background[flat] = np.atleast_1d(background_model(alone.surface.background).vector())
