"""A map that stays where it is, on disk, and is read window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import Labels

Window = tuple[slice, ...]
"""A part of a grid: one slice an axis."""


@dataclass(frozen=True, eq=False)
class UnreadMap:
    """A grid of heights that has not been read.

    shape, dtype : of the whole grid. read : the heights in a window, NaN where there are none.
    chunks : sides of the blocks in which the heights are stored; None where any window is read as fast.
    coords : one array an axis, rising or falling; None for 0, 1, 2, ... labels : as of `Map`.
    name : what it is, in a word or two.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Window], np.ndarray]
    chunks: tuple[int, ...] | None = None
    coords: tuple[np.ndarray, ...] | None = None
    labels: Labels | None = None
    name: str = "map"

    @property
    def size(self) -> int:
        """Points."""
        return int(np.prod(self.shape, dtype=float))

    def whole(self) -> Any:
        """The heights, read at once."""
        return self.read(tuple(slice(0, n) for n in self.shape))
