"""Images as components of their own, on the host: those that reach some points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .image_numbers import IMAGE_REACH_WIDTHS
from .nearest import Periods


class HostImages(NamedTuple):
    """The images that reach the points of a period: their ``owners`` (M,), rising, and ``centers`` (M, d)."""

    owners: np.ndarray
    centers: np.ndarray

    @classmethod
    def of(
        cls, centers: np.ndarray, deviations: np.ndarray, periods: Periods, low: np.ndarray, high: np.ndarray
    ) -> HostImages:
        """Those of centres and deviations along the axes (K, d) that are felt in a box with corners (d,)."""
        return cls.reaching(centers, IMAGE_REACH_WIDTHS * deviations, periods, low, high)

    @classmethod
    def reaching(
        cls, centers: np.ndarray, reach: np.ndarray, periods: Periods, low: np.ndarray, high: np.ndarray
    ) -> HostImages:
        """Those within a ``reach`` (K, d) along each axis of a box with corners (d,)."""
        images = cls(np.arange(len(centers)), np.asarray(centers, float))
        for axis, period in enumerate(periods):
            if period is not None:
                images = images._along(axis, float(period), reach[:, axis], low[axis], high[axis])
        return images

    def _along(self, axis: int, period: float, reaches: np.ndarray, low: float, high: float) -> HostImages:
        reach, at = reaches[self.owners], self.centers[:, axis]
        first = np.ceil((low - reach - at) / period).astype(int)
        counts = np.maximum(np.floor((high + reach - at) / period).astype(int) - first + 1, 0)
        image = np.repeat(np.arange(len(at)), counts)
        shifts = first[image] + np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
        centers = self.centers[image].copy()
        centers[:, axis] += period * shifts
        return HostImages(self.owners[image], centers)

    def summed(self, values: np.ndarray, count: int) -> np.ndarray:
        """Values (M, ...) of images summed to those (count, ...) of their owners."""
        total = np.zeros((count, *values.shape[1:]))
        np.add.at(total, self.owners, values)
        return total
