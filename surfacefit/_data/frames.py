"""Does a volume look like a stack of frames? Along its first axis neighbours are far less alike than along others."""

from __future__ import annotations

import numpy as np

# Of the least correlation between neighbours along the other axes: below, the first axis counts frames. A movie of
# single molecules has 0.57, a density map 0.95.
FRAMES_SHARE = 2 / 3
# Correlation between neighbours along the other axes from which frames show structure at all, and not only noise.
LEAST_CORRELATION = 0.3
# Numbers of axes, and of frames along the first, from which a volume may be a stack of frames.
LEAST_AXES, LEAST_FRAMES = 3, 3


def looks_like_frames(heights: np.ndarray, used: np.ndarray) -> bool:
    """Whether an array of three or more axes looks like frames along its first axis."""
    if heights.ndim < LEAST_AXES or heights.shape[0] < LEAST_FRAMES:
        return False
    values = np.where(used, heights, 0.0).astype(float)
    deviations = np.where(used, values - values.sum() / max(np.count_nonzero(used), 1), 0.0)
    first, *others = (_neighbour_correlation(deviations, used, axis) for axis in range(heights.ndim))
    return min(others) > LEAST_CORRELATION and first < FRAMES_SHARE * min(others)


def _neighbour_correlation(deviations: np.ndarray, used: np.ndarray, axis: int) -> float:
    """The correlation between neighbours along an axis, over pairs of which both are used."""
    ahead, behind = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
    pairs = used[ahead] & used[behind]
    squares = float(np.mean(deviations[used] ** 2)) if used.any() else 0.0
    if not pairs.any() or not squares:
        return 0.0
    return float(np.mean((deviations[ahead] * deviations[behind])[pairs])) / squares
