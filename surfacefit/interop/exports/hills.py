r"""HILLS files of PLUMED's metadynamics (Tribello and others, Comput. Phys. Commun. 185, 604, 2014), out and in.

A row is a hill: its centre along each collective variable, widths, height. Where all covariances are diagonal the
widths are ``sigma_phi``; otherwise ``multivariate`` is true and ``sigma_phi_phi``, ``sigma_psi_phi``, ... are the
entries of the lower Cholesky factor of the covariance. Heights are of the bias V that a simulation adds up; the free
energy is F = -V. Those of well-tempered runs stand in HILLS as they add up to -F, so that ``biasf`` needs no care.

PLUMED sums hills over the nearest image along periodic variables, cuts them off at half the squared distance of 6.25
widths squared, and newer versions stretch them so that they end there at zero: its grids differ from the plain sum
by 0.2 % of a hill.

Collective variables stand in the order of the columns, which run as the axes (x, y, ...), so that a surface has them in
reverse, as the grids of PLUMED that `read` opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..._model.surface import GaussianSurface
from ..._periodic.nearest import wrapped
from ..files.plumed import FIELDS, SET, setting
from .periodic_images import with_images

# What PLUMED calls kernels that are Gaussians.
GAUSSIAN_KERNELS = ("gaussian", "stretched-gaussian")
# The bias factor of a run that is not well-tempered.
NOT_TEMPERED = -1


def text(
    surface: GaussianSurface,
    names: Sequence[str],
    free_energy: bool = False,
    periodic: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """The text of a file; the background is left out, since hills have none."""
    variables = list(names)[::-1]
    periods = _named_periods(surface, names, periodic)
    low = np.array([periods.get(name, (0.0, 0.0))[0] for name in names])
    centers = wrapped(np.asarray(surface.centers, float), low, surface.periods)[:, ::-1]
    covariances = np.asarray(surface.covariances, float)[:, ::-1, ::-1]
    heights = np.asarray(surface.amplitudes, float) * (-1 if free_energy else 1)
    band = [(i + j, j) for i in range(len(variables)) for j in range(len(variables) - i)]
    diagonal = not (covariances * (1 - np.eye(len(variables)))).any()
    entries = band[: len(variables)] if diagonal else band
    columns = [f"sigma_{variables[i]}" if diagonal else f"sigma_{variables[i]}_{variables[j]}" for i, j in entries]
    factors = np.linalg.cholesky(covariances)
    lines = [
        " ".join([FIELDS, "time", *variables, *columns, "height", "biasf"]),
        f"{SET} multivariate {'false' if diagonal else 'true'}",
        f"{SET} kerneltype gaussian",
        *(f"{SET} {end}_{name} {value!r}" for name, pair in periods.items() for end, value in _ends(pair)),
    ]
    for k, center in enumerate(centers):
        numbers = [*center.tolist(), *(float(factors[k, i, j]) for i, j in entries), float(heights[k])]
        lines.append(" ".join([str(k), *map(repr, numbers), str(NOT_TEMPERED)]))
    return "\n".join([*lines, ""])


def _named_periods(
    surface: GaussianSurface, names: Sequence[str], periodic: Mapping[str, tuple[float, float]] | None
) -> dict[str, tuple[float, float]]:
    """The ends of the period of each variable that has one: as given, and else about zero for the surface's periods."""
    own = zip(names, surface.periods or (None,) * surface.n_dim, strict=True)
    return {**{name: (-period / 2, period / 2) for name, period in own if period is not None}, **(periodic or {})}


def _ends(pair: tuple[float, float]) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("min", float(pair[0])), ("max", float(pair[1]))


def read(path: Path, free_energy: bool = False, images: bool = True) -> GaussianSurface:
    """The sum of the hills of a file; see `GaussianSurface.from_hills`.

    Centres (K, d) and covariances (K, d, d) have the variables in reverse, in their own units, and amplitudes (K,) the
    unit of the hills. Columns are those that PLUMED's METAD writes: time, variables, sigma_..., height. Raises
    ValueError for other headers and kernels, and for a row that is no hill.
    """
    rows: list[tuple[list[float], np.ndarray, float]] = []
    variables: list[str] = []
    fields: list[str] = []
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if line.startswith(FIELDS):
            fields = words[2:]
            variables = _variables(fields, path)
        elif line.startswith(SET):
            name, settings[name] = setting(line, number, path)
        elif words and not words[0].startswith("#"):
            if not fields:
                raise ValueError(f"{str(path)!r} must name its columns before its numbers: {FIELDS} time phi ...")
            rows.append(_row(dict(zip(fields, _numbers(words, fields, number, path), strict=True)), variables, path))
    if settings.get("kerneltype", GAUSSIAN_KERNELS[0]).lower() not in GAUSSIAN_KERNELS:
        raise ValueError(f"{str(path)!r} has hills of kind {settings['kerneltype']!r}: only Gaussians are read")
    if not rows:
        raise ValueError(f"{str(path)!r} holds no hills")
    centers = np.array([row[0] for row in rows])
    covariances = np.array([row[1] for row in rows])
    heights = np.array([row[2] for row in rows]) * (-1 if free_energy else 1)
    surface = GaussianSurface(heights, centers[:, ::-1], covariances[:, ::-1, ::-1])
    return with_images(surface, _periods(settings, variables, path)[::-1]) if images else surface


def _variables(fields: list[str], path: Path) -> list[str]:
    found = []
    for name in fields[1:]:
        if name.startswith("sigma_"):
            break
        found.append(name)
    found = found if len(found) < len(fields) - 1 else []
    if fields[:1] != ["time"] or not found or "height" not in fields:
        raise ValueError(f"{str(path)!r} must have fields time, variables, sigma_..., height, got {' '.join(fields)}")
    return found


def _numbers(words: list[str], fields: list[str], number: int, path: Path) -> list[float]:
    if len(words) != len(fields):
        raise ValueError(f"{str(path)!r} must have {len(fields)} columns in line {number}, got {len(words)}")
    try:
        return [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{str(path)!r} must have numbers alone in line {number}") from None


def _row(row: dict[str, float], variables: list[str], path: Path) -> tuple[list[float], np.ndarray, float]:
    """Centre, covariance and height of a hill, the variables in the order of the file."""
    d = len(variables)
    factor = np.zeros((d, d))
    for i, a in enumerate(variables):
        for j, b in enumerate(variables[: i + 1]):
            value = row.get(f"sigma_{a}_{b}", row.get(f"sigma_{a}") if i == j else 0.0)
            if value is None or (i == j and value <= 0):
                raise ValueError(f"{str(path)!r} must have positive widths of {a}, got {value}")
            factor[i, j] = value
    return [row[name] for name in variables], factor @ factor.T, row["height"]


def _periods(settings: dict[str, str], variables: list[str], path: Path) -> list[tuple[float, float] | None]:
    """The ends of the period of each variable; None where it has none."""
    ends = [[settings.get(f"{end}_{name}") for end in ("min", "max")] for name in variables]
    for name, pair in zip(variables, ends, strict=True):
        if (pair[0] is None) != (pair[1] is None):
            raise ValueError(f"{str(path)!r} must set both min_{name} and max_{name}, or neither")
    return [None if low is None or high is None else (_angle(low, path), _angle(high, path)) for low, high in ends]


def _angle(word: str, path: Path) -> float:
    """A number that may be written with pi: -pi, 2*pi."""
    factor, pi, _ = word.replace("*", "").partition("pi")
    try:
        return float(f"{factor}1" if pi and factor in ("", "-", "+") else factor) * (np.pi if pi else 1.0)
    except ValueError:
        raise ValueError(f"{str(path)!r} must set ends of periods to numbers, or to pi, got {word!r}") from None
