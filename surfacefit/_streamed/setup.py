"""From a surveyed map and a model to a problem: units, parameters and limits as for a fit in memory, and the passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._base.memory import MemoryShort, gigabytes, memory_limit
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

# Bytes a point of a window that is at work: as stored, in double precision twice, and tile by tile twice.
WINDOW_BYTES = 40
# Bytes a block of the averages: heights, counts, sums, errors and what is used, and copies of these for a start.
AVERAGE_BYTES = 80


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
    whole, limit = data.whole, memory_limit(how.max_memory)
    n_threads = how.n_threads or max(1, int(cores()))
    _check_memory(whole, reader, n_threads, limit)
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
        n_threads,
        how.seen,
    )
    unplanned = Prepared(data, model, scaling, problem, background)
    planner = StreamedPlanner.of(passes, unplanned.host.parameterization, limit)
    return Prepared(data, model, scaling, problem, background, planner)


def fixed_bytes(whole: Survey, reader: MapReader, n_threads: int) -> float:
    """Bytes that a fit holds whatever its components: windows at work and one that waits, averages and the sample."""
    windows = (n_threads + 1) * WINDOW_BYTES * np.prod(reader.sides, dtype=float)
    return float(windows + AVERAGE_BYTES * whole.counts.size + 8 * (whole.points.size + whole.heights.size))


def _check_memory(whole: Survey, reader: MapReader, n_threads: int, limit: float) -> None:
    need = fixed_bytes(whole, reader, n_threads)
    if need > limit:
        raise MemoryShort(
            f"windows of {' x '.join(map(str, reader.sides))} points and averages need about {gigabytes(need)}, more"
            f" than `max_memory` = {gigabytes(limit)}: allow more, `engine=Streamed(threads=1)`, or store the map in"
            " smaller chunks"
        )


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
