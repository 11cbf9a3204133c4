"""A Markdown table that is also aligned in a terminal, printed row by row while a suite runs."""

from __future__ import annotations

from collections.abc import Sequence


class Table:
    """A table with columns by name and width; first and last are aligned left, the numbers between them right."""

    def __init__(self, columns: dict[str, int]):
        self._columns = columns
        self.lines: list[str] = []
        self.row(list(columns))
        last = len(columns) - 1
        self._say(
            "|"
            + "|".join("-" * (width + 1) + ("-" if i in (0, last) else ":") for i, width in enumerate(columns.values()))
            + "|"
        )

    def row(self, cells: Sequence[str]) -> None:
        last = len(self._columns) - 1
        padded = [
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, self._columns.values(), strict=True))
        ]
        self._say("| " + " | ".join(padded) + " |")

    def _say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)


def seconds(value: float | None) -> str:
    """Seconds in two or three digits, "-" for never."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
