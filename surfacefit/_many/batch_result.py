"""What `fit_many` returns: arrays over all maps, NaN where a map has no such component, and the result of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._base.status import STATUS, Status
from .._model.background import background_model
from .._model.surface import GaussianSurface
from .._results.result import FitResult
from .batch_record import BatchRecord


class BatchArrays(NamedTuple):
    """Numbers of all maps, or their standard errors: amplitudes (..., K), centers (..., K, d), covariances
    (..., K, d, d) and the free numbers of the background (..., m).
    """

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: np.ndarray


@dataclass(frozen=True, eq=False)
class BatchResult(BatchRecord):
    """The fits of many maps, in a batch of ``shape``.

    Attributes
    ----------
    shape : the batch's axes (...).
    results : the `FitResult` of each map, in C order; None for a map that was not fitted.
    status : (...) `Status` codes; EMPTY and TOO_FEW_POINTS for maps that cannot be fitted, MAX_TIME, INTERRUPTED or
        STOPPED for those that were not reached.

    All arrays have the batch's axes first. Components that a map does not have are NaN (flags: 0). ``batch[i]`` is the
    `FitResult` of a map, with errors, statistics, pictures and files; ``batch[2:5]`` is a smaller batch.
    """

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    def __getitem__(self, index: Any) -> FitResult | BatchResult:
        chosen = np.arange(len(self.results)).reshape(self.shape)[index]
        if np.ndim(chosen):
            results = tuple(self.results[n] for n in chosen.ravel())
            return BatchResult(chosen.shape, results, self.status.reshape(-1)[chosen])
        result = self.results[int(chosen)]
        if result is None:
            code = Status(int(self.status.ravel()[int(chosen)]))
            raise ValueError(f"map {index} has no result: {code.name}, {STATUS[code].message}")
        return result

    def __repr__(self) -> str:
        good = int(np.count_nonzero(self.success))
        shape = " x ".join(map(str, self.shape))
        return f"BatchResult({shape} maps, {good} converged, median rmse {self._median_rmse():.4g})"

    def _median_rmse(self) -> float:
        known = self.rmse[np.isfinite(self.rmse)]
        return float(np.median(known)) if known.size else float("nan")

    @cached_property
    def amplitudes(self) -> np.ndarray:
        """(..., K)."""
        return self._arrays.amplitudes

    @cached_property
    def centers(self) -> np.ndarray:
        """(..., K, d)."""
        return self._arrays.centers

    @cached_property
    def covariances(self) -> np.ndarray:
        """(..., K, d, d)."""
        return self._arrays.covariances

    @cached_property
    def background(self) -> np.ndarray:
        """(..., m): the free numbers of each background, m = 0 without one."""
        return self._arrays.background

    @cached_property
    def standard_errors(self) -> BatchArrays:
        """The standard errors of the same numbers, as `FitResult.standard_errors` gives them; a few milliseconds a map,
        when first asked for.
        """
        return self._stacked(lambda result: result.standard_errors)

    @cached_property
    def flags(self) -> np.ndarray:
        """(..., K) `ComponentFlag` bits; ``sf.ComponentFlag(batch.flags[i, k])`` names them."""
        found = np.zeros((len(self.results), self._most), int)
        for row, result in zip(found, self.results, strict=True):
            if result is not None:
                row[: result.n_components] = result.flags
        return found.reshape(*self.shape, self._most)

    def table(self) -> dict[str, np.ndarray]:
        """One row a component, as columns: the map's index ("map_0", ...), "component", "amplitude" and its "_error",
        "center_0", ..., "status" and "flags". ``pandas.DataFrame(batch.table())`` takes it as it is.
        """
        where = np.nonzero(self.active)
        *index, component = where
        columns = {f"map_{n}": axis for n, axis in enumerate(index)} | {"component": component}
        errors = self.standard_errors
        columns["amplitude"], columns["amplitude_error"] = self.amplitudes[where], errors.amplitudes[where]
        for axis in range(self.centers.shape[-1]):
            columns[f"center_{axis}"] = self.centers[where][:, axis]
            columns[f"center_{axis}_error"] = errors.centers[where][:, axis]
        widths = np.sqrt(np.linalg.eigvalsh(self.covariances[where]))[:, ::-1]
        columns |= {f"width_{n}": column for n, column in enumerate(widths.T)}
        return columns | {"status": self.status[tuple(index)], "flags": self.flags[where]}

    def surface_or(self, flat: int, other: Any) -> Any:
        """The surface of a map by its number, or something else where it has none."""
        result = self.results[flat]
        return other if result is None else result.surface

    @cached_property
    def _arrays(self) -> BatchArrays:
        return self._stacked(lambda result: result.surface)

    def _stacked(self, surface_of: Callable[[FitResult], GaussianSurface]) -> BatchArrays:
        known = [None if one is None else surface_of(one) for one in self.results]
        some = [one for one in known if one is not None]
        n_dim = some[0].n_dim if some else 1
        backgrounds = [
            None if one is None else np.atleast_1d(background_model(one.background).vector()) for one in known
        ]
        m = max((len(vector) for vector in backgrounds if vector is not None), default=0)
        shapes = [(self._most,), (self._most, n_dim), (self._most, n_dim, n_dim), (m,)]
        columns = [np.full((len(known), *shape), np.nan) for shape in shapes]
        for n, (one, vector) in enumerate(zip(known, backgrounds, strict=True)):
            if one is None or vector is None:
                continue
            for column, values in zip(columns[:3], (one.amplitudes, one.centers, one.covariances), strict=True):
                column[n, : len(values)] = values
            columns[3][n, : len(vector)] = vector
        return BatchArrays(*(column.reshape(*self.shape, *column.shape[1:]) for column in columns))
