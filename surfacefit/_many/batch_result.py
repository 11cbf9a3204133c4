"""What `fit_many` returns: arrays over all maps, NaN where a map has no such component, and the result of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.status import STATUS, Status
from .._model.gaussian import volumes
from .._results.result import FitResult
from .batch_record import BatchRecord
from .map_numbers import BatchErrors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class BatchResult(BatchRecord):
    """The fits of many maps, in a batch of ``shape``.

    Attributes
    ----------
    shape : the batch's axes (...).
    results : a sequence of the `FitResult` of each map, in C order; None for a map that was not fitted. Each is made
        when it is first asked for, in a few milliseconds.

    labels : of maps in an `xarray.DataArray`, an array of the batch's shape with their dimensions and coordinates.
    joined : whether maps side by side are known to be neighbours, as their starts or their order came from each other.

    All arrays have the batch's axes first. Components that a map does not have are NaN (flags: 0). ``batch[i]`` is the
    `FitResult` of a map, with errors, statistics, pictures and files; ``batch[2:5]`` is a smaller batch.
    """

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    def __getitem__(self, index: Any) -> FitResult | BatchResult:
        chosen = np.arange(len(self.results)).reshape(self.shape)[index]
        if np.ndim(chosen):
            parts = index if isinstance(index, tuple) else (index,)
            joined = self.joined and all(isinstance(part, int | np.integer | slice) for part in parts)
            labels = self._labels_at(index, chosen.shape)
            return BatchResult(chosen.shape, self.results[chosen.ravel()], labels, joined)
        result: FitResult | None = self.results[int(chosen)]
        if result is None:
            code = Status(int(self.status.ravel()[int(chosen)]))
            raise ValueError(f"map {index} has no result: {code.name}, {STATUS[code].message}")
        return result

    def _labels_at(self, index: Any, shape: tuple[int, ...]) -> Any:
        """The labels at an index of whole numbers and slices; None for others, which xarray reads otherwise."""
        parts = index if isinstance(index, tuple) else (index,)
        if self.labels is None or not all(isinstance(part, int | np.integer | slice) for part in parts):
            return None
        return self.labels[index] if self.labels[index].shape == shape else None

    def __repr__(self) -> str:
        shape, good = " x ".join(map(str, self.shape)), int(np.count_nonzero(self.success))
        codes, counts = np.unique(self.status[~self.success], return_counts=True)
        others = "".join(f"{count} {Status(int(code)).name}, " for code, count in zip(codes, counts, strict=True))
        return f"BatchResult({shape} maps, {good} converged, {others}median rmse {self._median_rmse():.4g})"

    def _median_rmse(self) -> float:
        known = self.rmse[np.isfinite(self.rmse)]
        return float(np.median(known)) if known.size else float("nan")

    @cached_property
    def amplitudes(self) -> np.ndarray:
        """(..., K)."""
        return self._surfaces.amplitudes

    @cached_property
    def centers(self) -> np.ndarray:
        """(..., K, d)."""
        return self._surfaces.centers

    @cached_property
    def covariances(self) -> np.ndarray:
        """(..., K, d, d)."""
        return self._surfaces.covariances

    @cached_property
    def background(self) -> np.ndarray:
        """(..., m): the free numbers of each background, m = 0 without one."""
        return self._surfaces.background

    @cached_property
    def volumes(self) -> np.ndarray:
        """(..., K) integrals of the components over all space, in units of heights times coordinates to the power d."""
        found = np.full(self.amplitudes.shape, np.nan)
        found[self.active] = volumes(self.amplitudes[self.active], self.covariances[self.active])
        return found

    @cached_property
    def standard_errors(self) -> BatchErrors:
        """The standard errors of the same numbers, as `FitResult.standard_errors` gives them; computed when first asked
        for, of large batches in a tenth of a millisecond a map.
        """
        from .._batch_errors.batch_errors import errors_of_all

        return BatchErrors(*(one.reshape(*self.shape, *one.shape[1:]) for one in errors_of_all(self.results)))

    @cached_property
    def flags(self) -> np.ndarray:
        """(..., K) `ComponentFlag` bits; ``sf.ComponentFlag(batch.flags[i, k])`` names them."""
        from .._batch_errors.batch_flags import flags_of_all

        n, errors = len(self.results), self.standard_errors
        flat = BatchErrors(*(one.reshape(n, *one.shape[len(self.shape) :]) for one in errors))
        return flags_of_all(self.results, flat, self.rmse.ravel()).reshape(*self.shape, self._most)

    def table(self) -> dict[str, np.ndarray]:
        """One row a component, as columns: the map's index ("map_0", ...), "component", "amplitude" and its "_error",
        "center_0", ..., "width_0", ..., "volume", "status" and "flags". ``pandas.DataFrame(batch.table())`` takes it as
        it is.
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
        columns["volume"], columns["volume_error"] = self.volumes[where], errors.volumes[where]
        return columns | {"status": self.status[tuple(index)], "flags": self.flags[where]}

    def matched(self) -> BatchResult:
        """The same fits with their components ordered alike, so that the map of a parameter over the batch is smooth:
        from the best fitted map outwards each gets the order of its neighbours along the axes of the batch. A map with
        fewer components than others may then have its NaN in between. Limits and masks of single components already
        say which is which: then the order stays.
        """
        from .._batches.matching import matched

        return matched(self)

    def to_xarray(self, errors: bool = True) -> Any:
        """The batch as an `xarray.Dataset` with the names of xarray-lmfit: ``modelfit_coefficients`` and
        ``modelfit_stderr`` over "param" ("g0_amplitude", "g0_center_0", "g0_covariance_00", ..., "background_0"),
        ``modelfit_stats`` over "fit_stat" ("nfev", "ndata", "chisqr", "bic", "rsquared", "rmse", "success"); besides
        the arrays of the batch by their names, "status" and "flags". The dimensions and coordinates of maps that were a
        `DataArray` come back, a coordinate with one of these names as "maps_amplitudes" for example.

        errors : False leaves standard errors and flags out, which take most of the time.
        """
        from .._batches.labels import to_xarray

        return to_xarray(self, errors)

    def plot(self, quantity: str = "rmse", component: int | None = None) -> Figure:
        """A matplotlib figure of one quantity over the batch: points over one axis, a map over two. Points are joined
        to a curve where maps side by side are neighbours: ``joined``, or with numbers as coordinates.

        quantity : "amplitude", "center", "width" (principal ones, larger first), "volume" or "flags" of each component,
            or "status", "rmse", "r2", "bic", "chi2", "cost", "steps", "n_used", "n_components" or "background".
        component : one of them; None (default) draws all.

        Components come in the order of the batch: ``batch.matched().plot("center")`` shows them as smooth maps. Colours
        end at the quantiles 0.5 and 99.5 %.
        """
        from .._batches.plot import plot_batch

        return plot_batch(self, quantity, component)

    def save(self, path: str | PathLike[str]) -> None:
        """Write maps and fits to a ``.npz`` or ``.json`` file that `load` reads, every number exact. Labels of xarray
        are not in it, nor the code of a background function.
        """
        from .._batches.io import save

        save(self, path)
