"""A table of components as a file; every number comes back from each of these to the last bit, but from .reg."""

from __future__ import annotations

import csv
import io
import json
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

from .libraries import package_of
from .regions import regions

# The suffixes of tables.
SUFFIXES = (".csv", ".ecsv", ".fits", ".vot", ".parquet", ".reg")
# Those of them that are text.
TEXTS = (".csv", ".ecsv", ".reg")


def save(table: Any, path: str | PathLike[str], suffix: str = "") -> None:
    """Write a `ComponentTable` in the format that ``suffix`` names: by default that of the path."""
    path = Path(path)
    suffix = suffix or path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"`path` must end in {', '.join(SUFFIXES)}, got {str(path)!r}")
    if suffix in TEXTS:
        path.write_text(text(table, suffix), encoding="utf-8")
    elif suffix == ".parquet":
        package_of("arrow")
        from pyarrow import parquet

        parquet.write_table(table.to("arrow"), path)
    else:
        _binary(table, path, "fits" if suffix == ".fits" else "votable")


def text(table: Any, suffix: str) -> str:
    """A table in one of the formats that are text."""
    if suffix == ".reg":
        return regions(table)
    if suffix == ".csv":
        file = io.StringIO()
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(table)
        rows.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
        return file.getvalue()
    stream = io.StringIO()
    table.to("astropy").write(stream, format="ascii.ecsv")
    return stream.getvalue()


def _binary(table: Any, path: Path, name: str) -> None:
    """By astropy; FITS has its meta as a line of JSON, since lists do not go into a header."""
    made = table.to("astropy")
    if name == "fits":
        made.meta = {"comments": [json.dumps(table.meta)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that the standard does not know are written all the same
        made.write(path, format=name, overwrite=True, **({"tabledata_format": "binary"} if name == "votable" else {}))
