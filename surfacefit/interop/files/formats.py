"""Which file here reads and writes a format, or a reason why a file cannot be read.

What a file was taken for is told in ``Map.how``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.array_files import reason
from ..._base.checks import finite_number, nearest
from ..._data.examples import EXAMPLES, example_map
from ..._data.map import Map
from .arrangement import CannotRead, Table, only_grid, warn_of_no_data, without
from .arrays import array_in, arrays_in
from .layer import Request, cut
from .text import read_table

# Suffixes of text tables.
TABLES = (".csv", ".txt", ".dat", ".tsv", ".xyz")
# The file here that reads each suffix, by its function `read`.
READERS = {
    **dict.fromkeys((".npy", ".npz"), "arrays"),
    **dict.fromkeys(TABLES, "text"),
    ".png": "pictures",
    **dict.fromkeys((".tif", ".tiff"), "geotiff"),
    **dict.fromkeys((".fits", ".fit", ".fts"), "fits"),
    **dict.fromkeys((".mrc", ".map", ".ccp4"), "mrc"),
    **dict.fromkeys((".nc", ".nc4", ".zarr"), "netcdf"),
    **dict.fromkeys((".h5", ".hdf5"), "hdf5"),
    ".asc": "esri_ascii",
    **dict.fromkeys((".gwy", ".sdf"), "gwyddion"),
}
# The file here that writes each suffix.
WRITERS = {
    ".tif": "geotiff",
    ".tiff": "geotiff",
    ".fits": "fits",
    ".mrc": "mrc",
    ".nc": "netcdf",
    ".zarr": "netcdf",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".asc": "esri_ascii",
    ".npy": "arrays",
    ".npz": "arrays",
    ".csv": "text",
}
# Suffixes of formats that are folders.
FOLDERS = (".zarr",)

__all__ = ["CannotRead", "read", "read_points", "write"]


def read(
    path: str | PathLike[str],
    *,
    key: str | int | None = None,
    columns: str | Sequence[str | int] | None = None,
    layout: str | None = None,
    window: Sequence[Any] | None = None,
    nodata: float | None = None,
) -> Map:
    """Heights of a file with coordinates, units and georeference, as a `Map` that `fit` takes as it is.

    path : a file, whose suffix says what it is (`surfacefit fit --help` lists them), or the name of an example map.
    key : which of several arrays: the name of an array, variable, data set or channel, or the number of a band (from 1)
        or of an extension (from 0). A file with one array needs none.
    columns : of a table: names or numbers (from 0) of the columns of coordinates, heights last, "x,y,z".
    layout : "grid" or "points" for a table that could be both; None (default) leaves it to the file.
    window : the part of a grid to read, a slice or (start, stop) an axis, in rows and columns.
    nodata : a number that stands for no data, where the file does not say it itself. A text file whose lowest height
        is -9999, -99999 or -32768 warns of it, and is taken as it stands without this.

    Places without data are NaN. Raises `CannotRead`, a ValueError, that names the file, what is wrong with it and the
    way out; ImportError where a package is missing, naming the extra that brings it.

    >>> import surfacefit as sf
    >>> sf.read("jacksboro", window=[(0, 10), (5, 25)])
    <Map: 10 x 20 heights>
    """
    if layout not in (None, "grid", "points"):
        raise ValueError(f"`layout` must be 'grid', 'points' or None, got {layout!r}")
    request = Request(None if key is None else str(key), _columns(columns), layout, _window(window))
    if str(path) in EXAMPLES and not Path(path).exists():
        found = only_grid(Table(example_map(str(path)), how="example map, "), str(path), layout)
        return cut(found, request.window)
    found = _read(_existing(Path(path)), request)
    if nodata is not None:
        return without(found, finite_number("nodata", nodata))
    if Path(path).suffix.lower() in (*TABLES, ".asc"):
        warn_of_no_data(found, str(path))
    return found


def _read(path: Path, request: Request) -> Map:
    """Whatever a reader raises for bytes that can be anything is told as `CannotRead`."""
    if request.columns and path.suffix.lower() not in TABLES:
        raise CannotRead(
            f"`columns` are of text tables ({', '.join(TABLES)}), and {str(path)!r} is none: leave them out"
        )
    if request.layout == "points" and path.suffix.lower() not in (*TABLES, ".npy", ".npz"):
        raise CannotRead(f"{str(path)!r} is a grid of heights and holds no columns of points")
    reader = import_module(f".{READERS[path.suffix.lower()]}", __package__)
    if not path.is_dir():
        path.open("rb").close()  # what may not be read is no broken file
        if not path.stat().st_size:
            raise CannotRead(f"cannot read {str(path)!r}: it is empty and holds no numbers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages, on headers that are not as they should be
            return reader.read(path, request)
    except (CannotRead, ImportError):
        raise
    except Exception as error:
        raise CannotRead(f"cannot read {str(path)!r} as {path.suffix}: {reason(error)}") from None


def _columns(columns: Any) -> tuple[str, ...]:
    if columns is None:
        return ()
    names = columns.split(",") if isinstance(columns, str) else columns
    return tuple(str(name).strip() for name in names)


def _window(window: Any) -> tuple[tuple[int, int], ...]:
    if window is None:
        return ()
    sides = [(side.start, side.stop) if isinstance(side, slice) else tuple(side) for side in window]
    if any(len(side) != 2 or not all(isinstance(n, int | np.integer) for n in side) for side in sides):
        raise ValueError(f"`window` must be one (start, stop) of integers an axis, got {window!r}")
    return tuple((int(start), int(stop)) for start, stop in sides)


def write(found: Map, path: str | PathLike[str]) -> None:
    """Write a map in the format that the suffix names; ValueError for one that is not known."""
    path = Path(path)
    name = WRITERS.get(path.suffix.lower())
    if name is None:
        raise ValueError(f"`path` must end in {', '.join(WRITERS)}, got {str(path)!r}")
    import_module(f".{name}", __package__).write(found, path)


def read_points(path: str | Path, n_dim: int) -> np.ndarray:
    """Points (N, d) of a text table or an .npy, whose columns must be as many as the dimensions."""
    path = _existing(Path(path), (*TABLES, ".npy"))
    points = read_table(path).numbers if path.suffix.lower() in TABLES else array_in(arrays_in(path), "", path)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] != n_dim or points.dtype.kind not in "fiub":
        found = f"{points.shape[1]}" if points.ndim == 2 else f"an array of shape {points.shape}"
        raise CannotRead(
            f"{str(path)!r} must have {n_dim} column{'s' * (n_dim > 1)} of numbers, one a dimension of the surface,"
            f" got {found}"
        )
    return points.astype(float)


def _existing(path: Path, suffixes: Sequence[str] = tuple(READERS)) -> Path:
    if not path.exists():
        hint = nearest(str(path), EXAMPLES) or f"; example maps are {', '.join(EXAMPLES)}"
        raise CannotRead(f"there is no file {str(path)!r}{hint}")
    if not path.is_file() and not (path.is_dir() and path.suffix.lower() in FOLDERS):
        raise CannotRead(f"{str(path)!r} is {'a folder' if path.is_dir() else 'a device'}, not a file")
    if path.suffix.lower() not in suffixes:
        raise CannotRead(f"cannot read {str(path)!r}: the name must end in {', '.join(suffixes)}")
    return path
