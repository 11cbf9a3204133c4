"""Components in the same order in all maps of a batch, so that the map of a parameter is smooth.

A fit orders its components by falling volume, and where two volumes cross, the map of a centre jumps. Here the order
spreads from the best fitted map outwards: the map that is most like one of its ordered neighbours is next, and its
components get the places of those of all ordered neighbours by the assignment of least total distance
(`scipy.optimize.linear_sum_assignment`). The distance of two Gaussians is

    (c - c')^T ((Sigma + Sigma') / 2)^-1 (c - c') + sum_i log^2(w_i / w'_i) + (a - a')^2 / (a^2 + a'^2),

w the principal widths: centres in units of the widths, then widths and amplitudes as ratios.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from .._many.batch_record import Results
from .._many.batch_result import BatchResult
from .._many.map_numbers import BatchArrays


def matched(batch: BatchResult) -> BatchResult:
    """The batch with components ordered alike; see `BatchResult.matched`."""
    options = batch.results.ends.options
    if not len(batch.results):
        return batch
    if options is not None and options.constraints.keep_order:
        return replace(batch, joined=True)  # the user knows them one by one
    order = _Order(batch)
    places = order.found()
    ends, numbers = batch.results.ends, batch.results.numbers
    surfaces = BatchArrays(*(array.copy() for array in ends.surfaces))
    for flat, row in zip(numbers, places, strict=True):
        for new, old in zip(surfaces[:3], ends.surfaces[:3], strict=True):
            new[flat] = old[flat][row]
    results = Results(batch.results.source, replace(ends, surfaces=surfaces), numbers, {})
    return replace(batch, results=results, joined=True)


# Entries of the matrices of pairs of components that are solved at once: some arrays of 8 MB.
PAIR_ENTRIES_AT_ONCE = 2**20


@dataclass(eq=False)
class _Order:
    """Which component of each map stands at each place, as far as it is known.

    ``seen`` holds for each map the components at all places: its own, and where it has none those of the neighbour that
    it was ordered by, so that a component which is missing in between finds its place again.
    """

    batch: BatchResult
    places: dict[int, np.ndarray] = field(default_factory=dict)
    seen: dict[int, BatchArrays] = field(default_factory=dict)

    def __post_init__(self) -> None:
        batch = self.batch
        n = len(batch.results)
        self.arrays = BatchArrays(
            *(array.reshape(n, *array.shape[len(batch.shape) :]) for array in BatchArrays.of(batch)),
        )
        self.there: np.ndarray = batch.active.reshape(n, -1)
        self.whole: np.ndarray = np.asarray(self.there.all(axis=1))
        self.along = self._pairs_along()

    def _pairs_along(self) -> dict[int, np.ndarray]:
        """By the distance of their numbers, distances (n, K, K) of maps to the next ones along an axis, where both have
        all components; NaN elsewhere.
        """
        n, room = self.there.shape
        found = {}
        for step, ones in _next_along(self.batch.shape):
            ones = ones[self.whole[ones] & self.whole[ones + step]]
            found[step] = np.full((n, room, room), np.nan)
            found[step][ones] = pair_distances(self.arrays[:3], ones, ones + step)
        return found

    def found(self) -> np.ndarray:
        """For each map (n, K) the component at each place."""
        room = self.there.shape[1]
        for start in self._by_misfit():
            if start not in self.places:
                self._spread(start)
        return np.array([self.places.get(n, np.arange(room)) for n in range(len(self.there))]).reshape(
            len(self.there), room
        )

    def _by_misfit(self) -> np.ndarray:
        """Maps with a fit: most components first, then the lowest cost a point."""
        batch = self.batch
        misfit = (batch.cost / np.maximum(batch.n_used, 1)).ravel()
        order = np.lexsort((misfit, -batch.n_components.ravel()))
        fitted = np.asarray(self.there.any(axis=1))
        return np.asarray(order[fitted[order]])

    def _spread(self, start: int) -> None:
        self._put(start, np.arange(self.there.shape[1]), None)
        waiting: list[tuple[float, int, int]] = []
        self._look_around(start, waiting)
        while waiting:
            _, flat, by = heapq.heappop(waiting)
            if flat not in self.places:
                around = [n for n in self._neighbours(flat) if n in self.places]
                total = sum(self._distances(n, flat) for n in around)
                self._put(flat, _assigned(np.asarray(total))[0], by)
                self._look_around(flat, waiting)

    def _look_around(self, flat: int, waiting: list[tuple[float, int, int]]) -> None:
        for n in self._neighbours(flat):
            if n not in self.places and self.there[n].any():
                heapq.heappush(waiting, (_assigned(self._distances(flat, n))[1], n, flat))

    def _put(self, flat: int, places: np.ndarray, by: int | None) -> None:
        own = self.arrays._replace(
            amplitudes=self.arrays.amplitudes[flat][places],
            centers=self.arrays.centers[flat][places],
            covariances=self.arrays.covariances[flat][places],
        )
        if by is not None:
            missing = ~self.there[flat][places]
            for array, other in zip(own[:3], self.seen[by][:3], strict=True):
                array[missing] = other[missing]
        self.places[flat], self.seen[flat] = places, own

    def _neighbours(self, flat: int) -> Iterator[int]:
        shape = self.batch.shape
        index = np.unravel_index(flat, shape) if shape else ()
        for axis, at in enumerate(index):
            for other in (at - 1, at + 1):
                if 0 <= other < shape[axis]:
                    yield int(np.ravel_multi_index((*index[:axis], other, *index[axis + 1 :]), shape))

    def _distances(self, ordered: int, flat: int) -> np.ndarray:
        """Of the components at each place of one map to those of another (K, K); 0 where either is missing."""
        if self.whole[ordered] and self.whole[flat]:
            step = abs(flat - ordered)
            known = self.along[step][min(flat, ordered)]
            return np.asarray((known if ordered < flat else known.T)[self.places[ordered]])
        one, other = self.seen[ordered], BatchArrays(*(array[flat] for array in self.arrays))
        kept, there = ~np.isnan(one.amplitudes), self.there[flat]
        found = np.zeros((len(kept), len(there)))
        found[np.ix_(kept, there)] = distances(
            *(array[kept] for array in one[:3]), *(array[there] for array in other[:3])
        )
        return found


def _next_along(shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    """For each axis, from a map to the next one: the difference of their numbers, and the maps that have a next one."""
    numbers = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    for axis, n in enumerate(shape):
        if n > 1:
            yield int(np.prod(shape[axis + 1 :], dtype=int)), numbers.take(np.arange(n - 1), axis=axis).ravel()


def _assigned(costs: np.ndarray) -> tuple[np.ndarray, float]:
    """The column of each row that makes the total least, and that total."""
    rows, columns = linear_sum_assignment(costs)
    return columns, float(costs[rows, columns].sum())


def distances(
    a: np.ndarray, centers: np.ndarray, shapes: np.ndarray, b: np.ndarray, others: np.ndarray, other_shapes: np.ndarray
) -> np.ndarray:
    """Distances (..., K, L) of K components to L others, as the module's docstring has them."""
    apart = centers[..., :, None, :] - others[..., None, :, :]
    mean = (shapes[..., :, None, :, :] + other_shapes[..., None, :, :, :]) / 2
    offset = (apart * np.linalg.solve(mean, apart[..., None])[..., 0]).sum(axis=-1)
    widths, other_widths = (np.log(np.linalg.eigvalsh(one)) / 2 for one in (shapes, other_shapes))
    ratios = ((widths[..., :, None, :] - other_widths[..., None, :, :]) ** 2).sum(axis=-1)
    size = a[..., :, None] ** 2 + b[..., None, :] ** 2
    heights = (a[..., :, None] - b[..., None, :]) ** 2 / np.where(size > 0, size, 1)
    return np.asarray(offset + ratios + heights)


def pair_distances(arrays: Sequence[np.ndarray], ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distances (n, K, K) of the components of n maps to those of n others, by their numbers; ``arrays`` are amplitudes
    (N, K), centers (N, K, d) and covariances (N, K, d, d), without gaps in these maps.
    """
    room, n_dim = arrays[1].shape[1:]
    at_once = max(1, PAIR_ENTRIES_AT_ONCE // max(1, room * n_dim) ** 2)
    found = np.empty((len(ones), room, room))
    for first in range(0, len(ones), at_once):
        some = slice(first, first + at_once)
        found[some] = distances(*(one[ones[some]] for one in arrays), *(one[others[some]] for one in arrays))
    return found
