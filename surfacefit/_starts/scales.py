"""Sums over a raster under Gaussian windows of many scales: two scales an octave on a pyramid of block sums."""

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
Norms = list[np.ndarray]


def pyramid(sums: np.ndarray) -> list[np.ndarray]:
    """Block sums with cells doubled at each level, down to a cell or two an axis."""
    levels = [sums]
    while max(levels[-1].shape) > 3:
        levels.append(_halved(levels[-1]))
    return levels


def _halved(array: np.ndarray) -> np.ndarray:
    for axis, length in enumerate(array.shape):
        if length > 1:
            array = np.add.reduceat(array, np.arange(0, length, 2), axis=axis)
    return array


def norms_of(weights: np.ndarray, counts: np.ndarray) -> Norms:
    """2 sum w g^2 (S, ...) for each scale at every cell of each level, raised where there are next to no data.

    They are raised to a share of what the window would have where points are most frequent, at the mean weight of the
    points in it: weights of very different size leave the norms of light points as they are.
    """
    narrow = [scale / np.sqrt(2) for scale in SCALES]
    return [
        np.stack([_norm(correlated(of_level, scale), correlated(how_many, scale)) for scale in narrow])
        for of_level, how_many in zip(pyramid(weights), pyramid(counts), strict=True)
    ]


def _norm(weight: np.ndarray, count: np.ndarray) -> np.ndarray:
    mean = np.divide(weight, count, out=np.zeros_like(weight), where=count > 0)
    return 2 * np.maximum(weight, MIN_NORM_SHARE * count.max() * mean + np.finfo(float).tiny)


def correlated(array: np.ndarray, scale: float) -> np.ndarray:
    """Sum over cells of array * exp(-|x|^2 / (2 scale^2)), as far as KERNEL_RADIUS scales."""
    for axis, length in enumerate(array.shape):
        if 1 < length <= MAX_MATRIX_CELLS:
            array = (array.swapaxes(axis, -1) @ _kernel_matrix(length, scale)).swapaxes(axis, -1)
        elif length > MAX_MATRIX_CELLS:
            from scipy import ndimage  # here, since small maps do without it

            array = ndimage.correlate1d(array, _kernel(scale), axis, mode="constant")
    return array


@lru_cache(64)
def _kernel_matrix(length: int, scale: float) -> np.ndarray:
    cells = np.arange(length)
    lags = np.abs(cells[:, None] - cells)
    kernel = _kernel(scale)
    middle = len(kernel) // 2
    return np.where(lags <= middle, kernel[np.minimum(middle + lags, len(kernel) - 1)], 0.0)


def _kernel(scale: float) -> np.ndarray:
    radius = int(KERNEL_RADIUS * scale + 0.5)
    return np.asarray(profile((np.arange(-radius, radius + 1) / scale) ** 2))
