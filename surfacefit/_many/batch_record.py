"""The fits of a batch as a record of arrays, and one number of each map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .._base.status import STATUS
from .._model.background import ConstantBackground, NoBackground
from .._model.surface import GaussianSurface
from .._results.result import FitResult
from .map_numbers import BatchArrays, MapEnds, MapNumbers
from .stack import MapStack


class Source(Protocol):
    """What a batch was fitted from."""

    @property
    def stack(self) -> MapStack:
        """The maps."""
        ...

    def result(self, flat: int, ends: MapEnds) -> FitResult:
        """The result of a map, made from where its fit ended."""
        ...


@dataclass(frozen=True, eq=False)
class Results(Sequence[FitResult | None]):
    """The result of each map, made when it is first asked for, or None; the n-th is that of map ``numbers[n]``."""

    source: Source
    ends: MapEnds
    numbers: np.ndarray
    made: dict[int, FitResult]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice | np.ndarray):
            return Results(self.source, self.ends, self.numbers[index], self.made)
        flat = int(self.numbers[index])
        if not self.ends.fitted[flat]:
            return None
        if flat not in self.made:
            self.made[flat] = self.source.result(flat, self.ends)
        return self.made[flat]

    def __iter__(self) -> Iterator[FitResult | None]:
        return (self[n] for n in range(len(self)))

    def surfaces(self) -> list[GaussianSurface | None]:
        """The surface of each map, without a result where its background is told by its numbers alone."""
        ends = self.ends
        if not isinstance(ends.model, NoBackground | ConstantBackground):
            return [None if one is None else one.surface for one in self]
        fitted = ends.fitted
        return [ends.surface(n, ends.model) if fitted[n] else None for n in map(int, self.numbers)]


@dataclass(frozen=True, eq=False)
class BatchRecord:
    """The fields of a `BatchResult`, whose docstring says what they hold, and arrays of the batch's shape (...)."""

    shape: tuple[int, ...]
    results: Results
    labels: Any = None
    joined: bool = False

    @cached_property
    def status(self) -> np.ndarray:
        """(...) `Status` codes; EMPTY, TOO_FEW_POINTS and UNUSABLE for maps that cannot be fitted; MAX_TIME,
        INTERRUPTED or STOPPED for those that were not reached.
        """
        return self._of("status")

    @cached_property
    def success(self) -> np.ndarray:
        """(...) whether each fit converged."""
        return np.isin(self.status, [int(code) for code, entry in STATUS.items() if entry.success])

    @cached_property
    def n_components(self) -> np.ndarray:
        """(...) components of each map; 0 for a map without a result."""
        return self._of("n_components")

    @cached_property
    def active(self) -> np.ndarray:
        """(..., K) which components a map has."""
        return ~np.isnan(self._surfaces.amplitudes)

    @cached_property
    def steps(self) -> np.ndarray:
        """(...) steps taken, those of growth included."""
        return self._of("steps")

    @cached_property
    def n_used(self) -> np.ndarray:
        """(...) points used."""
        return self._of("n_used")

    @cached_property
    def cost(self) -> np.ndarray:
        """(...) cost, as `FitResult.cost`."""
        return self._of("cost")

    @cached_property
    def chi2(self) -> np.ndarray:
        """(...) twice the cost: the weighted sum of squares, or for another loss what takes its place."""
        return 2 * self.cost

    @cached_property
    def rmse(self) -> np.ndarray:
        """(...) root mean square of the residuals, not weighted."""
        return self._number("rmse", lambda result: result.rmse)

    @cached_property
    def r2(self) -> np.ndarray:
        """(...) the coefficient of determination."""
        return self._number("r2", lambda result: result.r2)

    @cached_property
    def bic(self) -> np.ndarray:
        """(...) Bayesian information criterion, as `FitResult.statistics` gives it."""
        return self._number("bic", lambda result: result.statistics.bic)

    def _number(self, name: str, of_result: Callable[[FitResult], float]) -> np.ndarray:
        """One of the `MapNumbers`, or where these do not know it the number of each result."""
        known = getattr(self._numbers, name) if self._numbers.in_bulk else None
        if known is None:
            known = np.array([np.nan if one is None else of_result(one) for one in self.results])
        return np.asarray(known).reshape(self.shape)

    @cached_property
    def _numbers(self) -> MapNumbers:
        results = self.results
        return MapNumbers(results.source.stack, results.ends, results.numbers)

    @cached_property
    def _most(self) -> int:
        """Components that the arrays have room for."""
        return int(self.results.ends.surfaces.most)

    def _of(self, name: str) -> np.ndarray:
        """One of the arrays of all ends, for the maps of this batch."""
        return self._chosen(getattr(self.results.ends, name))

    @cached_property
    def _surfaces(self) -> BatchArrays:
        return BatchArrays(*(self._chosen(one) for one in self.results.ends.surfaces))

    def _chosen(self, array: np.ndarray) -> np.ndarray:
        return array[self.results.numbers].reshape(*self.shape, *array.shape[1:])
