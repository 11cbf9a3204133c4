"""Single components on small maps: all lanes of an array at once (`_small_fits`), where that is the fit of each alone.

A lane counts only where it has converged, inside what contains the components of `fit`, and, where the start is made,
so low that `fit` would look at no other peak. All others are fitted one by one. Which way a map goes follows from its
own heights and from the options, never from other maps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import MOST_MAGNITUDE
from .._base.status import STATUS, Status
from .._constraints.containment import CENTER_MARGIN, WIDEST_EXTENTS
from .._data.data import SurfaceData
from .._model.surface import are_covariances
from .._runs.capped_weights import wide_rows
from .._search.growth import MAX_LEFT_BY_SINGLE
from .._small_fits.chunks import SmallFits, where_used
from .._small_fits.gaussians import SmallModel
from .._small_fits.levenberg_marquardt import UNSEEN_UNITS, LaneSettings
from .._small_fits.stacks import ReadyLanes, SmallStack, fitted_lanes, ready_lanes
from .._small_fits.surfaces import SurfaceLanes
from .._small_fits.units import MisfitRule
from .._solvers import LevenbergMarquardt
from .lanes import Batch, Lane, level_of
from .map_numbers import MapEnds

# Points of a map up to which its fit is small: cut-outs of 11 x 11 are the largest in use, and a chunk of them is 1 MB.
MOST_POINTS = 128
# Dimensions up to which its systems are written out entry by entry: in three there are eleven numbers, in four sixteen.
MOST_DIMENSIONS = 3
# Losses of which the small fits have been compared with the others.
LOSSES = ("linear", "poisson")
# Of each code of a status whether it is a success.
SUCCESSES = np.array([code in STATUS and STATUS[code].success for code in Status])


@dataclass(frozen=True, eq=False)
class SmallMaps:
    """The maps of a batch as lanes: all at the points of ``data``, each with the start of its own, if they have any."""

    batch: Batch
    first: Lane
    data: SurfaceData
    model: SmallModel
    rule: MisfitRule
    settings: LaneSettings
    min_width: float
    dtype: np.dtype
    contained: bool
    starts: SurfaceLanes | None

    def ends(self, chunk: np.ndarray) -> MapEnds:
        """Where the fits of some maps ended; those to be fitted one by one stay RUNNING."""
        begun, ends = time.perf_counter(), self.batch.no_ends(len(chunk), self.first)
        heights, used, weights = (np.asfortranarray(one) for one in self.batch.stack.block(chunk, "F"))
        known = self._are_known(heights, used, weights) & (self.batch.counts[chunk] == 1)
        if not known.all():
            heights, weights = (np.where(known[:, None], array, 1) for array in (heights, weights))
        weights = where_used(used, weights)
        start = None if self.starts is None else SurfaceLanes(*(one[chunk] for one in self.starts))
        min_widths = self.min_width * self.data.spacing
        stack = SmallStack(self.data.all_points, heights, weights, min_widths, self.rule, start)
        lanes = ready_lanes(self.model, stack)
        fits = fitted_lanes(self.model, lanes, self.settings, dtype=self.dtype)
        good = known & self._have_ended(stack, lanes, fits)
        kept: Any = slice(None) if good.all() else good  # all at once in 8 us, those of a mask in 160
        for whole, part in zip(ends.surfaces, [*fits.surfaces[:3], fits.surfaces.background[:, None]], strict=True):
            whole[kept] = part[kept]
        ends.n_components[kept], ends.n_parameters[kept] = self.model.n_components, self.model.n_parameters
        ends.status[kept], ends.steps[kept] = fits.status[kept], fits.steps[kept]
        ends.cost[kept], ends.n_used[kept] = fits.cost[kept], used.sum(axis=1)[kept]
        ends.seconds[kept, 1] = (time.perf_counter() - begun) / len(chunk)
        return ends

    def _are_known(self, heights: np.ndarray, used: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """In which lanes (B,) there are enough points, with heights and weights that nothing is to be said of."""
        sizes = np.abs(where_used(used, heights))
        size = sizes.max(axis=1)
        known = (used.sum(axis=1) >= self.model.n_parameters) & (size >= 1 / MOST_MAGNITUDE) & (size <= MOST_MAGNITUDE)
        if self.rule.loss == "poisson":
            known &= (heights >= 0).all(axis=1, where=used)
        if self.data.axes is None:  # the sampling distance is that of the points that are used
            known &= used.all(axis=1)
        if not self.batch.stack.sigmas.is_none:
            moderate = (weights >= 1 / MOST_MAGNITUDE) & (weights <= MOST_MAGNITUDE) | ~used
            with np.errstate(over="ignore", invalid="ignore"):  # where heights or weights are infinite
                known &= moderate.all(axis=1) & ((sizes * weights).max(axis=1) <= MOST_MAGNITUDE)
            known[wide_rows(np.where(used & known[:, None], weights, 0))] = False
        return np.asarray(known)

    def _have_ended(self, stack: SmallStack, lanes: ReadyLanes, fits: SmallFits) -> np.ndarray:
        """Which lanes (B,) have converged to what `fit` would have led to."""
        used, units = stack.weights > 0, lanes.units
        good = SUCCESSES[fits.status] & np.isfinite(fits.cost)
        if self.contained:
            good &= self._holds(fits.surfaces, used)
        if stack.start is not None:
            return np.asarray(good & self._are_starts(stack.start, used))
        assert lanes.low is not None
        above = lanes.batch.weights * (lanes.batch.heights - lanes.low[:, None])
        nothing = 0.5 * (above * above).sum(axis=1) * (units.scale * units.weight) ** 2
        return np.asarray(good & (fits.cost < MAX_LEFT_BY_SINGLE * nothing))

    def _holds(self, surfaces: SurfaceLanes, used: np.ndarray) -> np.ndarray:
        """Which surfaces (B,) lie within the region that the used points of their lanes contain (`containment`)."""
        points, spacing = self.data.all_points, self.data.spacing
        if used.all():
            low, high = points.min(axis=0), points.max(axis=0)
        else:
            low = np.where(used[..., None], points, np.inf).min(axis=1)
            high = np.where(used[..., None], points, -np.inf).max(axis=1)
        centers, margin = surfaces.centers[:, 0], CENTER_MARGIN * spacing
        widest = WIDEST_EXTENTS * ((high - low + 2 * margin) / spacing).max(axis=-1, keepdims=True) * spacing
        deviations = np.sqrt(np.einsum("bii->bi", surfaces.covariances[:, 0]))
        inside = (centers > low - margin) & (centers < high + margin) & (deviations < widest)
        return np.asarray(inside.all(axis=1))

    def _are_starts(self, start: SurfaceLanes, used: np.ndarray) -> np.ndarray:
        """Which given starts (B,) are taken as they are."""
        numbers = [one.reshape(len(one), -1) for one in start]
        good = np.isfinite(np.concatenate(numbers, axis=1)).all(axis=1) & are_covariances(start.covariances[:, 0])
        if self.model.amplitudes == "positive":
            good &= (start.amplitudes > 0).all(axis=1)
        return np.asarray(good & self._holds(start, used))


def small_maps(batch: Batch, first: Lane | None) -> SmallMaps | None:
    """The maps of a batch as lanes of small fits; None where their form or their options are not of that kind."""
    stack = batch.stack
    if first is None or not isinstance(stack.maps, np.ndarray) or isinstance(stack.points, list) or stack.coords.each:
        return None
    model, run, solver = first.prepared.model, first.run, first.run.solver
    plain = model.prior is None and not model.constraints and isinstance(model.background, str)
    plain = plain and model.background == "constant" and model.loss in LOSSES and model.covariance_type != "tied"
    small = (
        stack.maps[0].size <= MOST_POINTS
        and stack.n_dim <= MOST_DIMENSIONS
        and (batch.counts <= 1).all()
        and first.prepared.model.n_components == 1
    )
    if not isinstance(solver, LevenbergMarquardt) or solver.method != "cholesky" or not np.isfinite(solver.distance):
        return None
    starts = _starts(batch) if plain and small else "other"
    if starts == "other":
        return None
    data = stack.without_gaps(0)
    eps = float(np.finfo(run.dtype).eps)
    return SmallMaps(
        batch=batch,
        first=first,
        data=data,
        model=SmallModel(1, stack.n_dim, model.covariance_type, model.amplitudes),
        rule=MisfitRule(model.loss, model.f_scale, stack.absolute_sigma),
        settings=LaneSettings(
            max_steps=solver.max_steps,
            ftol=max(float(solver.ftol), UNSEEN_UNITS * eps),
            trusted_distance=solver.distance,
            damping=solver.damping,
            reach=solver.reach,
        ),
        min_width=model.min_width,
        dtype=run.dtype,
        contained=batch.options["contained"] is not False,
        starts=None if isinstance(starts, str) else starts,
    )


def _starts(batch: Batch) -> SurfaceLanes | str:
    """The given starts of all lanes, "made" where they are grown, or "other" where they are of another kind."""
    starts, n_dim = batch.starts, batch.stack.n_dim
    one = starts[0] if all(start is starts[0] for start in starts) else None
    if isinstance(one, str):
        return "made" if one in ("auto", "growth") else "other"
    given = [one] if one is not None else starts
    levels = [level_of(start) for start in given]
    if any(level is None or np.isnan(level) for level in levels):
        return "other"
    try:
        columns = [
            np.array([getattr(start, name) for start in given], float)
            for name in ("amplitudes", "centers", "covariances")
        ]
        lanes = SurfaceLanes(columns[0], columns[1], columns[2], np.array(levels, float))
    except (TypeError, ValueError):
        return "other"
    shapes = [(1,), (1, n_dim), (1, n_dim, n_dim), ()]
    if any(array.shape[1:] != shape for array, shape in zip(lanes, shapes, strict=True)):
        return "other"
    whole = [np.broadcast_to(array, (len(starts), *array.shape[1:])) for array in lanes]
    return SurfaceLanes(whole[0], whole[1], whole[2], whole[3])
