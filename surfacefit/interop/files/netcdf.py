"""NetCDF and zarr by xarray: a variable with the coordinates of its dimensions, units and reference system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import axis_names
from ..._data.map import Map
from ..arrays.of_xarray import opened
from ..arrays.opening import Opened
from .layer import Layer, Request, axes_of, chosen, package

# Name of the coordinate that holds the reference system, as rioxarray calls it.
REFERENCE = "spatial_ref"
# First bytes of a file in the HDF5 format, which NetCDF 4 is.
HDF5_SIGNATURE = b"\x89HDF"


def read(path: Path, request: Request) -> Map:
    """A variable of a dataset (CF conventions), which ``request.key`` names where there are several.

    Heights have the variable's shape without axes of length 1, NaN at its fill value; coordinates and units are those
    of its dimensions. Raises CannotRead for complex values or a variable that is not there, ImportError
    without xarray, h5netcdf (NetCDF 4) or zarr.
    """
    xarray = package("xarray", "geo", path)
    if path.suffix.lower() == ".zarr":
        package("zarr", "zarr", path)
        data = xarray.open_zarr(path, chunks=None, consolidated=False, decode_coords="all")
    else:
        with path.open("rb") as file:
            if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:  # the classic formats are read by SciPy
                package("h5netcdf", "geo", path)
        data = xarray.open_dataset(path, decode_coords="all")
    with data:
        names = [str(name) for name in data.data_vars if data[name].ndim and data[name].dtype.kind in "biufc"]
        array = data[names[chosen(names, request.key, path, "variable")]].squeeze()
        return _layer(array).map(path, request.window)


def _layer(array: Any) -> Layer:
    """The values lazily; what `opened` finds beside them without reading them."""
    empty = array.copy(data=np.broadcast_to(np.zeros((), np.float32), array.shape))
    found = opened(empty, Opened(None))
    labels = None if found.labels is None else replace(found.labels, back=None)
    shape = tuple(array.shape)
    how = f"variable {str(array.name)!r}, {len(shape)}-D grid of {' x '.join(map(str, shape))} heights"
    return Layer(shape, array.dtype, lambda window: array[window].values, found.coords, labels, how)


def write(found: Map, path: Path) -> None:
    """A dataset of one variable with coordinates, units and reference system."""
    xarray = package("xarray", "geo", path)
    axes = axes_of(found, path)
    labels = found.labels
    dims = axis_names(found.heights.ndim) if labels is None else labels.dims
    units = ("",) * len(dims) if labels is None else labels.units
    coords: dict[str, Any] = {
        dim: ((dim,), axis, {"units": unit} if unit else {}) for dim, axis, unit in zip(dims, axes, units, strict=True)
    }
    attributes = {} if labels is None else {k: v for k, v in (("units", labels.unit), ("long_name", labels.name)) if v}
    if labels is not None and labels.crs:
        coords[REFERENCE] = ((), 0, {"crs_wkt": labels.crs})
        attributes["grid_mapping"] = REFERENCE
    data = xarray.DataArray(found.heights, coords, dims, "heights", attributes).to_dataset()
    if path.suffix.lower() == ".zarr":
        data.to_zarr(path, mode="w", consolidated=False)
    else:
        data.to_netcdf(path, engine="h5netcdf")
