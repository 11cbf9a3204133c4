"""Sums over rasters under Gaussian windows of many scales: two scales an octave on a pyramid of block sums.

Arrays may have any leading axes, such as one of maps, before the axes of the raster: each raster is treated alone, to
the same bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .._model.gaussian import profile

# Widths in cells of the windows on each level of the pyramid, whose cells double from level to level: two an octave, so
# that the best window is within a factor 2^(1/4) of a component's width.
SCALES = (1.0, 2**0.5)
# Scales at which a window is cut off: exp(-8) = 3e-4 of its height is left out there.
KERNEL_RADIUS = 4.0
# Share of the points in the fullest window below which norms are raised: next to no data there, and a gain would be
# divided by nothing.
MIN_NORM_SHARE = 0.05
# Cells along an axis up to which one product by a matrix is faster than a filter, as BLAS runs it.
MAX_MATRIX_CELLS = 128
# Cells along each axis at which a pyramid ends.
TOP_CELLS = 3
Norms = list[np.ndarray]


def pyramid(sums: np.ndarray, n_axes: int) -> list[np.ndarray]:
    """Block sums (..., n_1, ..., n_d) with cells doubled at each level, down to a cell or two an axis."""
    levels = [sums]
    while max(levels[-1].shape[-n_axes:]) > TOP_CELLS:
        levels.append(_halved(levels[-1], n_axes))
    return levels


def _halved(array: np.ndarray, n_axes: int) -> np.ndarray:
    for axis in range(array.ndim - n_axes, array.ndim):
        length = array.shape[axis]
        if length > 1:
            before = (slice(None),) * axis
            pairs = array[*before, ::2].copy()
            pairs[*before, : length // 2] += array[*before, 1::2]
            array = pairs
    return array


def norms_of(weights: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> Norms:
    """2 sum w g^2 (B, S, ...) for each scale at every cell of each level of B maps, raised where there are next to no
    data; infinite outside of the maps, which have ``sizes`` (B, d) cells.

    They are raised to a share of what the window would have where points are most frequent, at the mean weight of the
    points in it: weights of very different size leave the norms of light points as they are.
    """
    n_axes = sizes.shape[1]
    narrow = [scale / np.sqrt(2) for scale in SCALES]
    norms = []
    for level, (of_level, how_many) in enumerate(zip(pyramid(weights, n_axes), pyramid(counts, n_axes), strict=True)):
        both = [(correlated(of_level, scale, n_axes), correlated(how_many, scale, n_axes)) for scale in narrow]
        norm = np.stack([raised_norm(*sums) for sums in both], axis=1)
        norms.append(np.where(_cells_of(sizes, level, of_level.shape[1:])[:, None], norm, np.inf))
    return norms


def raised_norm(weight: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Norms (B, ...) from sums of w^2 g^2 and of g^2 over the points, raised where there are next to no data."""
    most = count.max(axis=tuple(range(1, count.ndim)), keepdims=True)
    mean = np.divide(weight, count, out=np.zeros_like(weight), where=count > 0)
    return 2 * np.maximum(weight, MIN_NORM_SHARE * most * mean + np.finfo(float).tiny)


def _cells_of(sizes: np.ndarray, level: int, shape: tuple[int, ...]) -> np.ndarray:
    """Which cells (B, ...) of a level belong to maps of ``sizes`` (B, d), whose own pyramids may end below it."""
    inside = (level == 0) | (-(-sizes // 2 ** (level - 1)).max(axis=1) > TOP_CELLS if level else np.ones(1, bool))
    inside = inside.reshape(-1, *(1,) * len(shape))
    for i, length in enumerate(shape):
        own = -(-sizes[:, i] // 2**level)
        cells = np.arange(length) < own[:, None]
        inside = inside & cells.reshape(-1, *(length if j == i else 1 for j in range(len(shape))))
    return np.broadcast_to(inside, (len(sizes), *shape))


def correlated(array: np.ndarray, scale: float, n_axes: int) -> np.ndarray:
    """Sums over cells of array * exp(-|x|^2 / (2 scale^2)) along the last ``n_axes`` axes, as far as KERNEL_RADIUS
    scales.
    """
    for axis in range(array.ndim - n_axes, array.ndim):
        length = array.shape[axis]
        if 1 < length <= MAX_MATRIX_CELLS:
            array = _multiplied(array, axis, _kernel_matrix(length, scale), n_axes)
        elif length > MAX_MATRIX_CELLS:
            from scipy import ndimage  # here, since small maps do without it

            array = ndimage.correlate1d(array, _kernel(scale), axis, mode="constant")
    return array


def _multiplied(array: np.ndarray, axis: int, matrix: np.ndarray, n_axes: int) -> np.ndarray:
    """Products with a symmetric matrix along an axis: one product for each raster, whatever other rasters there are."""
    if axis < array.ndim - 1:
        flat = array.reshape(*array.shape[: axis + 1], -1)
        return (matrix @ flat).reshape(array.shape)
    return (array[..., None, :] @ matrix)[..., 0, :] if n_axes == 1 else array @ matrix


@lru_cache(64)
def _kernel_matrix(length: int, scale: float) -> np.ndarray:
    cells = np.arange(length)
    lags = np.abs(cells[:, None] - cells)
    kernel = _kernel(scale)
    middle = len(kernel) // 2
    return np.where(lags <= middle, kernel[np.minimum(middle + lags, len(kernel) - 1)], 0.0)


@lru_cache(64)
def _kernel(scale: float) -> np.ndarray:
    radius = int(KERNEL_RADIUS * scale + 0.5)
    return np.asarray(profile((np.arange(-radius, radius + 1) / scale) ** 2))
