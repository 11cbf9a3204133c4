"""The number of components of each map of a batch, chosen as `fit` chooses it, map by map on all cores.

The choice (`_search/choosing.py`) ends at a surface for each map; from these the batch is fitted as from given starts.
Maps whose heights support no component have the background alone as their result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

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
from .._model.background import NoBackground, background_model
from .._model.surface import GaussianSurface
from .._results.criteria import AutoComponents, ComponentPath, auto_components
from .._results.result import FitResult
from .._system.container import cores
from .kept_choices import KeptChoices, path_from_document, path_to_document


class MapChoice(NamedTuple):
    """What was chosen for a map: its surface, the path of all numbers tried and the steps taken; or a status that says
    why there is nothing.
    """

    surface: GaussianSurface | None
    path: ComponentPath | None
    steps: int
    status: int

    def document(self) -> dict[str, Any]:
        """In plain numbers, every one exact."""
        surface, path = self.surface, self.path
        arrays = [] if surface is None else [surface.amplitudes, surface.centers, surface.covariances]
        held = [] if surface is None else [np.atleast_1d(background_model(surface.background).vector())]
        numbers = [np.asarray(one, float).tolist() for one in (*arrays, *held)]
        path_numbers = None if path is None else path_to_document(path)
        return {"surface": numbers, "path": path_numbers, "steps": self.steps, "status": self.status}

    @classmethod
    def of(cls, document: dict[str, Any], n_dim: int, background: Any) -> MapChoice:
        """That of a document; ``background`` is of the kind of all."""
        numbers, path, surface = document["surface"], document["path"], None
        if numbers:
            held = background.with_vector(np.array(numbers[3]))
            shapes = (-1,), (-1, n_dim), (-1, n_dim, n_dim)
            arrays = [np.array(one, float).reshape(shape) for one, shape in zip(numbers[:3], shapes, strict=True)]
            surface = GaussianSurface(arrays[0], arrays[1], arrays[2], None if isinstance(held, NoBackground) else held)
        path = None if path is None else path_from_document(path)
        return cls(surface, path, document["steps"], document["status"])


@dataclass(frozen=True, eq=False)
class ChosenMaps:
    """The source of a batch whose numbers were chosen: results with the path of all numbers tried."""

    batch: Batch
    chosen: Mapping[int, MapChoice]

    @property
    def stack(self) -> MapStack:
        return self.batch.stack

    def result(self, flat: int, ends: MapEnds) -> FitResult:
        """The result of a map, made from where its fit ended."""
        return replace(self.batch.result(flat, ends), path=self.chosen[flat].path)


def is_chosen(n_components: Any) -> bool:
    """Whether a number of components is to be chosen."""
    return isinstance(n_components, AutoComponents) or (isinstance(n_components, str) and n_components == "auto")


def fit_with_chosen_numbers(options: dict[str, Any]) -> BatchResult:
    """The result of `fit_many` with ``n_components="auto"``."""
    work = choice_work(options)
    try:
        return fit_chosen(work, auto_components(options["n_components"]), None)
    finally:
        work.watch.bar.close()


def choice_work(options: dict[str, Any]) -> BatchWork:
    """The work that the arguments of `fit_many` ask for, with one component a map."""
    auto_components(options["n_components"])
    init = options["init"]
    if not (isinstance(init, str) and init in ("auto", "growth")):
        raise ValueError(
            f"`init` must be 'auto' where `n_components` is chosen, which grows its own start, got {init!r}"
        )
    return work_of({**options, "n_components": 1, "init": "growth"})


def fit_chosen(work: BatchWork, auto: Any, kept: KeptChoices | None) -> BatchResult:
    """The result of some work, where the numbers of components are chosen, or kept from a call before."""
    choices = _Choices(work, auto, kept)
    with blas_limits_kept():
        choices.choose()
    return choices.result()


@dataclass(eq=False)
class _Choices:
    """What has been chosen, by the number of a map."""

    work: BatchWork
    auto: AutoComponents
    kept: KeptChoices | None
    chosen: dict[int, MapChoice] = field(default_factory=dict)

    def choose(self) -> None:
        """Chooses for all maps, part by part, until a limit is met."""
        n_maps, watch = len(self.work.batch.stack), self.work.watch
        size = n_maps if self.kept is None else self.kept.size
        for number, first in enumerate(range(0, n_maps, size)):
            part = range(first, min(first + size, n_maps))
            if watch.told != Status.RUNNING:
                break
            known = None if self.kept is None else self.kept.read(number)
            if known is None:
                self._choose_part(part)
                if self.kept is not None and all(flat in self.chosen for flat in part):
                    self.kept.write(number, [self.chosen[flat].document() for flat in part])
                continue
            background = NoBackground() if self.work.first is None else self.work.first.prepared.background
            n_dim = self.work.batch.stack.n_dim
            self.chosen |= {flat: MapChoice.of(one, n_dim, background) for flat, one in zip(part, known, strict=True)}
            watch.done += len(part)

    def _choose_part(self, flats: Sequence[int]) -> None:
        """Chooses for some maps, each in a thread of its own."""
        with ThreadPoolExecutor(cores()) as pool:
            waiting = {pool.submit(self._choose_one, flat) for flat in flats}
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
                self.chosen[flat] = MapChoice(None, None, 0, int(lane))
                return
            model, watch = lane.prepared.model, self.work.watch
            fitting = Fitting(lane.prepared.data, lane.run, ProgressBar(False, None, ""), watch.begun, [])
            chosen = fitting.choose(model, self.auto)
            assert chosen.surface is not None  # nothing halts the choice of a single map
            self.chosen[flat] = MapChoice(chosen.surface, chosen.path, chosen.steps, int(Status.RUNNING))

    def result(self) -> BatchResult:
        """The batch, fitted from what was chosen."""
        n_maps, watch = len(self.work.batch.stack), self.work.watch
        before = watch.told
        counts = np.zeros(n_maps, int)
        starts: list[GaussianSurface | str] = ["growth"] * n_maps
        surfaces = {flat: one.surface for flat, one in sorted(self.chosen.items()) if one.surface is not None}
        for flat, surface in surfaces.items():
            counts[flat], starts[flat] = surface.n_components, surface
        batch = replace(self.work.batch, counts=counts, starts=starts)
        watch.counting, watch.told = False, Status.RUNNING  # what was chosen is fitted, however late it is
        ends, flats = batch.no_ends(n_maps, self.work.first), list(surfaces)
        ends.put(np.array(flats, int), self.work.ends(flats, batch))
        watch.counting, watch.told = True, before if watch.told == Status.RUNNING else watch.told
        for flat, one in self.chosen.items():
            ends.steps[flat] += one.steps
            if one.surface is None:
                ends.status[flat] = one.status
        ends.status[ends.status == int(Status.RUNNING)] = int(watch.told)
        return BatchResult(batch.stack.shape, Results(ChosenMaps(batch, self.chosen), ends, np.arange(n_maps), {}))
