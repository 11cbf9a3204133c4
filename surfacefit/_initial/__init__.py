"""Starts: where the components stand before the first step. Pick one of these by name, or give a surface.

A start is a function of a `StartRequest` that gives a `GaussianSurface` without background, in the units of the
fit. A new one is one new file and one line here.
"""

from collections.abc import Callable

from .._model.surface import GaussianSurface
from ._expectation_maximization import em_start
from ._grid import grid_start
from ._peaks import Peak, find_peaks, peaks_start
from ._random import RandomStarts, random_start
from ._request import Raster, StartRequest

STARTS: dict[str, Callable[[StartRequest], GaussianSurface]] = {
    "grid": grid_start,
    "peaks": peaks_start,
    "random": random_start,
    "em": em_start,
}

__all__ = ["STARTS", "Peak", "RandomStarts", "Raster", "StartRequest", "find_peaks"]
