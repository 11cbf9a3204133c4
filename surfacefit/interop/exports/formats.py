"""Which file here writes a surface, by the suffix of a path or the name of a language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from ..._base.checks import one_of
from ..._data.labels import axis_names
from ..._model.surface import GaussianSurface, checked_surface

# The file here that writes each language.
LANGUAGES = {"numpy": "numpy_source", "c": "c_source", "latex": "latex_source"}
# The language of each suffix of sources.
SOURCES = {".py": "numpy", ".c": "c", ".tex": "latex"}
# The file here of each other suffix.
OTHERS = {".pdb": "pdb", ".cmm": "chimerax", ".hills": "hills"}
# All endings by which a path is known; hills have the name HILLS, too.
ENDINGS = (*SOURCES, *OTHERS, "HILLS")


def ending_of(path: Path) -> str:
    """The ending by which a path is written; ValueError for one that is not known."""
    ending = ".hills" if path.name.upper() == "HILLS" else path.suffix.lower()
    if ending not in SOURCES and ending not in OTHERS:
        raise ValueError(f"`path` must end in {', '.join(ENDINGS)}, got {str(path)!r}")
    return ending


def source(surface: GaussianSurface, language: str, names: Sequence[str] | None = None) -> str:
    """The surface as a function in a language."""
    name = LANGUAGES[one_of("language", language, LANGUAGES)]
    return str(import_module(f".{name}", __package__).source(*_checked(surface, names)))


def export(
    surface: GaussianSurface,
    path: str | PathLike[str],
    names: Sequence[str] | None = None,
    free_energy: bool = False,
    periodic: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Write the surface in the format that the path names; see `GaussianSurface.export`."""
    path = Path(path)
    ending = ending_of(path)
    surface, names = _checked(surface, names, ending == ".hills")
    if ending != ".hills" and (free_energy or periodic):
        raise ValueError(f"`free_energy` and `periodic` are of HILLS, got {str(path)!r}: leave them out")
    strange = [name for name in periodic or () if name not in names]
    if strange:
        raise ValueError(f"`periodic` must name axes among {', '.join(names)}, got {', '.join(strange)}")
    for name, period in zip(names, surface.periods or (None,) * surface.n_dim, strict=True):
        ends = (periodic or {}).get(name)
        if period is not None and ends is not None and abs(ends[1] - ends[0] - period) > 1e-6 * period:
            raise ValueError(f"`periodic` must be the surface's period of {name}, {period:g}, got the ends {ends}")
    if ending in SOURCES:
        text = source(surface, SOURCES[ending], names)
    else:
        options: dict[str, Any] = {"free_energy": free_energy, "periodic": periodic} if ending == ".hills" else {}
        text = import_module(f".{OTHERS[ending]}", __package__).text(surface, names, **options)
    path.write_text(text, encoding="utf-8")


def _checked(
    surface: GaussianSurface, names: Sequence[str] | None, hills: bool = False
) -> tuple[GaussianSurface, tuple[str, ...]]:
    """The surface with arrays of the right shapes, and a name for each axis."""
    found = axis_names(surface.n_dim) if names is None else tuple(names)
    if len(set(found)) != surface.n_dim or not all(name and not any(c.isspace() for c in name) for name in found):
        raise ValueError(f"`names` must be {surface.n_dim} different words, one an axis, got {list(found)}")
    if surface.periods is not None and not hills:
        raise ValueError(
            "a surface with `periods` can be exported as HILLS alone, since other programs do not know images, got"
            f" periods={surface.periods}"
        )
    return checked_surface("surface", surface, surface.n_components, surface.n_dim, signed=True), found
