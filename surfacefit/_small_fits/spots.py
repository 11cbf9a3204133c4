"""A start for one spot in each of many lanes, from the points above half of its height.

The background starts at a low quantile, the amplitude at the largest height above it, the centre at the mean of the
points above half maximum, and the width from their number: they fill a ball of radius (2 log 2)^(1/2) sigma.
"""

from __future__ import annotations

from math import gamma, log, pi, sqrt

import numpy as np

from .chunks import SmallBatch
from .gaussians import SmallModel
from .surfaces import SurfaceLanes

# Quantile of the heights at which the background starts; from that of the general start, on lanes of a few points.
BACKGROUND_QUANTILE = 0.1
# Least start of a width, relative to the spacing of the points: a spot on a single point starts with some slope around.
LEAST_SPACINGS = 0.5


def spot_start(model: SmallModel, batch: SmallBatch, low: np.ndarray) -> SurfaceLanes:
    """One component in each lane, in the units of the lanes; of either sign where amplitudes are signed.

    ``low`` are the `low_heights` (B,) of the lanes.
    """
    used, d, upright, background = batch.weights > 0, model.n_dim, batch.heights, low
    sign = np.ones(len(used))
    if model.amplitudes == "signed":
        tails = upright.max(axis=1) + upright.min(axis=1)
        sign = np.where(tails < 0, -1.0, 1.0)  # heights have mean zero: the longer tail is the spot's
        upright = sign[:, None] * upright
        turned = np.flatnonzero(sign < 0)
        background = low.copy()
        background[turned] = low_heights(upright[turned], used[turned])
    top = (upright if used.all() else np.where(used, upright, -np.inf)).max(axis=1)
    top = np.where(np.isfinite(top), top, background)
    above = used & (upright >= (0.5 * (top + background))[:, None])
    count = np.maximum(above.sum(axis=1), 1)
    # Row by row: a product of matrices would add in an order that depends on how many lanes there are.
    centers = np.stack([(above * axis).sum(axis=1) for axis in batch.points.T], axis=1) / count[:, None]
    volume = float(np.prod(np.maximum(np.ptp(batch.points, axis=0), 1e-3))) / max(len(batch.points), 1)
    ball = pi ** (d / 2) / gamma(d / 2 + 1)
    width = (count * volume / ball) ** (1 / d) / sqrt(2 * log(2))
    width = np.clip(width, LEAST_SPACINGS * volume ** (1 / d), 1.0)
    shapes = (width * width)[:, None, None, None] * np.eye(d)
    return SurfaceLanes((sign * (top - background))[:, None], centers[:, None], shapes, sign * background)


def low_heights(heights: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The low quantile of the used heights (B,), the nearest below; 0 where no point is used."""
    if used.all():
        place = int(BACKGROUND_QUANTILE * (used.shape[1] - 1))
        return np.partition(np.ascontiguousarray(heights), place, axis=1)[:, place]
    place = np.floor(BACKGROUND_QUANTILE * np.maximum(used.sum(axis=1) - 1, 0)).astype(int)
    low = np.sort(np.where(used, heights, np.inf), axis=1)[np.arange(len(heights)), place]
    return np.where(np.isfinite(low), low, 0.0)
