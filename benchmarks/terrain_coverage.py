"""How often error intervals of a terrain fit cover the truth, under noise that is correlated as its own residuals are.

The truth is a fit of the elevation map. Noise is that of which the fit leaves such residuals: their autocovariance,
with what the fit has taken from the noise given back. Beside it stands noise of the residuals' autocovariance itself,
which lacks the long waves that the fit has taken, and on which a level hangs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._data.noise import Grid, correlated_noise
from surfacefit._statistics.linearization import information, linearized_at

# Components, and every so many samples of the map (43 x 51 points): a refit then takes a tenth of a second.
N_COMPONENTS, THINNING = 8, 8
KINDS = ("amplitudes", "centers", "covariances", "principal_widths", "volumes", "background")


def lines(count: int) -> Iterator[str]:
    """Coverage of 68.3 % intervals over so many refits from the truth, with errors of ``uncertainty("auto")``."""
    heights = np.asarray(sf.example_map("jacksboro"), float)[::THINNING, ::THINNING]
    fitted = sf.fit(heights, N_COMPONENTS, progress=False)
    for name, kernel in (("of the fit", _noise_of(fitted)), ("as the residuals", _as_residuals(fitted))):
        yield _line(fitted, name, kernel, count)


def _line(fitted: sf.FitResult, name: str, kernel: np.ndarray, count: int) -> str:
    begun, grid, shape = time.perf_counter(), Grid(fitted.data.used), fitted.data.heights.shape
    pulls: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    methods: Counter[str] = Counter()
    for seed in range(count):
        noise = grid.noise(kernel, 1, np.random.default_rng([seed, 7]))[0].reshape(shape)
        result = sf.fit(fitted.predict() + noise, N_COMPONENTS, init=fitted.surface, search=0, progress=False)
        errors = result.uncertainty("auto")
        methods[errors.method] += 1
        for kind, values in _pulls(result, errors, fitted.surface).items():
            pulls[kind].append(values)
    every = {kind: np.concatenate(rows) for kind, rows in pulls.items()}
    cells = [f"{kind} {100 * np.mean(np.abs(p[np.isfinite(p)]) <= 1):.1f}" for kind, p in every.items()]
    unknown = np.mean(~np.isfinite(np.concatenate(list(every.values()))))
    return (
        f"calibration, terrain (Jacksboro {shape[0]} x {shape[1]}, K = {N_COMPONENTS}), noise {name}, {count} refits,"
        f" errors {dict(methods)}: 68.3 % intervals cover {', '.join(cells)} %; {100 * unknown:.1f} % have no finite"
        f" error; {(time.perf_counter() - begun) / count:.2f} s a fit"
    )


def _noise_of(fitted: sf.FitResult) -> np.ndarray:
    """The autocovariance by lag of the noise of which a fit leaves its residuals."""
    with precision(np.dtype(np.float64)):
        rows = information(*linearized_at(fitted)).rows
    basis = np.linalg.qr(rows)[0]
    return correlated_noise(Grid(fitted.data.used), fitted.residuals.ravel(), basis).kernel


def _as_residuals(fitted: sf.FitResult) -> np.ndarray:
    """The autocovariance of the residuals, divided by all points, not by those of each lag: no power is below zero."""
    grid, residuals = Grid(fitted.data.used), fitted.residuals.ravel() - fitted.residuals.mean()
    return grid.autocovariance(residuals) * grid.pairs / residuals.size


def _pulls(result: sf.FitResult, errors: sf.Uncertainty, truth: sf.GaussianSurface) -> dict[str, np.ndarray]:
    """(found - true) / standard error, by kind; NaN where there is no finite error. Components are those nearest to the
    true ones.
    """
    nearest = np.linalg.norm(result.surface.centers[:, None] - truth.centers, axis=2).argmin(axis=0)
    found = {}
    for kind in KINDS:
        background = kind == "background"
        values, wanted, error = (
            np.asarray(of.background.value if background else getattr(of, kind), float)
            for of in (result.surface, truth, errors)
        )
        if not background:
            values, error = values[nearest], error[nearest]
        known = np.isfinite(error) & (error > 0)
        found[kind] = np.where(known, (values - wanted) / np.where(known, error, 1), np.nan).ravel()
    return found
