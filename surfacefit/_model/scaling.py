"""Units inside a fit: points and heights of order one, whatever units come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from .._periodic.nearest import Periods

# Share of the heights at either end that may be outliers when units are chosen.
OUTLIER_SHARE = 0.01
# Distance from the inner 98 % of the heights, in units of their range, beyond which heights do not set the unit: one
# outlier of 1e9 would make all other heights rounding errors.
OUTLIER_RANGES = 100.0
# Largest deviation of the heights from their mean, relative to the largest height, that is mere rounding: the map is
# constant.
CONSTANT_ROUNDING = 1e-14


@register_dataclass
@dataclass(frozen=True, eq=False)
class Scaling:
    """The units of a fit: x = point_shift + point_scale * x_internal for each axis, z = height_shift + height_scale *
    z_internal.

    This record alone scales points and heights. Both come out of order one.
    """

    point_shift: Any
    point_scale: Any
    height_shift: Any
    height_scale: Any

    def points(self, points: Any) -> Any:
        """Points (..., d) in the units of the fit."""
        return (points - self.point_shift) / self.point_scale

    def axes(self, axes: Any) -> Any:
        """The axes of a grid, d arrays, in the units of the fit."""
        return [(axis - self.point_shift[i]) / self.point_scale[i] for i, axis in enumerate(axes)]

    def heights(self, heights: Any) -> Any:
        """Heights in the units of the fit."""
        return (heights - self.height_shift) / self.height_scale

    def periods(self, periods: Periods | None) -> Periods | None:
        """Periods of the axes in the units of the fit."""
        if periods is None:
            return None
        return tuple(None if p is None else p / self.point_scale[i] for i, p in enumerate(periods))

    def height_differences(self, differences: Any) -> Any:
        """Differences of heights, which no shift changes."""
        return differences / self.height_scale


def root_mean_square(values: np.ndarray) -> float:
    """The root mean square of values of any size, whose squares may be no numbers."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if 0 < largest < np.inf else largest


def without_outliers(heights: np.ndarray) -> np.ndarray:
    """Heights (N,) with outliers clipped to far from the inner 98 %, so that they do not set the unit."""
    low, high = np.quantile(heights, [OUTLIER_SHARE, 1 - OUTLIER_SHARE])
    far = OUTLIER_RANGES * (high - low)
    return np.clip(heights, low - far, high + far) if far > 0 else heights


def scaling_of(
    points: np.ndarray, heights: np.ndarray, *, shift_heights: bool, isotropic: bool, periods: Periods | None = None
) -> Scaling:
    """Scaling by the half extent of each axis (the largest for all, if isotropic) and the heights' deviation.

    points (N, d), heights (N,). The half extent of a periodic axis is that of its period. An axis without extent is
    left at scale one. The unit of a constant map is its height, or one, never what rounding leaves of its deviation.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    half = (high - low) / 2
    if periods is not None:
        half = np.array([own if p is None else p / 2 for own, p in zip(half, periods, strict=True)])
    if isotropic:
        half = np.full_like(half, half.max())
    half = np.where(half > 0, half, half.max() if half.max() > 0 else 1.0)
    shift = float(heights.mean()) if shift_heights else 0.0
    highest = float(np.abs(heights).max())
    is_constant = float(np.abs(heights - shift).max()) <= CONSTANT_ROUNDING * highest
    unit = highest or 1.0 if is_constant else root_mean_square(heights - shift)
    return Scaling(low + (high - low) / 2, half, shift, unit)
