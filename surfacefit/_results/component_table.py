"""The components of a fit as a table: a row of numbers each, and under it a row of their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._base.layout import COARSE, WIDTH, error, number, positions, table_width
from .._constraints.bounds import FIXABLE
from .flags import MOST_FLAGGED

if TYPE_CHECKING:
    from .result import FitResult

FINEST = 1e-5
DIGITS = (5, 4, 3)


class Column(NamedTuple):
    """A name, values (n,), standard errors (n,) or none, which of these are ``fixed``; of positions the widths (n,)
    along their axis.
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
        return positions(self.values, np.where(known, np.maximum(errors, FINEST * self.widths), COARSE * self.widths))

    def error_cells(self) -> list[str]:
        if self.errors is None or self.fixed is None:
            return [""] * len(self.values)
        return ["fixed" if held else error(value) for held, value in zip(self.fixed, self.errors, strict=True)]


def component_table(result: FitResult, n_rows: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first components, with errors up to MOST_FLAGGED parameters.

    Where it gets too wide, digits are dropped, and at last the volumes.
    """
    columns = _columns(result, n_rows)
    for digits, some in [*((digits, columns) for digits in DIGITS), (DIGITS[-1], columns[1:])]:
        table = [["", *(column.name for column in some)], *_rows(some, digits)]
        if table_width(table) <= WIDTH:
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
    d, along = surface.n_dim, np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))[few]
    centers, widths = np.asarray(surface.centers)[few], surface.principal_widths[few]
    errors = _errors(result, few)
    fixed = {
        name: np.broadcast_to(result.settings.constraints.fixed.get(name, False), result.n_components)[few]
        for name in FIXABLE[:3]
    }
    columns = [
        Column("volume", surface.volumes[few]),
        Column("amplitude", np.asarray(surface.amplitudes)[few], errors[0], fixed["amplitudes"]),
        *(Column(f"center{i}", centers[:, i], errors[1 + i], fixed["centers"], along[:, i]) for i in range(d)),
        *(Column(f"width{i}", widths[:, i], errors[1 + d + i], fixed["covariances"]) for i in range(d)),
    ]
    return columns + ([Column("angle/deg", np.degrees(surface.orientation[few]).round(6) % 180)] if d == 2 else [])


def _errors(result: FitResult, few: slice) -> Sequence[np.ndarray | None]:
    """Of amplitudes, centres along each axis, and principal widths."""
    if result.n_parameters > MOST_FLAGGED:
        return [None] * (1 + 2 * result.surface.n_dim)
    found = result.uncertainty()
    return [found.amplitudes[few], *found.centers[few].T, *found.principal_widths[few].T]
