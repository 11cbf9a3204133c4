"""Offsets to the nearest images, and points moved into one period; NumPy, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

Periods = tuple[Any, ...]
"""A period for each axis, None for an open one."""


def nearest_offsets(offsets: np.ndarray, periods: Periods | None) -> np.ndarray:
    """Offsets (..., d) to the nearest images."""
    if periods is None:
        return offsets
    found = np.array(offsets, float)
    for axis, period in enumerate(periods):
        if period is not None:
            found[..., axis] -= period * np.round(found[..., axis] / period)
    return found


def wrapped(points: np.ndarray, low: np.ndarray, periods: Periods | None) -> np.ndarray:
    """Points (..., d) moved by whole periods to between ``low`` (d,) and a period above it."""
    if periods is None:
        return points
    found = np.array(points, float)
    for axis, period in enumerate(periods):
        if period is not None:
            column = found[..., axis]
            moved = column - period * np.floor((column - low[axis]) / period)
            found[..., axis] = np.where(moved >= low[axis] + period, low[axis], moved)  # by rounding
    return found
