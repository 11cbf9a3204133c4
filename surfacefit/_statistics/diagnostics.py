"""Whether residuals look like noise: autocorrelation, evenness, runs and outliers; and which errors are honest then.

Noise is even where squared residuals are correlated neither with the fitted height nor between neighbours. The first of
these is Koenker's test, Journal of Econometrics 17 (1981) 107: of n points the correlation is normal with the deviation
1 / n^(1/2), whatever the distribution of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from .._data.data import SurfaceData
from .._data.noise import Grid, outlying
from .._losses import ROBUST
from .._model.scaling import root_mean_square
from .._results.record import EXACT_RMSE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .._results.result import FitResult

# Samples: the autocorrelation of a grid is computed up to this lag, or half the longest axis. Longer lags have few
# pairs, and a plot needs no more.
MAX_LAGS = 40

# Neighbours of a scattered point whose residuals are compared with its own: about one ring around it in 2-D.
N_NEIGHBOURS = 8

# Of the mean count: fitted rates below count as this, since residuals are divided by their square root.
MIN_RELATIVE_RATE = 1e-6

# Of a value of order one: differences below are rounding, and no trend is looked for in them.
TREND_ROUNDING = 1e-13

# Standard deviations that hold 95 % of a Gaussian.
CHANCE_DEVIATIONS = 1.96

# Times chance: a correlation of neighbours below this is not told from chance.
CLEAR_CHANCES = 2.0

# Standard deviations of chance beyond which noise counts as uneven, or as larger than its known errors: a Gaussian
# exceeds them once in 16,000, and sandwich errors, which need many points, are not taken up without need.
UNEVEN_DEVIATIONS = 4.0

# Correlation of neighbours that counts as none even where many points tell it from chance: it widens errors by a tenth.
MIN_CORRELATION = 0.1


@dataclass(frozen=True, eq=False)
class ResidualDiagnostics:
    """Whether the residuals of a fit look like independent noise; `FitResult.diagnostics` holds it.

    residuals : (N,) (z - f) / sigma, in the order of the points used; for counts (z - f) / sqrt(f), Pearson's.
    lags, autocorrelation : (L,) distances in samples, and the correlation of residuals so far apart, averaged over all
        directions. For scattered points the mean distances to the nearest, second nearest, ... neighbour, in sampling
        distances.
    chance : (L,) the limit below which the correlation of independent residuals stays with 95 % probability.
    runs, expected_runs : number of runs of one sign along the last axis, and its expectation for independent residuals;
        0 for scattered points.
    runs_z : the difference of both in standard deviations (Wald & Wolfowitz, Annals of Mathematical Statistics 11
        (1940) 147). Well below -2, the model misses something smooth.
    outliers : number of residuals farther than five robust standard deviations from the median; one is 1.4826 times
        the median of ``|r - median|``.
    unevenness : how clearly the noise is larger in some places, or at some heights, than elsewhere, in standard
        deviations of what even noise shows by chance.
    errors : "hessian", "sandwich" or "correlated": the method of `FitResult.uncertainty` whose assumptions the fit and
        these residuals meet. "correlated" where ``reach`` is not 0, on a grid and for least squares; "sandwich" for a
        robust loss, where ``unevenness`` exceeds 4 without ``reach``, and where residuals are clearly larger than
        errors that were called known; else, with a prior, and for an exact fit "hessian". No method knows of
        correlation between scattered points.
    """

    residuals: np.ndarray
    lags: np.ndarray
    autocorrelation: np.ndarray
    chance: np.ndarray
    runs: int
    expected_runs: float
    runs_z: float
    outliers: int
    unevenness: float
    errors: str

    @property
    def reach(self) -> float:
        """The distance, in samples, up to which residuals are correlated beyond chance.

        0 where neighbours are not correlated, or by less than 0.1.
        """
        return _reach(self.lags, self.autocorrelation, self.chance)

    def plot(self) -> Figure:
        """Distribution of the residuals beside a Gaussian, their quantiles, and their autocorrelation, as a Figure.

        Needs matplotlib: ``pip install surfacefit[plot]``.
        """
        from .._plots.residuals import plot_residuals

        return plot_residuals(self)


def diagnostics(result: FitResult) -> ResidualDiagnostics:
    """See `FitResult.diagnostics`."""
    data = result.data
    residuals = weighted_residuals(result)
    lags, correlation, chance = _correlation(data, residuals)
    unevenness = _unevenness(result, residuals)
    errors = _errors(result, residuals, _reach(lags, correlation, chance), unevenness)
    runs, expected, z = _runs(np.where(data.used, result.misfits, np.nan)) if data.axes is not None else (0, 0.0, 0.0)
    outliers = int(np.count_nonzero(outlying(residuals)))
    return ResidualDiagnostics(residuals, lags, correlation, chance, runs, expected, z, outliers, unevenness, errors)


def _errors(result: FitResult, residuals: np.ndarray, reach: float, unevenness: float) -> str:
    """See `ResidualDiagnostics.errors`."""
    exact = result.rmse <= EXACT_RMSE * root_mean_square(result.data.used_heights.astype(float))
    if exact or result.settings.prior is not None or result.n_points <= result.n_parameters:
        return "hessian"
    if reach and result.data.axes is not None and result.settings.loss == "linear":
        return "correlated"
    # Squares of correlated residuals are correlated themselves, and say nothing of evenness.
    uneven = max(0.0 if reach else unevenness, _excess(result, residuals)) > UNEVEN_DEVIATIONS
    return "sandwich" if uneven or result.settings.loss in ROBUST else "hessian"


def _excess(result: FitResult, residuals: np.ndarray) -> float:
    """How clearly residuals are larger than known errors, in standard deviations; 0 where errors are not known."""
    if not (result.data.absolute_sigma or result.settings.loss == "poisson"):
        return 0.0
    squares, spare = residuals**2, result.n_points - result.n_parameters
    # Residuals all alike may scatter by nothing; by less than rounding of their squares they scatter by that.
    scatter = max(float(squares.std()), float(np.finfo(float).eps) * max(1.0, float(squares.max())))
    return float((squares.sum() / spare - 1) * np.sqrt(len(squares)) / scatter)


def _unevenness(result: FitResult, residuals: np.ndarray) -> float:
    """See `ResidualDiagnostics.unevenness`."""
    largest = float(np.abs(residuals).max(initial=0.0))
    if largest == 0:
        return 0.0
    squares = (residuals / largest) ** 2
    fitted = result.fitted[result.data.used]
    one, other = (values - values.mean() for values in (squares, fitted / (np.abs(fitted).max() or 1.0)))
    sizes = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    known = min(sizes) > TREND_ROUNDING * len(squares)
    trend = abs(float(one @ other)) / (sizes[0] * sizes[1]) if known else 0.0
    _, correlation, chance = _correlation(result.data, squares)
    beside = CHANCE_DEVIATIONS * correlation[0] / chance[0] if len(chance) else 0.0
    return max(trend * float(np.sqrt(len(squares))), float(beside))


def _reach(lags: np.ndarray, correlation: np.ndarray, chance: np.ndarray) -> float:
    """See `ResidualDiagnostics.reach`."""
    if not len(correlation) or correlation[0] < max(CLEAR_CHANCES * chance[0], MIN_CORRELATION):
        return 0.0
    below = np.flatnonzero(correlation < chance)
    return float(lags[below[0] - 1 if len(below) else -1])


def _correlation(data: SurfaceData, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lags, correlation of values (N,) so far apart, and its chance (L,)."""
    if data.axes is None:
        return _neighbour_correlation(data, values)
    return _grid_correlation(data.used, values)


def weighted_residuals(result: FitResult) -> np.ndarray:
    """Residuals (N,) at the points used over their standard deviations, as far as these are known."""
    residuals = np.asarray(result.misfits[result.data.used], float)
    if result.settings.loss != "poisson":
        return residuals * result.data.weights
    return residuals / np.sqrt(fitted_rates(result))


def fitted_rates(result: FitResult) -> np.ndarray:
    """Fitted counts (N,) at the points used, kept above zero."""
    rates = result.fitted[result.data.used]
    return np.maximum(rates, MIN_RELATIVE_RATE * (result.data.used_heights.mean() or 1.0))


def _grid_correlation(used: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = Grid(used)
    values, pairs, rings = (
        grid.autocovariance(residuals - residuals.mean()),
        grid.pairs,
        np.round(grid.lags()).astype(int),
    )
    most = min(MAX_LAGS, max(1, max(used.shape) // 2))
    near = rings <= most
    counts = np.bincount(rings[near], pairs[near], minlength=most + 1)
    means = np.bincount(rings[near], (pairs * values)[near], minlength=most + 1) / np.maximum(counts, 1)
    correlation = means / means[0] if means[0] > 0 else np.zeros_like(means)
    return (
        np.arange(1, most + 1),
        correlation[1:],
        CHANCE_DEVIATIONS / np.sqrt(np.maximum(counts[1:] / 2, 1)),
    )  # each pair has two lags


def _neighbour_correlation(data: SurfaceData, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = data.used_points / data.spacing
    most = min(N_NEIGHBOURS, len(points) - 1)
    if most < 1:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    distances, index = cKDTree(points).query(points, k=most + 1)
    itself = index == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True  # among many points in one place it may not be one of those found
    distances, index = (array[~itself].reshape(len(points), most) for array in (distances, index))
    centred = residuals - residuals.mean()
    variance = float(np.mean(centred**2)) or 1.0
    correlation = np.array([np.mean(centred * centred[index[:, n]]) / variance for n in range(most)])
    return distances.mean(axis=0), correlation, np.full(most, CHANCE_DEVIATIONS / np.sqrt(len(points)))


def _runs(residuals: np.ndarray) -> tuple[int, float, float]:
    """Number of runs of one sign along the last axis, its expectation, and the difference in standard deviations.

    NaN and zeros are left out. The expectation is for random orders of the same signs in each row.
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
