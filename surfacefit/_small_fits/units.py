"""A user's heights as lanes in the units of a fit, and lanes' surfaces in the user's units.

Each lane has the units that `_model/scaling` and `_problem/internal_data` give to a single fit: heights of mean zero
and deviation one over its points, weights of mean square one. The points, which all lanes share, have one unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._losses import Linear, Loss, loss_of
from .._losses.poisson import LEAST_RATE, Poisson
from .._model.scaling import CONSTANT_ROUNDING, Scaling, scaling_of
from .chunks import SmallBatch, SmallFits, where_used
from .gaussians import SmallModel
from .surfaces import SurfaceLanes


@dataclass(frozen=True)
class MisfitRule:
    """What a misfit costs, of all lanes alike: ``loss`` and ``f_scale`` as for `fit`, and whether sigmas are absolute.

    Counts, with the loss "poisson", have no weights but 0 and 1.
    """

    loss: str = "linear"
    f_scale: float = 1.0
    absolute_sigma: bool = False


class LaneUnits(NamedTuple):
    """Points of all lanes (a `Scaling`), and of each lane (B,): shift and scale of heights, unit of weights."""

    points: Scaling
    shift: np.ndarray
    scale: np.ndarray
    weight: np.ndarray


def in_units(
    model: SmallModel,
    points: np.ndarray,
    heights: np.ndarray,
    weights: np.ndarray,
    min_widths: np.ndarray,
    rule: MisfitRule,
) -> tuple[SmallBatch, LaneUnits]:
    """Lanes of a user's points (N, d), heights (B, N) and weights (B, N), with widths above ``min_widths`` (d,).

    What has no weight may have any height, NaN among them.
    """
    weights = np.asfortranarray(weights, np.float64)
    used = weights > 0
    heights = where_used(used, np.asfortranarray(heights, np.float64))
    scaling = scaling_of(
        points, np.zeros(len(points)), shift_heights=True, isotropic=model.covariance_type == "spherical"
    )
    count = np.maximum(used.sum(axis=1), 1)
    mean = heights.sum(axis=1) / count
    away = where_used(used, heights - mean[:, None])
    scale = _deviations(heights, away, count)
    weight = np.sqrt((weights * weights).sum(axis=1) / count)
    weight = np.where(weight > 0, weight, 1.0)
    units = LaneUnits(scaling, mean, scale, weight)
    unit = (scale * weight) ** 2
    known = rule.absolute_sigma or rule.loss == "poisson"
    batch = SmallBatch(
        scaling.points(points),
        away / scale[:, None],
        weights / weight[:, None],
        min_widths / scaling.point_scale,
        _loss(rule, mean, scale, unit),
        1 / unit if known else None,
    )
    return batch, units


def _deviations(heights: np.ndarray, away: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The deviation (B,) of each lane's heights, which are so far ``away`` from their mean; of a constant, whose
    heights differ by rounding alone, its size.
    """
    largest = np.abs(heights).max(axis=1, initial=0)
    size = np.where(largest > 0, largest, 1.0)
    away = away / size[:, None]
    spread = size * np.sqrt((away * away).sum(axis=1) / count)
    spread = np.where(spread > CONSTANT_ROUNDING * largest, spread, largest)
    return np.where(spread > 0, spread, 1.0)


def _loss(rule: MisfitRule, shift: Any, scale: Any, unit: Any) -> Loss:
    """The loss in the units of each lane, whose numbers are (B,)."""
    if rule.loss == "poisson":
        return Poisson(LEAST_RATE * np.where(shift > 0, shift, 1.0)).scaled(shift, scale, unit)
    loss = loss_of(rule.loss, rule.f_scale, 1.0)
    return loss if isinstance(loss, Linear) else loss.scaled(shift, scale, unit)


def surfaces_in_units(surfaces: SurfaceLanes, units: LaneUnits) -> SurfaceLanes:
    """A user's surfaces in the units of each lane."""
    scale, axes = units.scale, units.points.point_scale
    return SurfaceLanes(
        surfaces.amplitudes / scale[:, None],
        units.points.points(surfaces.centers),
        surfaces.covariances / (axes[:, None] * axes),
        (surfaces.background - units.shift) / scale,
    )


def in_users_units(model: SmallModel, batch: SmallBatch, units: LaneUnits, fits: SmallFits) -> SmallFits:
    """The fits with cost, surfaces and errors in the user's units; ``params`` stay as they are.

    Errors are those of a single fit: with the known variance of a residual, or 2 cost / (n - P), of which there is none
    without points to spare.
    """
    axes, scale = units.points.point_scale, units.scale
    pairs, cost = axes[:, None] * axes, fits.cost.astype(np.float64)
    surfaces = SurfaceLanes(
        fits.surfaces.amplitudes * scale[:, None],
        fits.surfaces.centers * axes + units.points.point_shift,
        fits.surfaces.covariances * pairs,
        fits.surfaces.background * scale + units.shift,
    )
    errors = fits.errors
    if errors is not None:
        spare = (batch.weights > 0).sum(axis=1) - model.n_parameters
        variance = np.where(spare > 0, 2 * cost / np.maximum(spare, 1), np.inf)
        s = np.sqrt(variance if batch.variance is None else batch.variance)
        errors = SurfaceLanes(
            _times(errors.amplitudes, (s * scale)[:, None]),
            _times(errors.centers, s[:, None, None] * axes),
            _times(errors.covariances, s[:, None, None, None] * pairs),
            _times(errors.background, s * scale),
        )
    return fits._replace(cost=cost * (scale * units.weight) ** 2, surfaces=surfaces, errors=errors)


def _times(errors: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Errors in another unit, where one that is infinite stays so."""
    known = np.isfinite(errors) & np.isfinite(unit)
    with np.errstate(invalid="ignore"):
        return np.where(known, errors * unit, np.where((errors == 0) & (unit > 0), 0, np.inf))
