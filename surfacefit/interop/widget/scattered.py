"""Scattered points in two dimensions: data and residual as coloured points, the model as an image over their box."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from ..._plots.canvas import box_canvas, points_box
from .maps import packed, shown_range

# Points that a panel has room for; of more, every second, third, ... is shown.
MOST_DOTS = 20_000

# Pixels along each axis of the model's image.
MODEL_PIXELS = 128


class PointPanels:
    """See `panels.Panels`; places are shares of the box from 0 to 1, so that float32 tells them apart."""

    def __init__(self, data: SurfaceData):
        step = -(-data.n_used // MOST_DOTS)
        self._points, heights = data.used_points[::step], data.used_heights[::step]
        low, high = points_box(data)
        self._canvas = box_canvas(low, high, MODEL_PIXELS)
        self.heights = np.column_stack([(self._points - low) / (high - low), heights]).astype(np.float32).T.tobytes()
        self.scene: dict[str, Any] = {
            "kind": "points",
            "count": len(heights),
            "shape": [MODEL_PIXELS, MODEL_PIXELS],
            "extent": [[float(a), float(b)] for a, b in zip(low, high, strict=True)],
            "ratio": self._canvas.ratio,
            "downwards": False,
            "range": shown_range(data),
            "notes": [f"one point of {step} is shown"] if step > 1 else [],
            "slices": None,
        }

    def model(self, surface: GaussianSurface) -> bytes:
        """Heights at the points, then an image."""
        values = [surface(self._points), surface(self._canvas.points).ravel()]
        return np.concatenate(values).astype(np.float32).tobytes()

    def shapes(self, surface: GaussianSurface) -> list[list[float] | None]:
        """Ellipses."""
        return [
            packed(center, covariance)
            for center, covariance in zip(np.asarray(surface.centers), np.asarray(surface.covariances), strict=True)
        ]

    def place(self, at: np.ndarray) -> np.ndarray:
        return at

    def offset(self, by: np.ndarray) -> np.ndarray:
        return by
