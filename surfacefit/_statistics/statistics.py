r"""Chi-squared, likelihood, AIC, AICc and BIC of a fit.

With residuals r_j = f(x_j) - z_j and n points, chi2 = sum (r_j / sigma_j)^2 and

    log L = -1/2 sum_j ((r_j / sigma_j)^2 + log(2 pi sigma_j^2))

where the sigmas are known. Where only their ratios are known, they are scaled by the most likely factor, sqrt(chi2 /
n). For counts log L is Poisson's. For a robust loss twice the cost takes the place of chi2 in log L. AIC, AICc and BIC
(`_base/information_criteria`) count p free numbers, and one more where the scale of the errors is estimated; with a
prior, p is the effective number tr(N_data N^-1) that the data determine (`_problem/loss_views`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._base.information_criteria import aic, aicc, bic, with_variance
from .._model.scaling import root_mean_square
from .._results.record import MAX_EXACT_PARAMETERS
from .covariance_methods import held_shares
from .diagnostics import fitted_rates, weighted_residuals

if TYPE_CHECKING:
    from .._results.result import FitResult

# Of the heights' root mean square: the least scale of the errors, so that an exact fit has a finite likelihood.
MIN_RELATIVE_SCALE = 1e-15


@dataclass(frozen=True)
class FitStatistics:
    """How good a fit is, in the numbers that are usually quoted; `FitResult.statistics` holds them.

    n_points : points used, n.
    n_parameters : free numbers.
    effective_parameters : how many of them the data determine, p = tr(N_data N^-1) with N the second derivatives of
        the cost. It is less than ``n_parameters`` only with a prior; above 5000 parameters it is not computed, and all
        count.
    degrees_of_freedom : n - p.
    chi2 : sum of squared residuals over sigma^2; for counts over the fitted rate (Pearson's). In squared units of the
        heights if there is no ``sigma``.
    reduced_chi2 : chi2 / (n - p): about 1 where sigmas are known and the model is right.
    log_likelihood : log L of the data, at the most likely scale of the errors where it is not known.
    aic, aicc, bic : 2 k - 2 log L, that plus 2 k (k + 1) / (n - k - 1), and k log n - 2 log L. k is p where sigmas are
        known or the data are counts, otherwise p + 1 with the variance of the errors. Lower is better, among fits to
        the same data. AICc is infinite where n <= k + 1.
    r2, rmse : as in the result.
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
    n, effective = result.n_points, effective_parameters(result)
    chi2, log_likelihood = float(np.sum(weighted_residuals(result) ** 2)), _log_likelihood(result)
    deviance = -2 * log_likelihood
    counted = with_variance(effective, result.data.absolute_sigma or result.settings.loss == "poisson")
    return FitStatistics(
        n_points=n,
        n_parameters=result.n_parameters,
        effective_parameters=effective,
        degrees_of_freedom=n - effective,
        chi2=chi2,
        reduced_chi2=chi2 / (n - effective) if n > effective else math.inf,
        log_likelihood=log_likelihood,
        aic=aic(deviance, counted),
        aicc=aicc(deviance, counted, n),
        bic=bic(deviance, counted, n),
        r2=result.r2,
        rmse=result.rmse,
    )


def effective_parameters(result: FitResult) -> float:
    """How many of the free numbers criteria count: all, or with a prior those that the data determine."""
    if result.settings.prior is None or result.n_parameters > MAX_EXACT_PARAMETERS:
        return float(result.n_parameters)
    return result.n_parameters - float(held_shares(result).sum())


def _log_likelihood(result: FitResult) -> float:
    heights = result.data.used_heights.astype(float)
    if result.settings.loss == "poisson":
        from scipy.special import gammaln, xlogy  # here: 0.1 s to import

        rates = fitted_rates(result)
        return float(np.sum(xlogy(heights, rates) - rates - gammaln(heights + 1)))
    n, logs = result.n_points, -float(np.log(result.data.weights).sum())
    if result.data.absolute_sigma:
        return -0.5 * (2 * result.cost + n * math.log(2 * math.pi)) - logs
    linear = result.settings.loss == "linear"
    scale = root_mean_square(weighted_residuals(result)) if linear else math.sqrt(2 * result.cost / n)
    least = MIN_RELATIVE_SCALE * root_mean_square(heights * result.data.weights)
    return -0.5 * n * (math.log(2 * math.pi) + 2 * math.log(max(scale, least, np.finfo(float).tiny)) + 1) - logs
