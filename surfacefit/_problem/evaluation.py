"""Heights of many components at many points: each component only where it is not zero to rounding."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from .._base.compile import quick_jit
from .._base.devices import on_cpu
from .._base.precision import precision
from .._engines.jacobian import TiledEngine
from .._lists.chunk_sizes import chunk_shape
from .._lists.pairs import Ellipsoids, cutoff_radii, tile_lists, tile_pairs
from .._lists.tiles import scattered_tiles
from .._model.background import NoBackground
from .._model.parameters import Components
from .._model.surface import GaussianSurface
from .planning import tile_plan

# Height, relative to the largest amplitude, below which a component may be left out: double precision's rounding.
NEGLIGIBLE_HEIGHT = 1e-15
# Points; smaller tiles make longer lists, larger ones more components at points where they are zero. As in fits.
POINTS_A_TILE = 256
# Points evaluated together: bounds the memory of lists and tiles at about a gigabyte.
POINTS_A_PART = 2**22


def tiled_heights(surface: GaussianSurface, points: np.ndarray) -> np.ndarray:
    """Heights sum_k a_k g_k (N,) at points (N, d), without the background.

    Leaves out what is below NEGLIGIBLE_HEIGHT of the largest amplitude.
    """
    amplitudes, centers, covariances = (
        np.asarray(a, float) for a in (surface.amplitudes, surface.centers, surface.covariances)
    )
    factors = np.linalg.cholesky(covariances)
    largest = float(np.abs(amplitudes).max()) or 1.0
    felt = Ellipsoids(centers, factors, cutoff_radii(amplitudes / largest, NEGLIGIBLE_HEIGHT))
    heights = np.empty(len(points))
    with precision(np.dtype(np.float64)):
        a, c, f, inverse = (jnp.asarray(array) for array in (amplitudes, centers, factors, np.linalg.inv(factors)))
        components = Components(a, c, f, inverse, NoBackground())
        for part in _parts(len(points)):
            heights[part] = _some(felt, components, points[part])
    return heights


def _some(felt: Ellipsoids, components: Components, points: np.ndarray) -> np.ndarray:
    tiling = scattered_tiles(points, POINTS_A_TILE)
    shape = chunk_shape(tiling.n_tiles, on_cpu(components))
    lists = tile_lists(tiling, tile_pairs(tiling, felt), len(felt.radii), shape)
    capacity = 1 << max(3, (len(lists.offsets) - 1).bit_length())
    engine = TiledEngine(tile_plan(tiling, lists, felt, NEGLIGIBLE_HEIGHT, capacity, np.dtype(float)))
    placed = np.asarray(_model(engine, jnp.asarray(tiling.spread(points)), components))
    heights = np.empty(len(points))
    heights[tiling.order[tiling.filled]] = placed[tiling.filled.ravel()]
    return heights


_model = quick_jit(TiledEngine.model)


def _parts(total: int) -> Iterator[slice]:
    for start in range(0, total, POINTS_A_PART):
        yield slice(start, start + POINTS_A_PART)
