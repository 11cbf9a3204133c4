"""A user's maps, one by one as checked data: leading axes of an array, or a list of maps of any shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._base.checks import count, real_array
from .._data.data import SurfaceData, UnusableValues, grid_data, point_data


@dataclass(frozen=True, eq=False)
class PerMap:
    """What belongs to each map: ``one`` value for all, or an entry of ``each``, an array over the batch or a list."""

    one: Any = None
    each: Any = None

    @property
    def is_none(self) -> bool:
        """Whether there is nothing for any map."""
        return self.one is None and self.each is None

    def __getitem__(self, flat: int) -> Any:
        return self.one if self.each is None else self.each[flat]


@dataclass(frozen=True, eq=False)
class ShiftedAxes:
    """The coordinates of maps that are one grid, the ``axes`` of it, at different places: ``shifts`` (n, d)."""

    axes: tuple[np.ndarray, ...]
    shifts: np.ndarray

    def __len__(self) -> int:
        return len(self.shifts)

    def __getitem__(self, flat: int) -> tuple[np.ndarray, ...]:
        return tuple(axis + shift for axis, shift in zip(self.axes, self.shifts[flat], strict=True))


@dataclass(frozen=True, eq=False)
class MapStack:
    """Maps in a batch of ``shape``: ``maps`` by flat index, an array over the batch or a list, copies in floating
    point; ``masks`` and ``sigmas`` of each; ``points`` of scattered heights, shared by all or a list of one for each;
    ``coords`` of grids, shared by all or of each.
    """

    shape: tuple[int, ...]
    maps: Any
    masks: PerMap
    sigmas: PerMap
    points: Any
    coords: PerMap
    absolute_sigma: bool

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def n_dim(self) -> int:
        """Coordinates d of each point."""
        if self.points is None:
            return int(np.ndim(self.maps[0]))
        points = self.points[0] if isinstance(self.points, list) else self.points
        return int(np.shape(points)[-1]) if np.ndim(points) > 1 else 1

    @property
    def shares_points(self) -> bool:
        """Whether all maps are of one shape and at the same points."""
        shared = self.coords.each is None and not isinstance(self.points, list)
        return shared and isinstance(self.maps, np.ndarray)

    def index(self, flat: int) -> tuple[int, ...]:
        """The index of a map in the batch, from its number."""
        return tuple(int(i) for i in np.unravel_index(flat, self.shape))

    def all_points(self, flat: int) -> np.ndarray:
        """Coordinates (N, d) of every point of a map."""
        return self.without_gaps(flat).all_points

    def without_gaps(self, flat: int) -> SurfaceData:
        """The data of a map whose heights are all zero: its points and their distances."""
        heights = np.zeros(self.maps[flat].shape)
        if self.points is None:
            return self._grid(heights, flat)
        return point_data(self._points(flat), heights)

    def block(self, flats: np.ndarray, order: Literal["C", "F"] = "C") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Heights (B, N) of maps of one shape in float64, where they are used, and weights 1 / sigma; in this order in
        memory.
        """
        heights = np.array(_rows(self.maps, flats), np.float64, order=order)
        used = ~np.isnan(heights)
        if not self.masks.is_none:
            used &= ~self._of_points(self.masks, flats, False).astype(bool)
        weights: np.ndarray = np.ones((1, 1))
        if not self.sigmas.is_none:
            sigmas = self._of_points(self.sigmas, flats, 1.0)
            used &= np.isfinite(sigmas)
            with np.errstate(divide="ignore"):
                weights = 1 / np.where(used, sigmas, 1)
        return heights, used, np.broadcast_to(weights, heights.shape)

    def _of_points(self, given: PerMap, flats: np.ndarray, otherwise: Any) -> np.ndarray:
        """What is given for each point (B, N) of some maps."""
        if isinstance(given.each, np.ndarray) and given.each.ndim > 1:
            return _rows(given.each, flats)
        return np.stack([_spread(given[n], self.maps[n], otherwise) for n in flats])

    def is_empty(self, flat: int) -> bool:
        """Whether a map has no height that can be used."""
        mask, sigma = self.masks[flat], self.sigmas[flat]
        nan = np.isnan(self.maps[flat])
        if mask is not None and np.shape(mask) == nan.shape:
            nan = nan | np.asarray(mask, bool)
        if sigma is not None and np.shape(sigma) == nan.shape:
            nan = nan | ~np.isfinite(np.asarray(sigma, float))
        return bool(nan.all())

    def data(self, flat: int) -> SurfaceData:
        """The checked data of a map; an error names it."""
        heights, more = self.maps[flat], (self.masks[flat], self.sigmas[flat], self.absolute_sigma)
        try:
            if self.points is None:
                return self._grid(heights, flat, *more)
            return point_data(self._points(flat), heights, *more)
        except UnusableValues as error:
            raise UnusableValues(f"map {self.index(flat)} of `maps`: {error}") from None
        except (ValueError, TypeError) as error:
            raise type(error)(f"map {self.index(flat)} of `maps`: {error}") from None

    def _grid(self, heights: np.ndarray, flat: int, *more: Any) -> SurfaceData:
        """The data of a grid whose axes rise: heights of many maps are taken as they stand."""
        data = grid_data(heights, self.coords[flat], *more)
        if data.falling:
            raise ValueError(
                f"`coords[{data.falling[0]}]` must be strictly increasing for many maps, and it falls: reverse the axis"
                " and the maps along it"
            )
        return data

    def _points(self, flat: int) -> Any:
        return self.points[flat] if isinstance(self.points, list) else self.points


def shifts_of(stack: MapStack) -> np.ndarray | None:
    """Shifts (n, d) of maps that are one grid at different places; None for others."""
    return stack.coords.each.shifts if isinstance(stack.coords.each, ShiftedAxes) else None


def map_stack(
    maps: Any, ndim: int | None, coords: Any, points: Any, mask: Any, sigma: Any, absolute_sigma: bool
) -> MapStack:
    """The maps of a batch: all leading axes of an array but the last ``ndim``, or the entries of a list."""
    if points is not None and coords is not None:
        raise ValueError(
            "`points` are the places of scattered heights and `coords` those of a grid, got both: give one"
        )
    shape: tuple[int, ...]
    each: Any
    masked: Any = None
    if isinstance(maps, list | tuple):
        shape, each = (len(maps),), [_heights(f"maps[{n}]", one) for n, one in enumerate(maps)]
        if any(isinstance(one, np.ma.MaskedArray) for one in maps):
            masked = [np.ma.getmaskarray(one) for one in maps]
    else:
        array = _array(maps)
        shape = array.shape[: array.ndim - _map_axes(array, ndim, coords, points)]
        own = array.shape[len(shape) :]
        each = _heights("maps", maps).reshape(-1, *own) if array.size else []
        masked = np.ma.getmaskarray(maps).reshape(each.shape) if isinstance(maps, np.ma.MaskedArray) else None
    if not len(each):
        raise ValueError(f"`maps` must hold at least one map with heights, got shape {np.shape(maps)}")
    if isinstance(points, list | tuple) and len(points) != len(each):
        raise ValueError(f"`points` must be one array for all maps or a list of {len(each)}, got {len(points)}")
    axes = {one.ndim for one in each} if isinstance(each, list) else {each.ndim - 1}
    if len(axes) > 1:
        raise ValueError(f"`maps` must have one number of axes, got {' and '.join(map(str, sorted(axes)))}")
    masks, sigmas = (_per_map(name, given, each, shape) for name, given in (("mask", mask), ("sigma", sigma)))
    _check_masks(masks)
    if masked is not None:
        masks = PerMap(each=[_either(one, masks[n]) for n, one in enumerate(masked)])
    points = [*points] if isinstance(points, list | tuple) else points
    return MapStack(shape, each, masks, sigmas, deepcopy(points), _coords(coords, len(each)), absolute_sigma)


def _coords(coords: Any, n_maps: int) -> PerMap:
    """The coordinates of all maps, or of each: a list of what is given for one map."""
    if not _has_coords_of_each(coords):
        return PerMap(deepcopy(coords))
    if len(coords) != n_maps:
        raise ValueError(
            f"`coords` must be one array an axis, or a list of {n_maps} such sequences, one a map, got {len(coords)}"
        )
    return PerMap(each=deepcopy(coords))


def _has_coords_of_each(coords: Any) -> bool:
    listed = isinstance(coords, Sequence) and not isinstance(coords, str) and len(coords) > 0
    return listed and isinstance(coords[0], list | tuple) and len(coords[0]) > 0 and np.ndim(coords[0][0]) > 0


def _heights(name: str, given: Any) -> np.ndarray:
    return real_array(name, np.ma.getdata(given) if isinstance(given, np.ma.MaskedArray) else given)


def _rows(arrays: Any, flats: np.ndarray) -> np.ndarray:
    """Some of many arrays of one shape, each as a row."""
    some = arrays[flats] if isinstance(arrays, np.ndarray) else np.stack([arrays[n] for n in flats])
    return np.asarray(some).reshape(len(flats), -1)


def _spread(value: Any, like: np.ndarray, otherwise: Any) -> np.ndarray:
    """A number or an array (N,) for each point of a map."""
    return np.broadcast_to(otherwise if value is None else value, like.shape).ravel()


def _either(masked: np.ndarray, mask: Any) -> Any:
    """What is masked in a masked array or by ``mask``; one of another shape is left to be refused."""
    return masked if mask is None else masked | np.asarray(mask, bool) if np.shape(mask) == masked.shape else mask


def _check_masks(masks: PerMap) -> None:
    """Raises for a mask with other values than a mask has, before its map is taken as empty."""
    given = [masks.one] if not isinstance(masks.each, list) else masks.each
    given = [masks.each] if isinstance(masks.each, np.ndarray) else given
    for array in (np.asarray(one) for one in given if one is not None):
        if array.dtype != bool and not np.isin(array, (0, 1)).all():
            raise ValueError(
                f"`mask` must be boolean (True = ignore), got dtype {array.dtype} with other values than 0 and 1"
            )


def _array(maps: Any) -> np.ndarray:
    if maps is None or isinstance(maps, str):
        raise TypeError(f"`maps` must be an array with leading axes or a list of maps, got {maps!r}")
    kind = type(maps).__name__
    if isinstance(maps, Mapping):
        raise TypeError(f"`maps` must be an array or a list of maps, got a {kind}: give `list(maps.values())`")
    if isinstance(maps, Iterable) and not hasattr(maps, "__array__") and not isinstance(maps, Sequence):
        raise TypeError(f"`maps` must be an array or a list of maps, got a {kind}: give `list(maps)`")
    array = np.asarray(maps)
    if array.dtype == object and any(np.ndim(one) for one in array.flat):
        raise ValueError("`maps` of different shapes must be a list of arrays, got an array of objects")
    return array


def _map_axes(maps: np.ndarray, ndim: int | None, coords: Any, points: Any) -> int:
    """How many of the last axes are a map's own."""
    axes = 1 if points is not None else maps.ndim - 1 if ndim is None and coords is None else ndim
    if axes is None:
        coords = coords[0] if _has_coords_of_each(coords) else coords
        axes = 1 if not isinstance(coords, tuple) and np.ndim(coords[0]) == 0 else len(coords)
    axes = count("ndim", axes, 0)
    if not 0 < axes < maps.ndim:
        raise ValueError(
            f"`maps` must have leading axes before the {max(1, axes)} of each map, got shape {maps.shape}: use `fit`"
            " for one map"
        )
    return axes


def _per_map(name: str, given: Any, maps: Any, shape: tuple[int, ...]) -> PerMap:
    """What belongs to each map: one array or number for all, an array over the whole batch, or a list; copied."""
    if given is None or np.isscalar(given):
        return PerMap(given)
    if isinstance(given, list | tuple) and len(given) == len(maps):
        return PerMap(each=deepcopy(list(given)))
    array = np.array(given)
    own = maps[0].shape
    if array.shape == own and (isinstance(maps, np.ndarray) or all(one.shape == own for one in maps)):
        return PerMap(array)
    if array.shape == (*shape, *own):
        return PerMap(each=array.reshape(-1, *own))
    if array.shape == shape:
        return PerMap(each=array.ravel())
    raise ValueError(
        f"`{name}` must have the shape of one map {own} or of all {(*shape, *own)}, or be a list of {len(maps)}, got"
        f" shape {array.shape}"
    )
