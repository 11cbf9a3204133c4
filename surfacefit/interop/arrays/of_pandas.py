"""Frames of pandas as scattered points or a grid, and a Series as heights along its index.

A frame with a column "x" is a table of points; any other holds a grid, whose index and columns are its axes where they
are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened
from .points_table import points_of_table


@dataclass(frozen=True, eq=False)
class Back:
    """A frame or Series of which values go back to its index."""

    like: Any
    name: str

    def array(self, values: np.ndarray, name: str) -> Any:
        import pandas

        if np.ndim(values) == 2:
            return pandas.DataFrame(values, index=self.like.index, columns=self.like.columns)
        return pandas.Series(values, index=self.like.index, name=f"{self.name}_{name}" if self.name else name)


def opened(heights: Any, beside: Opened) -> Opened:
    """A frame as points where it has a column "x", as a grid otherwise; a Series along its index."""
    if heights.ndim == 2 and "x" in heights.columns:
        return points_of_table(
            heights, [str(name) for name in heights.columns], beside, lambda name: Back(heights, name)
        )
    axes = (heights.index,) if heights.ndim == 1 else (heights.index, heights.columns)
    coords = beside.coords if beside.coords is not None else tuple(_axis(axis) for axis in axes)
    name = str(heights.name or "") if heights.ndim == 1 else ""
    dims = tuple(
        str(axis.name or default) for axis, default in zip(axes, ("x",) if len(axes) == 1 else "yx", strict=True)
    )
    labels = Labels(dims, ("",) * len(axes), name, back=Back(heights, name))
    return replace(beside, heights=heights.to_numpy(), coords=coords, labels=labels)


def _axis(index: Any) -> np.ndarray:
    """The numbers of an index, dates as seconds since the first; 0, 1, 2, ... where they are names."""
    values = index.to_numpy()
    if values.dtype.kind == "M":
        return np.asarray((values - values[0]) / np.timedelta64(1, "s"), float)
    return values.astype(float) if values.dtype.kind in "iuf" else np.arange(len(values), dtype=float)
