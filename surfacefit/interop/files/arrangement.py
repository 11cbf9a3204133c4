"""Tables of numbers, arranged as heights on a grid or at points.

A table is a grid, unless its shape or its header says that its columns are coordinates and heights.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..._data.map import Map

# Rows for each column from which a table of three or four columns without names is taken for points: few grids are so
# much longer than wide.
POINTS_FROM_ROWS_A_COLUMN = 10


# Numbers that programs write where there are no data: of ESRI and GMT, of 16-bit rasters, and the least in single
# precision.
NO_DATA_VALUES = (-9999.0, -99999.0, -32768.0, float(np.finfo(np.float32).min))
# Relative: digits to which such a number is written in text.
NO_DATA_DIGITS = 1e-7


class CannotRead(ValueError):
    """A file that holds no heights, or none that can be told apart."""


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers (rows, columns), the names of the columns or none, and the axes that label rows and columns, if they
    do.
    """

    numbers: np.ndarray
    names: tuple[str, ...] = ()
    coords: tuple[np.ndarray, ...] | None = None
    how: str = ""


def without(found: Map, nodata: float) -> Map:
    """The heights with NaN in the place of the number that stands for no data."""
    there = np.isclose(found.heights, nodata, rtol=NO_DATA_DIGITS, atol=0)
    return replace(found, heights=np.where(there, np.nan, found.heights))


def warn_of_no_data(found: Map, path: str | Path) -> None:
    """Says where the lowest heights have a number that often stands for no data: nothing is masked unasked."""
    lowest = np.nanmin(found.heights) if np.isfinite(found.heights).any() else 0.0
    if not np.isclose(lowest, NO_DATA_VALUES, rtol=NO_DATA_DIGITS, atol=0).any():
        return
    count = np.count_nonzero(found.heights == lowest)
    warnings.warn(
        f"{str(path)!r} holds {lowest:.8g} as its lowest height, in {count} of {found.heights.size} places: if that"
        f" stands for no data, read it with nodata={lowest:.8g} (--nodata={lowest:.8g}), else ignore this",
        UserWarning,
        stacklevel=3,
    )


def only_grid(table: Table, path: str | Path, layout: str | None) -> Map:
    if layout == "points":
        raise CannotRead(f"{str(path)!r} is a grid of heights and holds no columns of points")
    return arranged(table, "grid")


def arranged(table: Table, layout: str | None) -> Map:
    """A table as a grid or as points, with what was decided."""
    numbers, hint = table.numbers, ""
    if layout is None and table.coords is None and _looks_like_points(table):
        layout, hint = "points", "; --grid if they are a grid"
    if layout == "points":
        return replace(_columns(table), how=f"{table.how}{_columns(table).how}{hint}")
    if layout is None and numbers.ndim == 2 and numbers.shape[1] <= 4 < numbers.shape[0]:
        hint = "; --points if the last column holds the heights of the others"
    if table.coords is None and numbers.ndim == 2 and 1 in numbers.shape:
        numbers = numbers.ravel()
    shape = " x ".join(str(n) for n in numbers.shape)
    return Map(numbers, coords=table.coords, how=f"{table.how}{numbers.ndim}-D grid of {shape} heights{hint}")


def _looks_like_points(table: Table) -> bool:
    if table.numbers.ndim != 2:
        return False
    rows, columns = table.numbers.shape
    named = len(table.names) == columns
    return columns == 2 or (columns in (3, 4) and (named or rows > POINTS_FROM_ROWS_A_COLUMN * columns))


def _columns(table: Table) -> Map:
    """Coordinates and heights from the columns of a table, heights last."""
    numbers = table.numbers
    if numbers.ndim != 2 or numbers.shape[1] < 2:
        raise CannotRead(f"points need columns x, ..., z, got an array of shape {numbers.shape}")
    n_dim = numbers.shape[1] - 1
    names = (
        table.names if len(table.names) == n_dim + 1 else (*(f"column {i}" for i in range(n_dim)), f"column {n_dim}")
    )
    how = f"{len(numbers)} points in {n_dim}-D at ({', '.join(names[:-1])}) with heights {names[-1]}"
    return Map(numbers[:, -1], points=numbers[:, :-1], how=how)
