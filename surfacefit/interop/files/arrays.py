"""NumPy's files: the array that holds the heights, and axes or coordinates beside it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.array_files import Archive, StoredArray, array_of_npy, reason
from ..._base.checks import nearest
from ..._data.map import Map
from .arrangement import CannotRead, Table, arranged
from .layer import Request, cut, no_key

# Names under which heights are looked for in an .npz, the first that is there.
HEIGHT_NAMES = ("z", "heights", "elevation", "data")
# Names of axes and coordinates beside the heights, of which there may be two at most.
AXES = ("x", "y")


def read(path: Path, request: Request) -> Map:
    """The heights of an .npy, or of an .npz the array of ``request.key``, else the first of `HEIGHT_NAMES`.

    Arrays x and y beside them are the axes of the grid, or coordinates (N,) of points, where their shapes say so; there
    are no units. Raises CannotRead for a key that is not there, for objects, and for headers that claim more than the
    file holds.
    """
    if request.key is not None and path.suffix.lower() == ".npy":
        raise no_key(path)
    return cut(heights_of_arrays(arrays_in(path), request.key, request.layout, path), request.window)


def write(found: Map, path: Path) -> None:
    """The heights as .npy; with axes or points, as `read` takes them, as .npz."""
    if path.suffix.lower() == ".npy":
        np.save(path, found.heights)
        return
    beside: dict[str, np.ndarray] = {}
    if found.points is not None and found.n_dim <= len(AXES):
        beside = dict(zip(AXES, found.points.T, strict=False))
    elif found.coords is not None and found.n_dim <= len(AXES):
        beside = dict(zip(AXES, found.coords[::-1], strict=False))
    arrays: dict[str, Any] = {HEIGHT_NAMES[0]: found.heights, **beside}
    np.savez_compressed(path, **arrays)


def arrays_in(path: Path) -> Mapping[str, StoredArray]:
    """The arrays of an .npz by name, or the one of an .npy under the name ""; they are read when asked for."""
    path.open("rb").close()  # what may not be read is no broken array
    with _told(path):
        return Archive(path) if zipfile.is_zipfile(path) else {"": array_of_npy(path)}


def array_in(arrays: Mapping[str, StoredArray], name: str, path: Path) -> np.ndarray:
    """One of these arrays."""
    with _told(path):
        return arrays[name].checked().read()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever reading raises for bytes that can be anything is told as `CannotRead`."""
    try:
        yield
    except Exception as error:
        raise CannotRead(f"cannot read {str(path)!r} as NumPy's {path.suffix}: {reason(error)}") from None


def heights_of_arrays(arrays: Mapping[str, StoredArray], key: str | None, layout: str | None, path: Path) -> Map:
    """Heights, with the arrays x and y as axes or coordinates where their shapes say so."""
    name = _chosen(arrays, key, path)
    heights, how = array_in(arrays, name, path), f"array {name!r}, " if name else ""
    if "x" not in arrays or name in ("x", "y"):
        return arranged(Table(heights, how=how), layout)
    x, y = (_beside(arrays, axis, heights.shape, path) for axis in ("x", "y"))
    if layout != "grid" and x is not None and y is not None and x.shape == y.shape == heights.shape:
        return arranged(Table(np.column_stack([x, y, heights]), ("x", "y", name), how=how), "points")
    axes = tuple(axis for axis in ((x,) if heights.ndim == 1 else (y, x)) if axis is not None)
    if layout != "points" and _are_axes(axes, heights.shape):
        return arranged(Table(heights, coords=axes, how=f"{how}axes {'x' if len(axes) == 1 else 'y, x'}, "), "grid")
    return arranged(Table(heights, how=f"{how}{'x and y' if 'y' in arrays else 'x'} ignored, "), layout)


def _beside(arrays: Mapping[str, StoredArray], name: str, shape: tuple[int, ...], path: Path) -> np.ndarray | None:
    """An array that could be an axis of heights of this shape, or coordinates of each; None where there is none."""
    if name not in arrays:
        return None
    with _told(path):
        stored = arrays[name]
    return array_in(arrays, name, path) if len(stored.shape) == 1 and stored.shape[0] in shape else None


def _chosen(arrays: Mapping[str, StoredArray], key: str | None, path: Path) -> str:
    if key is not None:
        candidates = [key] if key in arrays else []
    else:
        candidates = list(arrays) if len(arrays) == 1 else [name for name in HEIGHT_NAMES if name in arrays]
    if candidates:
        return candidates[0]
    held = ", ".join(list(arrays)[:10]) or "nothing"
    if key is not None:
        raise CannotRead(f"{str(path)!r} has no array {key!r}{nearest(key, arrays)}; it holds {held}")
    raise CannotRead(
        f"{str(path)!r} has none of the arrays {', '.join(HEIGHT_NAMES)}: choose with `--key` among {held}"
    )


def _are_axes(axes: Sequence[np.ndarray], shape: tuple[int, ...]) -> bool:
    """Whether there is one strictly rising or falling axis for each side of a shape."""
    if any(axis.ndim != 1 or axis.dtype.kind not in "fiu" for axis in axes):
        return False
    return tuple(len(axis) for axis in axes) == shape and all(increases(axis) or increases(axis[::-1]) for axis in axes)


def increases(axis: np.ndarray) -> bool:
    return bool(np.isfinite(axis).all() and (np.diff(axis.astype(float)) > 0).all())
