r"""How good a fit is, in the numbers that are usually quoted.

With residuals r_j = f(x_j) - z_j, n points and p free numbers (with a prior the effective number tr(N_data N^-1) of
what the data say, Moody, NIPS 4 (1992) 847), chi2 = sum (r_j / sigma_j)^2 and

    log L = -1/2 sum_j ((r_j / sigma_j)^2 + log(2 pi sigma_j^2))

where the sigmas are known; where only their ratios are, at the most likely scale chi2 / n; of counts Poisson's. For a
robust loss twice the cost stands in place of chi2 in log L. AIC = 2 p - 2 log L, AICc = AIC + 2 p (p + 1) / (n - p -
1), BIC = p log n - 2 log L.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, xlogy

from .._data.data import SurfaceData
from .diagnostics import LEAST_RATE, weighted_residuals

if TYPE_CHECKING:
    from .._results.result import FitResult


@dataclass(frozen=True)
class FitStatistics:
    """Statistics of a fit; see the equations in the text of ``surfacefit._statistics``.

    n_points, n_parameters : points used, and free numbers.
    effective_parameters : of these, how many the data determine; less than ``n_parameters`` only where a prior acts
        (above 5000 parameters it is not computed: all count).
    degrees_of_freedom : points less effective parameters.
    chi2, reduced_chi2 : sum of squared residuals over sigma^2 (of counts over the fitted rate: Pearson's), and that
        over the degrees of freedom: about 1 where sigmas are known and the model is right. In squared units of the
        heights where there is no ``sigma``.
    log_likelihood, aic, aicc, bic : lower AIC, AICc, BIC are better, of one data set; AICc is infinite where points are
        too few.
    r2, rmse : as of the result.
    """

    n_points: int
    n_parameters: int
    effective_parameters: float
    degrees_of_freedom: float
    chi2: float
    reduced_chi2: float
    log_likelihood: float
    aic: float
    aicc: float
    bic: float
    r2: float
    rmse: float


def statistics(result: FitResult) -> FitStatistics:
    """See `FitResult.statistics`."""
    n, effective = result.n_points, _effective(result)
    chi2, log_likelihood, spare = _chi2(result), _log_likelihood(result), n - effective - 1
    aic = 2 * effective - 2 * log_likelihood
    return FitStatistics(
        n,
        result.n_parameters,
        effective,
        n - effective,
        chi2,
        chi2 / (n - effective) if n > effective else math.inf,
        log_likelihood,
        aic,
        aic + 2 * effective * (effective + 1) / spare if spare > 0 else math.inf,
        effective * math.log(n) - 2 * log_likelihood,
        result.r2,
        result.rmse,
    )


def _effective(result: FitResult) -> float:
    from .uncertainty import MOST_PARAMETERS, effective_parameters

    if result.settings.prior is None or result.n_parameters > MOST_PARAMETERS:
        return float(result.n_parameters)

    return effective_parameters(result)


def _fitted(data: SurfaceData, result: FitResult) -> tuple[np.ndarray, np.ndarray]:
    return result.predict()[data.used], data.used_heights.astype(float)


def _chi2(result: FitResult) -> float:
    return float(np.sum(weighted_residuals(result) ** 2))


def _log_likelihood(result: FitResult) -> float:
    rates, heights = _fitted(result.data, result)
    if result.settings.loss == "poisson":
        rates = np.maximum(rates, LEAST_RATE * (heights.mean() or 1.0))
        return float(np.sum(xlogy(heights, rates) - rates - gammaln(heights + 1)))
    n, square = result.n_points, 2 * result.cost
    logs = -float(np.log(result.data.weights).sum())
    if result.data.absolute_sigma:
        return -0.5 * (square + n * math.log(2 * math.pi)) - logs
    least = (1e-15 * float(np.sqrt(np.mean((heights * result.data.weights) ** 2)))) ** 2
    return -0.5 * n * (math.log(2 * math.pi * max(square / n, least, 1e-300)) + 1) - logs
