r"""How many independent points residuals are worth, where neighbours are correlated.

With the autocorrelation rho of the residuals, n points say as much about a smooth surface as n / V independent ones,

.. math:: V = \sum_{lags} \rho(lag) \ge 1,

the correlation volume: how many samples count as one. Bayley & Hammersley, J. Royal Statistical Society, Supplement 8
(1946) 184. On a grid the sum runs over the lags at which the autocorrelation stands clear of chance (`noise`). For
scattered points it runs over the neighbours of a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .data import SurfaceData
from .noise import Grid, correlated_noise

# Points x columns of a basis up to which what the fit has taken from the noise is given back, which takes a second.
MAX_BASIS_ENTRIES = 1_000_000
# Lags of a grid for each of its points, each axis padded to twice its length, up to which they are looked at: those of
# six axes. Beyond, neighbours are counted as among scattered points: ten axes of two points have a million lags.
MAX_PADDING = 64
# Scattered points whose neighbours are looked at: the correlation is then known to some percent.
MAX_CENTRES = 4000
# Sampling distances: neighbours in ring n are nearer than n + 1/2, so that those of a grid fall into the same rings.
HALF_RING = 0.5
# Rings at most: correlation that reaches farther is cut there.
MAX_RINGS = 12
# Standard deviations of chance: a ring whose mean correlation is below has none.
CLEAR_DEVIATIONS = 2.0


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of which a fit has left residuals.

    variance : of a residual. volume : how many samples count as one. length : the distance, in samples, up to which
    they are correlated; 0 where they are not. grid, kernel : autocovariance by lag; None for scattered points.
    """

    variance: float
    volume: float
    length: float
    grid: Grid | None = None
    kernel: np.ndarray | None = None

    def variances(self, columns: np.ndarray) -> np.ndarray:
        """q^T R q (m,) of columns q (N, m), with R (N, N) the covariance of the noise."""
        if self.grid is None or self.kernel is None or self.length == 0:
            return np.asarray(self.volume * self.variance * np.einsum("nm,nm->m", columns, columns))
        spread = np.einsum("nm,nm->m", columns, self.grid.convolved(self.kernel, columns))
        return np.maximum(spread, 0)


def noise_of(data: SurfaceData, residuals: np.ndarray, basis: np.ndarray | None = None) -> Noise:
    """The noise (N,) of which a fit has left these residuals; ``basis`` (N, P) spans what the fit could follow,
    orthonormal; without it, noise that the fit has followed is not given back.
    """
    basis = np.zeros((len(residuals), 0)) if basis is None else basis
    spare = max(len(residuals) - basis.shape[1], 1)
    variance = float(residuals @ residuals) / spare
    if variance == 0 or len(residuals) < 3:
        return Noise(variance, 1.0, 0.0)
    grid = Grid(data.used)
    if data.axes is None or math.prod(grid.padded) > MAX_PADDING * data.used.size:
        return _scattered(data, residuals, variance)
    few = basis[:, :0] if basis.size > MAX_BASIS_ENTRIES else basis
    found = correlated_noise(grid, residuals, few)
    volume = float(found.kernel.sum() / found.kernel.flat[0])
    if found.correlation_length < 1 or volume <= 1:
        return Noise(variance, 1.0, 0.0, grid, found.kernel)
    return Noise(float(found.kernel.flat[0]), volume, found.correlation_length, grid, found.kernel)


def _scattered(data: SurfaceData, residuals: np.ndarray, variance: float) -> Noise:
    """From the correlation of residuals with those of their neighbours, ring by ring."""
    points, step = data.used_points / data.spacing, -(-len(residuals) // MAX_CENTRES)
    tree, centred = cKDTree(points), residuals - residuals.mean()
    some, values, square = points[::step], centred[::step], float(np.mean(centred**2))
    volume, length = 1.0, 0.0
    inner = [set(near) for near in tree.query_ball_point(some, 0.0)]
    for ring in range(1, MAX_RINGS + 1):
        outer = [set(near) for near in tree.query_ball_point(some, ring + HALF_RING)]
        pairs = [value * centred[list(out - old)] for value, out, old in zip(values, outer, inner, strict=True)]
        products = np.concatenate(pairs)
        correlation = float(products.mean()) / square if len(products) and square else 0.0
        if correlation < CLEAR_DEVIATIONS / np.sqrt(max(len(products), 1)):
            break
        volume, length, inner = volume + correlation * len(products) / len(some), float(ring), outer
    return Noise(variance, volume, length)
