"""Grids of PLUMED: a free energy on a grid of collective variables, the first of which runs fastest."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Request, chosen, cut

# How lines of a header begin that name the columns, and those that set something.
FIELDS, SET = "#! FIELDS", "#! SET"
# What a header sets of each variable of a grid.
OF_VARIABLES = ("nbins", "min", "max", "periodic")


def is_grid(path: Path, as_table: bool = False) -> bool:
    """Whether a text file is a grid of PLUMED.

    Its trajectories (COLVAR) are tables. CannotRead for hills, and for a header from which a grid cannot be told,
    unless it is read by its columns, ``as_table``.
    """
    header = _header(path)
    if not header or as_table:
        return False
    fields, sizes = header[0].split()[2:], _sizes(path, header)
    if "height" in fields and any(name.startswith("sigma_") for name in fields):
        raise CannotRead(f"{str(path)!r} holds hills of PLUMED, no heights: use GaussianSurface.from_hills")
    if sizes or fields[:1] == ["time"]:
        return bool(sizes)
    raise CannotRead(
        f"{str(path)!r} begins as a grid of PLUMED and has no line {SET} nbins_{(fields or ['x'])[0]}: add one for each"
        " variable, or name `columns` to read points"
    )


def _header(path: Path) -> list[str]:
    """The comments at the beginning; none of what is not PLUMED's."""
    with path.open(encoding="utf-8", errors="replace") as file:
        if file.read(len(FIELDS)) != FIELDS:
            return []
        return [FIELDS + file.readline(), *takewhile(lambda line: line.startswith("#"), file)]


def _sizes(path: Path, header: list[str]) -> dict[str, int]:
    """The numbers of bins by variable, where the header sets any."""
    set_here = dict(setting(line, n, path) for n, line in enumerate(header, 1) if line.startswith(SET))
    sizes = {name.removeprefix("nbins_"): value for name, value in set_here.items() if name.startswith("nbins_")}
    if not sizes:
        return {}
    pairs = [name.partition("_")[::2] for name in set_here]
    missing = [name for kind, name in pairs if kind in OF_VARIABLES and name not in sizes]
    wrong = [f"nbins_{name} {value}" for name, value in sizes.items() if not value.isdecimal() or int(value) < 1]
    if missing or wrong:
        what = f"no line {SET} nbins_{missing[0]}" if missing else f"{wrong[0]}, which is no number of bins"
        raise CannotRead(f"{str(path)!r} has {what} in its header, as a grid of PLUMED must")
    return {name: int(value) for name, value in sizes.items()}


def setting(line: str, number: int, path: Path) -> tuple[str, str]:
    """The name and the value of a line that sets something."""
    words = line.split()
    if len(words) != 4:
        raise CannotRead(f"{str(path)!r} must have {SET} NAME VALUE in line {number}, got {line.strip()[:60]!r}")
    return words[2], words[3]


def read(path: Path, request: Request) -> Map:
    """The values of a grid as PLUMED writes it: of its first field after the variables, or of that of ``request.key``.

    Heights have the variables in reverse as their axes, so that the last one changes slowest, with coordinates in the
    units of the variables and of the field. Raises CannotRead where header and rows do not agree.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    fields = lines[0].split()[2:]
    sizes = _sizes(path, _header(path))
    variables = [name for name in fields if name in sizes]
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
    for name, n in zip(variables, shape[::-1], strict=True):
        if n - sizes[name] not in (0, 1):  # both ends of a variable that is not periodic
            raise CannotRead(f"{str(path)!r} must have {sizes[name]} values of {name}, as nbins_{name} says, got {n}")
    order = np.lexsort(numbers[:, : len(variables)].T)  # the last variable slowest
    heights = numbers[order, column].reshape(shape)
    labels = Labels(tuple(variables[::-1]), ("",) * len(shape), name=fields[column])
    how = f"PLUMED grid, {len(shape)}-D grid of {' x '.join(map(str, shape))} values of {fields[column]}"
    return cut(Map(heights, coords=tuple(axes[::-1]), labels=labels, how=how), request.window)
