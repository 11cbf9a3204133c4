"""Whether residuals look like noise: autocorrelation, runs, and outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from .._data.data import SurfaceData
from .._data.noise import Grid, outlying

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult

MOST_LAGS = 40
NEIGHBOURS = 8
LEAST_RATE = 1e-6  # of the mean count
CHANCE = 1.96  # standard deviations that hold 95 % of what chance makes
CLEAR, FELT = 2.0, 0.1  # times chance, and correlation of neighbours, from which residuals are called correlated


@dataclass(frozen=True, eq=False)
class ResidualDiagnostics:
    """Residuals r = z - f over sigma (of counts over the square root of the fitted rate: Pearson's), and what they look
    like beside noise.

    residuals : (N,) weighted, in the order of the points used.
    lags, autocorrelation : (L,) distances, in samples, and the correlation of residuals so far apart, over all
        directions; of scattered points the mean distances of the nearest, second nearest, ... neighbour, in sampling
        distances.
    chance : (L,) what 95 % of independent residuals stay below.
    runs, expected_runs, runs_z : runs of one sign along the last axis (scattered: none, 0), how many independent
        residuals make, and the difference in standard deviations (Wald & Wolfowitz 1940); well below -2 the model
        misses something smooth.
    outliers : how many residuals exceed five robust standard deviations (1.4826 times the median of |r - median|).
    """

    residuals: np.ndarray
    lags: np.ndarray
    autocorrelation: np.ndarray
    chance: np.ndarray
    runs: int
    expected_runs: float
    runs_z: float
    outliers: int

    @property
    def reach(self) -> float:
        """The distance, in samples, up to which residuals are correlated beyond chance; 0 where neighbours are not, or
        hardly.
        """
        correlation, chance = self.autocorrelation, self.chance
        if not len(correlation) or correlation[0] < max(CLEAR * chance[0], FELT):
            return 0.0
        below = np.flatnonzero(correlation < chance)
        return float(self.lags[below[0] - 1 if len(below) else -1])

    def plot(self) -> Figure:
        """Residuals' distribution beside a Gaussian, their quantiles, and their autocorrelation; a Figure."""
        from .plot_residuals import plot_residuals

        return plot_residuals(self)


def diagnostics(result: FitResult) -> ResidualDiagnostics:
    """See `FitResult.diagnostics`."""
    data = result.data
    residuals = weighted_residuals(result)
    lags, correlation, chance = _of_grid(data.used, residuals) if data.axes is not None else _of_points(data, residuals)
    runs, expected, z = _runs(np.where(data.used, result.residuals, np.nan)) if data.axes is not None else (0, 0.0, 0.0)
    outliers = int(np.count_nonzero(outlying(residuals)))
    return ResidualDiagnostics(residuals, lags, correlation, chance, runs, expected, z, outliers)


def weighted_residuals(result: FitResult) -> np.ndarray:
    """(N,) of the points used, over their standard deviations as far as these are known."""
    residuals = np.asarray(result.residuals[result.data.used], float)
    if result.settings.loss != "poisson":
        return residuals * result.data.weights
    rates = result.predict()[result.data.used]
    return residuals / np.sqrt(np.maximum(rates, LEAST_RATE * (result.data.used_heights.mean() or 1.0)))


def _of_grid(used: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = Grid(used)
    values, pairs, rings = (
        grid.autocovariance(residuals - residuals.mean()),
        grid.pairs,
        np.round(grid.lags()).astype(int),
    )
    most = min(MOST_LAGS, max(1, max(used.shape) // 2))
    near = rings <= most
    counts = np.bincount(rings[near], pairs[near], minlength=most + 1)
    means = np.bincount(rings[near], (pairs * values)[near], minlength=most + 1) / np.maximum(counts, 1)
    correlation = means / means[0] if means[0] > 0 else np.zeros_like(means)
    return (
        np.arange(1, most + 1),
        correlation[1:],
        CHANCE / np.sqrt(np.maximum(counts[1:] / 2, 1)),
    )  # each pair has two lags


def _of_points(data: SurfaceData, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = data.used_points / data.spacing
    most = min(NEIGHBOURS, len(points) - 1)
    if most < 1:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    distances, index = cKDTree(points).query(points, k=most + 1)
    itself = index == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True  # of many points in one place it may not be among those found
    distances, index = (array[~itself].reshape(len(points), most) for array in (distances, index))
    centred = residuals - residuals.mean()
    variance = float(np.mean(centred**2)) or 1.0
    correlation = np.array([np.mean(centred * centred[index[:, n]]) / variance for n in range(most)])
    return distances.mean(axis=0), correlation, np.full(most, CHANCE / np.sqrt(len(points)))


def _runs(residuals: np.ndarray) -> tuple[int, float, float]:
    """Runs of one sign along the last axis, with gaps left out, and what chance makes of as many of either sign in each
    row.
    """
    runs, expected, variance = 0, 0.0, 0.0
    for row in residuals.reshape(-1, residuals.shape[-1]):
        signs = row[np.isfinite(row) & (row != 0)] > 0
        n, up = len(signs), int(signs.sum())
        if n:
            runs += 1 + int(np.count_nonzero(signs[1:] != signs[:-1]))
            mixed = 2 * up * (n - up)
            expected += 1 + mixed / n
            variance += mixed * (mixed - n) / (n**2 * (n - 1)) if n > 1 else 0.0
    return runs, expected, (runs - expected) / float(np.sqrt(variance)) if variance > 0 else 0.0
