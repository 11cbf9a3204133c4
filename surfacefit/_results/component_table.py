"""The components of a fit as a table: for each a row of numbers, and below it a row of their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._base.layout import COARSEST_POSITION, SUMMARY_COLUMNS, error, number, positions, table_width
from .._constraints.bounds import FIXABLE
from .flags import MAX_SHOWN_PARAMETERS

if TYPE_CHECKING:
    from .result import FitResult

# Of a width: positions are not written finer, however small their error, or columns would get too wide.
FINEST_POSITION = 1e-5

# Significant digits, tried in this order until the table fits the width of a summary.
DIGITS = (5, 4, 3)


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


def component_table(result: FitResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first ``n_rows`` components, with errors up to MAX_SHOWN_PARAMETERS parameters.

    A table that is too wide is written with fewer digits, and in the end without the volumes.
    """
    columns = _columns(result, n_rows)
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


def _columns(result: FitResult, n_rows: int) -> list[Column]:
    surface, few = result.surface, slice(n_rows)
    d = surface.n_dim
    axis_widths = np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))[few]
    centers, widths = np.asarray(surface.centers)[few], surface.principal_widths[few]
    errors = _errors(result, few)
    fixed = {
        name: np.broadcast_to(result.settings.constraints.fixed.get(name, False), result.n_components)[few]
        for name in FIXABLE[:3]
    }
    columns = [
        Column("volume", surface.volumes[few]),
        Column("amplitude", np.asarray(surface.amplitudes)[few], errors[0], fixed["amplitudes"]),
        *(Column(f"center{i}", centers[:, i], errors[1 + i], fixed["centers"], axis_widths[:, i]) for i in range(d)),
        *(Column(f"width{i}", widths[:, i], errors[1 + d + i], fixed["covariances"]) for i in range(d)),
    ]
    return columns + ([Column("angle/deg", np.degrees(surface.orientation[few]).round(6) % 180)] if d == 2 else [])


def _errors(result: FitResult, few: slice) -> Sequence[np.ndarray | None]:
    """Standard errors of amplitudes, centres along each axis, and principal widths; None where they take too long."""
    if result.n_parameters > MAX_SHOWN_PARAMETERS:
        return [None] * (1 + 2 * result.surface.n_dim)
    found = result.uncertainty()
    return [found.amplitudes[few], *found.centers[few].T, *found.principal_widths[few].T]
