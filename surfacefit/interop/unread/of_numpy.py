"""Memory maps of NumPy, whose pages are given back once they are read, and arrays."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.checks import real_array
from ..._data.unread_map import UnreadMap, Window
from ..files.layer import no_key

# Kinds of numbers that are heights: booleans, integers and floats.
HEIGHT_KINDS = "biuf"


def unread(array: Any) -> UnreadMap:
    """A memory map, or an array in memory; raises as `fit` does for one that holds no numbers."""
    if (
        not isinstance(array, np.ndarray)
        or isinstance(array, np.ma.MaskedArray)
        or array.dtype.kind not in HEIGHT_KINDS
    ):
        array = real_array("heights", array.filled(np.nan) if isinstance(array, np.ma.MaskedArray) else array)
    pages: Any = getattr(array, "_mmap", None)
    shared = isinstance(pages, mmap.mmap) and getattr(array, "mode", "c") != "c"

    def read(window: Window) -> np.ndarray:
        part = np.array(array[window], subok=False)
        if shared and hasattr(mmap, "MADV_DONTNEED"):  # of a private map it would undo what was written
            pages.madvise(mmap.MADV_DONTNEED)
        return part

    return UnreadMap(array.shape, array.dtype, read, name="memory map" if shared else "array")


def of_path(path: Path, key: str | None) -> UnreadMap:
    """The array of an ``.npy``."""
    if key is not None:
        raise no_key(path)
    return unread(np.load(path, mmap_mode="r", allow_pickle=False))
