"""Formulas of Gaussians, for NumPy and JAX arrays: profiles, integrals, widths, angles, and how far two lie apart.

With the squared distance s = (x - c)^T Sigma^{-1} (x - c) the profile is exp(-s / 2). Its integral over space is
sqrt(det(2 pi Sigma)), in units of the coordinates to the power d.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._base.checks import finite_number, positive_number
from .._base.devices import namespace
from .._periodic.nearest import Periods, nearest_offsets

# Full width at half maximum in units of the standard deviation: exp(-x^2 / 2) = 1/2 at x = sqrt(2 ln 2).
FWHM_PER_WIDTH = float(2 * np.sqrt(2 * np.log(2)))
# Eccentricity, as a share of the trace, below which a component has no orientation: rounding of a circle.
ROUND_ECCENTRICITY = 1e-12


def profile(squares: Any) -> Any:
    """exp(-s / 2), in the shape of the squared distances s: the height of a Gaussian of amplitude one."""
    return namespace(squares).exp(-0.5 * squares)


def integrals(covariances: Any) -> Any:
    """Integrals (...) over all space of the profiles with these covariances (..., d, d)."""
    xp = namespace(covariances)
    return xp.sqrt(xp.linalg.det(2 * np.pi * covariances))


def volumes(amplitudes: Any, covariances: Any) -> Any:
    """Integrals (K,) over all space of components with amplitudes (K,) and covariances (K, d, d).

    The factor (2 pi)^(d/2) stands outside the determinant here, which rounds differently in the last bit.
    """
    xp = namespace(covariances)
    return amplitudes * (2 * np.pi) ** (covariances.shape[-1] / 2) * xp.sqrt(xp.linalg.det(covariances))


def log_integrals(covariances: Any) -> Any:
    """The logarithms of `integrals`, where these could overflow."""
    return 0.5 * namespace(covariances).linalg.slogdet(2 * np.pi * covariances)[1]


def line_integrals(widths: Any, power: int = 1) -> Any:
    """Integrals along a line of exp(-x^2 / (2 w^2)) to a power n: sqrt(2 pi / n) w, in the shape of the widths w."""
    return float(np.sqrt(2 * np.pi / power)) * widths  # a NumPy scalar would make float32 widths float64


def bhattacharyya(
    center: np.ndarray,
    covariance: np.ndarray,
    centers: np.ndarray,
    covariances: np.ndarray,
    periods: Periods | None = None,
) -> np.ndarray:
    """Bhattacharyya distances (K,) of one Gaussian from others with centres (K, d) and covariances (K, d, d); along
    periodic axes from their nearest images.

    With S the mean of both covariances and m the difference of both centres the distance is
    m^T S^{-1} m / 8 + log(det S / sqrt(det Sigma_1 det Sigma_2)) / 2: 0 for equal profiles, and it rises as they
    overlap less. Bhattacharyya, Bull. Calcutta Math. Soc. 35 (1943) 99.
    """
    offsets, means = nearest_offsets(centers - center, periods), (covariances + covariance) / 2
    squares = np.einsum("ki,ki->k", offsets, np.linalg.solve(means, offsets[:, :, None])[:, :, 0])
    logs = np.linalg.slogdet(covariances)[1] + np.linalg.slogdet(covariance)[1]
    return np.asarray(squares / 8 + np.linalg.slogdet(means)[1] / 2 - logs / 4)


class GaussianNumbers:
    """What follows from the arrays of a sum of Gaussians: numbers that people quote."""

    amplitudes: Any
    centers: Any
    covariances: Any

    @property
    def n_components(self) -> int:
        """Number K of components."""
        return int(np.shape(self.amplitudes)[-1])

    @property
    def n_dim(self) -> int:
        """Number d of dimensions."""
        return int(np.shape(self.centers)[-1])

    @property
    def principal_widths(self) -> Any:
        """Principal standard deviations (K, d), larger first: square roots of the covariance's eigenvalues."""
        return self._principal()[0]

    @property
    def principal_axes(self) -> Any:
        """Unit vectors (K, d, d): row i of a component is the axis of its i-th principal width."""
        return self._principal()[1]

    @property
    def orientation(self) -> Any:
        """Angle (K,) in radians, in [0, pi), of the major axis in 2-D: from the second axis (columns, "x")
        towards the first (rows, "y"), hence counterclockwise in a plot with x = columns and y = rows upwards."""
        if self.n_dim != 2:
            raise ValueError(
                f"`orientation` is an angle in 2-D; this surface has {self.n_dim} dimensions: use `principal_axes`"
            )
        xp = self._namespace
        shapes = xp.asarray(self.covariances, float)
        along, across = shapes[:, 1, 1] - shapes[:, 0, 0], 2 * shapes[:, 0, 1]
        # A round component has no angle: exact zeros make its derivatives NaN, rounding would make them arbitrary.
        oriented = xp.hypot(along, across) > ROUND_ECCENTRICITY * (shapes[:, 0, 0] + shapes[:, 1, 1])
        angle = 0.5 * xp.arctan2(xp.where(oriented, across, 0.0), xp.where(oriented, along, 0.0)) % np.pi
        return xp.where(xp.isclose(angle, np.pi, rtol=0, atol=1e-15), 0.0, angle)

    @property
    def fwhm(self) -> Any:
        """Full widths at half maximum (K, d) along the principal axes: 2 sqrt(2 ln 2) times the widths."""
        return FWHM_PER_WIDTH * self.principal_widths

    @property
    def volumes(self) -> Any:
        """Integrals (K,) of the components over all space: a (2 pi)^(d/2) sqrt(det Sigma)."""
        xp = self._namespace
        return volumes(xp.asarray(self.amplitudes), xp.asarray(self.covariances, float))

    @property
    def volume(self) -> Any:
        """Integral of the whole sum without the background."""
        total = self.volumes.sum()
        return total if isinstance(total, jax.Array) else float(total)

    @property
    def _namespace(self) -> Any:
        """JAX's functions for JAX arrays, so that these numbers can be differentiated; NumPy's for all else."""
        return namespace(self.covariances)

    def _principal(self) -> tuple[Any, Any]:
        xp = self._namespace
        values, vectors = xp.linalg.eigh(xp.asarray(self.covariances, float))
        return xp.sqrt(xp.maximum(values[:, ::-1], 0)), xp.swapaxes(vectors, 1, 2)[:, ::-1]


def covariance_from_fwhm(major: float, minor: float, angle: float = 0.0) -> np.ndarray:
    """The covariance (2, 2) of an ellipse, in the order of a map's axes (rows, columns): for ``fit(shape=...)``.

    Parameters
    ----------
    major, minor : float
        Full widths at half maximum along the ellipse's own axes, in the units of the coordinates.
    angle : float
        Degrees of the major axis from the axis of columns ("x") towards that of rows ("y"), as
        `GaussianSurface.orientation` counts them. For a position angle from north (rows, upwards) through east give
        90 + angle where east is to the left, as on most maps of the sky.

    Returns
    -------
    ndarray, shape (2, 2)

    Raises
    ------
    ValueError, TypeError
        If a width is not positive, or ``minor`` exceeds ``major``.

    Examples
    --------
    >>> import surfacefit as sf
    >>> sf.covariance_from_fwhm(4.7096, 2.3548).round(3)
    array([[1., 0.],
           [0., 4.]])
    """
    widths = np.array([positive_number("major", major), positive_number("minor", minor)]) / FWHM_PER_WIDTH
    if widths[0] < widths[1]:
        raise ValueError(f"`minor` must not exceed `major`, got major={major:g} and minor={minor:g}")
    turn = np.deg2rad(finite_number("angle", angle))
    axes = np.array([[np.sin(turn), np.cos(turn)], [np.cos(turn), -np.sin(turn)]])  # rows: major, minor, as (y, x)
    return np.asarray(axes.T @ np.diag(widths**2) @ axes)
