"""An `xarray.DataArray` as heights, and values back as one.

Dimensions may stand in any order and coordinates may fall. Dates count as seconds since the first of them. Dimensions
of length one are left out, and come back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened

# Seconds in a nanosecond, the unit of xarray's dates.
SECONDS_PER_NANOSECOND = 1e-9


@dataclass(frozen=True, eq=False)
class Back:
    """A DataArray of which values go back to its dimensions, coordinates and attributes."""

    heights: Any
    dims: tuple[Any, ...]

    def array(self, values: np.ndarray, name: str) -> Any:
        like = self.heights
        shape = [like.sizes[dim] for dim in like.dims]
        found = like.copy(data=np.asarray(values).reshape(shape))
        found.name = name if like.name is None else f"{like.name}_{name}"
        return found


def opened(heights: Any, beside: Opened) -> Opened:
    """The values of a DataArray with the coordinates of its dimensions."""
    if not hasattr(heights, "dims") or hasattr(heights, "data_vars"):
        names = ", ".join(str(name) for name in getattr(heights, "data_vars", ()))
        raise TypeError(
            f"`heights` must be a DataArray, got a {type(heights).__name__}: give one of its variables {names}"
        )
    whole, heights = heights, heights.squeeze()
    if not heights.dims:
        raise ValueError(f"`heights` must have a dimension longer than one, got {dict(whole.sizes)}")
    coords, units = beside.coords, tuple(str(_attribute(heights, dim, "units")) for dim in heights.dims)
    if coords is None:
        found = [_axis(heights, dim, unit) for dim, unit in zip(heights.dims, units, strict=True)]
        coords, units = tuple(axis for axis, _ in found), tuple(unit for _, unit in found)
    left_out = [str(dim) for dim in whole.dims if dim not in heights.dims]
    labels = Labels(
        dims=tuple(str(dim) for dim in heights.dims),
        units=units,
        name=str(heights.attrs.get("long_name") or heights.name or ""),
        unit=str(heights.attrs.get("units", "")),
        crs=_reference_system(whole),
        notes=tuple(f"dimension {dim!r} of length 1 left out" for dim in left_out),
        back=Back(whole, heights.dims),
    )
    return replace(
        beside,
        heights=heights.values,
        coords=coords,
        mask=_like(beside.mask, heights),
        sigma=_like(beside.sigma, heights),
        labels=labels,
    )


def _reference_system(heights: Any) -> str:
    """The coordinate reference system as WKT, where CF conventions or rioxarray keep it: on a scalar coordinate."""
    name = heights.encoding.get("grid_mapping") or heights.attrs.get("grid_mapping") or "spatial_ref"
    attributes = heights.coords[name].attrs if name in heights.coords else {}
    return str(attributes.get("crs_wkt") or attributes.get("spatial_ref") or "")


def _attribute(heights: Any, dim: Any, name: str) -> Any:
    return heights.coords[dim].attrs.get(name, "") if dim in heights.coords else ""


def _axis(heights: Any, dim: Any, unit: str) -> tuple[np.ndarray, str]:
    """The coordinates along a dimension as numbers, and their unit."""
    if dim not in heights.coords:
        return np.arange(heights.sizes[dim], dtype=float), unit
    axis = np.asarray(heights.coords[dim].values)
    if axis.dtype.kind == "M":
        return (axis - axis[0]).astype("timedelta64[ns]").astype(float) * SECONDS_PER_NANOSECOND, f"s since {axis[0]}"
    if axis.dtype.kind == "m":
        return axis.astype("timedelta64[ns]").astype(float) * SECONDS_PER_NANOSECOND, "s"
    if axis.dtype.kind not in "iuf":
        raise TypeError(
            f"`heights` must have numbers or dates as coordinates along {dim!r}, got dtype {axis.dtype}: give `coords`,"
            f" or heights.drop_vars({dim!r})"
        )
    return axis.astype(float), unit


def _like(other: Any, heights: Any) -> Any:
    """A mask or standard deviations in the order of the heights, where they have dimensions of their own."""
    if other is None or not hasattr(other, "dims"):
        return other
    strange = [dim for dim in other.squeeze().dims if dim not in heights.dims]
    if strange:
        raise ValueError(f"`mask` and `sigma` must have dimensions of `heights` {heights.dims}, got {other.dims}")
    return other.squeeze().broadcast_like(heights).values
