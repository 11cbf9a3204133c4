"""Maps to fit, in float64 with their lowest point at zero, and the start that every fitter of a map shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import surfacefit as sf

# Real surfaces, beside the repository.
DATA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"
# The volcano's file.
VOLCANO = DATA_FOLDER / "dem_volcano.npz"
# Points of a thinned map: about as many as the volcano has, so that a fit of 32 components takes seconds.
THINNED_POINTS = 8000


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


def thinned() -> Iterator[Map]:
    """Every complete map of the folder in two dimensions, without rows and columns that would make it too large.

    Where the folder is absent, the volcano's stand-in alone.
    """
    for path in sorted(DATA_FOLDER.glob("*.npz")):
        with np.load(path, allow_pickle=False) as members:
            heights = np.asarray(members["z"], float)
        if heights.ndim == 2 and np.isfinite(heights).all():
            step = int(np.ceil(np.sqrt(heights.size / THINNED_POINTS)))
            yield _map(path.stem, heights[::step, ::step])
    if not DATA_FOLDER.is_dir():
        yield volcano()


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
