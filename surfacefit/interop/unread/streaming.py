"""Which heights stay on disk, and are fitted window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._base.checks import positive_number
from ..._base.memory import memory_limit, point_bytes
from ..._data.unread_map import UnreadMap
from ..._engines.engines import Streamed
from .opening import UNREAD_SUFFIXES, unread, unread_array, unread_file


def streamed_map(heights: Any, engine: Any, max_memory: Any) -> UnreadMap | None:
    """The map that is fitted window by window; None for heights that are fitted in memory.

    With ``engine=Streamed()`` that is any grid. Otherwise it is a map on disk, if a fit in memory would be refused for
    its points alone: by its size and ``max_memory``, never by what else is going on.
    """
    if isinstance(engine, Streamed):
        return unread_array(heights)
    found = unread(heights) if isinstance(engine, str) and engine == "auto" else None
    if found is None:
        return None
    return found if _is_too_large(found, max_memory) else None


def streamed_file(path: str | Path, key: str | None, max_memory: Any, asked: bool) -> UnreadMap | None:
    """The map of a file that is fitted window by window: if that is ``asked`` for, or by its size as `streamed_map`
    says; None for all others, and for formats that are not read so.
    """
    try:
        found = unread_file(path, key)
    except (ImportError, OSError, ValueError):
        if asked:
            raise
        return None  # a file that is read whole says better what is wrong with it
    if found is None and asked:
        raise ValueError(
            f"`checkpoint` is for maps that are read window by window, and {str(path)!r} is not: give a"
            f" {', '.join(UNREAD_SUFFIXES)}"
        )
    return found if found is not None and (asked or _is_too_large(found, max_memory)) else None


def _is_too_large(found: UnreadMap, max_memory: Any) -> bool:
    """Whether a fit in memory would be refused for its points alone."""
    limit = memory_limit(None if max_memory is None else positive_number("max_memory", max_memory))
    itemsize = np.dtype(np.float32 if found.dtype.kind == "f" and found.dtype.itemsize <= 4 else np.float64).itemsize
    return found.size * point_bytes(len(found.shape), itemsize) > limit
