r"""Noise that is correlated between neighbouring points of a grid, as the residuals of a fit show it.

Fitted parameters then have the covariance N^+ (J^T R J) N^+ with N = J^T J and the noise's covariance R, which is taken
to depend on the lag alone: R_ij = s^2 rho(i - j). The residuals' autocorrelation is too low for that, since the fit has
followed some of the noise; by how much is measured on simulated noise that is fitted by the linear model, and added,
variance included (cf. Francisco-Fernandez & Opsomer, Canadian J. Statist. 33 (2005) 279, for the need of it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

# Fields of simulated noise a round: their mean autocovariance is then known to some percent.
SIMULATED_FIELDS = 32
# Rounds of adding what the fit has taken from the noise; each adds less than the one before.
CORRECTION_ROUNDS = 6
# Robust standard deviations; of 1e6 Gaussian residuals not one is expected farther out.
OUTLIER_DEVIATIONS = 5.0
# 1 / Phi^-1(3/4): standard deviation of a Gaussian in units of its median absolute deviation.
DEVIATION_PER_MAD = 1.4826


def robust_deviation(residuals: np.ndarray) -> float:
    """1.4826 times the median of |r - median|: the standard deviation of Gaussian noise, whatever else is among it."""
    return DEVIATION_PER_MAD * float(np.median(np.abs(residuals - np.median(residuals))))


def outlying(residuals: np.ndarray) -> np.ndarray:
    """Which residuals (N,) are farther than five robust standard deviations from their median."""
    spread = robust_deviation(residuals)
    return np.asarray((np.abs(residuals - np.median(residuals)) > OUTLIER_DEVIATIONS * spread) & (spread > 0))


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the used points stand in their grid: ``used`` a boolean array of any dimension."""

    used: np.ndarray

    @property
    def padded(self) -> tuple[int, ...]:
        return tuple(fft.next_fast_len(2 * n) for n in self.used.shape)

    @cached_property
    def pairs(self) -> np.ndarray:
        """How many pairs of used points have each lag (padded shape)."""
        return np.round(fft.irfftn(np.abs(fft.rfftn(self.used.astype(float), self.padded)) ** 2, self.padded))

    def autocovariance(self, values: np.ndarray) -> np.ndarray:
        """Mean products (padded shape) of values (..., N) at the used points by lag, wrapped; 0 where no pair has that
        lag.
        """
        powers, rows = 0.0, values.reshape(-1, values.shape[-1])
        for row in rows:
            field = np.zeros(self.used.shape)
            field[self.used] = row
            powers = powers + np.abs(fft.rfftn(field, self.padded)) ** 2
        sums = fft.irfftn(powers / len(rows), self.padded)
        return np.where(self.pairs > 0.5, sums / np.maximum(self.pairs, 1), 0.0)

    def convolved(self, kernel: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Columns (N, m) at the used points under a kernel of lags, at those points."""
        spectrum, out = fft.rfftn(kernel), np.empty_like(columns)
        for n in range(columns.shape[1]):
            field = np.zeros(self.used.shape)
            field[self.used] = columns[:, n]
            out[:, n] = self._inner(fft.irfftn(fft.rfftn(field, self.padded) * spectrum, self.padded))
        return out

    def lags(self) -> np.ndarray:
        """Distance, in samples, of each lag (padded shape)."""
        axes = [np.minimum(np.arange(n), n - np.arange(n)) for n in self.padded]
        return np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True)))

    def noise(self, kernel: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random values (count, N) of this autocovariance, as far as it is one."""
        root = np.sqrt(np.maximum(fft.rfftn(kernel).real, 0))
        fields = (fft.irfftn(fft.rfftn(rng.normal(size=kernel.shape)) * root, kernel.shape) for _ in range(count))
        return np.array([self._inner(field) for field in fields])

    def _inner(self, field: np.ndarray) -> np.ndarray:
        """Values (N,) at the used points of a field of the padded shape."""
        return np.asarray(field[tuple(slice(0, n) for n in self.used.shape)][self.used])


@dataclass(frozen=True, eq=False)
class CorrelatedNoise:
    """``kernel``: autocovariance by lag (padded shape), without units; its value at lag 0 is the variance.

    ``correlation_length`` is in samples.
    """

    kernel: np.ndarray
    correlation_length: float


def correlated_noise(grid: Grid, residuals: np.ndarray, basis: np.ndarray, seed: int = 0) -> CorrelatedNoise:
    """Noise (N,) of which a fit has left these residuals; ``basis`` (N, P) spans what the fit could follow,
    orthonormal.
    """
    seen, distance = grid.autocovariance(residuals), grid.lags()
    correlation_length = first = _correlation_length(seen, distance, len(residuals))
    kernel = np.where(distance <= correlation_length, seen, 0.0)
    if not basis.size:  # nothing has been taken away
        return CorrelatedNoise(kernel, correlation_length)
    rng = np.random.default_rng(seed)
    if first < 1:  # what a fit takes away may hide the correlation of neighbours, too
        seen_through = seen + _lost(grid, kernel, basis, rng)
        correlation_length = first = _correlation_length(seen_through, distance, len(residuals))
        kernel = np.where(distance <= correlation_length, seen_through, 0.0)
    if first < 1:  # white noise: what a fit of P numbers takes is known
        spare = max(len(residuals) - basis.shape[1], 1)
        return CorrelatedNoise(np.where(distance == 0, seen * len(residuals) / spare, 0.0), correlation_length)
    for _ in range(CORRECTION_ROUNDS):
        lost = _lost(grid, kernel, basis, rng)
        # What a fit takes away makes far lags look empty: it is looked for anew once that is given back.
        correlation_length = min(
            2 * first, max(correlation_length, _correlation_length(seen + lost, distance, len(residuals)))
        )
        kernel = np.where(distance <= correlation_length, seen + lost, 0.0)
    return CorrelatedNoise(kernel, correlation_length)


def _lost(grid: Grid, kernel: np.ndarray, basis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a fit takes from the autocovariance of noise, by the mean of some fields of it."""
    values = grid.noise(kernel, SIMULATED_FIELDS, rng)
    left = values - (values @ basis) @ basis.T
    return grid.autocovariance(values) - grid.autocovariance(left)


def _correlation_length(autocovariance: np.ndarray, distance: np.ndarray, n_points: int) -> float:
    """The lag from which the autocorrelation, averaged over directions, no longer stands clear of chance."""
    rings = np.round(distance).astype(int).ravel()
    means = np.bincount(rings, autocovariance.ravel()) / np.maximum(np.bincount(rings), 1)
    counts = np.bincount(rings)
    chance = 2 / np.sqrt(n_points * np.maximum(counts / 2, 1))
    below = np.flatnonzero(means[1:] < chance[1:] * means[0])
    return float(below[0] + 0.5) if len(below) else float(len(means))
