"""Files of heights for the command line: arrays, text tables and pictures, or a reason why one cannot be read.

What a file was taken for is told in ``Heights.how``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..._base.checks import nearest
from ..._data.examples import EXAMPLES, example_map
from .arrangement import CannotRead, Heights, Table, arranged, only_grid
from .arrays import array_in, arrays_in, heights_of_arrays
from .pictures import picture
from .text import read_table

# Suffixes of the files that each reader takes.
ARRAYS = (".npy", ".npz")
TABLES = (".csv", ".txt", ".dat", ".tsv", ".xyz")
PICTURES = (".png", ".tif", ".tiff")

__all__ = ["CannotRead", "Heights", "read_heights", "read_points"]


def read_heights(path: str | Path, key: str | None = None, layout: str | None = None) -> Heights:
    """Heights of a file or of an example map; ``layout`` "grid" or "points" says what they are, None leaves it to the
    file.
    """
    if str(path) in EXAMPLES and not Path(path).exists():
        return only_grid(Table(example_map(str(path)), how="example map, "), path, layout)
    path = _existing(Path(path))
    if key is not None and path.suffix.lower() != ".npz":
        raise CannotRead(f"`--key` names an array in an .npz, and {str(path)!r} is none")
    if path.suffix.lower() in PICTURES:
        return only_grid(picture(path), path, layout)
    if path.suffix.lower() in TABLES:
        return arranged(read_table(path), layout)
    return heights_of_arrays(arrays_in(path), key, layout, path)


def read_points(path: str | Path, n_dim: int) -> np.ndarray:
    """Points (N, d) of a text table or an .npy, whose columns must be as many as the dimensions."""
    path = _existing(Path(path), (*TABLES, ".npy"))
    points = read_table(path).numbers if path.suffix.lower() in TABLES else array_in(arrays_in(path), "", path)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] != n_dim or points.dtype.kind not in "fiub":
        found = f"{points.shape[1]}" if points.ndim == 2 else f"an array of shape {points.shape}"
        raise CannotRead(
            f"{str(path)!r} must have {n_dim} column{'s' * (n_dim > 1)} of numbers, one a dimension of the surface,"
            f" got {found}"
        )
    return points.astype(float)


def _existing(path: Path, suffixes: Sequence[str] = (*ARRAYS, *TABLES, *PICTURES)) -> Path:
    if not path.exists():
        hint = nearest(str(path), EXAMPLES) or f"; example maps are {', '.join(EXAMPLES)}"
        raise CannotRead(f"there is no file {str(path)!r}{hint}")
    if not path.is_file():
        raise CannotRead(f"{str(path)!r} is {'a folder' if path.is_dir() else 'a device'}, not a file")
    if path.suffix.lower() not in suffixes:
        raise CannotRead(f"cannot read {str(path)!r}: the name must end in {', '.join(suffixes)}")
    return path
