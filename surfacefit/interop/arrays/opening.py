"""What the heights, mask and standard deviations of other libraries hold, as arrays of NumPy with their labels.

A library has one file here with a function ``opened(heights, beside)``; `LIBRARIES` names it. A new kind of array is a
new file and a new row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from ..._data.data import SurfaceData, grid_data, point_data
from ..._data.labels import Labels, axis_names

# The first part of a type's module, and the file here that opens objects of that library.
LIBRARIES = {name: f"of_{name}" for name in ("xarray", "pandas", "polars", "astropy", "torch", "dask", "surfacefit")}


@dataclass(frozen=True, eq=False)
class Opened:
    """Heights with what goes with them, as arrays.

    heights : an array, or (N,) for scattered points.
    coords : the coordinates of each axis of a grid; None for 0, 1, 2, ...
    points : (N, d) coordinates of scattered points; None for a grid.
    mask, sigma : arrays of the shape of the heights, or None.
    absolute_sigma : whether ``sigma`` is in the units of the heights; None where the object does not say.
    labels : names, units and the way back; None for plain arrays.
    """

    heights: Any
    coords: Any = None
    mask: Any = None
    sigma: Any = None
    points: Any = None
    absolute_sigma: bool | None = None
    labels: Labels | None = None

    def surface_data(self, absolute_sigma: bool) -> SurfaceData:
        """The checked data."""
        absolute = absolute_sigma if self.absolute_sigma is None else self.absolute_sigma
        if self.points is not None:
            data = point_data(self.points, self.heights, self.mask, self.sigma, absolute)
        else:
            data = grid_data(self.heights, self.coords, self.mask, self.sigma, absolute)
        return data if self.labels is None else replace(data, labels=self.labels)


def opened(heights: Any, coords: Any = None, mask: Any = None, sigma: Any = None) -> Opened:
    """Heights of any library that is known here; anything else as it is, for `grid_data` to check."""
    beside = Opened(None, coords, mask, sigma)
    library = library_of(heights)
    return replace(beside, heights=heights) if library is None else library.opened(heights, beside)


def opened_points(points: Any, heights: Any, mask: Any = None, sigma: Any = None) -> Opened:
    """Heights (N,) of any library that is known here at points (N, d)."""
    found = opened(heights, None, mask, sigma)
    columns = getattr(points, "columns", None)
    if found.labels is None or np.ndim(points) not in (1, 2):
        return replace(found, points=points)
    names = columns if columns is not None else axis_names(1 if np.ndim(points) == 1 else np.shape(points)[1])[::-1]
    labels = replace(found.labels, dims=tuple(str(name) for name in names), units=("",) * len(names))
    return replace(found, points=points, coords=None, labels=labels)


def library_of(value: Any) -> Any:
    """The file here that opens an object, by its type or the types it is derived from; None for all others."""
    for kind in type(value).__mro__:
        name = LIBRARIES.get(kind.__module__.partition(".")[0])
        if name is not None:
            return import_module(f".{name}", __package__)
    return None
