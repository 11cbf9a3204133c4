"""Maps that differ in their heights alone: the lane of one is that of another with other heights.

These are maps without gaps and without ``sigma``, at common points, over a constant background, under plain least
squares without limits or priors. Everything else, and what is to be refused, is made map by map (`Batch.lane`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._base.checks import MOST_MAGNITUDE
from .._base.devices import on_cpu
from .._base.status import Status
from .._constraints.containment import region_of
from .._data.data import SurfaceData, with_heights
from .._model.background import LOW_QUANTILE, MIDDLE_QUANTILE, ConstantBackground
from .._model.scaling import CONSTANT_ROUNDING, Scaling
from .._model.surface import GaussianSurface, are_covariances
from .lanes import Batch, Lane, level_of

# Of the region's extent or of a width: starts nearer to an edge are looked at one by one.
NEAR_EDGE = 1e-6


def lanes_of(batch: Batch, chunk: np.ndarray) -> list[Lane | Status]:
    """The lane of each map of a chunk, or the status of one that cannot be fitted."""
    made: dict[int, Lane | Status] = {}
    if on_cpu() and _share_points(batch):
        heights = batch.stack.maps[chunk].reshape(len(chunk), -1).astype(np.float64)
        plain = _are_plain(heights)
        for count in np.unique(batch.counts[chunk][plain]):
            some = np.flatnonzero(plain & (batch.counts[chunk] == count))
            made |= _made_alike(batch, chunk[some], heights[some])
    return [made[flat] if flat in made else batch.lane(flat) for flat in map(int, chunk)]


def _share_points(batch: Batch) -> bool:
    """Whether all maps have common points, without gaps that are known beforehand, and all alike weigh the same."""
    stack = batch.stack
    shared = not isinstance(stack.points, list) and stack.coords.each is None
    return isinstance(stack.maps, np.ndarray) and shared and stack.masks.is_none and stack.sigmas.is_none


def _are_plain(heights: np.ndarray) -> np.ndarray:
    """Which maps (B,) of heights (B, N) have no gaps, and heights of which there is nothing to say."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(heights).max(axis=1)
        spread = np.ptp(heights, axis=1)
        return np.asarray((size >= 1 / MOST_MAGNITUDE) & (size <= MOST_MAGNITUDE) & (spread > CONSTANT_ROUNDING * size))


def _made_alike(batch: Batch, flats: np.ndarray, heights: np.ndarray) -> dict[int, Lane | Status]:
    """The lanes of maps with heights (B, N) that are like the first one's, by the maps' numbers."""
    first = batch.lane(int(flats[0]))
    if not isinstance(first, Lane) or not _is_plain_fit(first):
        return {}
    levels = np.quantile(heights, MIDDLE_QUANTILE if first.prepared.model.signed else LOW_QUANTILE, axis=1)
    starts = [batch.starts[int(flat)] for flat in flats]
    given = _starts(first, starts) if isinstance(first.run.init, GaussianSurface) else None
    if given is None and any(start is not starts[0] for start in starts):
        return {}
    taken = np.ones(len(flats), bool) if given is None else given.taken
    if given is not None:
        levels = np.where(np.isnan(given.levels), levels, given.levels)
    units = _units(heights)
    found: dict[int, Lane | Status] = {}
    lanes = []
    for n in np.flatnonzero(taken):
        data = with_heights(first.prepared.data, batch.stack.maps[flats[n]].copy())
        lane = _with_heights(first, int(flats[n]), data, heights[n], (units[0][n], units[1][n]), levels[n])
        found[lane.flat] = lane
        lanes.append(lane)
    if given is not None and lanes:
        _put_starts(lanes, given, taken, units, levels)
    return found


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


def _units(heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale (B,) of heights (B, N), as `scaling_of` has them."""
    shift = heights.mean(axis=1)
    away = heights - shift[:, None]
    largest = np.abs(away).max(axis=1)
    return shift, largest * np.sqrt(np.mean((away / largest[:, None]) ** 2, axis=1))


def _with_heights(
    first: Lane, flat: int, data: SurfaceData, heights: np.ndarray, unit: tuple[float, float], level: float
) -> Lane:
    """The lane of another map: its ``data`` with heights (N,), shift and scale of these, the background's level."""
    prepared, problem = first.prepared, first.prepared.problem
    scaling = Scaling(prepared.scaling.point_shift, prepared.scaling.point_scale, float(unit[0]), float(unit[1]))
    background = ConstantBackground(level)
    dtype, inner = problem.heights.dtype, background.to_internal(scaling)
    scaled = np.asarray(scaling.heights(heights), dtype)
    parts = replace(problem.parameterization, background=ConstantBackground(np.asarray(inner.value, dtype)))
    own: Any = np.pad(scaled, (0, len(problem.heights) - len(scaled)), mode="edge")
    problem = replace(problem, heights=own, parameterization=parts)
    whole = replace(prepared, data=data, scaling=scaling, problem=problem, background=background)
    return replace(first, flat=flat, prepared=whole)


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


def _put_starts(
    lanes: Sequence[Lane],
    given: Starts,
    taken: np.ndarray,
    units: tuple[np.ndarray, np.ndarray],
    levels: np.ndarray,
) -> None:
    """Gives lanes the parameters of their starts, within their limits."""
    scaling, host = lanes[0].prepared.scaling, lanes[0].prepared.host
    parts, dtype = host.parameterization, lanes[0].prepared.problem.heights.dtype
    shift, scale = (one[taken] for one in units)
    amplitudes = (given.amplitudes[taken] / scale[:, None]).astype(dtype)
    covariances = given.covariances[taken] / (scaling.point_scale[:, None] * scaling.point_scale)
    shapes = parts.covariance.parameters(covariances, parts.floor).astype(dtype)
    centers = scaling.points(given.centers[taken]).astype(dtype)
    blocks = np.concatenate([parts.amplitude.free(amplitudes)[..., None], centers, shapes], axis=2)
    room = np.zeros((len(lanes), parts.n_components - blocks.shape[1], blocks.shape[2]), dtype)
    inner = ((levels[taken] - shift) / scale).astype(dtype)
    params = np.concatenate([np.concatenate([blocks, room], axis=1).reshape(len(lanes), -1), inner[:, None]], axis=1)
    low, high = (-np.inf, np.inf) if host.box is None else host.box.sides(parts)
    inside: Any = ((params >= low) & (params <= high)).all(axis=1)
    for lane, row, held in zip(lanes, params, inside, strict=True):
        lane.params = row if held else np.asarray(host.projected(row), dtype)
