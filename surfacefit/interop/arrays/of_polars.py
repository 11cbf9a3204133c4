"""Frames of polars as scattered points, and a Series as heights along 0, 1, 2, ..."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened
from .points_table import points_of_table


@dataclass(frozen=True, eq=False)
class Back:
    """Values go back to a Series of polars."""

    name: str

    def array(self, values: np.ndarray, name: str) -> Any:
        import polars

        return polars.Series(f"{self.name}_{name}" if self.name else name, values)


def opened(heights: Any, beside: Opened) -> Opened:
    """A frame as points with columns x, y, ... and heights; a Series as heights in a row."""
    if hasattr(heights, "columns"):
        return points_of_table(heights, list(heights.columns), beside, Back)
    labels = Labels(("x",), ("",), heights.name, back=Back(heights.name))
    return replace(beside, heights=heights.to_numpy(), labels=labels)
