"""Which heights stay on disk, and are fitted window by window."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._base.checks import positive_number
from ..._base.memory import memory_limit, point_bytes
from ..._data.unread_map import UnreadMap
from ..._engines.engines import Streamed
from .opening import unread, unread_array


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
    limit = memory_limit(None if max_memory is None else positive_number("max_memory", max_memory))
    itemsize = np.dtype(np.float32 if found.dtype.kind == "f" and found.dtype.itemsize <= 4 else np.float64).itemsize
    return found if found.size * point_bytes(len(found.shape), itemsize) > limit else None
