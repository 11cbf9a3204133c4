"""The fits of a batch as a record, and one number of each map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._base.status import STATUS
from .._results.result import FitResult


@dataclass(frozen=True, eq=False)
class BatchRecord:
    """The fields of a `BatchResult`, whose docstring says what they hold, and arrays of the batch's shape (...)."""

    shape: tuple[int, ...]
    results: tuple[FitResult | None, ...]
    status: np.ndarray

    @cached_property
    def success(self) -> np.ndarray:
        """(...) whether each fit converged."""
        return np.isin(self.status, [int(code) for code, entry in STATUS.items() if entry.success])

    @cached_property
    def n_components(self) -> np.ndarray:
        """(...) components of each map; 0 for a map without a result."""
        return self._of_each(lambda result: result.n_components, 0)

    @cached_property
    def active(self) -> np.ndarray:
        """(..., K) which components a map has."""
        return np.asarray(np.arange(self._most) < self.n_components[..., None])

    @cached_property
    def steps(self) -> np.ndarray:
        """(...) steps taken, those of growth included."""
        return self._of_each(lambda result: result.steps, 0)

    @cached_property
    def n_used(self) -> np.ndarray:
        """(...) points used."""
        return self._of_each(lambda result: result.n_points, 0)

    @cached_property
    def cost(self) -> np.ndarray:
        """(...) cost, as `FitResult.cost`."""
        return self._of_each(lambda result: result.cost, np.nan)

    @cached_property
    def chi2(self) -> np.ndarray:
        """(...) twice the cost: the weighted sum of squares, or for another loss what takes its place."""
        return 2 * self.cost

    @cached_property
    def rmse(self) -> np.ndarray:
        """(...) root mean square of the residuals, not weighted."""
        return self._of_each(lambda result: result.rmse, np.nan)

    @cached_property
    def r2(self) -> np.ndarray:
        """(...) the coefficient of determination."""
        return self._of_each(lambda result: result.r2, np.nan)

    @cached_property
    def bic(self) -> np.ndarray:
        """(...) Bayesian information criterion, as `FitResult.statistics` gives it."""
        return self._of_each(lambda result: result.statistics.bic, np.nan)

    @cached_property
    def _most(self) -> int:
        return int(self.n_components.max(initial=0))

    def _of_each(self, number: Callable[[FitResult], Any], missing: Any) -> np.ndarray:
        return np.array([missing if one is None else number(one) for one in self.results]).reshape(self.shape)
