"""Components as rows of a table: what people quote, with standard errors where they are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._base.layout import COARSEST_POSITION, number, positions, with_error
from ..._model.surface import GaussianSurface

# Rows of a table: more make a page slow, and nobody reads them.
MOST_ROWS = 300

# What the principal widths of a component are called, by the number of dimensions.
WIDTH_NAMES = {1: ["FWHM"], 2: ["FWHM major", "FWHM minor"], 3: ["FWHM 0", "FWHM 1", "FWHM 2"]}


def table_of(surface: GaussianSurface, names: list[str], errors: Any = None) -> dict[str, Any]:
    """Column names and rows of text; ``errors`` are an `Uncertainty`, or None."""
    d = surface.n_dim
    widths = np.sqrt(np.diagonal(np.asarray(surface.covariances, float), axis1=1, axis2=2))
    centers, fwhm = np.asarray(surface.centers, float), surface.fwhm
    columns = {"amplitude": _numbers(surface.amplitudes, getattr(errors, "amplitudes", None))}
    for i, name in enumerate(names):
        spread = None if errors is None else errors.centers[:, i]
        columns[name] = _positions(centers[:, i], widths[:, i], spread)
    for i, name in enumerate(WIDTH_NAMES[d]):
        columns[name] = _numbers(fwhm[:, i], None if errors is None else errors.fwhm[:, i])
    if d == 2:
        columns["angle"] = [f"{angle:.0f}°" for angle in np.degrees(surface.orientation).round() % 180]
    columns["volume"] = _numbers(surface.volumes, getattr(errors, "volumes", None))
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return {"columns": list(columns), "rows": rows[:MOST_ROWS], "more": max(len(rows) - MOST_ROWS, 0)}


def _numbers(values: Any, errors: Any) -> list[str]:
    if errors is None:
        return [number(float(value), 4) for value in values]
    return [with_error(float(value), float(spread)) for value, spread in zip(values, errors, strict=True)]


def _positions(values: np.ndarray, widths: np.ndarray, errors: Any) -> list[str]:
    if errors is None:
        return positions(values, COARSEST_POSITION * widths)
    return _numbers(values, errors)
