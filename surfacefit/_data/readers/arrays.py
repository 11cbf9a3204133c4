"""NumPy's files: the array that holds the heights, and axes or coordinates beside it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..._base.checks import nearest
from .arrangement import CannotRead, Heights, Table, arranged

# Names under which heights are looked for in an .npz, the first that is there.
HEIGHT_NAMES = ("z", "heights", "elevation", "data")


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, or the one of an .npy under the name ""."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CannotRead(f"cannot read {str(path)!r} as NumPy's {path.suffix}: {error}") from None


def heights_of_arrays(arrays: dict[str, np.ndarray], key: str | None, layout: str | None, path: Path) -> Heights:
    name = _chosen(arrays, key, path)
    heights, how = arrays[name], f"array {name!r}, " if name else ""
    x, y = (arrays.get(axis) for axis in ("x", "y"))
    if x is None or name in ("x", "y"):
        return arranged(Table(heights, how=how), layout)
    if layout != "grid" and y is not None and x.ndim == 1 and x.shape == y.shape == heights.shape:
        return arranged(Table(np.column_stack([x, y, heights]), ("x", "y", name), how=how), "points")
    axes = tuple(axis for axis in ((x,) if heights.ndim == 1 else (y, x)) if axis is not None)
    if layout != "points" and _are_axes(axes, heights.shape):
        return arranged(Table(heights, coords=axes, how=f"{how}axes {'x' if len(axes) == 1 else 'y, x'}, "), "grid")
    return arranged(Table(heights, how=f"{how}{'x' if y is None else 'x and y'} ignored, "), layout)


def _chosen(arrays: dict[str, np.ndarray], key: str | None, path: Path) -> str:
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
    """Whether there is one strictly increasing axis for each side of a shape."""
    if any(axis.ndim != 1 or axis.dtype.kind not in "fiu" for axis in axes):
        return False
    return tuple(len(axis) for axis in axes) == shape and all(increases(axis) for axis in axes)


def increases(axis: np.ndarray) -> bool:
    return bool(np.isfinite(axis).all() and (np.diff(axis.astype(float)) > 0).all())
