"""A surface as a module of Python that needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._base.layout import counted
from ..._model.surface import GaussianSurface
from .terms import terms_of

# The file, with braces for what depends on the surface.
SOURCE = '''"""Heights of a sum of {count} over a background."""

import numpy as np

AMPLITUDES = np.array({amplitudes}, dtype=float)
CENTERS = np.array({centers}, dtype=float).reshape(-1, {n_dim})
# Inverses of the Cholesky factors of the covariances.
FACTORS = np.array({factors}, dtype=float).reshape(-1, {n_dim}, {n_dim})


def surface(points):
    """Heights (...) at points (..., {n_dim}) of coordinates ({names})."""
    points = np.asarray(points, dtype=float)
    whitened = np.einsum("kij,...kj->...ki", FACTORS, points[..., None, :] - CENTERS)
    return {background} + np.exp(-0.5 * (whitened**2).sum(axis=-1)) @ AMPLITUDES
'''


def source(surface: GaussianSurface, names: Sequence[str]) -> str:
    """The text of a module with a function ``surface``."""
    terms = terms_of(surface)
    background = repr(terms.value)
    if terms.slopes is not None and terms.origin is not None:
        background += f" + (points - np.array({terms.origin.tolist()})) @ np.array({terms.slopes.tolist()})"
    return SOURCE.format(
        count=counted(len(terms.amplitudes), "Gaussian"),
        amplitudes=_rows(terms.amplitudes),
        centers=_rows(terms.centers),
        factors=_rows(terms.factors),
        n_dim=surface.n_dim,
        names=", ".join(names),
        background=background,
    )


def _rows(array: np.ndarray) -> str:
    """A list with a component a line, digits enough for the same numbers."""
    lines = "".join(f"    {row!r},\n" for row in array.tolist())
    return f"[\n{lines}]"
