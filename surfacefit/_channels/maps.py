"""A user's maps of several channels, checked: data of each channel at the same points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .._base.checks import real_array
from .._data.data import SurfaceData, point_data
from ..interop.arrays.opening import opened


@dataclass(frozen=True, eq=False)
class ChannelMaps:
    """Data of C channels, which differ in heights, errors and in what is used of the points."""

    channels: tuple[SurfaceData, ...]

    @property
    def n_channels(self) -> int:
        return len(self.channels)

    @property
    def n_used(self) -> int:
        """Heights that are used, of all channels together."""
        return sum(channel.n_used for channel in self.channels)

    @property
    def absolute_sigma(self) -> bool:
        """Whether errors are in the units of the heights."""
        return self.channels[0].absolute_sigma

    @cached_property
    def together(self) -> SurfaceData:
        """The points that any channel uses, as data without heights of their own."""
        first = self.channels[0]
        used = np.any([channel.used for channel in self.channels], axis=0)
        return replace(first, heights=np.zeros(first.heights.shape), used=used, sigma=None, absolute_sigma=False)

    @property
    def are_even(self) -> bool:
        """Whether every channel uses all points and weighs them alike."""
        return all(one.used.all() and (one.sigma is None or np.ptp(one.sigma) == 0) for one in self.channels)

    def by_point(self, channel: int, values: np.ndarray) -> np.ndarray:
        """Values (N_c,) of a channel's used points at those that any channel uses (N,), zero elsewhere."""
        whole = np.zeros(self.together.used.shape)
        whole[self.channels[channel].used] = values
        return np.asarray(whole[self.together.used])


def channel_maps(maps: Any, coords: Any, points: Any, mask: Any, sigma: Any, absolute_sigma: bool) -> ChannelMaps:
    """The checked data of all channels; errors name the channel."""
    if coords is not None and points is not None:
        raise ValueError("`coords` are axes of a grid, and `points` are scattered: give one of them, got both")
    given = _listed(maps)
    masks, sigmas = (_by_channel(name, value, given) for name, value in (("mask", mask), ("sigma", sigma)))

    def read(heights: Any, mask: Any, sigma: Any) -> SurfaceData:
        if points is None:
            return opened(heights, coords, mask, sigma).surface_data(absolute_sigma)
        return point_data(points, heights, mask, sigma, absolute_sigma)

    channels = tuple(_named(c, read, *one) for c, one in enumerate(zip(given, masks, sigmas, strict=True)))
    _check_alike(channels)
    return ChannelMaps(channels)


def _check_alike(channels: tuple[SurfaceData, ...]) -> None:
    """Refuses maps that bring coordinates or errors of their own, which differ between channels."""
    first = channels[0]
    for c, one in enumerate(channels):
        both = zip(one.axes or (), first.axes or (), strict=True)
        if one.falling != first.falling or not all(np.array_equal(a, b) for a, b in both):
            raise ValueError(
                f"`maps` must all have the coordinates of maps[0], got others in maps[{c}]: bring them to the same"
                " points first"
            )
        if (one.sigma is None) != (first.sigma is None) or one.absolute_sigma != first.absolute_sigma:
            raise ValueError(
                f"`maps` must all have errors or none, so that they can be weighed against each other, and maps[{c}]"
                " differs from maps[0]: give `sigma`, a list with a number for each"
            )


def _listed(maps: Any) -> list[Any]:
    """The maps of the channels, all of one shape."""
    if isinstance(maps, list | tuple):
        if not maps:
            raise ValueError("`maps` must hold at least one map, got none")
        shapes = [np.shape(_array(f"maps[{c}]", one)) for c, one in enumerate(maps)]
        for c, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise ValueError(
                    f"`maps` must all have one shape, got {shapes[0]} for maps[0] and {shape} for maps[{c}]: bring them"
                    " to the same points first, or cut them to the part that they share"
                )
        return list(maps)
    array = np.ma.asanyarray(maps) if np.ma.isMaskedArray(maps) else _labelled("maps", maps)
    if array.ndim < 2:
        raise ValueError(
            f"`maps` must be a list of maps or an array with the channels along its last axis, got shape {array.shape}:"
            " for a single map use `fit`"
        )
    if not array.shape[-1]:
        raise ValueError(f"`maps` must hold at least one channel along its last axis, got shape {array.shape}")
    return [array[..., c] for c in range(array.shape[-1])]


def _labelled(name: str, value: Any) -> Any:
    """An array, or one of xarray as it is, whose parts know their coordinates."""
    array = _array(name, value)
    return value if hasattr(value, "dims") else array


def _array(name: str, value: Any) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else real_array(name, value)


def _by_channel(name: str, value: Any, given: list[Any]) -> list[Any]:
    """What each channel is given of an option: the same for all, one of a list, or a part of the last axis."""
    n_channels, shape = len(given), np.shape(given[0])
    if isinstance(value, list | tuple):
        if len(value) != n_channels:
            raise ValueError(
                f"`{name}` as a list must hold one for each of the {n_channels} channels, got {len(value)}"
            )
        if name == "sigma" and len({one is None for one in value}) > 1:
            raise ValueError(
                "`sigma` must be known of all channels or of none, so that they can be weighed against each other, got"
                f" None for {sum(one is None for one in value)} of {n_channels}: give a number for each"
            )
        return list(value)
    if value is None or np.ndim(value) == 0:
        return [value] * n_channels
    array = value if hasattr(value, "dims") else np.asarray(value)
    if array.shape == shape:
        return [array] * n_channels
    if array.shape == (*shape, n_channels):
        return [array[..., c] for c in range(n_channels)]
    raise ValueError(
        f"`{name}` must have the shape of a map {shape}, that of all {(*shape, n_channels)}, or be a list of"
        f" {n_channels}, got shape {array.shape}"
    )


def _named(channel: int, read: Callable[..., SurfaceData], *arguments: Any) -> SurfaceData:
    """The data of a channel; an error says which it was."""
    try:
        return read(*arguments)
    except (TypeError, ValueError) as error:
        way_out = ": leave this channel out" if "no point is left" in str(error) else ""
        raise type(error)(f"channel {channel} of `maps`: {error}{way_out}") from None
