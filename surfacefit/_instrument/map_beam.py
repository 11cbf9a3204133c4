"""The beam of an image of the sky, in its pixels.

The header has full widths at half maximum in degrees (BMAJ, BMIN) and the angle of the larger from north through east
(BPA). World coordinates are linearised at the middle of the image.
"""

from __future__ import annotations

import numpy as np

from .._data.data import SurfaceData
from .._data.labels import Labels
from .._model.gaussian import covariance_from_fwhm
from ..interop.tables.sky import sky_of


def beam_of_map(labels: Labels | None, data: SurfaceData) -> np.ndarray:
    """The covariance (2, 2) in pixels of a beam in degrees (BMAJ, BMIN, BPA), at the middle of an image of the sky."""
    if labels is None or len(labels.beam) < 2 or not all(labels.beam[:2]):
        raise ValueError("`beam`='map' needs a map whose header has BMAJ and BMIN: give a covariance of pixels")
    sky = sky_of(labels, data.n_dim)
    if sky is None or data.n_dim != 2:
        raise ValueError("`beam`='map' needs a 2-D map with coordinates of the sky: give a covariance of pixels")
    assert data.axes is not None
    middle = np.array([[float(axis.mean()) for axis in data.axes]])
    major, minor, angle = (*labels.beam, 0.0)[:3]
    # (east, north) are the axes of the sky: an angle from north through east, as one from the second axis to the first.
    there = covariance_from_fwhm(major, minor, angle)
    inverse = np.linalg.inv(sky.maps(middle)[0])
    return np.asarray(inverse @ there @ inverse.T)
