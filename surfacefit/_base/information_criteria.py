"""AIC, AICc and BIC: how well a model fits, minus what its free numbers would gain on noise alone.

With the deviance D = -2 log L, p free numbers and n observations

    AIC = D + 2 p,    AICc = AIC + 2 p (p + 1) / (n - p - 1),    BIC = D + p log n;

lower is better, among models of one set of data. The variance of the errors is one of the p where it is estimated from
the misfit, as in Hurvich & Tsai's derivation: `with_variance`. Akaike, IEEE Transactions on Automatic Control 19 (1974)
716; Hurvich & Tsai, Biometrika 76 (1989) 297; Schwarz, Annals of Statistics 6 (1978) 461.
"""

from __future__ import annotations

import math


def with_variance(n_parameters: float, known_errors: bool) -> float:
    """The free numbers p of a model and, unless the errors are known, their variance."""
    return n_parameters if known_errors else n_parameters + 1


def aic(deviance: float, n_parameters: float) -> float:
    return 2 * n_parameters + deviance


def aicc(deviance: float, n_parameters: float, n_points: float) -> float:
    """AIC for small samples; infinite where n <= p + 1."""
    spare = n_points - n_parameters - 1
    correction = 2 * n_parameters * (n_parameters + 1) / spare if spare > 0 else math.inf
    return aic(deviance, n_parameters) + correction


def bic(deviance: float, n_parameters: float, n_points: float) -> float:
    return n_parameters * math.log(n_points) + deviance
