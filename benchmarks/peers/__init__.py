"""Other fitters of the same model (pick one).

A peer is a module with one function ``fit(problem: PeerProblem) -> PeerFit``; a new one is one new file and one
line here.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# Peers by name, as --help lists them.
PEERS = {
    "scipy_trf": "scipy least_squares, method='trf', analytic Jacobian in NumPy",
    "lmfit_leastsq": "lmfit Minimizer.leastsq (MINPACK), the same NumPy functions",
    "astropy_trf": "astropy TRFLSQFitter on a sum of Gaussian2D, its own derivatives",
    "optimistix_lm": "optimistix LevenbergMarquardt, JAX residuals, automatic Jacobian",
}


def load(name: str) -> ModuleType | None:
    """The peer's module, or None if its package is not installed."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("benchmarks"):
            raise
        return None
