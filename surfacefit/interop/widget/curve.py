"""One dimension: data, model, background and components as lines over the residuals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from .maps import packed, shown_range

# Samples that a panel has room for; more are averaged in blocks.
MOST_SAMPLES = 2000

# Points of the model's line: about one to a pixel.
LINE_POINTS_SHOWN = 800


class CurvePanels:
    """See `panels.Panels`; places are shares of the extent from 0 to 1, so that float32 tells them apart."""

    def __init__(self, data: SurfaceData):
        order = np.argsort(data.used_points[:, 0], kind="stable")
        self._x = data.used_points[order, 0]
        side = -(-len(self._x) // MOST_SAMPLES)
        self._starts = np.arange(0, len(self._x), side)
        low, high = float(self._x[0]), float(self._x[-1])
        if high == low:
            low, high = low - float(data.spacing[0]) / 2, high + float(data.spacing[0]) / 2
        shown = [(self._means(self._x) - low) / (high - low), self._means(data.used_heights[order])]
        self.heights = np.stack(shown).astype(np.float32).tobytes()
        self._line = np.linspace(low, high, LINE_POINTS_SHOWN)
        self.scene: dict[str, Any] = {
            "kind": "curve",
            "count": len(self._starts),
            "line": LINE_POINTS_SHOWN,
            "extent": [[low, high]],
            "range": shown_range(data),
            "notes": [f"each dot is the mean of {side} samples"] if side > 1 else [],
            "slices": None,
        }

    def _means(self, values: np.ndarray) -> np.ndarray:
        counts = np.diff([*self._starts, len(values)])
        return np.asarray(np.add.reduceat(values.astype(float), self._starts) / counts)

    def model(self, surface: GaussianSurface) -> bytes:
        """The model at the samples, then its line, then the line of the background."""
        line = surface(self._line)
        background = line - replace(surface, background=None)(self._line)
        return np.concatenate([self._means(surface(self._x)), line, background]).astype(np.float32).tobytes()

    def shapes(self, surface: GaussianSurface) -> list[list[float] | None]:
        """Centre, width and amplitude."""
        rows = zip(np.asarray(surface.centers), np.asarray(surface.covariances), surface.amplitudes, strict=True)
        return [[*packed(center, covariance), float(amplitude)] for center, covariance, amplitude in rows]

    def place(self, at: np.ndarray) -> np.ndarray:
        return at

    def offset(self, by: np.ndarray) -> np.ndarray:
        return by
