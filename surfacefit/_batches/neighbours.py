"""Starts from neighbouring maps, without a sequence: a coarse lattice of maps first, then ever finer ones.

1. Every eighth map along each axis of the batch is fitted from growth and a short search.
2. The maps of the lattice of half the distance are fitted from growth, and where that ends unlike the nearest map that
   has been fitted, from there, too; the lower cost is kept. So on until all maps are reached.
3. Sweeps: a map whose components are unlike those of a neighbour is fitted from that neighbour's, too, and the lower
   cost is kept. Maps beside one that has changed are looked at again.

No map waits for its neighbour within a lattice, and a wrong neighbour can only be a start more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from .._base.status import Status
from .._many.batch_result import BatchResult
from .._many.fit_many import BatchWork, work_of
from .._many.map_numbers import MapEnds
from .._model.surface import GaussianSurface
from .matching import pair_distances

# Maps from one of the first lattice to the next along an axis: one in 64 of an image then gets the longest search.
FIRST_STRIDE = 8

# Distance of matched components, squared centre distance in widths and squared ratios together, above which two maps
# count as unlike: half a width, or a width or amplitude by half.
UNLIKE_DISTANCE = 0.25

# Sweeps against neighbours: what spreads farther than so many maps has been met on the lattices.
MOST_SWEEPS = 8


def fit_from_neighbours(options: dict[str, Any]) -> BatchResult:
    """The result of `fit_many` with ``init="neighbours"``."""
    work = lattice_work(options)
    try:
        return fit_on_lattices(work)
    finally:
        work.watch.bar.close()


def lattice_work(options: dict[str, Any]) -> BatchWork:
    """The work that the arguments of `fit_many` ask for."""
    return work_of({**options, "init": "growth"})


def fit_on_lattices(work: BatchWork) -> BatchResult:
    """The result of some work."""
    grid = _Lattices(work)
    grid.solve()
    return replace(work.result(grid.ends), joined=True)


@dataclass(eq=False)
class _Lattices:
    """The maps of a batch as far as they are fitted, ``ends``."""

    work: BatchWork
    ends: MapEnds = field(init=False)

    def __post_init__(self) -> None:
        stack = self.work.batch.stack
        self.ends = self.work.batch.no_ends(len(stack), self.work.first)
        self.indices = np.indices(stack.shape).reshape(len(stack.shape), -1).T

    def solve(self) -> None:
        reached = np.zeros(len(self.indices), bool)
        searched = replace(self.work.batch, starts=["auto"] * len(self.indices))
        for stride in self._strides():
            on_lattice = (self.indices % stride == 0).all(axis=1)
            flats = np.flatnonzero(on_lattice & ~reached)
            if not reached.any():
                self._put(flats, self.work.ends(flats.tolist(), searched))
            else:
                self._put(flats, self.work.ends(flats.tolist()))
                self._from_others(self._unlike(self._nearest(flats, reached)))
            reached |= on_lattice
        changed = np.flatnonzero(self.ends.fitted)
        for _ in range(MOST_SWEEPS):
            changed = self._sweep(changed)
        self.ends.status[self.ends.status == int(Status.RUNNING)] = int(self.work.watch.told)

    def _strides(self) -> Iterator[int]:
        stride = FIRST_STRIDE
        while stride >= 1:
            yield stride
            stride //= 2

    def _put(self, flats: np.ndarray, some: MapEnds) -> None:
        """Keeps the ends of maps of these numbers, where they are lower than what there is."""
        cost = np.nan_to_num(some.cost, nan=np.inf)
        better = ~self.ends.fitted[flats] | (cost < np.nan_to_num(self.ends.cost[flats], nan=np.inf))
        for one in fields(MapEnds):
            whole, part = getattr(self.ends, one.name), getattr(some, one.name)
            if isinstance(whole, np.ndarray):
                whole[flats[better]] = part[better]
        for whole, part in zip(self.ends.surfaces, some.surfaces, strict=True):
            whole[flats[better]] = part[better]

    def _nearest(self, flats: np.ndarray, reached: np.ndarray) -> np.ndarray:
        """Pairs (n, 2) of a map and the nearest one of as many components that has been fitted."""
        pairs = [np.zeros((0, 2), int)]
        counts, known = self.work.batch.counts, reached & self.ends.fitted
        for count in np.unique(counts[flats]):
            some, others = flats[counts[flats] == count], np.flatnonzero(known & (counts == count))
            if len(others):
                _, places = cKDTree(self.indices[others]).query(self.indices[some])
                pairs.append(np.stack([some, others[places]], axis=1))
        whole = np.concatenate(pairs)
        return whole[self.ends.fitted[whole[:, 0]]]

    def _from_others(self, pairs: np.ndarray) -> np.ndarray:
        """Fits maps from where others ended, by pairs (n, 2) of both; gives the maps that are lower now."""
        starts: list[GaussianSurface | str] = list(self.work.batch.starts)
        for flat, other in pairs.tolist():
            starts[flat] = self._surface(other)
        flats, before = pairs[:, 0], self.ends.cost.copy()
        watch, self.work.watch.counting = self.work.watch, False
        self._put(flats, self.work.ends(flats.tolist(), replace(self.work.batch, starts=starts)))
        watch.counting = True
        return flats[self.ends.cost[flats] < before[flats]]

    def _surface(self, flat: int) -> GaussianSurface:
        return self.ends.surface(flat, self.ends.model)

    def _sweep(self, changed: np.ndarray) -> np.ndarray:
        """Tries maps beside those that have changed from neighbours that they are unlike; gives the maps that are lower
        now.
        """
        waiting, lower = self._unlike(self._beside(changed)), np.zeros(len(self.indices), bool)
        while len(waiting) and self.work.watch.told == Status.RUNNING:
            _, now = np.unique(waiting[:, 0], return_index=True)  # one start a map at a time
            lower[self._from_others(waiting[now])] = True
            waiting = np.delete(waiting, now, axis=0)
        return np.flatnonzero(lower)

    def _beside(self, others: np.ndarray) -> np.ndarray:
        """Pairs (n, 2) of neighbours, with as many components and fitted, of some maps, and these."""
        shape, ends, pairs = self.work.batch.stack.shape, self.ends, [np.zeros((0, 2), int)]
        fitted = ends.fitted
        for axis, length in enumerate(shape):
            for step in (-1, 1):
                at = self.indices[others, axis] + step
                some = others[(at >= 0) & (at < length)]
                pairs.append(np.stack([some + step * int(np.prod(shape[axis + 1 :], dtype=int)), some], axis=1))
        flats, beside = np.concatenate(pairs).T
        known = fitted[flats] & fitted[beside] & (ends.n_components[flats] == ends.n_components[beside])
        return np.stack([flats, beside], axis=1)[known]

    def _unlike(self, pairs: np.ndarray) -> np.ndarray:
        """Those pairs (n, 2) of maps with as many components whose components, matched, are not all alike."""
        counts, kept = self.ends.n_components[pairs[:, 0]], np.zeros(len(pairs), bool)
        for count in np.unique(counts[counts > 0]):
            some = np.flatnonzero(counts == count)
            arrays = [array[:, :count] for array in self.ends.surfaces[:3]]
            apart = pair_distances(arrays, pairs[some, 0], pairs[some, 1])
            unlike = apart.diagonal(axis1=1, axis2=2).max(axis=1) > UNLIKE_DISTANCE  # places may differ, though
            unlike[unlike] = [one[linear_sum_assignment(one)].max() > UNLIKE_DISTANCE for one in apart[unlike]]
            kept[some] = unlike
        return pairs[kept]
