"""A surface from a table of components: exactly from the entries of covariances, else from widths and an angle."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.checks import nearest
from ..._model.gaussian import FWHM_PER_WIDTH
from ..._model.surface import GaussianSurface, checked_surface
from .libraries import package_of
from .spellings import PAIRS, SPELLINGS

# The suffixes of tables that are read, with the format of those that astropy reads.
FORMATS = {".csv": "", ".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable", ".parquet": ""}


class Columns:
    """Numbers of a table by name: our names, what ``columns`` says that they are called, and other spellings."""

    def __init__(self, table: Any, names: list[str], columns: Mapping[str, str]) -> None:
        unknown = [f"{ours}: {theirs!r}" for ours, theirs in columns.items() if theirs not in names]
        if unknown:
            raise ValueError(f"`columns` must name columns of the table, got {', '.join(unknown)}; it has {names}")
        self.table, self.names, self.columns = table, names, dict(columns)
        self._lower = {name.lower(): name for name in names[::-1]}
        self._length: tuple[str, int] | None = None  # the first column that was read, and its rows

    def name(self, ours: str) -> str | None:
        if ours in self.columns:
            return self.columns[ours]
        spellings = SPELLINGS.get(ours, (ours,))
        return next((self._lower[one] for one in spellings if one in self._lower), None)

    def get(self, ours: str) -> np.ndarray | None:
        """The numbers of a column, angles in degrees where the column has a unit; None without it."""
        name = self.name(ours)
        return None if name is None else self.values(name, "deg" if ours in ("angle", "theta") else None)

    def need(self, ours: str) -> np.ndarray:
        found = self.get(ours)
        if found is None:
            raise ValueError(
                f"`table` must have a column {ours!r}{nearest(ours, self.names)}, got"
                f" {', '.join(self.names) or 'no column'}: name it by columns={{{ours!r}: ...}}"
            )
        return found

    def values(self, name: str, unit: Any = None) -> np.ndarray:
        """The numbers of a column, in a unit where one is given and the column has one."""
        column = self.table[name]
        values = np.asarray(_numbers(name, _in_unit(name, column, unit)))
        if values.ndim != 1:
            raise ValueError(f"`table` must have one number a row in its column {name!r}, got shape {values.shape}")
        first, length = self._length = self._length or (name, len(values))
        if len(values) != length:
            raise ValueError(
                f"`table` must have columns of one length, got {length} rows of {first!r}, {len(values)} of {name!r}"
            )
        if _is_masked(column) or not np.isfinite(values).all():
            raise ValueError(f"`table` must have finite numbers in its column {name!r}: leave other rows out")
        return values

    def lengths(self, ours: str, like: str) -> np.ndarray:
        """The numbers of a column in the unit of the centres' column ``like``; those without a unit are in it."""
        name = self.name(ours)
        if name is None:
            return self.need(ours)
        unit, own = (getattr(self.table[self.name(one)], "unit", None) for one in (like, ours))
        if unit is None and own is not None and str(own) not in ("", "pix", "pixel"):
            raise ValueError(
                f"`table` must have units that agree, got {str(own)!r} for {name!r} and none for {self.name(like)!r}"
            )
        return self.values(name, unit)

    def has_unit(self, ours: str) -> bool:
        return getattr(self.table[self.name(ours)], "unit", None) is not None


def _in_unit(name: str, column: Any, unit: Any) -> Any:
    """The numbers of a column in a unit, where the column and the caller have one."""
    known = getattr(column, "unit", None)
    try:
        if known is not None and hasattr(column, "to_value"):
            return column.to_value(known if unit is None else unit)
        if known is not None and unit is not None:
            return (np.asarray(column, float) * known).to_value(unit)
    except Exception:  # of astropy, which has classes of its own for units
        raise ValueError(f"`table` must have units that agree, got {known} for {name!r} beside {unit}") from None
    return column.to_numpy() if hasattr(column, "to_numpy") else column


def _numbers(name: str, column: Any) -> np.ndarray:
    array = np.asarray(column)
    try:
        if array.dtype.kind == "c":
            raise TypeError
        return array.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"`table` must have real numbers in its column {name!r}, got {column[:1]}") from None


def _is_masked(column: Any) -> bool:
    """Whether a number is missing in a column of NumPy or astropy."""
    mask = getattr(column, "mask", False)  # of pandas a method
    return not callable(mask) and bool(np.any(mask))


def surface_of(table: Any, columns: Mapping[str, str] | None = None, background: Any = None) -> GaussianSurface:
    """The surface of a table in memory or of a file of one; see `GaussianSurface.from_table`."""
    if isinstance(table, str | PathLike):
        table = _file(Path(table))
    names = _names(table)
    found = Columns(table, names, columns or {})
    axes = _axes_of_covariances(names)
    if axes:
        _check_all_axes(found, axes)
    centers, covariances = _of_covariances(found, axes) if axes else _of_widths(found)
    surface = GaussianSurface(_amplitudes(found, covariances), centers, covariances, background)
    return checked_surface("table", surface, len(centers), centers.shape[1], signed=True)


def _names(table: Any) -> list[str]:
    if isinstance(table, Mapping):
        return [str(name) for name in table]
    for attribute in ("colnames", "column_names", "columns"):  # of astropy, pyarrow, and pandas or polars
        if hasattr(table, attribute):
            return [str(name) for name in getattr(table, attribute)]
    raise TypeError(
        "`table` must be a dict of columns, a table of pandas, polars, astropy or pyarrow, or a path, got a"
        f" {type(table).__name__}"
    )


def _axes_of_covariances(names: list[str]) -> list[str]:
    """The axes of columns covariance_a_a, covariance_b_a, covariance_b_b, ... in their order."""
    rest = [name.removeprefix("covariance_") for name in names if name.startswith("covariance_")]
    return [name[: len(name) // 2] for name in rest if name == "_".join([name[: len(name) // 2]] * 2)]


def _check_all_axes(found: Columns, axes: list[str]) -> None:
    """Refuses covariances along fewer axes than there are centres."""
    centers = [axis for axis in ("z", "y", "x") if axis in found.names]
    missing = [axis for axis in centers if axis not in axes]
    if missing and set(axes) < set(centers):
        raise ValueError(
            f"`table` must have covariances along all axes of its centres, got none along {', '.join(missing)}:"
            f" add covariance_{missing[0]}_{missing[0]} and those with the others"
        )


def _of_covariances(found: Columns, axes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    centers = [found.need(axis if found.name(axis) else f"center_{axis}") for axis in axes]
    covariances = np.empty((len(centers[0]), len(axes), len(axes)))
    for i, a in enumerate(axes):
        for j, b in enumerate(axes[: i + 1]):
            covariances[:, i, j] = covariances[:, j, i] = found.need(f"covariance_{a}_{b}")
    return np.stack(centers, axis=1), covariances


def _of_widths(found: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Centres in the order of the axes of an array, y before x, and covariances from widths and an angle."""
    axes = [axis for axis in ("z", "y", "x") if found.name(axis)]
    axes = axes or [f"center_{i}" for i in range(3) if found.name(f"center_{i}")]
    if not axes:
        found.need("x")
    centers = np.stack([found.lengths(axis, axes[-1]) for axis in axes], axis=1)
    if found.name("cxx") and len(axes) == 2:
        xx, xy, yy = (found.need(name) for name in ("cxx", "cxy", "cyy"))
        return centers, np.stack([yy, xy, xy, xx], axis=1).reshape(-1, 2, 2)
    pair = next((pair for pair in PAIRS if found.name(pair[0]) and found.name(pair[1])), None)
    for name, unit in (("sigma", 1.0), ("fwhm", FWHM_PER_WIDTH)):
        if pair is None and found.name(name):
            return centers, (_widths(found, name, axes[-1]) / unit)[:, None, None] ** 2 * np.eye(len(axes))
    on_sky = [found.name("sky_major"), found.name("sky_minor")]
    if pair is None and all(on_sky):
        raise ValueError(
            f"`table` has widths on the sky, {on_sky[0]!r} and {on_sky[1]!r}, and centres in pixels: add columns"
            " fwhm_major and fwhm_minor, these over the size of a pixel, and angle, counter-clockwise from +x: the"
            " position angle + 90 where north is up and east to the left"
        )
    if pair is not None and len(axes) == 1:
        found.need("y")
    if len(axes) != 2:
        raise ValueError(f"`table` must have covariance columns, or a column sigma, in {len(axes)}-D")
    return centers, _ellipses(found, pair or PAIRS[0], axes[-1])


def _widths(found: Columns, name: str, like: str) -> np.ndarray:
    widths = found.lengths(name, like)
    if (widths <= 0).any():
        raise ValueError(f"`table` must have positive widths in its column {found.name(name)!r}, got {widths.min():g}")
    return widths


def _ellipses(found: Columns, pair: tuple[str, str, bool], like: str) -> np.ndarray:
    first, second = ((_widths(found, name, like) / (FWHM_PER_WIDTH if pair[2] else 1.0)) ** 2 for name in pair[:2])
    angle = _angle(found, np.zeros(len(first)))
    x, y, cross = (
        first * np.cos(angle) ** 2 + second * np.sin(angle) ** 2,
        first * np.sin(angle) ** 2 + second * np.cos(angle) ** 2,
        (first - second) * np.sin(angle) * np.cos(angle),
    )
    return np.stack([y, cross, cross, x], axis=1).reshape(-1, 2, 2)


def _angle(found: Columns, none: np.ndarray) -> np.ndarray:
    """In radians: ``angle`` is in degrees, ``theta`` in radians unless its column has a unit; 0 without either."""
    angle = found.get("angle")
    if angle is not None:
        return np.radians(angle)
    theta = found.get("theta")
    if theta is None:
        return none
    return np.radians(theta) if found.has_unit("theta") else theta


def _amplitudes(found: Columns, covariances: np.ndarray) -> np.ndarray:
    """Amplitudes, or fluxes over the integral of the profile."""
    amplitudes, fluxes = found.get("amplitude"), found.get("flux")
    if amplitudes is not None or fluxes is None:
        return found.need("amplitude")
    return np.asarray(fluxes / np.sqrt(np.linalg.det(2 * np.pi * covariances)))


def _file(path: Path) -> Any:
    """The table in a file, whatever the capitals of its suffix."""
    if not path.exists():
        raise FileNotFoundError(2, "there is no file", str(path))
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"`table` must be a path ending in {', '.join(FORMATS)}, got {str(path)!r}")
    try:
        if suffix == ".csv":
            return _csv(path)
        if suffix == ".parquet":
            package_of("arrow")
            return import_module("pyarrow.parquet").read_table(path)
        return package_of("astropy").QTable.read(path, format=FORMATS[suffix])
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"cannot read {str(path)!r} as a table: {' '.join(str(error).split())}") from None


def _csv(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"each row must have {len(header)} cells, as the header names")
    return {name.strip(): [row[i] for row in rows] for i, name in enumerate(header)}
