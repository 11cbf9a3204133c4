"""What a fit of a map on disk gives: a `FitResult` whose data are averages over blocks of the map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from .._data.coverage import Shapes
from .._results.record import CONSTANT_ROUNDING_UNITS
from .._results.result import FitResult
from .setup import StandIn
from .survey import Survey

# What to do where a method would need the heights of all points.
WAY_OUT = "fit a part of the map that memory holds, or call `surface(points)` window by window"


@dataclass(frozen=True, eq=False, repr=False)
class StreamedResult(FitResult):
    """The surface that was fitted to a map which is not held in memory.

    ``surface``, ``cost``, ``rmse``, ``r2``, ``n_points`` and the history are those of all points. ``data`` are averages
    over blocks of the map, which pictures, `view` and `misfits` show. What would need the residuals of all points
    raises a ValueError.

    whole : the counts, mean and spread of the map, as `Survey`.
    """

    whole: Survey = None  # type: ignore[assignment]

    @property
    def n_points(self) -> int:
        return self.whole.n_points

    @property
    def n_nan(self) -> int:
        return self.whole.n_nan

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return tuple(len(axis) for axis in self.whole.axes)

    @cached_property
    def rmse(self) -> float:
        return float(np.sqrt(2 * self.cost / self.n_points))

    @cached_property
    def r2(self) -> float:
        spread, size = self.whole.deviation, float(np.hypot(self.whole.mean, self.whole.deviation))
        if spread <= CONSTANT_ROUNDING_UNITS * float(np.finfo(float).eps) * size:
            return 1.0 if self.rmse <= CONSTANT_ROUNDING_UNITS * size else 0.0
        return 1 - (self.rmse / spread) ** 2

    def predict(self, points: Any = None) -> Any:
        """Heights of the fitted surface at points (..., d), which must be given: the map's are too many."""
        if points is None:
            _refuse("`predict` without points")
        return np.asarray(self.surface(points))

    @property
    def residuals(self) -> Any:
        """Not to be had: they are as many as the points of the map."""
        _refuse("`residuals`")

    def bootstrap(self, n_samples: int = 200, *, seed: int = 0) -> Any:
        _refuse("`bootstrap`")

    def sensitivity(self, hessian: str = "exact") -> Any:
        _refuse("`sensitivity`")

    @property
    def diagnostics(self) -> Any:
        _refuse("`diagnostics`")

    @cached_property
    def _shapes(self) -> Shapes:
        surface, data = self.surface, StandIn.of(self.whole)
        return Shapes.of(data, np.asarray(surface.centers, float), np.asarray(surface.covariances, float))


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"{what} needs the heights of all points, and this fit read them from disk: {WAY_OUT}")
