"""Maps in an xarray DataArray go in, and the batch as an xarray Dataset comes out.

The names of the Dataset are those of xarray-lmfit (https://xarray-lmfit.readthedocs.io): ``modelfit_coefficients`` and
``modelfit_stderr`` over ``param``, ``modelfit_stats`` over ``fit_stat``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from .._many.batch_result import BatchResult
from .._many.map_numbers import BatchArrays, BatchErrors

# Names of the numbers in ``modelfit_stats``, those of lmfit where it has them, and the attribute of a batch.
STATISTICS = {
    "nfev": "steps",
    "ndata": "n_used",
    "chisqr": "chi2",
    "bic": "bic",
    "rsquared": "r2",
    "rmse": "rmse",
    "success": "success",
}

# Dimensions and variables of the Dataset, which maps cannot have as names of theirs.
DATASET_NAMES = (
    *("param", "fit_stat", "component", "axis", "axis_2", "background_number"),
    *("modelfit_coefficients", "modelfit_stderr", "modelfit_stats", "amplitudes", "centers", "covariances"),
    *("background", "status", "n_components", "flags"),
)


def is_labelled(maps: Any) -> bool:
    """Whether maps are an `xarray.DataArray`; a program that has none has not imported xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(maps, xarray.DataArray)


def fit_labelled(options: dict[str, Any]) -> Any:
    """The fit of a `DataArray`: its last dimensions are those of each map, and where they have coordinates these are
    the grid's, unless ``coords`` says otherwise. The others stay with the batch.
    """
    from .._many.fit_many import fit_many

    maps, coords, ndim = options["maps"], options["coords"], options["ndim"]
    n_own = ndim if ndim is not None else 1 if options["points"] is not None else None
    n_own = n_own if n_own is not None else maps.ndim - 1 if coords is None else len(coords)
    if not isinstance(n_own, int | np.integer) or not 0 < n_own < maps.ndim:
        raise ValueError(f"`ndim` must leave leading dimensions of {tuple(maps.dims)} for the batch, got {n_own!r}")
    own = maps.dims[-n_own:]
    for name in maps.dims[:-n_own]:
        if name in DATASET_NAMES:
            raise ValueError(
                f"`maps` must not have {name!r} as a leading dimension, which is a name in the Dataset of `to_xarray`:"
                f" give `maps.rename({name}=...)`"
            )
    if coords is None and options["points"] is None:
        maps, coords = _rising(maps, own)
    given = {name: _like(maps, options[name]) for name in ("mask", "sigma")}
    values = {"maps": maps.values if maps.chunks is None else maps.data, "ndim": int(n_own), "coords": coords, **given}
    batch = fit_many(**{**options, **values})
    return replace(batch, labels=_labels(maps, own))


def _rising(maps: Any, own: tuple[Any, ...]) -> tuple[Any, list[np.ndarray]]:
    """The maps with rising coordinates along their own dimensions, and these."""
    coords = []
    for name in own:
        axis = np.asarray(maps[name].values)
        if axis.dtype.kind not in "iuf":
            raise ValueError(
                f"`maps` must have numbers as coordinates along {name!r}, got dtype {axis.dtype}: give `coords`"
            )
        if len(axis) > 1 and axis[0] > axis[-1]:
            maps, axis = maps.isel({name: slice(None, None, -1)}), axis[::-1]
        coords.append(axis)
    return maps, coords


def _like(maps: Any, other: Any) -> Any:
    """A labelled mask or sigma as an array that goes with the maps."""
    if not is_labelled(other):
        return other
    dims = [name for name in maps.dims if name in other.dims]
    index = {name: maps[name] for name in dims if name in other.coords and name in maps.coords}
    found = other.reindex(index).transpose(*dims)
    return found.values if found.chunks is None else found.data


def _labels(maps: Any, own: tuple[Any, ...]) -> Any:
    labels = maps.isel(dict.fromkeys(own, 0), drop=True)
    labels = labels.copy(data=np.zeros(labels.shape, bool))
    taken = {name: f"maps_{name}" for name in labels.coords if name in DATASET_NAMES}
    labels = labels.rename(taken)
    labels.attrs = {**maps.attrs, "axes": [str(name) for name in own]}
    return labels


def to_xarray(batch: Any, errors: bool) -> Any:
    """The batch as an `xarray.Dataset`; see `BatchResult.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise ImportError("`to_xarray` needs xarray: pip install 'surfacefit[xarray]'") from error
    labels = batch.labels
    dims = [f"map_{n}" for n in range(len(batch.shape))] if labels is None else list(labels.dims)
    n_dim = batch.centers.shape[-1]
    axes = list(range(n_dim)) if labels is None else labels.attrs["axes"]
    found = xarray.Dataset(
        {
            "modelfit_coefficients": ([*dims, "param"], _parameters(batch, BatchArrays.of(batch))),
            "modelfit_stats": ([*dims, "fit_stat"], _statistics(batch)),
            "amplitudes": ([*dims, "component"], batch.amplitudes),
            "centers": ([*dims, "component", "axis"], batch.centers),
            "covariances": ([*dims, "component", "axis", "axis_2"], batch.covariances),
            "background": ([*dims, "background_number"], batch.background),
            "status": (dims, batch.status),
            "n_components": (dims, batch.n_components),
        },
        coords={
            "param": _names(batch),
            "fit_stat": list(STATISTICS),
            "component": np.arange(batch.amplitudes.shape[-1]),
            "axis": axes if len(axes) == n_dim else list(range(n_dim)),
        },
        attrs={} if labels is None else {name: one for name, one in labels.attrs.items() if name != "axes"},
    )
    if errors:
        found["modelfit_stderr"] = ([*dims, "param"], _parameters(batch, batch.standard_errors))
        found["flags"] = ([*dims, "component"], batch.flags)
    return found if labels is None else found.assign_coords(labels.coords)


def _parameters(batch: BatchResult, arrays: BatchArrays | BatchErrors) -> np.ndarray:
    """All numbers (..., P) in the order of `_names`."""
    n_dim = arrays.centers.shape[-1]
    lower = np.flatnonzero(np.tril(np.ones((n_dim, n_dim))))  # one list of places, which dask can take
    shapes = arrays.covariances.reshape(*arrays.centers.shape[:-1], n_dim * n_dim)[..., lower]
    own = np.concatenate([arrays.amplitudes[..., None], arrays.centers, shapes], axis=-1)
    size = own.shape[-1] * own.shape[-2]
    return np.concatenate([own.reshape(*batch.shape, size), arrays.background], axis=-1)


def _names(batch: BatchResult) -> list[str]:
    n_components, n_dim = batch.centers.shape[-2:]
    rows, columns = np.tril_indices(n_dim)
    own = ["amplitude", *(f"center_{i}" for i in range(n_dim))]
    own += [f"covariance_{i}{j}" for i, j in zip(rows, columns, strict=True)]
    names = [f"g{k}_{name}" for k in range(n_components) for name in own]
    return names + [f"background_{i}" for i in range(batch.background.shape[-1])]


def _statistics(batch: BatchResult) -> np.ndarray:
    return np.stack([getattr(batch, name).astype(float) for name in STATISTICS.values()], axis=-1)
