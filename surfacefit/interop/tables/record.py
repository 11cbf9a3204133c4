"""A table of components: a dict of columns that knows their units."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from ..._base.layout import number, with_error

# Columns that a printed table leaves out: what a reader of numbers does not quote, and standard errors, which stand
# beside their numbers.
NOT_PRINTED = ("sigma", "covariance")


class ComponentTable(dict[str, np.ndarray]):
    """Columns (K,) by name, one row a component; a dict, so that ``pandas.DataFrame(table)`` takes it as it is.

    units : the unit of each column as text; "" where it has none or none is known.
    meta : the names of the axes, the method of the errors, the frame of the sky and the like.

    >>> import numpy as np, surfacefit as sf
    >>> table = sf.GaussianSurface([2.0], [[3.0, 4.0]], [np.diag([1.0, 4.0])]).table()
    >>> float(table["sigma_major"][0]), float(table["angle"][0]), table.units["angle"]
    (2.0, 0.0, 'deg')
    """

    def __init__(self, columns: dict[str, np.ndarray], units: dict[str, str], meta: dict[str, Any]) -> None:
        super().__init__(columns)
        self.units = {name: units.get(name, "") for name in columns}
        self.meta = meta

    def to(self, kind: str) -> Any:
        """The table of another library: "pandas", "polars", "astropy" or "arrow".

        A QTable of astropy has units and meta, a frame of pandas units in its ``attrs``, a table of pyarrow units in
        the metadata of its fields; polars has no place for them.
        """
        from .libraries import table_of

        return table_of(self, kind)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the table to a .csv, .ecsv, .fits, .vot (VOTable), .parquet or, as ellipses at half maximum, .reg
        (DS9).
        """
        from .saving import save

        save(self, path)

    def __str__(self) -> str:
        """Numbers with their errors, a line a component, for people to read."""
        names = [name for name in self if not name.endswith("_error") and not name.startswith(NOT_PRINTED)]
        heads = [f"{name}/{unit}" if (unit := self.units[name]) else name for name in names]
        rows = [heads, *zip(*(self._cells(name) for name in names), strict=True)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _cells(self, name: str) -> list[str]:
        values, errors = self[name], self.get(f"{name}_error")
        if values.dtype.kind not in "f":
            return [str(value) for value in values]
        if errors is None:
            return [number(value) for value in values]
        known = errors[np.isfinite(errors) & (errors > 0)]
        digits = float(np.median(known)) if len(known) else 0.0  # of numbers whose own error is not known
        return [with_error(value, one, digits) for value, one in zip(values, errors, strict=True)]
