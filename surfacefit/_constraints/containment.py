"""Containment: centres over the data and widths up to their extent, so that no component runs away.

Data determine a component whose centre lies far outside only as a slope, and one much wider than the data only as a
level or a parabola. A fit then follows a valley without end: centres, widths and amplitudes grow together, with errors
above the values. Limits on amplitudes alone do not help.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._data.data import SurfaceData
from .._model.surface import GaussianSurface
from .._periodic.image_numbers import WIDEST_PERIOD_SHARE
from .._periodic.nearest import Periods

# Sampling distances beyond the outermost points to which a centre may go: the samples' cells end there.
CENTER_MARGIN = 0.5
# Largest extents of the data up to which a component may be wide along any axis, counted in samples, so that round
# hills on a strip stay round; one wider than that along all axes is a level or a parabola.
WIDEST_EXTENTS = 1.0
# Of the region's extent: what the way from a fit's numbers to a surface and back may round.
ROUNDING_SHARE = 1e-6
# Of a variance: least pivot of a Cholesky factor, a few units of rounding.
LEAST_PIVOT_SHARE = 1e-14


class Region(NamedTuple):
    """The least and the largest coordinates (d,) of a centre, and the largest widths (d,), in the user's units."""

    low: np.ndarray
    high: np.ndarray
    widest: np.ndarray

    def meets_centers(self, centers: np.ndarray, tolerance: float) -> np.ndarray:
        """Which centres (K, d) stand at the edge, within a ``tolerance`` of the region's extent: (K,)."""
        room = tolerance * self.extent
        return np.asarray(((centers <= self.low + room) | (centers >= self.high - room)).any(axis=1))

    @property
    def extent(self) -> np.ndarray:
        """Extents (d,) of the region, 0 along periodic axes, which have no ends."""
        ends = np.isfinite(self.low)
        return np.where(ends, np.where(ends, self.high, 0) - np.where(ends, self.low, 0), 0)

    def meets_widths(self, covariances: np.ndarray, tolerance: float) -> np.ndarray:
        """Which covariances (K, d, d) have an entry of their Cholesky factor at its limit: (K,)."""
        entries = np.abs(_cholesky(np.asarray(covariances, float)))
        return np.asarray((entries >= (1 - tolerance) * self.widest[:, None]).any(axis=(1, 2)))

    def holds_shape(self, covariance: np.ndarray) -> bool:
        """Whether a component with this covariance (d, d) is no wider than the region allows, to rounding."""
        return not self.meets_widths(np.asarray(covariance)[None], -ROUNDING_SHARE).any()


def _cholesky(covariances: np.ndarray) -> np.ndarray:
    """Cholesky factors (K, d, d) of covariances that rounding may have left with a pivot of zero or below."""
    factors, n_dim = np.zeros_like(covariances), covariances.shape[-1]
    for j in range(n_dim):
        before, own = factors[:, j, :j], covariances[:, j, j]
        pivots = np.maximum(own - np.sum(before**2, axis=1), LEAST_PIVOT_SHARE * own)
        factors[:, j, j] = np.sqrt(pivots)
        for i in range(j + 1, n_dim):
            rest = covariances[:, i, j] - np.sum(factors[:, i, :j] * before, axis=1)
            factors[:, i, j] = rest / np.maximum(factors[:, j, j], np.finfo(float).tiny)
    return factors


def region_of(data: SurfaceData, periods: Periods | None = None) -> Region:
    """The region that holds contained components: the box around the points that are used, with their cells; along
    periodic axes every place, and widths below which images are not level.
    """
    low, high = data.used_points.min(axis=0), data.used_points.max(axis=0)
    margin = CENTER_MARGIN * data.spacing
    extent = (high - low + 2 * margin) / data.spacing
    region = Region(low - margin, high + margin, WIDEST_EXTENTS * extent.max() * data.spacing)
    return region if periods is None else _on_torus(region, periods)


def open_region(periods: Periods) -> Region:
    """The region that holds components which are not contained: what periods limit alone."""
    endless = np.full(len(periods), np.inf)
    return _on_torus(Region(-endless, endless, endless), periods)


def _on_torus(region: Region, periods: Periods) -> Region:
    closed = np.array([period is not None for period in periods])
    widest = np.array([np.inf if period is None else WIDEST_PERIOD_SHARE * period for period in periods])
    return Region(
        np.where(closed, -np.inf, region.low),
        np.where(closed, np.inf, region.high),
        np.where(closed, widest, region.widest),
    )


def holds(region: Region, surface: GaussianSurface) -> bool:
    """Whether all components of a surface lie in a region, to rounding; not if one has no positive definite
    covariance.
    """
    covariances = np.asarray(surface.covariances, float)
    if not (np.linalg.eigvalsh(covariances)[:, 0] > 0).all():
        return False
    centers, room = np.asarray(surface.centers), ROUNDING_SHARE * region.extent
    inside = (centers >= region.low - room) & (centers <= region.high + room)
    return bool(inside.all()) and not region.meets_widths(covariances, -ROUNDING_SHARE).any()
