"""Heights with their coordinates, units and georeference: what `read` gives, `fit` takes and `Map.save` writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from .data import SurfaceData
from .labels import Labels


@dataclass(frozen=True, eq=False)
class Map:
    """Heights of a file with all that belongs to them; `fit` takes it as it is, and its results come back as one.

    heights : array of any dimension, or (N,) at scattered points; NaN where there is none.
    points : (N, d) coordinates of scattered points; None for a grid.
    coords : one array an axis of a grid, in the order of the axes (rows, columns), rising or falling; None for 0, 1, 2,
        ...
    how : how the file was read, in words.
    mask : boolean array, True where heights are ignored; or None.
    sigma : standard deviation of each height, in the unit of the heights; or None.
    labels : names, units, coordinate reference system; None where the file has none.

    >>> import numpy as np, surfacefit as sf
    >>> line = sf.Map(np.exp(-0.5 * np.linspace(-4, 4, 81) ** 2), coords=(np.linspace(-4, 4, 81),))
    >>> sf.fit(line, 1, background=None, init="peaks").predict()
    <Map: 81 heights>
    """

    heights: np.ndarray
    points: np.ndarray | None = None
    coords: tuple[np.ndarray, ...] | None = None
    how: str = ""
    mask: np.ndarray | None = None
    sigma: np.ndarray | None = None
    labels: Labels | None = None

    @property
    def n_dim(self) -> int:
        """Number d of dimensions."""
        return self.heights.ndim if self.points is None else int(self.points.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the heights."""
        return self.heights.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.heights, dtype, copy=copy)

    def __repr__(self) -> str:
        name = "" if self.labels is None else self.labels.name
        sides = " x ".join(str(n) for n in self.shape)
        return f"<Map: {sides} heights{', ' * bool(name)}{name}>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the heights with their coordinates and georeference to a file of the kind that the suffix says.

        A GeoTIFF keeps coordinate reference system and transform, FITS the world coordinates, MRC voxel size and
        origin. Raises `ValueError` where the format cannot hold the map, naming the way out.
        """
        from ..interop.files.formats import write

        write(self, path)


@dataclass(frozen=True, eq=False)
class MapBack:
    """Values go back to a `Map` like the one that came in."""

    like: Map

    def array(self, values: np.ndarray, name: str) -> Map:
        labels = self.like.labels
        return Map(values, self.like.points, self.like.coords, labels=None if labels is None else named(labels, name))


def named(labels: Labels, name: str) -> Labels:
    """The labels of other values of the same map."""
    return replace(labels, name=f"{labels.name} {name}".strip(), back=None)


def map_of(data: SurfaceData, values: Any, name: str) -> Map:
    """Values in the user's order of axes (as of `SurfaceData.as_given`) as a map with the coordinates of the data."""
    axes = data.axes
    if axes is not None:
        axes = tuple(axis[::-1] if i in data.falling else axis for i, axis in enumerate(axes))
    labels = None if data.labels is None else named(data.labels, name)
    return Map(np.asarray(values), data.points, axes, labels=labels)
