"""What coordinates and heights are called and measured in, and how values go back to what the heights came as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

# Names of the axes of a grid that has none of its own, the last axis first.
LAST_AXES = ("x", "y", "z")


class Back(Protocol):
    """The way back to a kind of array."""

    def array(self, values: np.ndarray, name: str) -> Any:
        """An array like the one that came in, in its order of axes, with other values of that shape. ``name`` says what
        these are: "model", "residual" or "error".
        """
        ...


@dataclass(frozen=True, eq=False)
class Labels:
    """Names, units and the georeference of data.

    dims : the name of each axis, in the order of the axes of the heights as they are fitted.
    units : the unit of each axis, as text; "" where none is known.
    name, unit : of the heights; "" where none is known.
    crs : the coordinate reference system of a map as WKT, or "".
    wcs : the world coordinate system of an image as the text of a FITS header, or "".
    transform : the affine transform of a raster as six numbers (a, b, c, d, e, f) of x = a column + b row + c and
        y = d column + e row + f, at corners of pixels; () without one.
    beam : the beam of a radio image: major and minor FWHM and position angle, all in degrees; () without one.
    notes : what a reader of the fit must know of how the heights were taken, a clause each.
    back : the way back to the kind of array that came in; None for arrays of NumPy, and after a fit was loaded.
    """

    dims: tuple[str, ...]
    units: tuple[str, ...]
    name: str = ""
    unit: str = ""
    crs: str = ""
    wcs: str = ""
    transform: tuple[float, ...] = ()
    beam: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    back: Back | None = field(default=None, repr=False)


def with_unit(name: str, unit: str) -> str:
    """A name with its unit in brackets, where there is one."""
    return f"{name} [{unit}]".strip() if unit else name


def axis_names(n_dim: int) -> tuple[str, ...]:
    """The names of the axes of a grid that has none of its own: (y, x) in 2-D."""
    return LAST_AXES[:n_dim][::-1] if n_dim <= len(LAST_AXES) else tuple(f"x{i}" for i in range(n_dim))
