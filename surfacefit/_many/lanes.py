"""What each map of a chunk needs for its fit: its problem and its start, or a status that says why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jax import Device

from .._base import devices
from .._base.devices import beside_accelerator
from .._base.precision import precision
from .._base.status import Status
from .._constraints.bounds import Bounds
from .._data.data import UnusableValues
from .._fit.make_result import settings_of
from .._fit.options import checked_options
from .._fit.run_spec import RunSpec
from .._fit.start_request import start_request
from .._model.background import ConstantBackground, NoBackground
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._problem.problem_setup import TooFewPoints, problem_setup
from .._results.record import Timings
from .._results.result import FitResult
from .._search.context import SearchContext
from .._solvers import Record
from .._system.container import cores
from .map_numbers import MapEnds
from .stack import MapStack

# Maps that a program has room for: those of 32 x 32 points then take some tenths of a second, so that the bar moves and
# limits are met in time, and with more room programs run no faster.
MOST_MAPS_A_PROGRAM = 64
# Points of the maps in a program: copies of them are 8 MB each.
MOST_POINTS_A_PROGRAM = 2**20
# Maps that a program on an accelerator has room for, whose steps are taken together; chosen, not measured.
MOST_MAPS_ON_ACCELERATOR = 1024
# Numbers in the columns of their Jacobians: 2 GB in single precision.
MOST_NUMBERS_ON_ACCELERATOR = 2**29
# Programs' worth of maps a chunk, whose starts are made together: more maps at once take less of Python for each, but
# arrays that leave a core's cache.
MOST_PROGRAMS_A_CHUNK = 4
# Points of the maps in a chunk of more than one program's worth: arrays of 1 MB.
MOST_POINTS_A_CHUNK = 2**17
# Chunks for each core at least, so that none waits long for the others at the end.
CHUNKS_A_CORE = 2


@dataclass(eq=False)
class Lane:
    """One map on its way: ``flat`` is its number in the batch, ``room`` how many share a program, which runs on the
    ``device``. Its own arrays are on the host.
    """

    flat: int
    prepared: Prepared
    run: RunSpec
    room: int
    device: Device

    @cached_property
    def context(self) -> SearchContext:
        return SearchContext(self.prepared, start_request(self.prepared, self.run.seed))


@dataclass(frozen=True, eq=False)
class Batch:
    """Maps, the number of components of each (n,), the start of each or how it is made, and the options of `fit`."""

    stack: MapStack
    counts: np.ndarray
    starts: Sequence[GaussianSurface | str]
    options: Mapping[str, Any]
    device: Device = field(default_factory=lambda: devices.device_of())

    @cached_property
    def room(self) -> int:
        """Maps that a program has room for: a power of two, fewer where they are large."""
        most = min(self._most_maps(), len(self.stack))
        return 1 << (most - 1).bit_length()

    def _most_maps(self) -> int:
        if self.device.platform == "cpu":
            return min(MOST_MAPS_A_PROGRAM, max(1, MOST_POINTS_A_PROGRAM // self._largest))
        n_dim = self.stack.n_dim
        columns = int(self.counts.max(initial=1)) * (1 + n_dim + n_dim * (n_dim + 1) // 2)
        return min(MOST_MAPS_ON_ACCELERATOR, max(1, MOST_NUMBERS_ON_ACCELERATOR // (columns * self._largest)))

    def chunk_size(self, count: int) -> int:
        """Of so many maps how many go into a chunk: as many as a program has room for, or some times as many."""
        times = min(MOST_POINTS_A_CHUNK // self._largest, count // (CHUNKS_A_CORE * cores())) // self.room
        return self.room * min(max(1, times), MOST_PROGRAMS_A_CHUNK)

    def order(self, flats: np.ndarray) -> np.ndarray:
        """An order of maps in which those alike come together, those of most components first."""
        return np.lexsort((self._sizes[flats], -self.counts[flats]))

    @cached_property
    def _largest(self) -> int:
        return max(1, int(self._sizes.max()))

    @cached_property
    def _sizes(self) -> np.ndarray:
        """Points (n,) of the maps."""
        maps = self.stack.maps
        if isinstance(maps, np.ndarray):
            return np.full(len(maps), maps[0].size)
        return np.array([one.size for one in maps])

    def first_lane(self) -> Lane | None:
        """The lane of the first map of those with components, else without, that can be fitted; raises where the
        values of all maps are unusable.
        """
        statuses = set()
        for flat in np.argsort(self.counts == 0, kind="stable"):
            lane = self.lane(int(flat))
            if isinstance(lane, Lane):
                return lane
            statuses.add(lane)
        if statuses == {Status.UNUSABLE}:
            self.stack.data(0)
        return None

    def lane(self, flat: int) -> Lane | Status:
        """The lane of a map, or the status of one that cannot be fitted."""
        if self.stack.is_empty(flat):
            return Status.EMPTY
        try:
            data = self.stack.data(flat)
        except UnusableValues:
            return Status.UNUSABLE
        count, start = int(self.counts[flat]), self.starts[flat]
        given = {"n_components": count, "init": start, "search": 0, "reset": False}
        if not count:
            given |= {"n_components": 1, "init": "growth", **of_background(self.options, start)}
        try:
            specs = checked_options({**self.options, **given}, data)
            model = replace(specs.model, n_components=count)
            with precision(specs.run.dtype), beside_accelerator():
                prepared = problem_setup(data, model, specs.run.dtype, specs.run.engine, start)
        except TooFewPoints:
            return Status.TOO_FEW_POINTS
        except (ValueError, TypeError) as error:
            raise type(error)(f"map {self.stack.index(flat)} of `maps`: {error}") from None
        return Lane(flat, prepared, specs.run, self.room, self.device)

    def no_ends(self, count: int, first: Lane | None) -> MapEnds:
        """Room for the ends of so many maps; ``first`` is a lane of the batch, if there is one."""
        most, n_dim = int(self.counts.max()), self.stack.n_dim
        if first is None:
            return MapEnds.nothing(count, most, n_dim, NoBackground(), None)
        return MapEnds.nothing(count, most, n_dim, first.prepared.background, first.prepared.model)

    def result(self, flat: int, ends: MapEnds) -> FitResult:
        """The result of a map, made from where its fit ended."""
        lane = self.lane(flat)
        assert isinstance(lane, Lane)
        prepared, (start, run) = lane.prepared, (float(seconds) for seconds in ends.seconds[flat])
        return FitResult(
            surface=ends.surface(flat, prepared.background),
            data=prepared.data,
            cost=float(ends.cost[flat]),
            status=Status(int(ends.status[flat])),
            steps=int(ends.steps[flat]),
            history={name: np.zeros(0) for name in Record._fields},
            timings=Timings(start=start, compile=0.0, run=run, total=start + run),
            settings=settings_of(prepared, lane.run),
            penalty=float(ends.penalty[flat]),
        )


def of_background(options: Mapping[str, Any], start: Any) -> dict[str, Any]:
    """Those of some options that concern the background, for a map without components."""
    bounds, fixed, background = options["bounds"], options["fixed"], options["background"]
    names = [fixed] if isinstance(fixed, str) else fixed or ()
    is_held = "background" in names and (not isinstance(fixed, dict) or fixed["background"])
    if is_held and isinstance(start, GaussianSurface) and isinstance(background, str):
        background = start.background
    return {
        "background": background,
        "bounds": Bounds(background=bounds.background) if isinstance(bounds, Bounds) else bounds,
        "fixed": "background" if is_held else None,
        "prior": None,
    }


def level_of(start: Any) -> Any:
    """The number of a start's constant background, NaN where it has none, None where it is of another kind."""
    if not isinstance(start, GaussianSurface):
        return None
    value = start.background.value if isinstance(start.background, ConstantBackground) else start.background
    if value is None:
        return np.nan
    return value if isinstance(value, int | float | np.number | np.ndarray) and np.ndim(value) == 0 else None
