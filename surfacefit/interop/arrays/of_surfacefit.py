"""A `surfacefit.Map`, as `surfacefit.read` gives it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map, MapBack
from .opening import Opened, axis_names


def opened(heights: Any, beside: Opened) -> Opened:
    """Everything that a map holds; what is given beside it comes first, and masks add up."""
    if not isinstance(heights, Map):
        return replace(beside, heights=heights)
    labels = heights.labels or Labels(axis_names(heights.n_dim), ("",) * heights.n_dim)
    if beside.coords is not None:
        labels = replace(labels, transform=(), wcs="")
        heights = replace(heights, coords=beside.coords)
    masks = [mask for mask in (heights.mask, beside.mask) if mask is not None]
    return replace(
        beside,
        heights=heights.heights,
        points=heights.points,
        coords=heights.coords,
        mask=np.logical_or(*masks) if len(masks) > 1 else (masks[0] if masks else None),
        sigma=heights.sigma if beside.sigma is None else beside.sigma,
        labels=replace(labels, back=MapBack(heights)),
    )
