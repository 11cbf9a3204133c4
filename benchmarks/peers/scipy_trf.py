"""`scipy.optimize.least_squares` with the trust-region reflective method and its defaults."""

from __future__ import annotations

import time

from scipy.optimize import least_squares

from . import _gaussians
from ._contract import PeerFit, PeerProblem, scaled


def fit(problem: PeerProblem) -> PeerFit:
    begun = time.perf_counter()
    inner = scaled(problem)
    start = _gaussians.pack(inner.start, inner.floor)
    solution = least_squares(_gaussians.residuals, start, jac=_gaussians.jacobian, method="trf", args=(inner,))
    seconds = time.perf_counter() - begun
    return PeerFit(
        _gaussians.heights(solution.x, inner), seconds, solution.nfev, "" if solution.success else "max_nfev reached"
    )
