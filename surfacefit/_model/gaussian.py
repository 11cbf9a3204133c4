"""Formulas of a Gaussian, for NumPy and JAX arrays: its profile, its integrals, and how far two lie apart.

With the squared distance s = (x - c)^T Sigma^{-1} (x - c) the profile is exp(-s / 2). Its integral over space is
sqrt(det(2 pi Sigma)), in units of the coordinates to the power d.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.devices import namespace


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
    center: np.ndarray, covariance: np.ndarray, centers: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """Bhattacharyya distances (K,) of one Gaussian from others with centres (K, d) and covariances (K, d, d).

    With S the mean of both covariances and m the difference of both centres the distance is
    m^T S^{-1} m / 8 + log(det S / sqrt(det Sigma_1 det Sigma_2)) / 2: 0 for equal profiles, and it rises as they
    overlap less. Bhattacharyya, Bull. Calcutta Math. Soc. 35 (1943) 99.
    """
    offsets, means = centers - center, (covariances + covariance) / 2
    squares = np.einsum("ki,ki->k", offsets, np.linalg.solve(means, offsets[:, :, None])[:, :, 0])
    logs = np.linalg.slogdet(covariances)[1] + np.linalg.slogdet(covariance)[1]
    return np.asarray(squares / 8 + np.linalg.slogdet(means)[1] / 2 - logs / 4)
