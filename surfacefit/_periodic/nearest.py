"""Lengths of periods, offsets to the nearest images, and points moved into one period; NumPy, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from .._base.checks import positive_number

Periods = tuple[Any, ...]
"""A period for each axis, None for an open one."""


def check_lengths(name: str, periods: Any, n_dim: int) -> None:
    """Refuses periods of a surface that are no positive lengths, one or None for each axis; those that JAX traces have
    no value to look at.
    """
    single = isinstance(periods, str | bytes) or not isinstance(periods, Sequence | np.ndarray)
    if single or len(periods) != n_dim:
        raise ValueError(
            f"`{name}` of a surface must be one for each of its {n_dim} axes, None for an open one, got {periods!r}"
        )
    for period in periods:
        if period is not None and not isinstance(period, jax.core.Tracer):
            positive_number(name, period)


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
