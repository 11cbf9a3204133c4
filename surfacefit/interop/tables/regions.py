"""The components of a table as regions for DS9: ellipses at half maximum, labelled by the number of the component.

On the sky, where the table has positions there, else in pixels of the image, which DS9 counts from 1. DS9 turns its
first radius from the axis to the right, which on the sky is west: the position angle plus 90 degrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._model.gaussian import FWHM_PER_WIDTH
from ..._model.surface import GaussianSurface
from .sky import COORDINATES_OF_FRAMES

# The frames of astropy that DS9 has under the same names.
FRAMES = ("icrs", "fk5", "fk4", "galactic")
HEADER = "# Region file format: DS9 version 4.1"


def regions(table: Any) -> str:
    """The text of a region file."""
    if "sigma_minor" not in table or "sigma_middle" in table:
        raise ValueError("'.reg' holds ellipses, for surfaces in 2-D alone: write .csv")
    frame = table.meta.get("frame", "")
    rows = _sky(table, frame) if frame in FRAMES else _image(table)
    lines = [f"ellipse({','.join(row)}) # text={{{k}}}" for k, row in zip(table["component"], rows, strict=True)]
    return "\n".join([HEADER, frame if frame in FRAMES else "image", *lines, ""])


def _sky(table: Any, frame: str) -> list[list[str]]:
    names = COORDINATES_OF_FRAMES.get(frame, ("ra", "dec"))
    positions = zip(*(table[name] for name in names), strict=True)
    shapes = zip(table["sky_fwhm_major"] / 2, table["sky_fwhm_minor"] / 2, table["position_angle"] + 90, strict=True)
    return [
        [f"{x:.8f}", f"{y:.8f}", f'{major:.6g}"', f'{minor:.6g}"', f"{angle % 360:.4f}"]
        for (x, y), (major, minor, angle) in zip(positions, shapes, strict=True)
    ]


def _image(table: Any) -> list[list[str]]:
    """In pixels, of which the first of each axis is 1."""
    axes = table.meta["axes"]
    first, step = np.array(table.meta.get("pixels", [[0.0, 1.0]] * 2)).T
    centers = np.stack([table[axis] for axis in axes], axis=1)
    entries = [table[name] for name in table if name.startswith("covariance") and not name.endswith("_error")]
    covariances = np.stack([entries[0], entries[1], entries[1], entries[2]], axis=1).reshape(-1, 2, 2)
    there = GaussianSurface(np.ones(len(centers)), (centers - first) / step + 1, covariances / np.outer(step, step))
    radii, angles = there.principal_widths * FWHM_PER_WIDTH / 2, np.degrees(there.orientation)
    return [
        [f"{x:.4f}", f"{y:.4f}", f"{major:.6g}", f"{minor:.6g}", f"{angle:.4f}"]
        for (y, x), (major, minor), angle in zip(there.centers, radii, angles, strict=True)
    ]
