"""Sums over a raster under Gaussian windows of many scales: two scales an octave on a pyramid of block sums."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SCALES = (1.0, 2**0.5)
REACH = 4.0
LEAST = 0.05
Norms = list[list[np.ndarray]]


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


def norms_of(weights: np.ndarray) -> Norms:
    """2 sum w g^2 at every cell of each level for each scale, kept from where there are next to no data."""
    norms = [[correlated(counts, scale / np.sqrt(2)) for scale in SCALES] for counts in pyramid(weights)]
    return [[2 * np.maximum(norm, LEAST * norm.max() + np.finfo(float).tiny) for norm in of_level] for of_level in norms]


def correlated(array: np.ndarray, scale: float) -> np.ndarray:
    """Sum over cells of array * exp(-|x|^2 / (2 scale^2))."""
    scales = [scale if length > 1 else 0.0 for length in array.shape]
    norm = np.prod([_kernel_sum(s) for s in scales])
    return ndimage.gaussian_filter(array, scales, mode="constant", truncate=REACH) * norm


def _kernel_sum(scale: float) -> float:
    if scale == 0:
        return 1.0
    reach = int(REACH * scale + 0.5)
    return float(np.exp(-0.5 * (np.arange(-reach, reach + 1) / scale) ** 2).sum())
