"""Components in 3-D as a set of markers that ChimeraX opens.

A marker stands at each centre. Its radius is the geometric mean of the widths; it is red where the amplitude is
positive and blue where it is negative, the paler the lower, and its note holds the amplitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._model.surface import GaussianSurface
from .pdb import reversed_axes

# Of full colour: what the faintest marker keeps, so that it is seen on white.
LEAST_COLOUR = 0.3


def text(surface: GaussianSurface, names: Sequence[str]) -> str:
    """The text of a file."""
    del names
    centers, _ = reversed_axes(surface)
    amplitudes, radii = np.asarray(surface.amplitudes, float), np.exp(np.log(surface.principal_widths).mean(axis=1))
    shares = np.abs(amplitudes) / max(np.abs(amplitudes).max(initial=0.0), np.finfo(float).tiny)
    lines = ['<marker_set name="surfacefit">']
    for k, (x, y, z) in enumerate(centers.tolist()):
        pale = (1 - LEAST_COLOUR) * (1 - shares[k])
        red, blue = (1.0, pale) if amplitudes[k] >= 0 else (pale, 1.0)
        lines.append(
            f'<marker id="{k + 1}" x="{x!r}" y="{y!r}" z="{z!r}" r="{red:.3f}" g="{pale:.3f}" b="{blue:.3f}"'
            f' radius="{radii[k]:.6g}" note="amplitude {amplitudes[k]:.6g}"/>'
        )
    return "\n".join([*lines, "</marker_set>", ""])
