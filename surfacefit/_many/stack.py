"""A user's maps, one by one as checked data: leading axes of an array, or a list of maps of any shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import count, real_array
from .._data.data import SurfaceData, grid_data, point_data


@dataclass(frozen=True, eq=False)
class MapStack:
    """Maps in a batch of ``shape``: ``maps``, ``masks`` and ``sigmas`` by flat index; ``points`` of scattered heights,
    shared by all or a list of one for each, ``coords`` of grids, shared by all.
    """

    shape: tuple[int, ...]
    maps: Sequence[Any]
    masks: Sequence[Any]
    sigmas: Sequence[Any]
    points: Any
    coords: Any
    absolute_sigma: bool

    def __len__(self) -> int:
        return len(self.maps)

    def index(self, flat: int) -> tuple[int, ...]:
        """The index of a map in the batch, from its number."""
        return tuple(int(i) for i in np.unravel_index(flat, self.shape))

    def is_empty(self, flat: int) -> bool:
        """Whether a map has no height that can be used."""
        heights, mask = self.maps[flat], self.masks[flat]
        nan = np.isnan(real_array(f"maps[{flat}]", np.ma.getdata(heights))) | np.ma.getmaskarray(heights)
        if mask is not None and np.shape(mask) == nan.shape:
            nan = nan | np.asarray(mask, bool)
        sigma = self.sigmas[flat]
        if sigma is not None and np.shape(sigma) == nan.shape:
            nan = nan | ~np.isfinite(np.asarray(sigma, float))
        return bool(nan.all())

    def data(self, flat: int) -> SurfaceData:
        """The checked data of a map; an error names it."""
        heights, more = self.maps[flat], (self.masks[flat], self.sigmas[flat], self.absolute_sigma)
        try:
            if self.points is None:
                return grid_data(heights, self.coords, *more)
            points = self.points[flat] if isinstance(self.points, list) else self.points
            return point_data(points, heights, *more)
        except (ValueError, TypeError) as error:
            raise type(error)(f"map {self.index(flat)} of `maps`: {error}") from None


def map_stack(
    maps: Any, ndim: int | None, coords: Any, points: Any, mask: Any, sigma: Any, absolute_sigma: bool
) -> MapStack:
    """The maps of a batch: all leading axes of an array but the last ``ndim``, or the entries of a list."""
    if points is not None and coords is not None:
        raise ValueError(
            "`points` are the places of scattered heights and `coords` those of a grid, got both: give one"
        )
    if isinstance(maps, list | tuple):
        shape, each = (len(maps),), list(maps)
    else:
        maps = maps if isinstance(maps, np.ma.MaskedArray) else _array(maps)
        shape = maps.shape[: maps.ndim - _map_axes(maps, ndim, coords, points)]
        each = list(maps.reshape(-1, *maps.shape[len(shape) :])) if maps.size else []
    if not each:
        raise ValueError(f"`maps` must hold at least one map with heights, got shape {np.shape(maps)}")
    if isinstance(points, list | tuple) and len(points) != len(each):
        raise ValueError(f"`points` must be one array for all maps or a list of {len(each)}, got {len(points)}")
    masks, sigmas = (_per_map(name, given, each, shape) for name, given in (("mask", mask), ("sigma", sigma)))
    points = list(points) if isinstance(points, list | tuple) else points
    return MapStack(shape, each, masks, sigmas, points, coords, absolute_sigma)


def _array(maps: Any) -> np.ndarray:
    if maps is None or isinstance(maps, str):
        raise TypeError(f"`maps` must be an array with leading axes or a list of maps, got {maps!r}")
    array = np.asarray(maps)
    if array.dtype == object:
        raise ValueError("`maps` of different shapes must be a list of arrays, got an array of objects")
    return array


def _map_axes(maps: np.ndarray, ndim: int | None, coords: Any, points: Any) -> int:
    """How many of the last axes are a map's own."""
    axes = 1 if points is not None else maps.ndim - 1 if ndim is None and coords is None else ndim
    if axes is None:
        axes = 1 if np.ndim(coords) == 1 and not isinstance(coords, tuple) and np.isscalar(coords[0]) else len(coords)
    axes = count("ndim", axes, 0)
    if not 0 < axes < maps.ndim:
        raise ValueError(
            f"`maps` must have leading axes before the {max(1, axes)} of each map, got shape {maps.shape}: use `fit`"
            " for one map"
        )
    return axes


def _per_map(name: str, given: Any, maps: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """What belongs to each map: one array or number for all, an array over the whole batch, or a list."""
    if given is None or np.isscalar(given):
        return [given] * len(maps)
    if isinstance(given, list | tuple) and len(given) == len(maps):
        return list(given)
    array = np.asarray(given)
    if array.shape == np.shape(maps[0]) and all(np.shape(one) == array.shape for one in maps):
        return [array] * len(maps)
    if array.shape == (*shape, *np.shape(maps[0])):
        return list(array.reshape(-1, *array.shape[len(shape) :]))
    if array.shape == shape:
        return list(array.ravel())
    raise ValueError(
        f"`{name}` must have the shape of one map {np.shape(maps[0])} or of all {(*shape, *np.shape(maps[0]))}, or be a"
        f" list of {len(maps)}, got shape {array.shape}"
    )
