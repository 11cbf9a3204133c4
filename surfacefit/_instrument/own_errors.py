"""Errors of own covariances behind a beam, also where they are at their limit of zero.

A fit holds own variances at zero or above, and what a limit holds has no error. So the errors are those of a model
whose own variances have either sign (`OwnVariances`), linearised at the fitted surface: its normal matrix is regular at
zero, where the derivative by an own width vanishes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .._base.precision import precision
from .._constraints.convolved import Convolved, OwnVariances
from .._model.units import to_internal
from .._problem.prepared import Prepared, fixed_parameters, used_parameters
from .._statistics.component_errors import ComponentErrors
from .._statistics.covariance_root import inverse_root
from .._statistics.linearization import information, linearized_at, residual_deviation
from .._statistics.whole_covariance import WholeCovariance

if TYPE_CHECKING:
    from .._results.result import FitResult


def own_errors(result: FitResult) -> ComponentErrors:
    """Errors of the components where own variances may have either sign."""
    with precision(np.dtype(np.float64)):
        prepared, params = _signed(linearized_at(result)[0], result)
        found, fixed = information(prepared, params), fixed_parameters(prepared)
        root = inverse_root(found, np.eye(len(params))[:, fixed], used_parameters(prepared), np.zeros((len(params), 0)))
        deviation = residual_deviation(result, prepared, found.cost)
        return WholeCovariance(prepared, params, root, deviation, fixed, found.factor_slopes).components


def _signed(prepared: Prepared, result: FitResult) -> tuple[Prepared, np.ndarray]:
    """The problem without limits, in own variances of either sign, and its parameters (P,)."""
    parts = prepared.problem.parameterization
    assert isinstance(parts.covariance, Convolved)
    parts = replace(parts, covariance=OwnVariances(parts.covariance.beam, parts.covariance.own))
    free = replace(prepared, problem=replace(prepared.problem, parameterization=parts, box=None, width_limits=None))
    return free, free.host.parameterization.pack(to_internal(result.surface, prepared.scaling))
