"""Small windows of rasters, one for each of M peaks, as arrays (M, ...): what a Gaussian meets in them, and moments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._model.gaussian import profile
from .peaks import MAX_WIDTH_RATIO


@dataclass(frozen=True, eq=False)
class Patches:
    """Windows around ``centers`` (M, d): along each axis their ``cells`` (M, n), as many for all, and which of them are
    ``inside`` (M, n) the radius of each; others count as zero.
    """

    centers: np.ndarray
    cells: list[np.ndarray]
    inside: list[np.ndarray]

    @classmethod
    def around(cls, shape: tuple[int, ...], centers: np.ndarray, radii: np.ndarray, largest: float) -> Patches:
        """Patches of the ``radii`` (M,), with room for the ``largest`` of them."""
        cells, inside = [], []
        for length, middle in zip(shape, centers.T, strict=True):
            size = min(int(2 * largest) + 1, length)
            first = np.clip(np.ceil(middle - radii).astype(int), 0, length - size)
            cells.append(first[:, None] + np.arange(size))
            inside.append(np.abs(cells[-1] - middle[:, None]) <= radii[:, None])
        return cls(centers, cells, inside)

    @cached_property
    def offsets(self) -> list[np.ndarray]:
        """Along each axis the offsets from the centre, which broadcast to the patch."""
        return [_along(at - c[:, None], i, self.n_dim) for i, (at, c) in enumerate(self._pairs)]

    @property
    def _pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return list(zip(self.cells, self.centers.T, strict=True))

    @property
    def n_dim(self) -> int:
        return len(self.cells)

    @cached_property
    def covered(self) -> np.ndarray:
        """1 in the cells (M, ...) of the patches, 0 beside them."""
        whole: Any = 1.0
        for i, inside in enumerate(self.inside):
            whole = whole * _along(inside.astype(float), i, self.n_dim)
        return np.asarray(whole)

    def index(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The index of the cells in arrays (B, ...), each patch in one of its rows (M,)."""
        own = rows.reshape(-1, *(1,) * self.n_dim)
        return own, *(_along(at, i, self.n_dim) for i, at in enumerate(self.cells))

    def of(self, arrays: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What arrays (B, ...) have in the patches, each in one of their rows (M,)."""
        return np.asarray(arrays[self.index(rows)] * self.covered)


def _along(array: np.ndarray, axis: int, n_dim: int) -> np.ndarray:
    """An array (M, n) along one of the axes of patches."""
    return array.reshape(len(array), *(array.shape[1] if i == axis else 1 for i in range(n_dim)))


def totals(patches: np.ndarray) -> np.ndarray:
    """Sums (M,) over patches (M, ...)."""
    return np.asarray(patches.reshape(len(patches), -1).sum(axis=1))


def gaussians(offsets: list[np.ndarray], shapes: np.ndarray) -> np.ndarray:
    """exp(-x^T S^-1 x / 2) on patches for shapes (M, d, d), x given along each axis: the terms of one axis are computed
    on that axis.
    """
    spread = (-1, *(1,) * len(offsets))
    precision = np.linalg.inv(shapes)
    squares: Any = 0.0
    for i, axis in enumerate(offsets):
        slope = precision[:, i, i].reshape(spread) * axis
        for j in range(i):
            slope = slope + 2 * precision[:, i, j].reshape(spread) * offsets[j]
        squares = squares + axis * slope
    return np.asarray(profile(squares))


def moved(offsets: list[np.ndarray], shifts: np.ndarray) -> list[np.ndarray]:
    """Offsets from centres moved by shifts (M, d)."""
    spread = (-1, *(1,) * len(offsets))
    return [axis - by.reshape(spread) for axis, by in zip(offsets, shifts.T, strict=True)]


def amplitudes(g: np.ndarray, r: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best amplitudes (M,) of Gaussians g on patches, and what they take off the cost."""
    overlap, norm = totals(r * g), totals(w * g * g)
    best = np.divide(overlap, norm, out=np.zeros_like(overlap), where=norm > 0)
    return best, best * np.maximum(overlap, 0.0)


def moments(density: np.ndarray, offsets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means (M, d) and covariances (M, d, d) of densities on patches."""
    shifts = np.stack([totals(density * axis) for axis in offsets], axis=1)
    spreads, around = np.empty((*shifts.shape, len(offsets))), moved(offsets, shifts)
    for i, one in enumerate(around):
        pulled = density * one
        for j, other in enumerate(around[: i + 1]):
            spreads[:, i, j] = spreads[:, j, i] = totals(pulled * other)
    return shifts, spreads


def without_window(spreads: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Covariances S (M, d, d) with S^-1 = spread^-1 - window^-1, their widths within a factor of the scales (M,)."""
    values, vectors = np.linalg.eigh(spreads)
    squares = scales[:, None] ** 2
    inverse = 1 / np.maximum(values, 1e-6 * squares) - 1 / squares
    ratio = MAX_WIDTH_RATIO**2
    widths = np.clip(1 / np.maximum(inverse, 1e-9 / squares), squares / ratio, ratio * squares)
    return np.asarray((vectors * widths[:, None, :]) @ vectors.swapaxes(1, 2))
