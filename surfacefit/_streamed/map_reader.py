"""A map read window by window, with rising axes, each window checked against what it held when it was read first."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from threading import Lock

import numpy as np

from .._data.unread_map import UnreadMap, Window

# Points of a window, about: some megabytes, so that a disk reads long runs and few components at the window's edge are
# taken twice, while some windows at once take little memory.
WINDOW_PLACES = 2**20
# Places along each axis of what is read at least, of a map without chunks: so that tiles may be as wide.
LEAST_SIDE = 64


class MapChanged(RuntimeError):
    """The heights on disk are no longer those that the fit began with."""


@dataclass(eq=False)
class MapReader:
    """The windows of a map in the order of rising coordinates.

    map : the map on disk. falling : axes along which its coordinates fall, and which are turned here. sides : of a
    window. sums : the checksum of each window, filled by the first pass; None before it was read.
    """

    map: UnreadMap
    falling: tuple[int, ...]
    sides: tuple[int, ...]
    sums: list[int | None] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self.windows = [self._turned(window) for window in windows_of(self.map.shape, self.sides)]
        self.sums = [None] * len(self.windows)

    def heights(self, number: int) -> np.ndarray:
        """The heights of a window, in their own precision; NaN where there are none."""
        window = self.windows[number]
        with self._lock:  # rasters and data sets of HDF5 are read by one thread at a time
            heights = np.asarray(self.map.read(self._turned(window)))
        if heights.shape != lengths_of(window):
            raise MapChanged(f"the {self.map.name} has other heights than when the fit began: {told(window)} is gone")
        heights = np.flip(heights, self.falling) if self.falling else heights
        self._check(number, zlib.crc32(np.ascontiguousarray(heights)))
        return heights if heights.dtype.kind == "f" else heights.astype(float)

    def _check(self, number: int, found: int) -> None:
        known = self.sums[number]
        if known is not None and known != found:
            raise MapChanged(
                f"the {self.map.name} changed while it was fitted: {told(self.windows[number])} has other heights than"
                " before. Fit a copy that stays as it is; a checkpoint that was written is kept, and serves for the"
                " heights as they were"
            )
        self.sums[number] = found

    def _turned(self, window: Window) -> Window:
        """A window of the file with its axes rising, or back."""
        return tuple(
            slice(n - side.stop, n - side.start) if axis in self.falling else side
            for axis, (side, n) in enumerate(zip(window, self.map.shape, strict=True))
        )


def windows_of(shape: tuple[int, ...], sides: tuple[int, ...]) -> Iterator[Window]:
    """The windows of a grid, the last axis fastest."""
    starts = (range(0, n, side) for n, side in zip(shape, sides, strict=True))
    for corner in product(*starts):
        yield tuple(slice(i, min(i + side, n)) for i, side, n in zip(corner, sides, shape, strict=True))


def window_sides(shape: tuple[int, ...], chunks: tuple[int, ...] | None, places: int | None = None) -> tuple[int, ...]:
    """Sides of windows of about so many places: chunks of the file, as many as there is room for, or long rows."""
    least = (LEAST_SIDE,) * len(shape) if chunks is None else chunks
    sides = [min(side, n) for side, n in zip(least, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        more = max(1, int((places or WINDOW_PLACES) // np.prod(sides, dtype=float)))
        sides[axis] = min(sides[axis] * more, shape[axis])
    return tuple(sides)


def lengths_of(window: Window) -> tuple[int, ...]:
    """Points along each axis of a window."""
    return tuple(side.stop - side.start for side in window)


def told(window: Window) -> str:
    """A window in words."""
    return f"the window [{', '.join(f'{side.start}:{side.stop}' for side in window)}]"


def each_window(reader: MapReader, seen: Callable[[int], None]) -> Iterator[tuple[Window, np.ndarray]]:
    """All windows with their heights, one after another; ``seen`` is told of the points read so far."""
    n_read = 0
    for number, window in enumerate(reader.windows):
        heights = reader.heights(number)
        n_read += heights.size
        yield window, heights
        seen(n_read)
