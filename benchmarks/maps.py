"""Maps to fit, in float64 with their lowest point at zero, and the start that every fitter of a map shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import surfacefit as sf

# The volcano's file, beside the repository.
VOLCANO = Path(__file__).resolve().parents[2] / "shared" / "data" / "dem_volcano.npz"


@dataclass(frozen=True, eq=False)
class Map:
    """Heights in metres with a name."""

    name: str
    heights: np.ndarray


def volcano() -> Map:
    """The Maunga Whau volcano on its 10 m grid, or where that file is absent a thinned map of the package."""
    if VOLCANO.exists():
        with np.load(VOLCANO, allow_pickle=False) as members:
            return _map("Maunga Whau volcano", members["z"])
    return _map("Jacksboro fault, every fourth row and column", sf.example_map("jacksboro")[::4, ::4])


def even_start(heights: np.ndarray, n_components: int) -> sf.GaussianSurface:
    """The start of ``init="grid"`` in pixels and the units of the heights, taken from a fit of no steps."""
    no_steps = sf.LevenbergMarquardt(max_steps=0)
    return sf.fit(heights, n_components, background=None, init="grid", solver=no_steps).surface


def pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Coordinates (N, d) of a grid's points, in the order of ``heights.ravel()``."""
    return np.stack(np.indices(shape, dtype=float), axis=-1).reshape(-1, len(shape))


def _map(name: str, elevation: np.ndarray) -> Map:
    heights = np.asarray(elevation, np.float64)
    heights = heights - heights.min()
    rows, columns = heights.shape
    return Map(f"{name}, {rows} x {columns}", heights)
