"""A surface as a function in C, which needs the C library alone (C99)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._base.layout import counted
from ..._model.surface import GaussianSurface
from .terms import terms_of

# The file, with braces for what depends on the surface.
SOURCE = """/* Heights of a sum of {count} over a background. Link with -lm. */
#include <math.h>

#define DIMENSIONS {n_dim}
#define COMPONENTS {n_components}

{arrays}
/* The height at a point of coordinates ({names}). */
double surface(const double point[DIMENSIONS])
{{
    double height = {value};
{plane}    for (int k = 0; k < COMPONENTS; k++) {{
        double square = 0.0;
        for (int i = 0; i < DIMENSIONS; i++) {{
            double whitened = 0.0;
            for (int j = 0; j <= i; j++)
                whitened += factors[k][i][j] * (point[j] - centers[k][j]);
            square += whitened * whitened;
        }}
        height += amplitudes[k] * exp(-0.5 * square);
    }}
    return height;
}}
"""
# The background of a surface over a plane.
PLANE = """    for (int i = 0; i < DIMENSIONS; i++)
        height += slopes[i] * (point[i] - origin[i]);
"""


def source(surface: GaussianSurface, names: Sequence[str]) -> str:
    """The text of a file with a function ``surface``."""
    terms = terms_of(surface)
    count = len(terms.amplitudes)
    rows = max(count, 1)  # C has no array of length zero
    parts = [
        _array(f"amplitudes[{rows}]", terms.amplitudes),
        _array(f"centers[{rows}][DIMENSIONS]", terms.centers),
        "/* Inverses of the Cholesky factors of the covariances. */",
        _array(f"factors[{rows}][DIMENSIONS][DIMENSIONS]", terms.factors),
    ]
    if terms.slopes is not None and terms.origin is not None:
        parts += [_array("slopes[DIMENSIONS]", terms.slopes), _array("origin[DIMENSIONS]", terms.origin)]
    return SOURCE.format(
        count=counted(count, "Gaussian"),
        n_dim=surface.n_dim,
        n_components=count,
        arrays="\n".join(parts) + "\n",
        names=", ".join(names).replace("*/", ""),
        value=repr(terms.value),
        plane=PLANE if terms.slopes is not None else "",
    )


def _array(declaration: str, values: np.ndarray) -> str:
    lines = ",\n".join(f"    {_braces(row)}" for row in values.tolist()) if len(values) else "    0"
    return f"static const double {declaration} = {{\n{lines}\n}};"


def _braces(row: object) -> str:
    return f"{{{', '.join(map(_braces, row))}}}" if isinstance(row, list) else repr(row)
