"""Grids in two dimensions, and slices across the first axis of grids in three, as images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from ..._plots.canvas import grid_canvas
from .pixels import AxisPixels, Pixels


class MapPanels:
    """See `panels.Panels`."""

    def __init__(self, data: SurfaceData, at: int = 0):
        assert data.axes is not None
        self._slice = data.n_dim == 3
        self._at = at
        self._axes = data.axes
        first = data.n_dim - 2
        pair = (first, first + 1)
        self._pixels = Pixels(*(AxisPixels.of(data.axes[i], float(data.spacing[i])) for i in pair))
        used, heights = (array[at] if self._slice else array for array in (data.used, data.heights))
        self._used = used
        shown = self._pixels.shown(heights.astype(float), used)
        self.heights = shown.tobytes()
        canvas = grid_canvas(data, pair)
        rows, columns = self._pixels.rows, self._pixels.columns
        self.scene: dict[str, Any] = {
            "kind": "map",
            "shape": list(shown.shape),
            "extent": [[rows.low, rows.high], [columns.low, columns.high]],
            "ratio": canvas.ratio,
            "downwards": canvas.downwards,
            "range": shown_range(data),
            "notes": [self._pixels.note] if self._pixels.note else [],
            "slices": {"at": at, "values": data.axes[0].tolist()} if self._slice else None,
        }

    def model(self, surface: GaussianSurface) -> bytes:
        """The same pixels of the surface: averages over the samples of the data, over all where there are none."""
        if self._pixels.averaged:
            values, used = self._heights_of(surface, [*self._axes[-2:]]), self._used
            own = self._pixels.shown(values, used)
            return np.where(np.isnan(own), self._pixels.shown(values, np.ones_like(used)), own).tobytes()
        index = (self._pixels.rows.index, self._pixels.columns.index)
        axes = [axis[one] for axis, one in zip(self._axes[-2:], index, strict=True)]
        return self._heights_of(surface, axes).astype(np.float32).tobytes()

    def _heights_of(self, surface: GaussianSurface, axes: list[np.ndarray]) -> np.ndarray:
        if self._slice:
            axes = [self._axes[0][self._at : self._at + 1], *axes]
        heights = surface(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        return np.asarray(heights[0] if self._slice else heights)

    def shapes(self, surface: GaussianSurface) -> list[list[float] | None]:
        """Ellipses; of a volume the cut through each ellipsoid of one standard deviation."""
        centers, covariances = np.asarray(surface.centers, float), np.asarray(surface.covariances, float)
        if not self._slice:
            return [packed(center, shape) for center, shape in zip(centers, covariances, strict=True)]
        distance = self._axes[0][self._at] - centers[:, 0]
        slopes = covariances[:, 1:, 0] / covariances[:, :1, 0]
        left = 1 - distance**2 / covariances[:, 0, 0]
        cuts = covariances[:, 1:, 1:] - slopes[:, :, None] * covariances[:, :1, 1:]
        middles = centers[:, 1:] + slopes * distance[:, None]
        return [
            packed(middle, cut * share) if share > 0 else None
            for middle, cut, share in zip(middles, cuts, left, strict=True)
        ]

    def place(self, at: np.ndarray) -> np.ndarray:
        return np.concatenate([[self._axes[0][self._at]], at]) if self._slice else at

    def offset(self, by: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], by]) if self._slice else by


def shown_range(data: SurfaceData) -> list[float]:
    """The lowest and the highest height that is used, some way apart."""
    low, high = float(data.used_heights.min()), float(data.used_heights.max())
    return [low, high] if high > low else [low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2]


def packed(center: np.ndarray, covariance: np.ndarray) -> list[float]:
    """Centre and the lower triangle of the Cholesky factor of a component."""
    factor = np.linalg.cholesky(covariance)
    return [*center.tolist(), *factor[np.tril_indices(len(center))].tolist()]
