"""Grids of PLUMED: a free energy on a grid of collective variables, the first of which runs fastest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Request, chosen, cut

# How such a file begins, and the line that names the sizes of the grid.
BEGINNING, SIZES = "#! FIELDS", "#! SET nbins_"
# Characters at the beginning of a file in which the sizes stand.
PLUMED_HEAD_CHARACTERS = 4096


def is_grid(path: Path) -> bool:
    """Whether a text file is a grid of PLUMED."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.read(PLUMED_HEAD_CHARACTERS)
    return head.startswith(BEGINNING) and SIZES in head


def read(path: Path, request: Request) -> Map:
    """The values of the first field after the variables, or of the one that ``key`` names."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    fields = lines[0].split()[2:]
    variables = [line.split()[2].removeprefix("nbins_") for line in lines if line.startswith(SIZES)]
    variables = [name for name in fields if name in variables]
    names = fields[len(variables) :]
    if not variables or fields[: len(variables)] != variables or not names:
        raise CannotRead(f"{str(path)!r} must name its variables and then its values in {lines[0]!r}")
    column = len(variables) + chosen(names, names[0] if request.key is None else request.key, path, "field")
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if any(len(row) != len(fields) for row in rows):
        raise CannotRead(f"{str(path)!r} must have {len(fields)} columns in each row, as its first line names")
    numbers = np.array(rows, dtype=float).reshape(-1, len(fields))
    axes = [np.unique(numbers[:, i]) for i in range(len(variables))]
    shape = tuple(len(axis) for axis in axes[::-1])
    if int(np.prod(shape)) != len(numbers):
        raise CannotRead(f"{str(path)!r} must have a value at each of {shape} grid points, got {len(numbers)}")
    order = np.lexsort(numbers[:, : len(variables)].T)  # the last variable slowest
    heights = numbers[order, column].reshape(shape)
    labels = Labels(tuple(variables[::-1]), ("",) * len(shape), name=fields[column])
    how = f"PLUMED grid, {len(shape)}-D grid of {' x '.join(map(str, shape))} values of {fields[column]}"
    return cut(Map(heights, coords=tuple(axes[::-1]), labels=labels, how=how), request.window)
