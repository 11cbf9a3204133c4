"""Starts: where the components stand before the first step. Pick one of these by name, or give a surface.

A start is a function of a `StartRequest` that gives a `GaussianSurface` without background, in the units of the
fit. A new one is one new file and one line here.

request                   what a start works from
rasters                   grids and scattered points alike, of one map and of many
torus                     the same where axes are periodic
turning                   such data from their highest point on
scales                    sums under windows of many widths
apart                     the strongest of many places that stand apart
grid                      an even lattice
peaks                     the highest peaks over all scales
peaks_of_maps             the same for many maps at once
patches                   small windows of many rasters, and Gaussians in them
random                    places and widths at random; the best of several
expectation_maximization  heights read as a density
"""

from collections.abc import Callable

from .._model.surface import GaussianSurface
from .expectation_maximization import em_start
from .grid import grid_start
from .peaks import Peak, find_peaks, peaks_start
from .peaks_of_maps import Peaks, in_coordinates, peaks_of_maps
from .random import RandomStarts, random_start
from .rasters import Raster, Rasters, padded, padded_shape
from .request import StartRequest

STARTS: dict[str, Callable[[StartRequest], GaussianSurface]] = {
    "grid": grid_start,
    "peaks": peaks_start,
    "random": random_start,
    "em": em_start,
}

__all__ = [
    "STARTS",
    "Peak",
    "Peaks",
    "RandomStarts",
    "Raster",
    "Rasters",
    "StartRequest",
    "find_peaks",
    "in_coordinates",
    "padded",
    "padded_shape",
    "peaks_of_maps",
]
