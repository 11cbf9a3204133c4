"""Arrays of zarr, by their chunks, or by shards where these hold several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._data.unread_map import UnreadMap
from ..files.layer import chosen, package


def unread(array: Any) -> UnreadMap:
    """An array of zarr; a group is refused."""
    if not hasattr(array, "chunks"):
        held = ", ".join(repr(name) for name in list(array)[:10])
        raise TypeError(f"`heights` must be an array, got a group of zarr that holds {held}: give one of them")
    chunks = getattr(array, "shards", None) or array.chunks
    return UnreadMap(
        tuple(array.shape),
        np.dtype(array.dtype),
        lambda window: np.asarray(array[window]),
        chunks=tuple(int(side) for side in chunks),
        name="zarr array",
    )


def of_path(path: Path, key: str | None) -> UnreadMap:
    """The array of a store, or the one of a group that ``key`` names; a group with one map needs none."""
    zarr = package("zarr", "zarr", path)
    found = zarr.open(str(path), mode="r")
    if not hasattr(found, "chunks"):
        maps = [name for name, array in found.arrays() if array.ndim > 1 and array.dtype.kind in "biuf"]
        found = found[maps[chosen(maps, key, path, "map")]]
    return unread(found)
