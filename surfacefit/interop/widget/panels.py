"""What a widget shows of data: the contract, and the choice by the kind of data."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from ..._plots.panels import axis_names, height_name, unit_of
from .curve import CurvePanels
from .maps import MapPanels
from .scattered import PointPanels


class Panels(Protocol):
    """Arrays for a browser, as bytes of float32.

    scene : what does not change with the surface: kind, shape, extent, range, notes.
    heights : the data.
    """

    scene: dict[str, Any]
    heights: bytes

    def model(self, surface: GaussianSurface) -> bytes:
        """The surface where the data are, and whatever else is drawn of it."""
        ...

    def shapes(self, surface: GaussianSurface) -> list[list[float] | None]:
        """For each component its centre and lower triangle, in the order of the panel's axes; None where it is not in
        the picture.
        """
        ...

    def place(self, at: np.ndarray) -> np.ndarray:
        """Coordinates (d,) of a place (axes of the panel,) in it."""
        ...

    def offset(self, by: np.ndarray) -> np.ndarray:
        """A shift (d,) for one in the panel."""
        ...


def panels_of(data: SurfaceData, at: int = 0) -> Panels:
    """The panels of data; of a volume the slice number ``at``."""
    kind: Any
    if data.n_dim == 1:
        kind = CurvePanels(data)
    elif data.axes is not None and data.n_dim <= 3:
        kind = MapPanels(data, at)
    elif data.n_dim == 2:
        kind = PointPanels(data)
    else:
        where = "scattered points" if data.axes is None else "a grid"
        raise ValueError(
            f"a view shows curves, maps, points in 2-D and grids in 3-D, not {where} in {data.n_dim}-D: use"
            " `result.plot()` and `result.summary()`"
        )
    kind.scene.update(names=axis_names(data), height=height_name(data), unit=unit_of(data))
    return kind
