"""Profiles as mixtures of Gaussians beside fits of the profiles themselves by SciPy, on noisy data.

``python -m benchmarks.profiles`` prints for each profile on a line and on a map how many Gaussians stand for a source,
how near they are, the largest deviation of a parameter from that of `scipy.optimize.curve_fit` in standard errors, and
the largest deviation of a standard error, over several draws of the noise.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

import surfacefit as sf

from .table import Table

PROFILES = (sf.Moffat(2.5), sf.Lorentzian(), sf.PseudoVoigt(0.4), sf.Exponential(), sf.Sersic(2.0), sf.Sersic(4.0))
# Draws of the noise for each case.
DRAWS = 5
# Standard deviation of the noise, of the height at one scale length.
NOISE = 0.01
# Points along each axis of the map.
SIDE = 61
# Amplitude, height of the background.
AMPLITUDE, BACKGROUND = 10.0, 2.0


def line(profile: Any) -> tuple[np.ndarray, np.ndarray, Callable[..., np.ndarray]]:
    """Places, parameters (A, c, scale, b) and the model of a line; no place is nearer its centre than the range."""
    x = np.linspace(-40, 40, 321)

    def model(x: np.ndarray, a: float, c: float, scale: float, b: float) -> np.ndarray:
        return np.asarray(a * profile.height(np.abs(x - c) / scale) + b)

    return x, np.array([AMPLITUDE, 0.13, 3.0, BACKGROUND]), model


def plane(profile: Any) -> tuple[np.ndarray, np.ndarray, Callable[..., np.ndarray]]:
    """The same of a map: (A, c0, c1, L00, L10, L11, b) with the Cholesky factor L of the scale matrix."""
    x = np.stack(np.indices((SIDE, SIDE), dtype=float), axis=-1).reshape(-1, 2)

    def model(
        x: np.ndarray, a: float, c0: float, c1: float, l00: float, l10: float, l11: float, b: float
    ) -> np.ndarray:
        u = (x[:, 0] - c0) / l00
        v = (x[:, 1] - c1 - l10 * u) / l11
        return np.asarray(a * profile.height(np.hypot(u, v)) + b)

    return x, np.array([AMPLITUDE, 30.37, 28.42, 5.0, 1.5, 3.5, BACKGROUND]), model


def compared(profile: Any, case: Callable[..., Any], seed: int) -> tuple[float, float, float, int, float]:
    """Largest deviations of parameters and of errors, in errors and as a ratio; Gaussians, their misfit; seconds."""
    x, truth, model = case(profile)
    rng = np.random.default_rng(seed)
    noise = NOISE * AMPLITUDE * float(profile.height(1.0))
    heights = model(x, *truth) + rng.normal(0, noise, len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, covariance = curve_fit(model, x, heights, truth)
    errors = np.sqrt(np.diag(covariance))
    tick = time.process_time()
    given = {"heights": heights, "coords": x} if x.ndim == 1 else {"heights": heights.reshape(SIDE, SIDE)}
    found = sf.fit_profiles(n_sources=1, profile=profile, init=start(truth, x, profile), progress=False, **given)
    took = time.process_time() - tick
    values, told = numbers(found, x.ndim)
    apart = np.abs(values - wanted)[: len(values)] / errors
    return float(apart.max()), float(np.abs(told / errors[: len(told)] - 1).max()), took, *size(found)


def start(truth: np.ndarray, x: np.ndarray, profile: Any) -> sf.GaussianSurface:
    """A Gaussian of the height and the FWHM of the source, some percent off."""
    ratio = profile.half_radius / np.sqrt(2 * np.log(2))
    top = float(profile.height(profile.range[0]))
    if x.ndim == 1:
        return sf.GaussianSurface([0.9 * top * truth[0]], [[truth[1] + 0.3]], [[[(1.1 * ratio * truth[2]) ** 2]]])
    factor = np.array([[truth[3], 0], [truth[4], truth[5]]])
    return sf.GaussianSurface([0.9 * top * truth[0]], [truth[1:3] + 0.3], [1.2 * ratio**2 * factor @ factor.T])


def numbers(found: sf.ProfileResult, n_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The parameters of `line` or `plane`, and the errors of all of them, of a map of the first three."""
    told = found.standard_errors
    background = float(np.asarray(found.surface.background.value))
    own = float(np.asarray(found.fit.standard_errors.background.value))
    if n_dim == 1:
        values = [found.amplitudes[0], found.centers[0, 0], found.scale_lengths[0, 0], background]
        return np.array(values), np.array([told.amplitudes[0], told.centers[0, 0], told.scale_lengths[0, 0], own])
    factor = np.linalg.cholesky(found.scales[0])
    values = [found.amplitudes[0], *found.centers[0], factor[0, 0], factor[1, 0], factor[1, 1], background]
    return np.array(values), np.array([told.amplitudes[0], *told.centers[0]])


def size(found: sf.ProfileResult) -> tuple[int, float]:
    return found.expansion.size, found.mixture_error


def main() -> None:
    table = Table({"profile": 22, "case": 5, "Gaussians": 9, "misfit": 7, "apart": 6, "errors": 6, "CPU s": 6})
    for profile in PROFILES:
        for case in (line, plane):
            rows = [compared(profile, case, seed) for seed in range(DRAWS)]
            apart, of_errors, took = (max(row[i] for row in rows) for i in range(3))
            cells = (rows[0][3], f"{rows[0][4]:.1e}", f"{apart:.3f}", f"{of_errors:.3f}", f"{took:.1f}")
            table.row([repr(profile), case.__name__, *map(str, cells)])


if __name__ == "__main__":
    main()
