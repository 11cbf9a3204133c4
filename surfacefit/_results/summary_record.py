"""A summary as a record of numbers: its facts, and the components as a table with standard errors below the numbers.

A file remembers it and shows it without JAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from .._base.array_files import Shapes, loaded
from .._base.documents import read
from .._base.layout import (
    COARSEST_POSITION,
    SUMMARY_COLUMNS,
    Summary,
    error,
    left_out,
    number,
    positions,
    table_width,
)

# Of a width: positions are not written finer, however small their error, or columns would get too wide.
FINEST_POSITION = 1e-5

# Significant digits, tried in this order until the table fits the width of a summary.
DIGITS = (5, 4, 3)

# What the file of a result says it is.
RESULT_FORMAT = "surfacefit result"

# Of the format: counted up by a change after which older files cannot be read.
RESULT_VERSION = 7

# What the file of a batch says it is.
BATCH_FORMAT = "surfacefit batch"

# Of the format of batches: counted up by a change after which older files cannot be read.
BATCH_VERSION = 1

# Most lines of facts of a summary that is believed: a few for each flag and each part of the fit come to some 30.
MOST_FACTS = 200


class Column(NamedTuple):
    """A column of the table.

    name : its header.
    values : (n,) numbers.
    errors, fixed : (n,) standard errors, and which numbers were fixed; None for columns without errors.
    widths : (n,) widths of the components along the axis, for columns of positions.
    """

    name: str
    values: np.ndarray
    errors: np.ndarray | None = None
    fixed: np.ndarray | None = None
    widths: np.ndarray | None = None

    def first(self, count: int) -> Column:
        """The column of the first ``count`` components."""
        arrays = self._asdict().items()
        shorter: dict[str, Any] = {name: array[:count] for name, array in arrays if isinstance(array, np.ndarray)}
        return self._replace(**shorter)

    def cells(self, digits: int) -> list[str]:
        if self.widths is None:
            return [number(value, digits) for value in self.values]
        errors = np.full(len(self.values), np.inf) if self.errors is None else self.errors
        known = np.isfinite(errors) & (errors > 0)
        return positions(
            self.values,
            np.where(known, np.maximum(errors, FINEST_POSITION * self.widths), COARSEST_POSITION * self.widths),
        )

    def error_cells(self) -> list[str]:
        if self.errors is None or self.fixed is None:
            return [""] * len(self.values)
        return ["fixed" if is_fixed else error(value) for is_fixed, value in zip(self.fixed, self.errors, strict=True)]


class StoredSummary(NamedTuple):
    """Title, (name, value) pairs of facts, and the columns of the table of all components."""

    title: str
    facts: list[tuple[str, str]]
    columns: list[Column]

    def shown(self, n_rows: int) -> Summary:
        """The facts, then the first ``n_rows`` components: those of largest volume."""
        hidden = len(self.columns[0].values) - n_rows
        rest = left_out(hidden, "smaller")
        return Summary(self.title, self.facts, *component_table(self.columns, n_rows), rest)

    def document(self) -> dict[str, Any]:
        return {"title": self.title, "facts": self.facts, "columns": [column._asdict() for column in self.columns]}

    @classmethod
    def of(cls, document: Any) -> StoredSummary:
        """The summary in a document; raises where it is none."""
        columns = [_column(one) for one in document["columns"]]
        facts = [(_text(name), _text(value)) for name, value in document["facts"]]
        if not columns or not 0 < len(facts) <= MOST_FACTS:
            raise ValueError(f"its summary must have columns, and 1 to {MOST_FACTS} facts, got {len(facts)}")
        return cls(_text(document["title"]), facts, columns)


def stored_summary(path: str | PathLike[str]) -> StoredSummary | None:
    """The summary in the file of a result; None where it has none. `NotAFit` as from `load`."""

    def made(document: dict[str, Any]) -> StoredSummary | None:
        if "summary" not in document:
            return None
        shapes = Shapes()
        shapes.check("surface.amplitudes", document["surface"]["amplitudes"], "K")
        for column in document["summary"]["columns"]:
            for name, array in column.items():
                if name != "name" and array is not None:
                    shapes.check(f"summary.{name}", array, "K", "fb")
        return StoredSummary.of(loaded(document["summary"], "fixed"))

    found: StoredSummary | None = read(path, RESULT_FORMAT, RESULT_VERSION, made)
    return found


def component_table(columns: Sequence[Column], n_rows: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first ``n_rows`` components.

    A table that is too wide is written with fewer digits, and in the end without the first column, the volumes.
    """
    columns = [column.first(n_rows) for column in columns]
    for digits, some in [*((digits, columns) for digits in DIGITS), (DIGITS[-1], columns[1:])]:
        table = [["", *(column.name for column in some)], *_rows(some, digits)]
        if table_width(table) <= SUMMARY_COLUMNS:
            break
    return table[0], table[1:]


def _rows(columns: list[Column], digits: int) -> list[list[str]]:
    rows = [list(row) for row in zip(*(column.cells(digits) for column in columns), strict=True)]
    errors = [list(row) for row in zip(*(column.error_cells() for column in columns), strict=True)]
    return [line for k, pair in enumerate(zip(rows, errors, strict=True)) for line in _lines(k, *pair)]


def _lines(k: int, values: list[str], errors: list[str]) -> list[list[str]]:
    return [[str(k), *values], *([["±", *errors]] if any(errors) else [])]


def _column(document: Any) -> Column:
    if document["values"] is None:
        raise ValueError("a column has no values")
    return Column(**{**document, "name": _text(document["name"])})


def _text(value: Any) -> str:
    """A line of text, without what a terminal would take for commands."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return "".join(sign if sign.isprintable() else "?" for sign in value)
