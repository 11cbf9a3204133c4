"""Covariance types: how one component's covariance is written in free numbers.

Pick one of these by name. Each sibling gives ``n_parameters``, ``cholesky`` (free numbers to a lower Cholesky
factor) and ``parameters`` (a covariance back to free numbers) for a single component, and says with ``shared``
whether all components use the same numbers. The derivative of ``cholesky`` is taken by JAX, so a new type is
one new file and one line here.
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
