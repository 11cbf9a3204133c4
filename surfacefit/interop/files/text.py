"""Text tables: commas, semicolons, tabs or blanks between numbers, with or without a header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .arrangement import CannotRead, Table
from .arrays import increases

# Characters of a file that tell whether it is a table at all: more than any header takes.
HEAD_CHARACTERS = 2**16
# Cells that stand for no number, in small letters.
MISSING_CELLS = ("", "na", "n/a", "null")


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
