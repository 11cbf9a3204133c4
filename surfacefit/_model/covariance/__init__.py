"""Covariance types: one component's covariance as free numbers. Pick one of these by name.

Each file gives ``n_parameters``, ``cholesky`` (from free numbers to a lower Cholesky factor) and ``parameters`` (from a
covariance back to free numbers) for a single component; ``shared`` says whether all components use the same numbers.
JAX takes the derivative of ``cholesky``, so a new type is one new file and one line here.
`_constraints/convolved` puts a beam before any of them.
"""

from .base import CovarianceType
from .diag import Diag
from .full import Full
from .spherical import Spherical
from .tied import Tied

COVARIANCE_TYPES: dict[str, CovarianceType] = {
    "full": Full(),
    "diag": Diag(),
    "spherical": Spherical(),
    "tied": Tied(),
}

__all__ = ["COVARIANCE_TYPES", "CovarianceType"]
