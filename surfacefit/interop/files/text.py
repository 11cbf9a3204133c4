"""Text tables: commas, semicolons, tabs or blanks between numbers, with or without a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..._base.checks import nearest
from ..._data.labels import Labels
from ..._data.map import Map
from . import plumed
from .arrangement import CannotRead, Table, arranged
from .arrays import increases
from .layer import Request, cut, no_key

# Characters of a file that tell whether it is a table at all: more than any header takes.
HEAD_CHARACTERS = 2**16
# Cells that stand for no number, in small letters.
MISSING_CELLS = ("", "na", "n/a", "null")


def read(path: Path, request: Request) -> Map:
    """A text table as a grid, heights (rows, columns), or as points: coordinates (N, d) and heights (N,).

    Which of them, its shape or its header says, else ``request.layout``; ``request.columns`` picks coordinates and
    heights by name or number. A gap is NaN; there are no units. Grids of PLUMED are read as such. Raises CannotRead for
    lines of different lengths, words, or columns that are not there.
    """
    if plumed.is_grid(path, bool(request.columns)):
        return plumed.read(path, request)
    if request.key is not None:
        raise no_key(path)
    table = read_table(path)
    if not request.columns:
        return cut(arranged(table, request.layout), request.window)
    if request.layout == "grid":
        raise CannotRead("`columns` names coordinates and heights, and a grid has none: leave out one of the two")
    picked = [_column(table, name, path) for name in request.columns]
    names = tuple(table.names[i] if len(table.names) == table.numbers.shape[1] else f"column {i}" for i in picked)
    found = arranged(Table(table.numbers[:, picked], names, how=table.how), "points")
    return replace(found, labels=Labels(names[:-1], ("",) * (len(names) - 1), name=names[-1]))


def _column(table: Table, name: str, path: Path) -> int:
    """The number of a column, from its name or number."""
    names = [known.lower() for known in table.names]
    if len(names) == table.numbers.shape[1] and name.lower() in names:
        return names.index(name.lower())
    n = table.numbers.shape[1]
    if name.isdecimal() and int(name) < n:
        return int(name)
    held = ", ".join(table.names[:10]) or f"no names; give numbers, 0 to {n - 1}"
    raise CannotRead(f"{str(path)!r} has no column {name!r}{nearest(name, table.names)}; it has {held}")


def write(found: Map, path: Path) -> None:
    """Coordinates and heights, a row a point, with a header; digits enough to give back the same numbers."""
    points = found.points
    if points is None:
        axes = found.coords or tuple(np.arange(n, dtype=float) for n in found.shape)
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)
    known = () if found.labels is None else found.labels.dims
    names = known if len(known) == points.shape[1] else tuple(f"x{i}" for i in range(points.shape[1]))
    table = np.column_stack([points, found.heights.ravel()])
    np.savetxt(path, table, fmt="%.17g", delimiter=",", header=",".join([*names, "height"]), comments="")


def read_table(path: Path) -> Table:
    """The numbers of a text file with commas, semicolons, tabs or blanks between them; a gap is NaN."""
    _check_head(path)
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


def _check_head(path: Path) -> None:
    """Refuses a large file of something else by its beginning, before all of it is read."""
    with path.open("rb") as file:
        head = file.read(HEAD_CHARACTERS)
    if b"\0" in head:
        raise CannotRead(f"{str(path)!r} is no text in UTF-8")
    if len(head) == HEAD_CHARACTERS and not any(sign in head for sign in b"0123456789"):
        raise CannotRead(f"{str(path)!r} holds no numbers in its first {HEAD_CHARACTERS} characters")


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
    words = [as_number(cell) is None and any(sign.isalpha() for sign in cell) for cell in cells]
    return any(words) and all(word or cell == "" for word, cell in zip(words, map(_bare, cells), strict=True))


def as_number(cell: str) -> float | None:
    try:
        return float(_bare(cell))
    except ValueError:
        return float("nan") if _bare(cell).lower() in MISSING_CELLS else None


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
        if (number := as_number(cell)) is None:
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
    if not names and min(numbers.shape) > 2 and corner == "" and all(increases(axis) for axis in axes):
        return Table(numbers[1:, 1:], coords=axes, how="axes from first column and row, ")
    return Table(numbers, tuple(names) if all(names) else ())
