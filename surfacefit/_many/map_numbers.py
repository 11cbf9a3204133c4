"""Where the fits of all maps ended, as arrays, and what follows from that for many maps at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._base.status import Status
from .._model.background import BackgroundModel, ConstantBackground, NoBackground
from .._model.gaussian import profile
from .._model.surface import GaussianSurface, inverse_lower, whitened
from .._problem.model_spec import ModelOptions
from .._results.record import CONSTANT_ROUNDING_UNITS, EXACT_RMSE
from .._statistics.statistics import MIN_RELATIVE_SCALE
from .stack import MapStack, shifts_of

# Values of single components at single points that are computed at once: some arrays of 4 MB, near a core.
ELEMENTS_AT_ONCE = 2**19


class BatchArrays(NamedTuple):
    """Numbers of all maps, or their standard errors: amplitudes (..., K), centers (..., K, d), covariances
    (..., K, d, d) and the free numbers of the background (..., m).
    """

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: np.ndarray

    @classmethod
    def of(cls, batch: Any) -> BatchArrays:
        """Those of a batch, in memory or lazy."""
        return cls(batch.amplitudes, batch.centers, batch.covariances, batch.background)

    @property
    def most(self) -> int:
        """Components that there is room for."""
        return int(self.amplitudes.shape[-1])


class BatchErrors(NamedTuple):
    """Standard errors of the numbers of that name, over the batch axes."""

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: np.ndarray
    volumes: np.ndarray


@dataclass(eq=False)
class MapEnds:
    """Where the fits of n maps ended, in the user's units; NaN or 0 where there is none.

    ``surfaces``, with ``model``, the background of one of them; n_components, status, cost, penalty, steps,
    n_parameters and n_used (n,); seconds (n, 2) on start and steps; ``options``, what was fitted, None if nothing.
    """

    surfaces: BatchArrays
    n_components: np.ndarray
    status: np.ndarray
    cost: np.ndarray
    penalty: np.ndarray
    steps: np.ndarray
    n_parameters: np.ndarray
    n_used: np.ndarray
    seconds: np.ndarray
    model: BackgroundModel
    options: ModelOptions | None

    @classmethod
    def nothing(cls, n: int, most: int, n_dim: int, model: BackgroundModel, options: ModelOptions | None) -> MapEnds:
        """No end for any of n maps with up to ``most`` components."""
        shapes = [(most,), (most, n_dim), (most, n_dim, n_dim), (np.size(model.vector()),)]
        return cls(
            surfaces=BatchArrays(*(np.full((n, *shape), np.nan) for shape in shapes)),
            n_components=np.zeros(n, int),
            status=np.full(n, int(Status.RUNNING), np.uint8),
            cost=np.full(n, np.nan),
            penalty=np.zeros(n),
            steps=np.zeros(n, int),
            n_parameters=np.zeros(n, int),
            n_used=np.zeros(n, int),
            seconds=np.zeros((n, 2)),
            model=model,
            options=options,
        )

    @property
    def fitted(self) -> np.ndarray:
        """Which maps have an end."""
        return ~np.isnan(self.cost)

    def put(self, places: np.ndarray | slice, some: MapEnds) -> None:
        """Writes the ends of some maps to places, a slice of all or their numbers."""
        kept = places if isinstance(places, slice) else _side_by_side(places)
        for whole, part in zip(named_arrays(self).values(), named_arrays(some).values(), strict=True):
            whole[kept] = part

    def surface(self, flat: int, model: BackgroundModel) -> GaussianSurface:
        """The surface of a map, over its own background ``model``."""
        there = ~np.isnan(self.surfaces.amplitudes[flat])
        some = [np.array(array[flat, there]) for array in self.surfaces[:3]]
        held = model.with_vector(np.array(self.surfaces.background[flat]))
        return GaussianSurface(some[0], some[1], some[2], None if isinstance(held, NoBackground) else held)


def _side_by_side(places: np.ndarray) -> np.ndarray | slice:
    """Numbers of maps, as a slice where they follow on each other: 1,024 are written in 7 us instead of 59."""
    follow = len(places) > 0 and bool((np.diff(places) == 1).all())
    return slice(int(places[0]), int(places[-1]) + 1) if follow else places


def some_ends(ends: MapEnds, places: Any) -> MapEnds:
    """The ends of the maps at some places."""
    own = {one.name: getattr(ends, one.name) for one in fields(ends)}
    rows = {name: one[places] for name, one in own.items() if isinstance(one, np.ndarray)}
    return replace(ends, surfaces=BatchArrays(*(one[places] for one in ends.surfaces)), **rows)


def named_arrays(ends: MapEnds) -> dict[str, np.ndarray]:
    """All arrays (n, ...) of some ends by name, those of the surfaces first."""
    own = {one.name: getattr(ends, one.name) for one in fields(ends)}
    return ends.surfaces._asdict() | {name: one for name, one in own.items() if isinstance(one, np.ndarray)}


@dataclass(frozen=True, eq=False)
class MapNumbers:
    """Numbers of the maps ``numbers`` (n,), NaN where a map has no end."""

    stack: MapStack
    ends: MapEnds
    numbers: np.ndarray

    @property
    def in_bulk(self) -> bool:
        """Whether the backgrounds of all maps are told by their numbers alone."""
        return isinstance(self.ends.model, NoBackground | ConstantBackground)

    @cached_property
    def rmse(self) -> np.ndarray:
        return self._misfits[:, 0]

    @cached_property
    def r2(self) -> np.ndarray:
        """As `FitResult.r2`."""
        rmse, _, spread, size, *_ = self._misfits.T
        constant = spread <= CONSTANT_ROUNDING_UNITS * float(np.finfo(float).eps) * size
        met = np.where(rmse <= EXACT_RMSE * size, 1.0, 0.0)
        known = np.where(constant, met, 1 - (rmse / np.where(spread > 0, spread, 1)) ** 2)
        return np.where(np.isnan(rmse), np.nan, known)

    @cached_property
    def bic(self) -> np.ndarray | None:
        """As `FitStatistics.bic`; None under a prior and for counts."""
        ends, options = self.ends, self.ends.options
        if options is None:
            return np.full(len(self.numbers), np.nan)
        if options.prior is not None or options.loss == "poisson":
            return None
        _, weighted, _, _, size, logs = self._misfits.T
        n, free, chi2 = (array[self.numbers] for array in (ends.n_used, ends.n_parameters, 2 * ends.cost))
        n = np.maximum(n, 1)
        if self.stack.absolute_sigma:
            deviance = chi2 + n * np.log(2 * np.pi) - 2 * logs
            return free * np.log(n) + deviance
        scale = weighted if options.loss == "linear" else np.sqrt(chi2 / n)
        scale = np.maximum(np.maximum(scale, MIN_RELATIVE_SCALE * size), np.finfo(float).tiny)
        return (free + 1) * np.log(n) + n * (np.log(2 * np.pi) + 2 * np.log(scale) + 1) - 2 * logs

    @cached_property
    def _misfits(self) -> np.ndarray:
        """Columns (n, 6): root mean squares of residuals, of weighted residuals, of heights about their mean, of
        heights and of weighted heights, and the sum of the logarithms of the weights.
        """
        found = np.full((len(self.numbers), 6), np.nan)
        for places in self._groups():
            flats = self.numbers[places]
            heights, used, weights = self.stack.block(flats)
            misfits = np.where(used, heights - self._fitted(flats, heights.shape), 0)
            count, heights = used.sum(axis=1), np.where(used, heights, 0)
            means = heights.sum(axis=1) / count
            logs = np.log(np.where(used, weights, 1)).sum(axis=1)
            columns = (misfits, misfits * weights, np.where(used, heights - means[:, None], 0), heights)
            found[places] = np.stack([*(_sizes(c, count) for c in (*columns, heights * weights)), logs], axis=1)
        return found

    def _groups(self) -> Iterator[np.ndarray]:
        """Places of maps that have an end, some of one shape at a time."""
        known = np.flatnonzero(self.ends.fitted[self.numbers])
        if self.stack.shares_points or shifts_of(self.stack) is not None:
            size = self.stack.maps[0].size * max(1, self.ends.surfaces.most)
            at_once = max(1, ELEMENTS_AT_ONCE // size)
            yield from (known[first : first + at_once] for first in range(0, len(known), at_once))
        else:
            yield from known[:, None]

    def _fitted(self, flats: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Heights (B, N) of the surfaces of maps of one shape at all of their points."""
        ends, points = self.ends, self.stack.all_points(int(flats[0]))
        there = ~np.isnan(ends.surfaces.amplitudes[flats])
        eye = np.eye(points.shape[1])
        factors = np.linalg.cholesky(np.where(there[..., None, None], ends.surfaces.covariances[flats], eye))
        inverse = inverse_lower(factors)
        centers, amplitudes = (
            np.where(_like(there, a[flats]), a[flats], 0) for a in (ends.surfaces.centers, ends.surfaces.amplitudes)
        )
        shifts = shifts_of(self.stack)
        if shifts is not None:  # as if all were at the place of the first
            centers = centers - (shifts[flats] - shifts[flats[0]])[:, None]
        total = self._background(flats, shape)
        with np.errstate(over="ignore", invalid="ignore"):  # far away a squared distance may be infinite
            for k in range(there.shape[1]):
                squares: Any = sum(u * u for u in whitened(points, centers[:, k], inverse[:, k]))
                total += amplitudes[:, k, None] * profile(squares)
        return total

    def _background(self, flats: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        vectors = self.ends.surfaces.background[flats]
        level = vectors[:, 0] if vectors.shape[1] else np.zeros(len(flats))
        return np.broadcast_to(level[:, None], shape).copy()


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape(*mask.shape, *(1,) * (array.ndim - mask.ndim))


def _sizes(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Root mean squares (B,) of values (B, N), of which so many count, whose squares may be no numbers."""
    largest = np.abs(values).max(axis=1)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    return np.where(largest > 0, safe * np.sqrt(((values / safe[:, None]) ** 2).sum(axis=1) / count), largest)
