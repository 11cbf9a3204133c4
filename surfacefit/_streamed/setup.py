"""From a surveyed map and a model to a problem: units, parameters and limits as for a fit in memory, and the passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._base.memory import memory_limit
from .._data.data import DataRecord, SurfaceData
from .._lists.overlaps import EvenGrid
from .._lists.pairs import Ellipsoids, cutoff_radii
from .._model.background import LOW_QUANTILE, MIDDLE_QUANTILE, BackgroundModel, background_start, continued
from .._model.scaling import Scaling, scaling_of
from .._model.surface import GaussianSurface
from .._model.units import to_internal
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._problem.problem_setup import objective_setup
from .._system.container import cores
from .map_passes import MapPasses, tile_sides
from .map_reader import MapReader
from .planner import StreamedPlanner
from .problem import StreamedProblem
from .survey import Survey


@dataclass(frozen=True, eq=False)
class StandIn(SurfaceData):
    """Averages that stand for the points of a whole map, where options are checked and units are chosen."""

    whole: Survey = None  # type: ignore[assignment]

    @classmethod
    def of(cls, whole: Survey) -> StandIn:
        averages = {one.name: getattr(whole.averages, one.name) for one in fields(DataRecord)}
        return cls(**{**averages, "sigma": None}, whole=whole)

    @property
    def n_used(self) -> int:
        return self.whole.n_points

    @property
    def spacing(self) -> np.ndarray:
        return self.whole.spacing

    @property
    def used_points(self) -> np.ndarray:
        """The corners of the map."""
        return self.whole.corners


def background_of(whole: Survey, model: ModelSpec, init: object) -> BackgroundModel:
    """The background at its start, from the sample of the points."""
    level = MIDDLE_QUANTILE if model.signed else LOW_QUANTILE
    asked = background_start(model.background, whole.points, whole.heights, level)
    return continued(asked, init.background, len(whole.axes)) if isinstance(init, GaussianSurface) else asked


def units_of(whole: Survey, model: ModelSpec, background: BackgroundModel) -> Scaling:
    """The units of the fit: those of heights with the map's mean and deviation between its corners."""
    heights = np.array([whole.mean - whole.deviation, whole.mean + whole.deviation])
    return scaling_of(
        whole.corners,
        heights,
        shift_heights=background.shifts_heights,
        isotropic=model.covariance_type == "spherical",
    )


def streamed_setup(
    reader: MapReader,
    data: StandIn,
    model: ModelSpec,
    start: GaussianSurface,
    how: StreamedHow,
) -> Prepared:
    """The problem of a map on disk, for components like those of the start, in the user's units."""
    whole = data.whole
    background = background_of(whole, model, start)
    scaling = units_of(whole, model, background)
    objective = objective_setup(data, model, scaling, background, np.dtype(np.float64))
    nothing: Any = np.zeros(0)
    problem = StreamedProblem(
        points=scaling.points(whole.corners),
        heights=nothing,
        weights=nothing,
        parameterization=objective.parameterization,
        loss=objective.loss,
        box=objective.box,
        width_limits=objective.width_limits,
        n_points=np.asarray(float(whole.n_points)),
        rounding=np.asarray(float(np.finfo(how.dtype).eps)),
    )
    grid = EvenGrid(scaling.points(whole.corners)[0], _step(scaling, whole), reader.map.shape)
    cutoff = how.cutoff if how.cutoff >= np.finfo(how.dtype).tiny else 0.0
    inner = to_internal(GaussianSurface(start.amplitudes, start.centers, start.covariances), scaling)
    ellipsoids = Ellipsoids(
        inner.centers, np.linalg.cholesky(inner.covariances), cutoff_radii(inner.amplitudes, cutoff)
    )
    passes = MapPasses(
        reader,
        grid,
        scaling,
        tile_sides(ellipsoids.half_sides / grid.step, len(whole.axes)),
        cutoff,
        how.dtype,
        how.n_threads or int(max(1, cores())),
        how.seen,
    )
    unplanned = Prepared(data, model, scaling, problem, background)
    planner = StreamedPlanner.of(passes, unplanned.host.parameterization, memory_limit(how.max_memory))
    return Prepared(data, model, scaling, problem, background, planner)


@dataclass(frozen=True, eq=False)
class StreamedHow:
    """How passes are made: ``dtype`` of heights and Gaussians, ``cutoff`` as of `Streamed`, threads, memory in GB, and
    who is told of the points read.
    """

    dtype: np.dtype
    cutoff: float
    n_threads: int | None
    max_memory: float | None
    seen: Callable[[int], None]


def _step(scaling: Scaling, whole: Survey) -> np.ndarray:
    """Steps (d,) of the grid in the units of the fit; 1 along an axis of one point."""
    low, high = scaling.points(whole.corners)
    lengths = np.array([len(axis) - 1 for axis in whole.axes])
    return np.where(lengths > 0, (high - low) / np.maximum(lengths, 1), 1.0)
