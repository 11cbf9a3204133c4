"""Which columns of a table are coordinates and which are heights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..._data.labels import Back, Labels
from .opening import Opened

# Names of columns of coordinates, in their order.
COORDINATES = ("x", "y", "z")
# Names of columns of heights, where "z" is a coordinate or is not there.
HEIGHTS = ("height", "heights", "value", "values", "intensity", "elevation", "density")


def points_of_table(table: Any, columns: Sequence[str], beside: Opened, back: Callable[[str], Back]) -> Opened:
    """The columns x, y, z of a table as points with heights: z, unless there is another column of heights."""
    if beside.coords is not None:
        raise ValueError("`coords` are for a grid, and a table with a column 'x' holds its own: leave them out")
    own = [name for name in COORDINATES if name in columns]
    name = next((name for name in HEIGHTS if name in columns), "")
    if not name and own[-1] != "x":
        *own, name = own
    if not name:
        raise ValueError(
            f"`heights` must have columns x, y and z (or {', '.join(HEIGHTS[:3])}, ...), got {', '.join(columns)}:"
            " rename them, or call `fit_points(points, heights)`"
        )
    points = np.column_stack([np.asarray(table[one]) for one in own])
    labels = Labels(tuple(own), ("",) * len(own), name, back=back(name))
    return replace(beside, heights=np.asarray(table[name]), points=points, labels=labels)
