r"""The table of a surface, and of a fit with the standard errors of all its numbers.

The entries of the covariances give the surface back exactly. Widths are standard deviations ("sigma") and full widths
at half maximum along the principal axes, the larger first. In 2-D ``angle`` is that of the major axis in degrees, from
the last axis (+x, columns) counter-clockwise towards the first (+y, rows).

Errors are propagated from the covariance of the fit (delta method): an error is infinite where the data do not
determine a number, and 0 where it is fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import one_of
from ..._data.labels import Labels
from ..._model.background import background_model
from ..._model.surface import GaussianSurface
from ..._results.flags import ComponentFlag, readable
from .own_sizes import has_own_sizes, own_size_columns, own_sky_columns
from .record import ComponentTable
from .sky import sky_columns, sky_of

if TYPE_CHECKING:
    from ..._data.data import SurfaceData
    from ..._results.result import FitResult

# What the principal axes are called in each number of dimensions, the largest first.
PRINCIPAL = {1: ("",), 2: ("_major", "_minor"), 3: ("_major", "_middle", "_minor")}
# Names that no column of centres may have, since other columns have them.
TAKEN = ("component", "amplitude", "angle", "position_angle", "volume", "volume_over_data", "flux", "background")

# A column: its name, its values, their standard errors or None, and its unit.
Entry = tuple[str, np.ndarray, "np.ndarray | None", str]


def fit_table(result: FitResult, errors: str | None, sky: bool) -> ComponentTable:
    """The table of a fit; ``errors`` is the method of `FitResult.uncertainty`, or None for a table without."""
    found = None if errors is None else result._errors_by("errors", errors)
    labels = result.data.labels
    entries = component_entries(result.surface, labels, found)
    place = 2 + result.surface.n_dim
    world = sky_of(labels, result.surface.n_dim) if sky and labels is not None else None
    meta = _meta(result, labels) | ({} if found is None else {"errors": found.method})
    deconvolved = found is not None and has_own_sizes(result)
    if deconvolved:
        own = own_size_columns(result, _endings(result.surface.n_dim), _length(labels, result.surface.n_dim))
        volume = next(i for i, entry in enumerate(entries) if entry[0] == "volume")
        entries[volume:volume] = own
    if world is not None and labels is not None:
        on_sky = sky_columns(world, result.surface, labels, found)
        entries[place:place] = on_sky + (own_sky_columns(result, world) if deconvolved else [])
        meta["frame"] = world.frame
    shares, volumes = result.volume_shares, result.surface.volumes
    volume = next(i for i, entry in enumerate(entries) if entry[0] == "volume")
    # The share counts as known: the data do not bear on what lies off them.
    over = None if found is None else np.where(np.isfinite(found.volumes), shares * _finite(found.volumes), np.inf)
    entries.insert(volume + 1, ("volume_over_data", shares * volumes, over, entries[volume][3]))
    flags = ("flags", np.array([_words(flag) for flag in result.flags], dtype=str), None, "")
    entries[volume + 2 : volume + 2] = [_background(result.surface, labels), flags]
    return table_from(entries, meta)


def surface_table(surface: GaussianSurface) -> ComponentTable:
    """The table of a surface, without errors, flags or background."""
    return table_from(component_entries(surface, None, None), {"axes": list(axis_columns(None, surface.n_dim))})


def table(result: FitResult, kind: str | None, errors: str | None, sky: bool) -> Any:
    """The table of a fit as the library's own, or of the ``kind`` of another one."""
    from .libraries import KINDS

    if kind is not None:
        one_of("kind", kind, KINDS)
    found = fit_table(result, errors, sky)
    return found if kind is None else found.to(kind)


def axis_columns(labels: Labels | None, n_dim: int) -> tuple[str, ...]:
    """The column of the centres along each axis: the names of the axes, or center_0, ..."""
    names = () if labels is None else labels.dims
    clean = len(set(names)) == n_dim and not any(name in TAKEN or not name or "/" in name for name in names)
    return names if clean else tuple(f"center_{i}" for i in range(n_dim))


def covariance_columns(axes: tuple[str, ...]) -> dict[tuple[int, int], str]:
    """The column of each entry of the lower triangles of the covariances: covariance_y_y, covariance_x_y, ..."""
    names = [axis.removeprefix("center_") for axis in axes]
    return {(i, j): f"covariance_{names[i]}_{names[j]}" for i in range(len(axes)) for j in range(i + 1)}


def component_entries(surface: GaussianSurface, labels: Labels | None, errors: Any) -> list[Entry]:
    """The columns of a surface; ``errors`` has those of its numbers by their names, as far as they are known."""
    d, axes = surface.n_dim, axis_columns(labels, surface.n_dim)
    units, length = _units(labels, d), _length(labels, d)
    height = "" if labels is None else labels.unit
    centers, covariances = np.asarray(surface.centers, float), np.asarray(surface.covariances, float)

    def of(name: str) -> Any:
        found = getattr(errors, name, None)
        return None if found is None else np.asarray(found)

    def part(name: str, *index: Any) -> Any:
        found = of(name)
        return None if found is None else found[index]

    numbers = np.arange(surface.n_components)
    entries: list[Entry] = [("component", numbers, None, "")]
    entries.append(("amplitude", np.asarray(surface.amplitudes, float), of("amplitudes"), height))
    for i, axis in enumerate(axes):
        unit = units[i] if labels is None else labels.units[i]
        entries.append((axis, centers[:, i], part("centers", slice(None), i), unit))
    for name, values in (("sigma", "principal_widths"), ("fwhm", "fwhm")):
        for i, ending in enumerate(_endings(d)):
            widths = np.asarray(getattr(surface, values))[:, i]
            entries.append((f"{name}{ending}", widths, part(values, slice(None), i), length))
    if d == 2:
        error = of("orientation")
        turned = None if error is None else np.degrees(error)
        entries.append(("angle", np.degrees(surface.orientation), turned, "deg"))
    entries.append(("volume", np.asarray(surface.volumes, float), of("volumes"), product(*units, height)))
    for (i, j), name in covariance_columns(axes).items():
        unit = product(units[i], units[j])
        entries.append((name, covariances[:, i, j], part("covariances", slice(None), i, j), unit))
    return entries


def _endings(n_dim: int) -> tuple[str, ...]:
    return PRINCIPAL.get(n_dim, tuple(f"_{i}" for i in range(n_dim)))


def _units(labels: Labels | None, n_dim: int) -> tuple[str, ...]:
    """The units of the axes."""
    return ("",) * n_dim if labels is None else tuple(unit.split(" since ")[0] for unit in labels.units)


def _length(labels: Labels | None, n_dim: int) -> str:
    """The unit of all axes, "" where they have several."""
    units = _units(labels, n_dim)
    return units[0] if len(set(units)) == 1 else ""


def product(*units: str) -> str:
    """The product of units as text; "" where one is not known."""
    if not all(units):
        return ""
    powers = {unit: units.count(unit) for unit in units}
    return " ".join(unit if n == 1 else f"{unit if unit.isalpha() else f'({unit})'}{n}" for unit, n in powers.items())


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def _words(flags: ComponentFlag) -> str:
    """The names of flags; "none" for none, since files take an empty cell for a missing one."""
    return "; ".join(readable(flag) for flag in flags) or "none"


def _background(surface: GaussianSurface, labels: Labels | None) -> Entry:
    """The height of the background at the centres."""
    heights = np.asarray(background_model(surface.background)(np.asarray(surface.centers, float)), float)
    return "background", np.broadcast_to(heights, (surface.n_components,)), None, "" if labels is None else labels.unit


def _meta(result: FitResult, labels: Labels | None) -> dict[str, Any]:
    """What belongs to a whole table: names of the axes, first coordinate and step of each even one, the heights."""
    meta: dict[str, Any] = {"axes": list(axis_columns(labels, result.surface.n_dim)), **pixels_of(result.data)}
    if labels is not None:
        known = {"heights": labels.name, "notes": "; ".join(labels.notes), "beam": list(labels.beam)}
        meta |= {name: value for name, value in known.items() if value}
    return meta


def pixels_of(data: SurfaceData) -> dict[str, Any]:
    """First coordinate and step of each axis of a grid, as ``pixels`` of a table."""
    if data.axes is None:
        return {}
    axes = (axis[::-1] if i in data.falling else axis for i, axis in enumerate(data.axes))
    return {"pixels": [[float(axis[0]), float(axis[-1] - axis[0]) / max(len(axis) - 1, 1) or 1.0] for axis in axes]}


def table_from(entries: list[Entry], meta: dict[str, Any]) -> ComponentTable:
    """The table of columns, each followed by that of its errors where they are known."""
    columns, units = {}, {}
    for name, values, errors, unit in entries:
        columns[name], units[name] = values, unit
        if errors is not None:
            columns[f"{name}_error"] = np.where(np.isnan(errors), np.inf, errors)
            units[f"{name}_error"] = unit.split(" since ")[0]
    return ComponentTable(columns, units, meta)
