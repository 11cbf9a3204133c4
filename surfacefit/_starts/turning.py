"""Data of periodic axes from their highest point on, so that a fit does not depend on where a period is cut.

What is random or goes through points in their order begins at one place of the map, wherever its rows begin: a map that
is shifted round by whole cells is the same map here, to the last bit where its grid is even and fills the period.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._constraints.periods import coordinate_ends
from .._data.data import SurfaceData
from .._model.background import ConstantBackground
from .._model.surface import GaussianSurface
from .._periodic.nearest import Periods, start_of_arc, wrapped

# Of a step: how far the steps of a grid, and what is left of its period, may be from even ones.
EVEN_STEP_SHARE = 1e-6


class Turned(NamedTuple):
    """``data`` whose coordinates are those of ``given`` less an ``origin`` (d,), moved by whole ``periods``."""

    given: SurfaceData
    data: SurfaceData
    origin: np.ndarray
    periods: Periods | None

    @classmethod
    def of(cls, data: SurfaceData, periods: Periods | None, background: Any) -> Turned:
        """Data turned so that the highest point comes first along periodic axes, or the first one where they leave half
        of the period free; as they are for open axes, and for a ``background`` that knows places.
        """
        origin, level = np.zeros(data.n_dim), isinstance(background, str | None | ConstantBackground)
        if periods is None or not level:
            return cls(data, data, origin, None)
        closed = np.array([period is not None for period in periods])
        highest = int(np.argmax(np.where(data.used, data.heights, -np.inf)))
        if data.axes is None:
            assert data.points is not None
            begins = _begins(data.points.T, periods)
            origin = np.array([h if b is None else b for h, b in zip(data.points[highest], begins, strict=True)])
            origin = np.where(closed, origin, 0.0)
            turned = replace(data, points=wrapped(data.points - origin, np.zeros(data.n_dim), periods))
            return cls(data, turned, origin, periods)
        places = zip(np.unravel_index(highest, data.used.shape), _begins(data.axes, periods), data.axes, strict=True)
        first = [int(h) if b is None else int(np.searchsorted(axis, b)) for h, b, axis in places]
        shifts = np.where(closed & _are_turnable(data.axes, periods), first, 0)
        return cls(data, _rolled(data, shifts, periods), _first(data.axes, shifts, closed), periods)

    def away(self, surface: GaussianSurface) -> GaussianSurface:
        """A surface over the data that were given, as one over the turned data."""
        return surface if self.periods is None else replace(surface, centers=np.asarray(surface.centers) - self.origin)

    def home(self, surface: GaussianSurface) -> GaussianSurface:
        """A surface over the turned data as one over those given, with centres in the period from their lowest point
        on.
        """
        if self.periods is None:
            return surface
        centers = np.asarray(surface.centers) + self.origin
        return replace(surface, centers=wrapped(centers, coordinate_ends(self.given)[:, 0], self.periods))


def _begins(columns: Any, periods: Periods) -> list[float | None]:
    """Where the coordinates along each axis begin that leave half of the period free; None for other axes."""
    return [
        None if period is None else start_of_arc(np.asarray(column, float), float(period))
        for column, period in zip(columns, periods, strict=True)
    ]


def _are_turnable(axes: tuple[np.ndarray, ...], periods: Periods) -> np.ndarray:
    """Which axes (d,) have no two coordinates a whole period apart."""
    ends = [(axis[-1] - axis[0], axis[1] - axis[0] if len(axis) > 1 else 0.0) for axis in axes]
    return np.array(
        [p is not None and extent < p - EVEN_STEP_SHARE * step for (extent, step), p in zip(ends, periods, strict=True)]
    )


def _first(axes: tuple[np.ndarray, ...], shifts: np.ndarray, closed: np.ndarray) -> np.ndarray:
    return np.array([axis[n] if one else 0.0 for axis, n, one in zip(axes, shifts, closed, strict=True)])


def _rolled(data: SurfaceData, shifts: np.ndarray, periods: Periods) -> SurfaceData:
    assert data.axes is not None
    every = tuple(range(len(shifts)))

    def rolled(array: np.ndarray | None) -> Any:
        return None if array is None else np.roll(array, tuple(-int(n) for n in shifts), every)

    axes = tuple(
        axis if period is None else _from_zero(axis, int(n), float(period))
        for axis, n, period in zip(data.axes, shifts, periods, strict=True)
    )
    return replace(data, heights=rolled(data.heights), used=rolled(data.used), sigma=rolled(data.sigma), axes=axes)


def _from_zero(axis: np.ndarray, first: int, period: float) -> np.ndarray:
    """An axis from one of its coordinates on, which becomes 0; even and whole ones to the last bit."""
    step = period / len(axis)
    if np.allclose(np.diff(axis), step, rtol=EVEN_STEP_SHARE, atol=0):
        return np.arange(len(axis)) * step
    return np.concatenate([axis[first:] - axis[first], axis[:first] + (period - axis[first])])
