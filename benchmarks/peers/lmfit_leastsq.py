"""lmfit's `Minimizer.leastsq`, which is MINPACK's Levenberg-Marquardt, with an analytic Jacobian and its own
tolerances.

lmfit's default limit allows hundreds of thousands of evaluations. At the limit it returns the last point tried.
"""

from __future__ import annotations

import time

import numpy as np
from lmfit import Minimizer, Parameters

from . import _gaussians
from ._contract import PeerFit, PeerProblem, ScaledProblem, scaled

# Evaluations, so that K = 32 ends in minutes.
MAX_EVALUATIONS = 600


def fit(problem: PeerProblem) -> PeerFit:
    begun = time.perf_counter()
    inner = scaled(problem)
    params = Parameters()
    for i, value in enumerate(_gaussians.pack(inner.start, inner.floor)):
        params.add(f"p{i}", value=value)
    minimizer = Minimizer(_residuals, params, fcn_args=(inner,), max_nfev=MAX_EVALUATIONS)
    result = minimizer.leastsq(Dfun=_jacobian_rows, col_deriv=1)
    seconds = time.perf_counter() - begun
    remark = f"stopped at max_nfev={MAX_EVALUATIONS}" if result.aborted else "" if result.success else "not converged"
    return PeerFit(_gaussians.heights(_vector(result.params), inner), seconds, result.nfev, remark)


def _residuals(params: Parameters, problem: ScaledProblem) -> np.ndarray:
    return _gaussians.residuals(_vector(params), problem)


def _jacobian_rows(params: Parameters, problem: ScaledProblem) -> np.ndarray:
    return _gaussians.jacobian_rows(_vector(params), problem)


def _vector(params: Parameters) -> np.ndarray:
    return np.fromiter((parameter.value for parameter in params.values()), float, len(params))
