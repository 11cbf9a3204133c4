"""Maps that differ in their heights alone: the lane of one is that of another with other heights.

These are maps without gaps and without ``sigma``, at common points, over a constant background, under plain least
squares without limits or priors. Everything else, and what is to be refused, is made map by map (`Batch.lane`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from .._base.checks import MOST_MAGNITUDE
from .._base.devices import on_cpu
from .._base.status import Status
from .._constraints.containment import region_of
from .._model.background import LOW_QUANTILE, MIDDLE_QUANTILE, ConstantBackground
from .._model.scaling import CONSTANT_ROUNDING, Scaling
from .._model.surface import GaussianSurface, are_covariances
from .lane_stacks import LaneStack, init_name, stacked
from .lanes import Batch, Lane, level_of

# Of the region's extent or of a width: starts nearer to an edge are looked at one by one.
NEAR_EDGE = 1e-6


def stacks_of(batch: Batch, chunk: np.ndarray) -> tuple[list[LaneStack], np.ndarray]:
    """The lanes of the maps of a chunk in stacks, and the status (n,) of each map: RUNNING, or why it has no lane."""
    stacks: list[LaneStack] = []
    if on_cpu() and _share_points(batch):
        heights = batch.stack.maps[chunk].reshape(len(chunk), -1).astype(np.float64)
        plain = are_plain(heights)
        for count in np.unique(batch.counts[chunk][plain]):
            some = np.flatnonzero(plain & (batch.counts[chunk] == count))
            stacks += _made_alike(batch, chunk, some, heights[some])
    status = np.full(len(chunk), int(Status.RUNNING))
    left = np.setdiff1d(np.arange(len(chunk)), np.concatenate([np.zeros(0, int), *(one.places for one in stacks)]))
    made = [batch.lane(int(chunk[place])) for place in left]
    lanes = [(one, int(place)) for one, place in zip(made, left, strict=True) if isinstance(one, Lane)]
    for one, place in zip(made, left, strict=True):
        if not isinstance(one, Lane):
            status[place] = int(one)
    if lanes:
        stacks += stacked(*zip(*lanes, strict=True))
    return stacks, status


def _share_points(batch: Batch) -> bool:
    """Whether all maps have common points, without gaps that are known beforehand, and all alike weigh the same."""
    stack = batch.stack
    shared = not isinstance(stack.points, list) and stack.coords.each is None
    return isinstance(stack.maps, np.ndarray) and shared and stack.masks.is_none and stack.sigmas.is_none


def are_plain(heights: np.ndarray) -> np.ndarray:
    """Which maps (B,) of heights (B, N) have no gaps, and heights of which there is nothing to say."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(heights).max(axis=1)
        spread = np.ptp(heights, axis=1)
        return np.asarray((size >= 1 / MOST_MAGNITUDE) & (size <= MOST_MAGNITUDE) & (spread > CONSTANT_ROUNDING * size))


def _made_alike(batch: Batch, chunk: np.ndarray, places: np.ndarray, heights: np.ndarray) -> list[LaneStack]:
    """The lanes of the maps at some places of a chunk, with heights (B, N), that are like the first one's."""
    flats = chunk[places]
    first = batch.lane(int(flats[0]))
    if not isinstance(first, Lane) or not _is_plain_fit(first):
        return []
    levels = np.quantile(heights, MIDDLE_QUANTILE if first.prepared.model.signed else LOW_QUANTILE, axis=1)
    starts = [batch.starts[int(flat)] for flat in flats]
    given = _starts(first, starts) if isinstance(first.run.init, GaussianSurface) else None
    if given is None and any(start is not starts[0] for start in starts):
        return []
    taken = np.ones(len(flats), bool) if given is None else given.taken
    if given is not None:
        levels = np.where(np.isnan(given.levels), levels, given.levels)
    if not taken.any():
        return []
    alike = _Alike(first, flats[taken], places[taken], heights[taken], levels[taken], batch.lane)
    stack = alike.stack()
    if given is not None:
        _put_starts(stack, given, taken, alike)
    return [stack]


@dataclass(frozen=True, eq=False)
class _Alike:
    """B lanes like a first one: heights (B, N) and levels (B,) of their backgrounds in the user's units."""

    first: Lane
    flats: np.ndarray
    places: np.ndarray
    heights: np.ndarray
    levels: np.ndarray
    lane: Callable[[int], Lane | Status]

    @cached_property
    def units(self) -> tuple[np.ndarray, np.ndarray]:
        return units_of(self.heights)

    @property
    def inner_levels(self) -> np.ndarray:
        """The levels in the units of the fit."""
        shift, scale = self.units
        return (self.levels - shift) / scale

    def stack(self) -> LaneStack:
        prepared, problem = self.first.prepared, self.first.prepared.problem
        (shift, scale), dtype = self.units, problem.heights.dtype
        inner = np.asarray((self.heights - shift[:, None]) / scale[:, None], dtype)
        shared: Any = jax.tree.map(lambda leaf: np.asarray(leaf)[None], problem)
        background = ConstantBackground(self.inner_levels.astype(dtype))
        spare = len(problem.heights) - inner.shape[1]
        own = prepared.scaling
        return LaneStack(
            flats=self.flats,
            places=self.places,
            problem=replace(
                shared,
                heights=np.pad(inner, [(0, 0), (0, spare)], mode="edge"),
                parameterization=replace(shared.parameterization, background=background),
            ),
            scaling=Scaling(own.point_shift[None], own.point_scale[None], shift, scale),
            n_used=np.full(len(self.flats), prepared.data.n_used),
            cost_units=scale**2,
            inits=np.full(len(self.flats), init_name(self.first)),
            first=self.first,
            make=self._one,
        )

    def _one(self, row: int) -> Lane:
        """A lane that is needed by itself."""
        lane = self.lane(int(self.flats[row]))
        assert isinstance(lane, Lane)
        return lane


def _is_plain_fit(first: Lane) -> bool:
    """Whether a lane differs from others at the same points in its heights, its background and its start alone."""
    prepared, model = first.prepared, first.prepared.model
    return (
        prepared.data.n_used == prepared.data.used.size
        and prepared.planner is None
        and model.loss == "linear"
        and model.prior is None
        and not model.constraints
        and isinstance(model.background, str)
        and model.background == "constant"
        and model.covariance_type != "tied"
        and prepared.problem.width_limits is None
    )


def units_of(heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale (B,) of heights (B, N), as `scaling_of` has them."""
    shift = heights.mean(axis=1)
    away = heights - shift[:, None]
    largest = np.abs(away).max(axis=1)
    return shift, largest * np.sqrt(np.mean((away / largest[:, None]) ** 2, axis=1))


@dataclass(frozen=True, eq=False)
class Starts:
    """Given starts of B lanes: amplitudes (B, K), centers (B, K, d), covariances (B, K, d, d); levels (B,), NaN where
    the background has no number; ``taken`` (B,): those to be taken as they are.
    """

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    levels: np.ndarray
    taken: np.ndarray


def _starts(first: Lane, starts: Sequence[Any]) -> Starts | None:
    """The starts of lanes like the first one, None where they are of different forms."""
    model, n_dim = first.prepared.model, first.prepared.data.n_dim
    count = model.n_components
    levels = [level_of(start) for start in starts]
    if any(level is None for level in levels):
        return None
    try:
        amplitudes, centers, covariances = (
            np.array([getattr(start, name) for start in starts], float)
            for name in ("amplitudes", "centers", "covariances")
        )
    except (TypeError, ValueError):
        return None
    n = len(starts)
    if (amplitudes.shape, centers.shape, covariances.shape) != (
        (n, count),
        (n, count, n_dim),
        (n, count, n_dim, n_dim),
    ):
        return None
    numbers = np.concatenate([one.reshape(n, -1) for one in (amplitudes, centers, covariances)], axis=1)
    taken = (np.isfinite(numbers) & (np.abs(numbers) <= MOST_MAGNITUDE)).all(axis=1)
    safe = np.where(taken[:, None, None, None], covariances, np.eye(n_dim))
    taken &= are_covariances(safe.reshape(-1, n_dim, n_dim)).reshape(n, count).all(axis=1)
    taken &= model.signed | (amplitudes > 0).all(axis=1)
    region = region_of(first.prepared.data)
    if model.contained:
        room = NEAR_EDGE * (region.high - region.low)
        taken &= ((centers > region.low + room) & (centers < region.high - room)).all(axis=(1, 2))
        taken &= ~region.meets_widths(safe.reshape(-1, n_dim, n_dim), NEAR_EDGE).reshape(n, count).any(axis=1)
    return Starts(amplitudes, centers, safe, np.array(levels, float), taken)


def _put_starts(stack: LaneStack, given: Starts, taken: np.ndarray, alike: _Alike) -> None:
    """Gives lanes the parameters of their starts, within their limits."""
    prepared = stack.first.prepared
    scaling, parts, dtype = prepared.scaling, prepared.host.parameterization, prepared.problem.heights.dtype
    amplitudes = (given.amplitudes[taken] / alike.units[1][:, None]).astype(dtype)
    covariances = given.covariances[taken] / (scaling.point_scale[:, None] * scaling.point_scale)
    shapes = parts.covariance.parameters(covariances, parts.floor).astype(dtype)
    centers = scaling.points(given.centers[taken]).astype(dtype)
    blocks = np.concatenate([parts.amplitude.free(amplitudes)[..., None], centers, shapes], axis=2)
    room = np.zeros((len(stack), parts.n_components - blocks.shape[1], blocks.shape[2]), dtype)
    columns = [
        np.concatenate([blocks, room], axis=1).reshape(len(stack), -1),
        alike.inner_levels.astype(dtype)[:, None],
    ]
    stack.params[:] = stack.projected(np.arange(len(stack)), np.concatenate(columns, axis=1))
    stack.started[:] = True
