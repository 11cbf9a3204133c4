"""Heights of a file before they are read: sizes are checked, and windows cut out, in one place for all formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.array_files import StoredArray
from ..._data.labels import Labels
from ..._data.map import Map
from .arrangement import CannotRead

# Of the mean step along an axis: coordinates in single precision over a thousand steps are that even.
UNEVEN_SHARE = 1e-3
# The affine transform of a raster without georeference: six numbers in pixels.
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Request:
    """What of a file is wanted: the name or number ``key`` of one of its arrays, the names or numbers of ``columns`` of
    a table, the ``layout`` "grid" or "points", a ``window`` of one (start, stop) an axis.
    """

    key: str | None = None
    columns: tuple[str, ...] = ()
    layout: str | None = None
    window: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Layer:
    """A grid of heights that has not been read.

    shape, dtype : of the whole grid, as the header claims them.
    values : the heights in a window of one slice an axis, NaN where there are none.
    coords, labels, how : as of `Map`, for the whole grid.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    values: Callable[[tuple[slice, ...]], np.ndarray]
    coords: tuple[np.ndarray, ...] | None = None
    labels: Labels | None = None
    how: str = ""

    def map(self, path: Path, window: Sequence[tuple[int, int]] = ()) -> Map:
        """The heights of a window, after its size and kind were checked."""
        if self.dtype.kind == "c":
            raise CannotRead(f"{str(path)!r} holds complex numbers: write their magnitude, np.abs, and fit that")
        if not self.shape or 0 in self.shape:
            raise CannotRead(f"{str(path)!r} holds no heights, but an array of shape {self.shape}")
        part = slices(self.shape, window)
        shape = tuple(side.stop - side.start for side in part)
        n_bytes = bytes_of(path)
        heights = StoredArray(shape, self.dtype, n_bytes, lambda: self.values(part)).checked().read()
        if heights.shape != shape:
            raise CannotRead(f"{str(path)!r} must hold heights of shape {shape}, got {heights.shape}")
        if heights.dtype.kind == "f" and np.isnan(heights).all():
            raise CannotRead(f"{str(path)!r} holds no heights here: all {heights.size} are missing (NaN or no data)")
        return _placed(Map(heights, coords=self.coords, labels=self.labels, how=self.how), part)


def cut(found: Map, window: Sequence[tuple[int, int]]) -> Map:
    """A window of heights that were read whole."""
    if not window:
        return found
    if found.points is not None:
        raise CannotRead("`window` cuts a grid, and these heights are at points: mask the others")
    part = slices(found.shape, window)
    return _placed(replace(found, heights=found.heights[part]), part)


def _placed(found: Map, window: tuple[slice, ...]) -> Map:
    """Heights of a window with their part of the coordinates and of the transform of the whole."""
    coords, labels = found.coords, found.labels
    if coords is not None:
        coords = tuple(axis[side] for axis, side in zip(coords, window, strict=True))
    if labels is not None and labels.transform:
        a, b, c, d, e, f = labels.transform
        row, column = window[0].start, window[1].start
        labels = replace(labels, transform=(a, b, a * column + b * row + c, d, e, d * column + e * row + f))
    return replace(found, coords=coords, labels=labels)


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def no_key(path: Path) -> CannotRead:
    """The refusal of a key for a file of one array."""
    return CannotRead(f"`key` names one of several arrays, and {str(path)!r} holds only one: leave it out")


def pixels(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The coordinates 0, 1, 2, ... of each axis."""
    return tuple(np.arange(n, dtype=float) for n in shape)


def slices(shape: tuple[int, ...], window: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """A window as slices, refused where it is not within the shape."""
    if not window:
        return tuple(slice(0, n) for n in shape)
    if len(window) != len(shape):
        raise CannotRead(f"`window` must have one start and stop for each of {len(shape)} axes, got {len(window)}")
    for (start, stop), n in zip(window, shape, strict=True):
        if not 0 <= start < stop <= n:
            raise CannotRead(f"`window` must be within the shape {shape} of the heights, got {start}:{stop}")
    return tuple(slice(start, stop) for start, stop in window)


def package(name: str, extra: str, path: Path) -> Any:
    """A package that a format needs; ImportError names the extra that brings it."""
    try:
        return import_module(name)
    except ImportError:
        first = name.partition(".")[0]
        raise ImportError(f"{str(path)!r} needs {first}: pip install 'surfacefit[{extra}]'") from None


def chosen(names: Sequence[str], key: str | None, path: Path, what: str, first: int = 0) -> int:
    """The index of the only name, or of the one that ``key`` names or numbers from ``first``."""
    if not names:
        raise CannotRead(f"{str(path)!r} holds no {what}")
    held = ", ".join(repr(name) for name in names[:10])
    if key is None:
        if len(names) > 1:
            raise CannotRead(f"{str(path)!r} holds several {what}s: choose with `key` among {held}")
        return 0
    if key in names:
        return list(names).index(key)
    if key.isdecimal() and first <= int(key) < len(names) + first:
        return int(key) - first
    raise CannotRead(f"{str(path)!r} has no {what} {key!r}; it holds {held}")


def steps(found: Map, path: str | Path) -> tuple[tuple[np.ndarray, float], ...]:
    """The coordinates of each axis and their even step; refused where a format needs even steps and they are not."""
    return tuple((axis, _step(axis, path)) for axis in axes_of(found, path))


def axes_of(found: Map, path: str | Path) -> tuple[np.ndarray, ...]:
    """The coordinates of each axis of a grid; points are refused."""
    if found.points is not None:
        raise ValueError(f"{str(path)!r} would need a grid, and these heights are at points: write .csv")
    return found.coords or pixels(found.shape)


def _step(axis: np.ndarray, path: str | Path) -> float:
    step = float(axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 1.0
    if len(axis) > 1 and np.abs(np.diff(axis) / step - 1).max() > UNEVEN_SHARE:
        raise ValueError(f"{str(path)!r} needs even steps along each axis, and these are uneven: write .npz or .nc")
    return step


def of_dims(found: Map, n_dim: int, path: str | Path) -> Map:
    """The map, refused where a format holds another number of axes."""
    if found.points is not None or found.heights.ndim != n_dim:
        got = "points" if found.points is not None else f"{found.heights.ndim} axes"
        raise ValueError(f"{str(path)!r} holds grids with {n_dim} axes, and these heights have {got}: write .npz")
    return found
