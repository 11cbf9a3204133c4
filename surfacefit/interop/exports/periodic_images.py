"""Images of components along periodic coordinates, so that the plain sum is that over the nearest images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..._model.surface import GaussianSurface

# Widths outside a period beyond which an image is nowhere above 1e-14 of its height inside.
IMAGE_REACH = 8.0


def with_images(surface: GaussianSurface, periods: Sequence[tuple[float, float] | None]) -> GaussianSurface:
    """The surface with the images that reach into the period along each axis; None for an axis without one."""
    arrays = [np.asarray(a, float) for a in (surface.amplitudes, surface.centers, surface.covariances)]
    for axis, period in enumerate(periods):
        if period is None:
            continue
        low, high = period
        amplitudes, centers, covariances = arrays
        reach = IMAGE_REACH * np.sqrt(covariances[:, axis, axis])
        parts = [(amplitudes, centers, covariances)]
        most = int(np.ceil(reach.max(initial=0.0) / (high - low))) + 1
        for shift in (side * n * (high - low) for n in range(1, most + 1) for side in (-1, 1)):
            there = centers[:, axis] + shift
            near = (there > low - reach) & (there < high + reach)
            moved = centers[near].copy()
            moved[:, axis] += shift
            parts.append((amplitudes[near], moved, covariances[near]))
        arrays = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return replace(surface, amplitudes=arrays[0], centers=arrays[1], covariances=arrays[2])
