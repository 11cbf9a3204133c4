"""Data sets of HDF5, with the scales of their dimensions and their fill value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._data.unread_map import UnreadMap
from ..files.hdf5 import layer_of, names_of
from ..files.layer import chosen, package


def unread(stored: Any) -> UnreadMap:
    """A data set; a group or file is refused."""
    if not hasattr(stored, "chunks"):
        raise TypeError(f"`heights` must be a data set, got {type(stored).__name__} of h5py: give one of its data sets")
    layer = layer_of(stored, stored.name.strip("/"))
    kept = [i for i, n in enumerate(stored.shape) if n > 1] or [0]
    chunks = None if stored.chunks is None else tuple(int(stored.chunks[i]) for i in kept)
    return UnreadMap(layer.shape, layer.dtype, layer.values, chunks, layer.coords, layer.labels, "HDF5 data set")


def of_path(path: Path, key: str | None) -> UnreadMap:
    """The data set that ``key`` names; a file with one of numbers needs none."""
    file = package("h5py", "volumes", path).File(path, "r")
    names = names_of(file)
    return unread(file[names[chosen(names, None if key is None else key.strip("/"), path, "data set")]])
