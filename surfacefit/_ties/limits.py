"""Limits of free numbers: those of parameters that are free as they are, and those of logarithms of widths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._model.covariance.base import LEAST_EXCESS
from .._model.step_lengths import near_floor
from .tied_map import TiedMap

# Of the least excess of a width over its floor: up to this it counts as at the floor, as in `_problem/problem`.
FLOOR_MET = 1.1
# Units of rounding of a number of order one within which it counts as at a limit: a few, since clipping gives the limit
# itself.
LIMIT_ROUNDINGS = 8


def limited(tied: TiedMap, sides: list[np.ndarray], widths: tuple[float, float]) -> TiedMap:
    """With limits: those of parameters ``sides`` (P,) of low and high, and of the logarithms of ``widths``."""
    places, dtype = tied.plan.places, tied.base.dtype
    logs = np.isin(tied.plan.free, places.widths[tied.plan.turned])
    ends = []
    for side, width, end in zip(sides, np.log(widths), (-np.inf, np.inf), strict=True):
        own = np.where(tied.is_turned, end, np.asarray(side)[tied.plan.free])
        ends.append(np.where(logs, width, own).astype(dtype))
    return replace(tied, low=ends[0], high=ends[1])


def at_limit(tied: TiedMap, theta: Any, gradient: Any, near: float = 0.0) -> Any:
    """Which free numbers (T,) stand at a limit that the negative gradient would cross, within ``near`` one."""
    room = near + LIMIT_ROUNDINGS * float(np.finfo(tied.base.dtype).eps)
    floor = near_floor(tied.parts, FLOOR_MET * LEAST_EXCESS)[tied.plan.free]
    at_low = (theta <= tied.low + room) | (~tied.is_turned & (theta <= floor))
    return (at_low & (gradient >= 0)) | ((theta >= tied.high - room) & (gradient <= 0))
