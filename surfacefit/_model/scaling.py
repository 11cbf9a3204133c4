"""Units inside a fit: points and heights of order one, whatever units come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

RARE, FAR = 0.01, 100.0


@register_dataclass
@dataclass(frozen=True, eq=False)
class Scaling:
    """x = point_shift + point_scale * x_internal (per axis), z = height_shift + height_scale * z_internal."""

    point_shift: Any
    point_scale: Any
    height_shift: Any
    height_scale: Any

    def points(self, points: Any) -> Any:
        return (points - self.point_shift) / self.point_scale

    def axes(self, axes: Any) -> Any:
        return [(axis - self.point_shift[i]) / self.point_scale[i] for i, axis in enumerate(axes)]

    def heights(self, heights: Any) -> Any:
        return (heights - self.height_shift) / self.height_scale

    def height_differences(self, differences: Any) -> Any:
        """Differences of heights, which no shift changes."""
        return differences / self.height_scale


def without_outliers(heights: np.ndarray) -> np.ndarray:
    """Heights (N,) with those far beyond what nearly all lie between cut off: their units are not for outliers to
    set.
    """
    low, high = np.quantile(heights, [RARE, 1 - RARE])
    far = FAR * (high - low)
    return np.clip(heights, low - far, high + far) if far > 0 else heights


def scaling_of(points: np.ndarray, heights: np.ndarray, *, shift_heights: bool, isotropic: bool) -> Scaling:
    """Scaling by the half extent of each axis (the largest for all, if isotropic) and the heights' deviation.

    points (N, d), heights (N,). An axis or a map without extent is left at scale one.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    half = (high - low) / 2
    if isotropic:
        half = np.full_like(half, half.max())
    half = np.where(half > 0, half, half.max() if half.max() > 0 else 1.0)
    shift = float(heights.mean()) if shift_heights else 0.0
    largest = float(np.abs(heights - shift).max())
    if largest <= 1e-14 * float(np.abs(heights).max()):
        largest = float(np.abs(heights).max())
    unit = largest or 1.0
    spread = float(np.sqrt(np.mean(((heights - shift) / unit) ** 2))) * unit
    return Scaling(low + (high - low) / 2, half, shift, spread or unit)
