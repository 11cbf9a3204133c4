"""A summary as text and as HTML: facts in two columns, then a table."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import NamedTuple

WIDTH = 78


class Summary(NamedTuple):
    """What a summary says: title, (name, value) pairs, header and rows of a table of cells, and a line after it (or "")."""

    title: str
    facts: list[tuple[str, str]]
    header: list[str]
    rows: list[list[str]]
    rest: str

    def text(self) -> str:
        label = max(len(name) for name, _ in self.facts)
        lines = [self.title.center(WIDTH).rstrip(), "=" * WIDTH]
        for name, value in self.facts:
            lines += wrap(value, WIDTH, initial_indent=f"{name:<{label}}  ", subsequent_indent=" " * (label + 2), break_on_hyphens=False)
        widths = [max(len(row[i]) for row in [self.header, *self.rows]) for i in range(len(self.header))]
        lines += ["-" * WIDTH]
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [self.header, *self.rows]]
        return "\n".join([*lines, *([self.rest] if self.rest else []), "=" * WIDTH])

    def html(self) -> str:
        facts = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self.facts
        )
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        rest = f"<p>{escape(self.rest)}</p>" if self.rest else ""
        title = f"<b>{escape(self.title)}</b>"
        return f"<div>{title}<table>{facts}</table><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}</div>"


def number(value: float) -> str:
    """Five significant digits, without a minus sign on zero."""
    return f"{value + 0.0:.5g}"
