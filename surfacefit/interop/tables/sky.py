r"""Where components stand on the sky, how wide they are there and which way they point, with errors.

World coordinates are FITS's (Greisen and Calabretta, Astron. Astrophys. 395, 1061 and 1077, 2002). At each centre they
are linearised: with J the derivatives of the offsets (east, north) by the coordinates, the covariance on the sky is
J Sigma J^T, and the errors are those of linear maps of a component. The position angle is that of the major axis from
north through east.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from ..._model.surface import GaussianSurface

# Pixels: half the distance over which world coordinates are differentiated; rounding and curvature are below 1e-7.
SKY_STEP = 0.05
# Seconds of arc in a degree, the unit of widths on the sky.
ARCSECONDS = 3600.0
# Area of a beam in units of the product of its FWHM: pi / (4 ln 2).
BEAM_AREA = float(np.pi / (4 * np.log(2)))
# What the two coordinates of a frame are called; all others are RA and Dec.
COORDINATES_OF_FRAMES = {"galactic": ("glon", "glat"), "barycentrictrueecliptic": ("elon", "elat")}


@dataclass(frozen=True, eq=False)
class Sky:
    """World coordinates of pixels counted from 0.

    wcs : of astropy; celestial : the numbers of its longitude and latitude; frame : the name of the frame.
    """

    wcs: Any
    celestial: tuple[int, int]
    frame: str

    @property
    def names(self) -> tuple[str, str]:
        return COORDINATES_OF_FRAMES.get(self.frame, ("ra", "dec"))

    def positions(self, centers: np.ndarray) -> np.ndarray:
        """Longitude and latitude (K, 2) in degrees of centres (K, d) in the order of the axes of an array."""
        if not len(centers):
            return np.zeros((0, 2))
        return np.asarray(self.wcs.all_pix2world(centers[:, ::-1], 0))[:, list(self.celestial)]

    def maps(self, centers: np.ndarray) -> np.ndarray:
        """Derivatives (K, 2, d) of the offsets to the east and north, in degrees, by the coordinates."""
        scale, d = np.cos(np.radians(self.positions(centers)[:, 1])), centers.shape[1]
        maps = np.zeros((len(centers), 2, d))
        for i in range(d):
            step = SKY_STEP * np.eye(d)[i]
            change = self.positions(centers + step) - self.positions(centers - step)
            change[:, 0] = ((change[:, 0] + 180) % 360 - 180) * scale
            maps[:, :, i] = change / (2 * SKY_STEP)
        return maps


def sky_of(labels: Labels, n_dim: int) -> Sky | None:
    """The world coordinates of the labels; None where they are not those of a sky, or not of as many axes."""
    if not labels.wcs:
        return None
    try:
        from astropy.io.fits import Header
        from astropy.wcs import WCS
        from astropy.wcs.utils import wcs_to_celestial_frame
    except ImportError:
        raise ImportError(
            "positions on the sky need astropy: pip install 'surfacefit[astro]', or leave them out by `sky=False`"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on headers that are not as they should be
        wcs = WCS(Header.fromstring(labels.wcs))
        if wcs.naxis != n_dim or not wcs.has_celestial:
            return None
        return Sky(wcs, (wcs.wcs.lng, wcs.wcs.lat), wcs_to_celestial_frame(wcs.celestial).name)


def sky_columns(sky: Sky, surface: GaussianSurface, labels: Labels, errors: Any) -> list[Any]:
    """Columns of position, widths, angle and, where the beam is known, flux; (name, values, errors, unit) each."""
    centers = np.asarray(surface.centers, float)
    positions, maps = sky.positions(centers), sky.maps(centers)
    covariances = maps @ np.asarray(surface.covariances, float) @ maps.swapaxes(1, 2)
    there = replace(surface, centers=positions, covariances=covariances, background=None)
    sides = None if errors is None else errors.mapped(maps)
    offsets, widths, angles = (None, None, None) if sides is None else (sides.centers, sides.fwhm, sides.orientation)
    columns: list[Any] = []
    for i, name in enumerate(sky.names):
        # An error of the longitude itself; to the east it is smaller by the cosine of the latitude.
        scale = np.cos(np.radians(positions[:, 1])) if i == 0 else 1.0
        columns.append((name, positions[:, i], None if offsets is None else offsets[:, i] / scale, "deg"))
    for i, name in enumerate(("sky_fwhm_major", "sky_fwhm_minor")):
        error = None if widths is None else ARCSECONDS * widths[:, i]
        columns.append((name, ARCSECONDS * there.fwhm[:, i], error, "arcsec"))
    columns.append(("position_angle", np.degrees(there.orientation), _degrees(angles), "deg"))
    return columns + _flux(surface, labels, maps, errors)


def _degrees(angles: np.ndarray | None) -> np.ndarray | None:
    return None if angles is None else np.degrees(angles)


def _flux(surface: GaussianSurface, labels: Labels, maps: np.ndarray, errors: Any) -> list[Any]:
    """The integrated flux of a radio image, whose heights are fluxes a beam."""
    unit, _, beam = labels.unit.rpartition("/")
    if beam.strip().lower() != "beam" or len(labels.beam) < 2 or surface.n_dim != 2:
        return []
    beams = np.abs(np.linalg.det(maps)) / (BEAM_AREA * labels.beam[0] * labels.beam[1])
    error = None if errors is None else beams * errors.volumes
    return [("flux", beams * np.asarray(surface.volumes), error, unit.strip())]
