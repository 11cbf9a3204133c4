"""Maps to files, each by the format that its suffix names."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from pathlib import Path

from ..._data.map import Map

# The file here that writes each suffix.
WRITERS = {
    ".tif": "geotiff",
    ".tiff": "geotiff",
    ".npy": "arrays",
    ".npz": "arrays",
    ".csv": "text",
}


def write(found: Map, path: str | PathLike[str]) -> None:
    """Write a map; ValueError for a suffix that is not known."""
    path = Path(path)
    name = WRITERS.get(path.suffix.lower())
    if name is None:
        raise ValueError(f"`path` must end in {', '.join(WRITERS)}, got {str(path)!r}")
    import_module(f".{name}", __package__).write(found, path)
