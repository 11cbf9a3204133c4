"""Maps of scanning probe microscopes: Gwyddion's own files (.gwy, by gwyfile), and the surface data format (.sdf,
ISO 25178-71), as text or binary; lengths in metres.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Layer, Request, chosen, no_key, package

# Data types of a binary .sdf, by their numbers.
SDF_TYPES = {0: "<u1", 1: "<u2", 2: "<u4", 3: "<f4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f8"}
# The header of a binary .sdf: version, maker, two dates, points, profiles, four scales, three types.
SDF_HEADER = struct.Struct("<8s10s12s12sHHddddBBB")


def read(path: Path, request: Request) -> Map:
    """The map of an .sdf (ISO 25178-71), or a channel of a .gwy, by its title or number ``request.key``.

    Heights (rows, columns), NaN where an .sdf says BAD, with coordinates of the pixels' centres from the upper left
    corner down; lengths in metres, of a .gwy in its own units. Raises CannotRead for several channels without a key, a
    header that its numbers do not fit, or a compressed .sdf, ImportError without gwyfile.
    """
    if path.suffix.lower() == ".gwy":
        return _gwy(path, request.key).map(path, request.window)
    if request.key is not None:
        raise no_key(path)
    with path.open("rb") as file:
        binary = file.read(1) == b"b"
    return (_binary_sdf(path) if binary else _text_sdf(path)).map(path, request.window)


def _gwy(path: Path, key: str | None) -> Layer:
    gwyfile = package("gwyfile", "volumes", path)
    container = gwyfile.load(str(path))
    fields = {
        int(name.split("/")[1]): field
        for name, field in container.items()
        if name.startswith("/") and name.endswith("/data") and name.count("/") == 2
    }
    titles = [str(container.get(f"/{number}/data/title", number)) for number in fields]
    number = chosen(titles, key, path, "channel")
    field = list(fields.values())[number]
    heights = np.asarray(field["data"], float).reshape(field["yres"], field["xres"])
    across, along = _gwy_unit(field, "si_unit_z"), _gwy_unit(field, "si_unit_xy")
    sizes = (field["yreal"], field["xreal"])
    first = (field.get("yoff", 0.0), field.get("xoff", 0.0))
    return _map(heights, sizes, first, Labels(("y", "x"), (along, along), name=titles[number], unit=across), "channel ")


def _gwy_unit(field: Any, name: str) -> str:
    unit = field.get(name)
    return "" if unit is None else str(unit.get("unitstr", ""))


def _map(heights: np.ndarray, sizes: Any, first: Any, labels: Labels, what: str = "") -> Layer:
    """A grid of pixels that fill a rectangle of some size, from its upper left corner down."""
    coords = tuple(
        start + size / n * (np.arange(n) + 0.5) for start, size, n in zip(first, sizes, heights.shape, strict=True)
    )
    named = f"{what}{labels.name!r}, " if labels.name else ""
    how = f"{named}2-D grid of {heights.shape[0]} x {heights.shape[1]} heights"
    return Layer(heights.shape, heights.dtype, lambda window: heights[window], coords, labels, how)


def _sdf(heights: np.ndarray, x_scale: float, y_scale: float) -> Layer:
    rows, columns = heights.shape
    return _map(heights, (rows * y_scale, columns * x_scale), (0.0, 0.0), Labels(("y", "x"), ("m", "m"), unit="m"))


def _text_sdf(path: Path) -> Layer:
    parts = path.read_text(encoding="utf-8", errors="replace").split("*")
    lines = [line.partition("=") for line in parts[0].splitlines()]
    header = {name.strip().lower(): value.split(";")[0].strip() for name, sign, value in lines if sign}
    if len(parts) < 2 or "numpoints" not in header:
        raise CannotRead(f"{str(path)!r} is no surface data file: its header must have NumPoints and end in *")
    shape = (int(header["numprofiles"]), int(header["numpoints"]))
    words = parts[1].split()
    if len(words) != shape[0] * shape[1]:
        raise CannotRead(f"{str(path)!r} must hold {shape[0]} x {shape[1]} numbers, got {len(words)}")
    numbers = np.array([np.nan if word.upper() == "BAD" else float(word) for word in words])
    heights = numbers.reshape(shape) * float(header["zscale"])
    return _sdf(heights, float(header["xscale"]), float(header["yscale"]))


def _binary_sdf(path: Path) -> Layer:
    content = path.read_bytes()
    if len(content) < SDF_HEADER.size:
        raise CannotRead(f"{str(path)!r} ends within its header")
    _, _, _, _, columns, rows, x, y, z, _, compression, kind, _ = SDF_HEADER.unpack_from(content)
    if compression or kind not in SDF_TYPES:
        raise CannotRead(f"{str(path)!r} is compressed or of an unknown type {kind}: save it as text in Gwyddion")
    dtype = np.dtype(SDF_TYPES[kind])
    if len(content) < SDF_HEADER.size + rows * columns * dtype.itemsize:
        raise CannotRead(f"{str(path)!r} must hold {rows} x {columns} numbers, and ends before")
    numbers = np.frombuffer(content, dtype, rows * columns, SDF_HEADER.size).reshape(rows, columns)
    return _sdf(numbers * z, x, y)
