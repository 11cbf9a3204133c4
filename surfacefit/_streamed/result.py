"""What a fit of a map on disk gives: a `FitResult` whose data are averages over blocks of the map.

Standard errors are those of a fit to the averages, each of which weighs as much as its points, with the variance of a
residual of all points: J^T J is summed over blocks instead of points, which changes it by (b / w)^2 / 24 or so for
components of a width w and blocks of a side b. Where the map is small enough for blocks of one point they are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from .._base.checks import count, finite, not_negative
from .._base.information_criteria import aic, aicc, bic, with_variance
from .._results.record import CONSTANT_ROUNDING_UNITS, FLOOR_TOLERANCE, UNRESOLVED_SAMPLES
from .._results.result import FitResult
from .._statistics.statistics import FitStatistics
from .._statistics.uncertainty import Uncertainty
from .survey import Survey

# Blocks; a width from which sums over blocks stand for sums over points, to some per cent.
LEAST_WIDTH_BLOCKS = 1.5
# What to do where a method would need the heights of all points.
WAY_OUT = "fit a part of the map that memory holds, or call `surface(points)` window by window"


@dataclass(frozen=True, eq=False, repr=False)
class MapNumbers(FitResult):
    """What the survey of a map says of its fit; ``whole`` is that `Survey`."""

    whole: Survey = None  # type: ignore[assignment]

    @property
    def n_points(self) -> int:
        return self.whole.n_points

    @property
    def n_nan(self) -> int:
        return self.whole.n_nan

    @cached_property
    def rmse(self) -> float:
        return float(np.sqrt(2 * self.cost / self.n_points))

    @cached_property
    def r2(self) -> float:
        spread, size = self.whole.deviation, float(np.hypot(self.whole.mean, self.whole.deviation))
        if spread <= CONSTANT_ROUNDING_UNITS * float(np.finfo(float).eps) * size:
            return 1.0 if self.rmse <= CONSTANT_ROUNDING_UNITS * size else 0.0
        return 1 - (self.rmse / spread) ** 2

    @cached_property
    def at_floor(self) -> np.ndarray:
        return self._narrowest < (1 + FLOOR_TOLERANCE) * self.settings.min_width

    @cached_property
    def unresolved(self) -> np.ndarray:
        return self._narrowest < UNRESOLVED_SAMPLES

    @cached_property
    def _narrowest(self) -> np.ndarray:
        """The smallest principal width (K,) of each component, in distances of the map's points."""
        return np.sqrt(np.linalg.eigvalsh(_scaled(self.surface.covariances, self.whole.spacing))[:, 0])

    @cached_property
    def statistics(self) -> FitStatistics:
        n, p, chi2 = self.n_points, self.n_parameters, 2 * self.cost
        log_likelihood = -0.5 * n * (math.log(2 * math.pi) + 2 * math.log(max(self.rmse, np.finfo(float).tiny)) + 1)
        counted = with_variance(p, False)
        return FitStatistics(
            n_points=n,
            n_parameters=p,
            effective_parameters=float(p),
            degrees_of_freedom=n - p,
            chi2=chi2,
            reduced_chi2=chi2 / (n - p) if n > p else math.inf,
            log_likelihood=log_likelihood,
            aic=aic(-2 * log_likelihood, counted),
            aicc=aicc(-2 * log_likelihood, counted, n),
            bic=bic(-2 * log_likelihood, counted, n),
            r2=self.r2,
            rmse=self.rmse,
        )


@dataclass(frozen=True, eq=False, repr=False)
class StreamedResult(MapNumbers):
    """The surface that was fitted to a map which is not held in memory.

    ``surface``, ``cost``, ``rmse``, ``r2``, ``n_points`` and the history are those of all points. ``data`` are averages
    over blocks of the map, which pictures, `view` and `misfits` show. What would need the residuals of all points
    raises a ValueError.

    whole : the counts, mean and spread of the map, as `Survey`.
    """

    def predict(self, points: Any = None) -> Any:
        """Heights of the fitted surface at points (..., d), which must be given: the map's are too many."""
        if points is None:
            _refuse("`predict` without points")
        return np.asarray(self.surface(points))

    @property
    def residuals(self) -> Any:
        """Not to be had: they are as many as the points of the map."""
        _refuse("`residuals`")

    def _errors_by(self, argument: str, method: str) -> Uncertainty:
        if method not in ("hessian", "auto"):
            _refuse(f"`{argument}`={method!r}")
        narrowest, block = float(self._narrowest.min(initial=np.inf)), self.whole.block
        if block > 1 and narrowest < LEAST_WIDTH_BLOCKS * block:
            raise ValueError(
                f"errors of a map on disk are summed over blocks of {block} points a side, and the narrowest component"
                f" is {narrowest:.3g} points wide: fit a part of the map that memory holds"
            )
        return replace(self._of_averages.uncertainty(), distance=float("nan"))

    @cached_property
    def _of_averages(self) -> FitResult:
        """The surface as a fit of the averages with known errors."""
        averages, spare = self.whole.averages, max(1, self.n_points - self.n_parameters)
        sigma = np.sqrt(2 * self.cost / spare / np.maximum(self.whole.counts, 1))
        data = replace(averages, sigma=np.maximum(sigma, np.finfo(float).tiny ** 0.25), absolute_sigma=True)
        known = {one.name: getattr(self, one.name) for one in fields(FitResult)}
        return FitResult(**{**known, "data": data})

    @property
    def worth(self) -> np.ndarray:
        return self._of_averages.worth * 2 * self.cost / max(1, self.n_points - self.n_parameters)

    @property
    def redundant(self) -> np.ndarray:
        return self._of_averages.redundant

    def merged(self) -> FitResult:
        _refuse("`merged`")

    def bootstrap(self, n_samples: int = 200, *, seed: int = 0) -> Any:
        _refuse("`bootstrap`")

    def sensitivity(self, hessian: str = "exact") -> Any:
        _refuse("`sensitivity`")

    @property
    def diagnostics(self) -> Any:
        _refuse("`diagnostics`")


def _scaled(covariances: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Covariances (K, d, d) with axes in these units (d,)."""
    return np.asarray(covariances, float) / (unit[:, None] * unit[None, :])


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"{what} needs the heights of all points, and this fit read them from disk: {WAY_OUT}")


def read_result(known: FitResult, document: dict[str, Any]) -> StreamedResult:
    """The result of a file that holds `StreamedResult.document`; raises ValueError for one that cannot be right."""
    shape, data = tuple(document["shape"]), known.data
    block, corners, counts = document["block"], document["corners"], document["counts"]
    for name, at_least in (("n_points", 1), ("n_nan", 0), ("block", 1)):
        count(f"survey.{name}", document[name], at_least)
    coarse = tuple(-(-count("survey.shape", n) // block) for n in shape)
    if coarse != data.heights.shape or counts.shape != coarse or corners.shape != (2, data.n_dim):
        raise ValueError(f"`survey` must belong to averages of shape {data.heights.shape}, got {shape} by {block}")
    if document["n_points"] + document["n_nan"] != np.prod(shape, dtype=float):
        raise ValueError("`survey` must count every point of the map once")
    numbers = finite("survey", np.concatenate([corners.ravel(), [document["mean"], document["deviation"]]]))
    axes = tuple(np.linspace(low, high, n) for low, high, n in zip(*corners, shape, strict=True))
    whole = Survey(
        n_points=document["n_points"],
        n_nan=document["n_nan"],
        mean=float(numbers[-2]),
        deviation=not_negative("survey.deviation", float(numbers[-1])),
        averages=data,
        counts=finite("survey.counts", counts),
        block=block,
        points=np.zeros((0, data.n_dim)),
        heights=np.zeros(0),
        axes=axes,
    )
    return StreamedResult(**{one.name: getattr(known, one.name) for one in fields(FitResult)}, whole=whole)
