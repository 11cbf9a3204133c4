"""ESRI's ASCII grids (.asc): a header of cell size and corner, then rows from north to south; the reference system
stands in a .prj beside.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Layer, Request, no_key, of_dims, steps

# Names of a header, in small letters.
NAMES = (
    *("ncols", "nrows", "xllcorner", "yllcorner", "xllcenter", "yllcenter", "cellsize", "dx", "dy", "nodata_value"),
)
# Value of places without data in what is written, as ESRI's own programs use it.
NO_DATA = -9999


def read(path: Path, request: Request) -> Map:
    """Heights (rows, columns) of a grid (ESRI's ASCII raster format), NaN at the value that its header names.

    Coordinates are those of the cells' centres, y falling, in the units of the .prj beside, if there is one. Raises
    CannotRead for a ``request.key``, a header without its names, and another count of numbers than it says.
    """
    if request.key is not None:
        raise no_key(path)
    header, n_lines = _header(path)
    try:
        rows, columns = int(header["nrows"]), int(header["ncols"])
        dx, dy = (header.get(name, header.get("cellsize", 0.0)) for name in ("dx", "dy"))
        left = header["xllcorner"] if "xllcorner" in header else header["xllcenter"] - dx / 2
        low = header["yllcorner"] if "yllcorner" in header else header["yllcenter"] - dy / 2
    except KeyError as error:
        raise CannotRead(f"{str(path)!r} has no {error.args[0]} in its header, as an ESRI grid must") from None
    if not (dx > 0 and dy > 0):
        raise CannotRead(f"{str(path)!r} must have a positive cellsize in its header, got {dx:g} and {dy:g}")

    def values(window: tuple[slice, ...]) -> np.ndarray:
        numbers = np.array(" ".join(path.read_text().splitlines()[n_lines:]).split(), dtype=float)
        if numbers.size != rows * columns:
            raise CannotRead(f"{str(path)!r} must hold {rows} x {columns} numbers, got {numbers.size}")
        missing = header.get("nodata_value", np.nan)
        return np.where(numbers == missing, np.nan, numbers).reshape(rows, columns)[window]

    reference = path.with_suffix(".prj")
    labels = Labels(
        ("y", "x"),
        ("", ""),
        crs=reference.read_text().strip() if reference.is_file() else "",
        transform=(dx, 0.0, left, 0.0, -dy, low + rows * dy),
    )
    coords = (low + dy * (np.arange(rows)[::-1] + 0.5), left + dx * (np.arange(columns) + 0.5))
    how = f"ESRI grid, 2-D grid of {rows} x {columns} heights"
    return Layer((rows, columns), np.dtype(float), values, coords, labels, how).map(path, request.window)


def _header(path: Path) -> tuple[dict[str, float], int]:
    """The numbers of the header by name, and how many lines it takes."""
    header: dict[str, float] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split(maxsplit=1)
            if len(words) < 2 or words[0].lower() not in NAMES:
                break
            header[words[0].lower()] = float(words[1])
    return header, len(header)


def write(found: Map, path: Path) -> None:
    """Heights with digits enough to give back the same numbers; the reference system as a .prj beside."""
    (y, dy), (x, dx) = steps(of_dims(found, 2, path), path)
    heights = found.heights if dy < 0 else found.heights[::-1]
    heights = heights if dx > 0 else heights[:, ::-1]
    dx, dy = abs(dx), abs(dy)
    transform = () if found.labels is None else found.labels.transform
    if transform:
        dx, dy = abs(transform[0]), abs(transform[4])
    left, low = min(x[0], x[-1]) - dx / 2, min(y[0], y[-1]) - dy / 2
    size = f"cellsize {dx!r}" if dx == dy else f"dx {dx!r}\ndy {dy!r}"
    header = f"ncols {len(x)}\nnrows {len(y)}\nxllcorner {float(left)!r}\nyllcorner {float(low)!r}\n{size}"
    np.savetxt(
        path,
        np.where(np.isnan(heights), NO_DATA, heights),
        fmt="%.17g",
        header=f"{header}\nNODATA_value {NO_DATA}",
        comments="",
    )
    if found.labels is not None and found.labels.crs:
        path.with_suffix(".prj").write_text(found.labels.crs + "\n", encoding="utf-8")
