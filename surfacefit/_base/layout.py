"""A summary as text and as HTML: facts in two columns, then a table; and how its numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import NamedTuple

import numpy as np

# Characters; fits a terminal of 80 columns.
SUMMARY_COLUMNS = 78
# Decimals; smaller numbers are written with an exponent.
MOST_DECIMALS = 8
# Significant digits of a number whose error is below 1e-8: of a position on the sky to a milliarcsecond.
PRINTED_DIGITS = 10
# Widths: to this a position is written where its error is not known.
COARSEST_POSITION = 1e-2


class Summary(NamedTuple):
    """What a summary says: title, (name, value) pairs, header and rows of a table of cells, and a line after it (or
    "").
    """

    title: str
    facts: list[tuple[str, str]]
    header: list[str]
    rows: list[list[str]]
    rest: str

    def text(self) -> str:
        label = max(len(name) for name, _ in self.facts)
        lines = [self.title.center(SUMMARY_COLUMNS).rstrip(), "=" * SUMMARY_COLUMNS]
        for name, value in self.facts:
            lines += wrap(
                value,
                SUMMARY_COLUMNS,
                initial_indent=f"{name:<{label}}  ",
                subsequent_indent=" " * (label + 2),
                break_on_hyphens=False,
            )
        table = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        gap = "  " if table_width(table, 2) <= SUMMARY_COLUMNS else " "
        lines += ["-" * SUMMARY_COLUMNS]
        lines += [
            gap.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([*lines, *([self.rest] if self.rest else []), "=" * SUMMARY_COLUMNS])

    def html(self) -> str:
        facts = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self.facts
        )
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        rest = f"<p>{escape(self.rest)}</p>" if self.rest else ""
        title = f"<b>{escape(self.title)}</b>"
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div>{title}<table>{facts}</table>{table}{rest}</div>"


def table_width(table: list[list[str]], gap: int = 1) -> int:
    """Characters across a table of cells with so many between its columns."""
    columns = list(zip(*table, strict=True))
    return sum(max(map(len, column)) for column in columns) + gap * (len(columns) - 1)


def verdict(good: bool, message: str) -> tuple[str, str]:
    """The first fact of a summary: whether the fit converged, and why it ended."""
    return "status", f"{'ok' if good else 'NOT CONVERGED'}: {message}"


def left_out(count: int, kind: str) -> str:
    """The line after a table of which so many rows of a ``kind`` are not shown; "" for none."""
    return f"... and {counted(count, f'{kind} component')}" if count > 0 else ""


def place_columns(centers: np.ndarray, covariances: np.ndarray, widths: np.ndarray) -> list[list[str]]:
    """Columns of a table without errors: the centres (n, d) axis by axis, then the principal ``widths`` (n, d)."""
    units = COARSEST_POSITION * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    axes = range(centers.shape[1])
    return [
        *(positions(centers[:, i], units[:, i]) for i in axes),
        *([number(width) for width in widths[:, i]] for i in axes),
    ]


def counted(count: int, noun: str) -> str:
    """A number of things, such as "1 Gaussian" or "2 Gaussians"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def number(value: float, digits: int = 5) -> str:
    """Five significant digits or so many, without a minus sign on zero."""
    return f"{value + 0.0:.{digits}g}"


def error(value: float) -> str:
    """Two significant digits of a standard error; a dash where it is infinite or unknown."""
    if not np.isfinite(value):
        return "-"
    size = int(f"{value:.1e}"[4:])
    return f"{value:.2g}" if value == 0 or abs(size) > 5 else f"{round(value, 1 - size):.{max(1 - size, 0)}f}"


def with_error(value: float, deviation: float, others: float = 0.0) -> str:
    """12.3±0.2; the last digit of a number is that of its error, where this is known, else that of others'."""
    unit = deviation if np.isfinite(deviation) and deviation > 0 else others
    if not unit > 0:
        return f"{number(value)}±{error(deviation)}"
    decimals = int(1 - np.floor(np.log10(unit)))  # below zero: the last digits of a large number are noise
    exact = f"{value:.{PRINTED_DIGITS}g}"
    shown = exact if decimals > MOST_DECIMALS else f"{round(float(value), decimals) + 0.0:.{max(decimals, 0)}f}"
    return f"{shown}±{error(deviation)}"


def positions(values: Sequence[float] | np.ndarray, units: Sequence[float] | np.ndarray) -> list[str]:
    """Coordinates with as many decimals, common to all, as tell differences of a tenth of the smallest unit."""
    known = [unit for unit in units if np.isfinite(unit) and unit > 0]
    decimals = int(max(1 - np.floor(np.log10(min(known))), 0)) if known else MOST_DECIMALS
    if decimals > MOST_DECIMALS:
        return [number(value, 6) for value in values]
    return [f"{round(float(value), decimals) + 0.0:.{decimals}f}" for value in values]
