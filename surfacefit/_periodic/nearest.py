"""Offsets to the nearest images, and points moved into one period; NumPy, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of a period: gap in the data beyond which their two ends have next to nothing to do with each other.
OPEN_PERIOD_SHARE = 0.5

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


def start_of_arc(column: np.ndarray, period: float) -> float | None:
    """The coordinate where coordinates (N,) begin that leave more than half of the period free; None for others."""
    places, first = np.unique(column % period, return_index=True)
    gaps = np.diff(places, append=places[0] + period)
    widest = int(np.argmax(gaps))
    if not OPEN_PERIOD_SHARE * period < gaps[widest] < period:
        return None
    return float(column[first[(widest + 1) % len(places)]])


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
