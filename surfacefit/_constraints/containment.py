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

# Sampling distances beyond the outermost points to which a centre may go: the samples' cells end there.
CENTER_MARGIN = 0.5
# Extents of the data along an axis up to which a component may be wide; one wider than that is a level or a parabola.
WIDEST_EXTENTS = 1.0


class Region(NamedTuple):
    """The least and the largest coordinates (d,) of a centre, and the largest widths (d,), in the user's units."""

    low: np.ndarray
    high: np.ndarray
    widest: np.ndarray


def region_of(data: SurfaceData) -> Region:
    """The region that holds contained components: the box around the points that are used, with their cells."""
    low, high = data.used_points.min(axis=0), data.used_points.max(axis=0)
    margin = CENTER_MARGIN * data.spacing
    return Region(low - margin, high + margin, WIDEST_EXTENTS * (high - low + 2 * margin))


def holds(region: Region, surface: GaussianSurface) -> bool:
    """Whether all components of a surface lie in a region."""
    widths = np.sqrt(np.diagonal(np.asarray(surface.covariances, float), axis1=1, axis2=2))
    inside = (region.low <= surface.centers) & (surface.centers <= region.high) & (widths <= region.widest)
    return bool(np.all(inside))
