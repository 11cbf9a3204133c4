"""astropy's `TRFLSQFitter` on what an astropy user writes: a sum of rotated `Gaussian2D` with amplitudes >= 0.

Where astropy differentiates sums of models (8.0 does) the Jacobian is analytic, else by differences; pixels and metres.
"""

from __future__ import annotations

import operator
import time
import warnings
from functools import reduce

import numpy as np
from astropy.modeling import CompoundModel
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Gaussian2D
from astropy.utils.exceptions import AstropyUserWarning

import surfacefit as sf

from ._contract import PeerFit, PeerProblem

# Evaluations, so that K = 32 ends in a minute.
MAX_EVALUATIONS = 300


def fit(problem: PeerProblem) -> PeerFit:
    begun = time.perf_counter()
    rows, columns = np.indices(problem.heights.shape, dtype=float)
    fitter = TRFLSQFitter()
    with warnings.catch_warnings():
        # It warns where it stops at the limit, which the remark says.
        warnings.simplefilter("ignore", AstropyUserWarning)
        fitted = fitter(_sum_of_gaussians(problem.start), columns, rows, problem.heights, maxiter=MAX_EVALUATIONS)
    seconds = time.perf_counter() - begun
    remark = "" if fitter.fit_info.success else f"stopped at maxiter={MAX_EVALUATIONS}"
    return PeerFit(fitted(columns, rows).ravel(), seconds, fitter.fit_info.nfev, remark)


def _sum_of_gaussians(start: sf.GaussianSurface) -> CompoundModel:
    """x is the column, y the row, and theta turns from x to y."""
    parts = [
        Gaussian2D(amplitude, column, row, *widths, theta, bounds={"amplitude": (0, None)})
        for amplitude, (row, column), widths, theta in zip(
            start.amplitudes, start.centers, start.principal_widths, start.orientation, strict=True
        )
    ]
    return reduce(operator.add, parts)
