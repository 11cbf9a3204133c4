"""Files of heights for the command line: arrays, text tables and pictures, each read as it is meant or refused with the
reason.

An array or a table is a grid, unless its shape or its header says that its columns are coordinates and heights; what
was decided is told in ``Heights.how``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._base.checks import nearest
from .examples import EXAMPLES, example_map

ARRAYS = (".npy", ".npz")
TABLES = (".csv", ".txt", ".dat", ".tsv", ".xyz")
PICTURES = (".png", ".tif", ".tiff")
KEYS = ("z", "heights", "elevation", "data")
MISSING = ("", "na", "n/a", "null")
MANY_ROWS = 10
SAMPLE_FORMAT, GDAL_NODATA = 339, 42113


class CannotRead(ValueError):
    """A file that holds no heights, or none that can be told apart."""


@dataclass(frozen=True, eq=False)
class Heights:
    """Heights on a grid, with ``coords`` where the file has them, or (N,) at ``points`` (N, d); ``how`` they were
    read.
    """

    heights: np.ndarray
    points: np.ndarray | None = None
    coords: tuple[np.ndarray, ...] | None = None
    how: str = ""

    @property
    def n_dim(self) -> int:
        return self.heights.ndim if self.points is None else int(self.points.shape[1])


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers (rows, columns), the names of the columns or none, and the axes that label rows and columns, if they
    do.
    """

    numbers: np.ndarray
    names: tuple[str, ...] = ()
    coords: tuple[np.ndarray, ...] | None = None
    how: str = ""


def read_heights(path: str | Path, key: str | None = None, layout: str | None = None) -> Heights:
    """Heights of a file or of an example map; ``layout`` "grid" or "points" says what they are, None leaves it to the
    file.
    """
    if str(path) in EXAMPLES and not Path(path).exists():
        return _only_grid(Table(example_map(str(path)), how="example map, "), path, layout)
    path = _existing(Path(path))
    if key is not None and path.suffix.lower() != ".npz":
        raise CannotRead(f"`--key` names an array in an .npz, and {str(path)!r} is none")
    if path.suffix.lower() in PICTURES:
        return _only_grid(_picture(path), path, layout)
    if path.suffix.lower() in TABLES:
        return _arranged(read_table(path), layout)
    return _from_arrays(_arrays(path), key, layout, path)


def read_points(path: str | Path, n_dim: int) -> np.ndarray:
    """Points (N, d) of a text table or an .npy, whose columns must be as many as the dimensions."""
    path = _existing(Path(path), (*TABLES, ".npy"))
    points = read_table(path).numbers if path.suffix.lower() in TABLES else _arrays(path)[""]
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] != n_dim or points.dtype.kind not in "fiub":
        found = f"{points.shape[1]}" if points.ndim == 2 else f"an array of shape {points.shape}"
        raise CannotRead(
            f"{str(path)!r} must have {n_dim} column{'s' * (n_dim > 1)} of numbers, one a dimension of the surface,"
            f" got {found}"
        )
    return points.astype(float)


def read_table(path: Path) -> Table:
    """The numbers of a text file with commas, semicolons, tabs or blanks between them; a gap is NaN."""
    lines, comment = _lines(path)
    delimiter = _delimiter(lines[-1][1])
    rows = [line.split(delimiter) for _, line in lines]
    names: list[str] = []
    if _is_header(rows[0]):
        names, rows, lines = rows[0], rows[1:], lines[1:]
    elif _is_header(words := comment.replace(",", " ").replace(";", " ").split()):
        names = words
    if not rows:
        raise CannotRead(f"{str(path)!r} holds no numbers, only {names}")
    return _labelled(
        _numbers(path, rows, [number for number, _ in lines]), _bare(rows[0][0]), [_bare(name) for name in names]
    )


def _existing(path: Path, suffixes: Sequence[str] = (*ARRAYS, *TABLES, *PICTURES)) -> Path:
    if not path.exists():
        hint = nearest(str(path), EXAMPLES) or f"; example maps are {', '.join(EXAMPLES)}"
        raise CannotRead(f"there is no file {str(path)!r}{hint}")
    if path.is_dir():
        raise CannotRead(f"{str(path)!r} is a folder, not a file")
    if path.suffix.lower() not in suffixes:
        raise CannotRead(f"cannot read {str(path)!r}: the name must end in {', '.join(suffixes)}")
    return path


# --- Grid or points -------------------------------------------------------------------------------------------------


def _only_grid(table: Table, path: str | Path, layout: str | None) -> Heights:
    if layout == "points":
        raise CannotRead(f"{str(path)!r} is a grid of heights and holds no columns of points")
    return _arranged(table, "grid")


def _arranged(table: Table, layout: str | None) -> Heights:
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
    return Heights(numbers, coords=table.coords, how=f"{table.how}{numbers.ndim}-D grid of {shape} heights{hint}")


def _looks_like_points(table: Table) -> bool:
    if table.numbers.ndim != 2:
        return False
    rows, columns = table.numbers.shape
    named = len(table.names) == columns
    return columns == 2 or (columns in (3, 4) and (named or rows > MANY_ROWS * columns))


def _columns(table: Table) -> Heights:
    """Coordinates and heights from the columns of a table, heights last."""
    numbers = table.numbers
    if numbers.ndim != 2 or numbers.shape[1] < 2:
        raise CannotRead(f"points need columns x, ..., z, got an array of shape {numbers.shape}")
    n_dim = numbers.shape[1] - 1
    names = (
        table.names if len(table.names) == n_dim + 1 else (*(f"column {i}" for i in range(n_dim)), f"column {n_dim}")
    )
    how = f"{len(numbers)} points in {n_dim}-D at ({', '.join(names[:-1])}) with heights {names[-1]}"
    return Heights(numbers[:, -1], points=numbers[:, :-1], how=how)


# --- NumPy's files --------------------------------------------------------------------------------------------------


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, or the one of an .npy under the name ""."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CannotRead(f"cannot read {str(path)!r} as NumPy's {path.suffix}: {error}") from None


def _from_arrays(arrays: dict[str, np.ndarray], key: str | None, layout: str | None, path: Path) -> Heights:
    name = _chosen(arrays, key, path)
    heights, how = arrays[name], f"array {name!r}, " if name else ""
    x, y = (arrays.get(axis) for axis in ("x", "y"))
    if x is None or name in ("x", "y"):
        return _arranged(Table(heights, how=how), layout)
    if layout != "grid" and y is not None and x.ndim == 1 and x.shape == y.shape == heights.shape:
        return _arranged(Table(np.column_stack([x, y, heights]), ("x", "y", name), how=how), "points")
    axes = tuple(axis for axis in ((x,) if heights.ndim == 1 else (y, x)) if axis is not None)
    if layout != "points" and _are_axes(axes, heights.shape):
        return _arranged(Table(heights, coords=axes, how=f"{how}axes {'x' if len(axes) == 1 else 'y, x'}, "), "grid")
    return _arranged(Table(heights, how=f"{how}{'x' if y is None else 'x and y'} ignored, "), layout)


def _chosen(arrays: dict[str, np.ndarray], key: str | None, path: Path) -> str:
    if key is not None:
        candidates = [key] if key in arrays else []
    else:
        candidates = list(arrays) if len(arrays) == 1 else [name for name in KEYS if name in arrays]
    if candidates:
        return candidates[0]
    held = ", ".join(list(arrays)[:10]) or "nothing"
    if key is not None:
        raise CannotRead(f"{str(path)!r} has no array {key!r}{nearest(key, arrays)}; it holds {held}")
    raise CannotRead(f"{str(path)!r} has none of the arrays {', '.join(KEYS)}: choose with `--key` among {held}")


def _are_axes(axes: Sequence[np.ndarray], shape: tuple[int, ...]) -> bool:
    """Whether there is one strictly increasing axis for each side of a shape."""
    if any(axis.ndim != 1 or axis.dtype.kind not in "fiu" for axis in axes):
        return False
    return tuple(len(axis) for axis in axes) == shape and all(_increases(axis) for axis in axes)


def _increases(axis: np.ndarray) -> bool:
    return bool(np.isfinite(axis).all() and (np.diff(axis.astype(float)) > 0).all())


# --- Text -----------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> tuple[list[tuple[int, str]], str]:
    """The lines that are not comments, with their numbers from 1, and the last comment before them."""
    lines: list[tuple[int, str]] = []
    heading = ""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        body, sign, comment = line.partition("#")
        if body.strip():
            lines.append((number, body))
        elif sign and not lines:
            heading = comment
    if not lines:
        raise CannotRead(f"{str(path)!r} holds no numbers")
    return lines, heading


def _delimiter(line: str) -> str | None:
    return next((sign for sign in ";,\t" if sign in line), None)


def _bare(cell: str) -> str:
    return cell.strip(" \t\"',;")


def _is_header(cells: Sequence[str]) -> bool:
    """Whether there are words, perhaps with gaps, and no numbers."""
    words = [_number(cell) is None and any(sign.isalpha() for sign in cell) for cell in cells]
    return any(words) and all(word or cell == "" for word, cell in zip(words, map(_bare, cells), strict=True))


def _number(cell: str) -> float | None:
    try:
        return float(_bare(cell))
    except ValueError:
        return float("nan") if _bare(cell).lower() in MISSING else None


def _numbers(path: Path, rows: list[list[str]], lines: list[int]) -> np.ndarray:
    """An array (rows, columns) of the cells, without a last column that is only a delimiter at the end of each line."""
    if len(rows[0]) > 1 and all(not row[-1].strip() for row in rows):
        rows = [row[:-1] for row in rows]
    numbers = np.empty((len(rows), len(rows[0])))
    for i, (line, row) in enumerate(zip(lines, rows, strict=True)):
        if len(row) != len(rows[0]):
            raise CannotRead(
                f"{str(path)!r} has {len(row)} columns in line {line}, but {len(rows[0])} in line {lines[0]}"
            )
        try:
            numbers[i] = [float(cell) for cell in row]
        except ValueError:
            numbers[i] = _numbers_with_gaps(path, row, line)
    return numbers


def _numbers_with_gaps(path: Path, row: list[str], line: int) -> list[float]:
    numbers = []
    for cell in row:
        if (number := _number(cell)) is None:
            hint = ": write decimals with a point" if cell.strip().replace(",", "").isdigit() else ""
            raise CannotRead(f"{str(path)!r} has {cell.strip()[:40]!r} in line {line}, which is no number{hint}")
        numbers.append(number)
    return numbers


def _labelled(numbers: np.ndarray, corner: str, names: list[str]) -> Table:
    """A table with the labels of its rows and columns taken out, as pandas writes them; its first cell is
    ``corner``.
    """
    if len(names) == numbers.shape[1] + 1 and names[-1] == "":
        names = names[:-1]
    counted = np.array_equal(numbers[:, 0], np.arange(len(numbers)))
    if len(names) == numbers.shape[1] > 1 and names[0] == "" and counted:
        return Table(numbers[:, 1:], tuple(names[1:]), how="first column left out as row numbers, ")
    axes = (numbers[1:, 0], numbers[0, 1:])
    if not names and min(numbers.shape) > 2 and corner == "" and all(_increases(axis) for axis in axes):
        return Table(numbers[1:, 1:], coords=axes, how="axes from first column and row, ")
    return Table(numbers, tuple(names) if all(names) else ())


# --- Pictures -------------------------------------------------------------------------------------------------------


def _picture(path: Path) -> Table:
    """The gray values of a picture as they are stored; places without data in a GeoTIFF are NaN."""
    try:
        from PIL import Image
    except ImportError:
        raise CannotRead(f"reading {str(path)!r} needs pillow: pip install pillow") from None
    try:
        with Image.open(path) as image:
            array, tags, n_frames = np.array(image), dict(getattr(image, "tag_v2", {})), getattr(image, "n_frames", 1)
            mode = str(image.mode)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise CannotRead(f"cannot read {str(path)!r} as a picture: {error}") from None
    if array.ndim != 2 or mode == "P":
        raise CannotRead(
            f"{str(path)!r} has colours (mode {mode}), and heights need one channel: convert it to gray first"
        )
    array, how = _without_gaps(_signed(array, tags), tags)
    return Table(array, how=how + (f"first of {n_frames} pictures, " if n_frames > 1 else ""))


def _signed(array: np.ndarray, tags: dict[int, Any]) -> np.ndarray:
    """Integers with the sign that the TIFF declares, where pillow has read the bits with another."""
    wanted = {1: "u", 2: "i"}.get((tags.get(SAMPLE_FORMAT) or (0,))[0], array.dtype.kind)
    differs = array.dtype.kind in "iu" and wanted != array.dtype.kind
    return array.view(f"{wanted}{array.dtype.itemsize}") if differs else array


def _without_gaps(array: np.ndarray, tags: dict[int, Any]) -> tuple[np.ndarray, str]:
    nodata = _number(str(tags.get(GDAL_NODATA, "")).strip(" \0"))
    if nodata is None or np.isnan(nodata):
        return array, ""
    floats = array if array.dtype.kind == "f" else array.astype(float)
    gaps = floats == floats.dtype.type(nodata)
    return np.where(gaps, floats.dtype.type(np.nan), floats), f"{gaps.sum()} places without data ({nodata:g}), "
