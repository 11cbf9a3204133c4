"""Which file here takes an object or a path: a library has one, with functions ``unread(value)`` and ``of_path(path,
key)``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..._data.unread_map import UnreadMap

# The first part of a type's module, and the file here that takes its objects.
UNREAD_LIBRARIES = {name: f"of_{name}" for name in ("zarr", "h5py", "rasterio")}
# The file here that opens files with these endings.
UNREAD_SUFFIXES = {
    ".npy": "of_numpy",
    ".tif": "of_rasterio",
    ".tiff": "of_rasterio",
    ".h5": "of_h5py",
    ".hdf5": "of_h5py",
    ".zarr": "of_zarr",
}


def unread(value: Any) -> UnreadMap | None:
    """The map that an object stands for, if it stays on disk; None for all others."""
    if isinstance(value, UnreadMap):
        return value
    if isinstance(value, np.memmap):
        return _file("of_numpy").unread(value)
    for kind in type(value).__mro__:
        name = UNREAD_LIBRARIES.get(kind.__module__.partition(".")[0])
        if name is not None:
            return _file(name).unread(value)
    return None


def unread_array(value: Any) -> UnreadMap:
    """The map that an object stands for, an array in memory too."""
    found = unread(value)
    return _file("of_numpy").unread(value) if found is None else found


def unread_file(path: str | Path, key: str | None = None) -> UnreadMap | None:
    """The map of a file, ``key`` as of `read`; None for a format that is not read window by window."""
    name = UNREAD_SUFFIXES.get(Path(path).suffix.lower())
    return None if name is None else _file(name).of_path(Path(path), key)


def _file(name: str) -> Any:
    return import_module(f".{name}", __package__)
