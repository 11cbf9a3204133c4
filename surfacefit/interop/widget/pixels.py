"""Samples of a grid as no more pixels than a panel of a screen has.

A pixel is the mean over a block of samples that are known, or, where steps are uneven, the nearest sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Along an axis: about one to a pixel of a panel, and a quarter of a megabyte a frame.
MOST_PIXELS = 256

# Largest step over smallest up to which steps count as even.
EVEN_PIXEL_STEPS = 1.1


@dataclass(frozen=True, eq=False)
class AxisPixels:
    """The pixels of one axis.

    low, high : edges of the first and the last pixel.
    side : samples in a pixel; 1 where each pixel is one sample.
    index : the sample of each pixel: itself, the nearest, or the first of its block.
    """

    low: float
    high: float
    side: int
    index: np.ndarray

    @property
    def even(self) -> bool:
        """Whether pixels are blocks of samples."""
        return bool((np.diff(self.index) == self.side).all())

    @classmethod
    def of(cls, axis: np.ndarray, step: float) -> AxisPixels:
        """Of rising coordinates with a typical step."""
        steps = np.diff(axis) if len(axis) > 1 else np.array([step])
        low, high = axis[0] - steps[0] / 2, axis[-1] + steps[-1] / 2
        if steps.max() > EVEN_PIXEL_STEPS * steps.min():
            count = int(min(MOST_PIXELS, np.ceil((high - low) / steps.min())))
            middles = low + (np.arange(count) + 0.5) / count * (high - low)
            return cls(low, high, 1, np.abs(axis - middles[:, None]).argmin(axis=1))
        side = -(-len(axis) // MOST_PIXELS)
        index = np.arange(0, len(axis), side)
        return cls(low, low + len(index) * side * (high - low) / len(axis), side, index)


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of two axes."""

    rows: AxisPixels
    columns: AxisPixels

    @property
    def averaged(self) -> bool:
        return max(self.rows.side, self.columns.side) > 1

    @property
    def note(self) -> str:
        """What a reader must know of the pixels; "" where each is a sample."""
        if self.averaged:
            return f"each pixel is the mean of {self.rows.side} x {self.columns.side} samples"
        return "" if self.rows.even and self.columns.even else "steps are uneven: each pixel is the nearest sample"

    def shown(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Values of all samples as pixels (n, m) in float32; NaN where none in a pixel is known."""
        if not self.averaged:
            grid = np.ix_(self.rows.index, self.columns.index)
            return np.where(known[grid], values[grid], np.nan).astype(np.float32)
        sums, counts = self._sums(np.where(known, values, 0.0)), self._sums(known.astype(float))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(values, self.rows.index, axis=0), self.columns.index, axis=1)
