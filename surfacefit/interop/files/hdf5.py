"""HDF5 by h5py: one data set, with the scales of its dimensions as coordinates where it has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import Labels, axis_names
from ..._data.map import Map
from .layer import Layer, Request, axes_of, chosen, package, pixels


def read(path: Path, request: Request) -> Map:
    """The data set that ``request.key`` names; a file with one of numbers needs none.

    Heights have its shape; coordinates are the scales of its dimensions (HDF5 dimension scales), else pixels. Raises
    CannotRead for complex values or a data set that is not there, ImportError without h5py.
    """
    h5py = package("h5py", "volumes", path)
    with h5py.File(path, "r") as file:
        names = names_of(file)
        key = None if request.key is None else request.key.strip("/")
        name = names[chosen(names, key, path, "data set")]
        return layer_of(file[name], name).map(path, request.window)


def names_of(file: Any) -> list[str]:
    """The names of all data sets of numbers in a file, those of scales left out."""
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "chunks") and item.ndim and item.dtype.kind in "biufc" and not item.is_scale:
            names.append(name)

    file.visititems(visit)
    return names


def layer_of(stored: Any, name: str) -> Layer:
    """A data set, not read."""
    kept = [i for i, n in enumerate(stored.shape) if n > 1] or [0]
    shape = tuple(stored.shape[i] for i in kept)
    scales = [_scale(stored, i) for i in kept]
    dims = [scale.name.rpartition("/")[2] if scale is not None else "" for scale in scales]
    labels = Labels(
        dims=tuple(dim or default for dim, default in zip(dims, axis_names(len(kept)), strict=True)),
        units=tuple("" if scale is None else _text(scale, "units") for scale in scales),
        name=name,
        unit=_text(stored, "units"),
    )
    coords = [
        np.asarray(scale, float) if scale is not None else axis
        for scale, axis in zip(scales, pixels(shape), strict=True)
    ]

    def values(window: tuple[slice, ...]) -> np.ndarray:
        part = iter(window)
        found = stored[tuple(next(part) if i in kept else slice(None) for i in range(stored.ndim))]
        found = np.asarray(found).reshape([side.stop - side.start for side in window])
        missing = stored.attrs.get("_FillValue")
        return found if missing is None else np.where(found == np.ravel(missing)[0], np.nan, found.astype(float))

    how = f"data set {name!r}, {len(kept)}-D grid of {' x '.join(map(str, shape))} heights"
    return Layer(shape, stored.dtype, values, tuple(coords), labels, how)


def _scale(stored: Any, axis: int) -> Any:
    """The numbers along an axis, or None."""
    scales = stored.dims[axis].values()
    usable = [scale for scale in scales if scale.shape == (stored.shape[axis],) and scale.dtype.kind in "iuf"]
    return usable[0] if usable else None


def _text(stored: Any, name: str) -> str:
    value = stored.attrs.get(name, "")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def write(found: Map, path: Path) -> None:
    """One data set with scales along its dimensions."""
    h5py = package("h5py", "volumes", path)
    axes = axes_of(found, path)
    labels = found.labels or Labels(axis_names(found.heights.ndim), ("",) * found.heights.ndim)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("heights", data=found.heights)
        stored.attrs["units"] = labels.unit
        for i, (axis, dim, unit) in enumerate(zip(axes, labels.dims, labels.units, strict=True)):
            scale = file.create_dataset(dim, data=axis)
            scale.attrs["units"] = unit
            scale.make_scale(dim)
            stored.dims[i].attach_scale(scale)
