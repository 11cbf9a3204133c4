"""A pass over a map on disk: every point is read once, and gives its part of the cost and of the gradient.

Windows are read and summed by some threads at once, and added up in their own order, so that the number of threads
changes no bit. The lists of components are made window by window, with no room to move: a pass serves one set of
parameters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import jax
import numpy as np

from .._base.compile import rounded_up
from .._base.precision import precision
from .._data.unread_map import Window
from .._lists.overlaps import EvenGrid
from .._lists.pairs import Ellipsoids, cutoff_radii, ragged, tile_pairs
from .._lists.tiles import Tiling
from .._model.parameters import Components, n_monomials
from .._model.scaling import Scaling
from .._system.program_limits import give_memory_back
from .map_reader import MapReader, lengths_of
from .window_sums import MEMBERS_AT_ONCE, MapSums, WindowPlan, summed

# Places that compiled code takes at once, tiles times members times places of a tile: little enough for a core's cache.
PLACES_AT_ONCE = 65_536
# Sides of a tile by the number of dimensions, in points: as wide as a pass over wide components bears.
WIDEST_TILES = {1: 1024, 2: 64, 3: 16}
# The same above three dimensions.
WIDEST_TILE = 8
# Of the median radius of components: sides of a tile, from which lists grow longer by half.
TILE_SHARE = 0.35
# Points; no tile is narrower, since each member of a list is some work by itself.
NARROWEST_TILE = 8

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class MapPasses:
    """Passes over one map in the units of a fit.

    grid : the map's points. sides : of a tile. dtype : of heights and Gaussians; sums are in float64. seen : told of
    the points read so far in a pass.
    """

    reader: MapReader
    grid: EvenGrid
    scaling: Scaling
    sides: tuple[int, ...]
    cutoff: float
    dtype: np.dtype
    n_threads: int
    seen: Callable[[int], None]

    def __call__(self, components: Components, n_active: int) -> MapSums:
        """The sums at components of NumPy's in double precision, of which the first ``n_active`` are in use."""
        placed, total, n_read = _Placed.of(components, n_active, self.grid, self.cutoff), self._nothing(components), 0

        def task(number: int) -> tuple[np.ndarray, MapSums]:
            with precision(np.dtype(np.float64)):
                return self._window(number, placed)

        for number, (some, found) in enumerate(in_order(task, len(self.reader.windows), self.n_threads)):
            total = _added(total, some, found)
            n_read += int(np.prod(lengths_of(self.reader.windows[number])))
            self.seen(n_read)
        give_memory_back()  # C's allocator keeps what windows took, some 30 MB more after each pass
        return total

    def _nothing(self, components: Components) -> MapSums:
        count, n_border = len(components.amplitudes), int(components.background.n_parameters)
        size = n_monomials(len(self.sides))
        return MapSums(
            np.zeros(()),
            np.zeros((count, size)),
            np.zeros(n_border),
            np.zeros((count, size, n_border)),
            np.zeros((n_border, n_border)),
        )

    def _window(self, number: int, placed: _Placed) -> tuple[np.ndarray, MapSums]:
        """The components (m,) of a window, and their sums."""
        window = self.reader.windows[number]
        heights = np.full(self._padded, np.nan, self.dtype)
        known = self.scaling.heights(self.reader.heights(number).astype(float))
        heights[tuple(slice(0, n) for n in known.shape)] = known
        some = placed.within(window)
        plan = self._plan(window, placed, some)
        found = jax.tree.map(np.asarray, summed(plan, heights))
        return some, found._replace(moments=found.moments[: len(some)], cross=found.cross[: len(some)])

    @cached_property
    def _padded(self) -> tuple[int, ...]:
        """Sides of a window, rounded up to whole tiles."""
        return tuple(-(-n // side) * side for n, side in zip(self.reader.sides, self.sides, strict=True))

    @cached_property
    def _tiling(self) -> Tiling:
        """The tiles of a window, in steps from its first point."""
        cut = [np.arange(0, n, side) for n, side in zip(self._padded, self.sides, strict=True)]
        low = np.stack(np.meshgrid(*cut, indexing="ij"), axis=-1).reshape(-1, len(cut)).astype(float)
        order = np.zeros((len(low), 1), int)
        return Tiling(order, np.ones_like(order, bool), low, low + np.asarray(self.sides) - 1)

    @cached_property
    def _tiles_at_once(self) -> int:
        """As many as fit, and divide those of a window."""
        n_tiles, most = self._tiling.n_tiles, PLACES_AT_ONCE // (MEMBERS_AT_ONCE * int(np.prod(self.sides)))
        return max(c for c in range(1, max(1, most) + 1) if n_tiles % c == 0)

    def _plan(self, window: Window, placed: _Placed, some: np.ndarray) -> WindowPlan:
        first = np.array([side.start for side in window], float)
        own = Ellipsoids(placed.centers[some] - first, placed.factors[some], placed.radii[some])
        tiling, n_some = self._tiling, len(some)
        pairs = tile_pairs(tiling, own)
        by_tile = np.lexsort((pairs.component, pairs.tile))
        counts = np.clip(np.array(lengths_of(window)) - tiling.low, 0, self.sides)
        listed = np.bincount(pairs.tile, minlength=tiling.n_tiles)
        members = np.full((tiling.n_tiles, self._room(listed)), n_some)
        members[ragged(listed)] = pairs.component[by_tile]
        order = np.argsort(-listed, kind="stable")
        room, c = rounded_up(n_some + 1), self._tiles_at_once
        slopes = _with_rest(placed.slopes[some], room)
        centers = _with_rest(own.centers, room)
        members, middles = members[order], tiling.middle[order]
        shifts = np.einsum("tmij,tmj->tmi", slopes[members], middles[:, None] - centers[members])
        step = np.asarray(self.grid.step)
        arrays = {
            "middles": middles,
            "counts": counts[order],
            "shifts": shifts,
            "amplitudes": _with_rest(placed.amplitudes[some], room),
            "slopes": slopes,
            "low": np.asarray(self.grid.low) + step * first,
            "step": step,
        }
        return WindowPlan(
            order=order.astype(np.int32),
            groups=-(-listed[order[::c]] // MEMBERS_AT_ONCE),
            members=members.astype(np.int32),
            background=jax.tree.map(lambda leaf: np.asarray(leaf, self.dtype), placed.background),
            sides=self.sides,
            tiles_at_once=c,
            **{name: np.asarray(array, self.dtype) for name, array in arrays.items()},
        )

    def _room(self, listed: np.ndarray) -> int:
        """Members that the longest list has room for: few sizes, so that few programs are compiled."""
        chunks = -(-int(listed.max(initial=1)) // MEMBERS_AT_ONCE)
        return MEMBERS_AT_ONCE * (1 << max(0, chunks - 1).bit_length())


@dataclass(frozen=True, eq=False)
class _Placed:
    """Components in steps of the grid: L^-1 times the steps are their ``slopes``."""

    amplitudes: np.ndarray
    centers: np.ndarray
    factors: np.ndarray
    slopes: np.ndarray
    radii: np.ndarray
    reach: np.ndarray
    background: Any

    @classmethod
    def of(cls, parts: Components, n_active: int, grid: EvenGrid, cutoff: float) -> _Placed:
        """The components in use."""
        step, used = np.asarray(grid.step), slice(n_active)
        centers = (np.asarray(parts.centers[used]) - grid.low) / step
        factors = np.asarray(parts.factors[used]) / step[:, None]
        amplitudes, slopes = np.asarray(parts.amplitudes[used]), np.asarray(parts.inverse_factors[used]) * step
        radii = cutoff_radii(amplitudes, cutoff)
        reach = Ellipsoids(centers, factors, radii).half_sides
        return cls(amplitudes, centers, factors, slopes, radii, reach, parts.background)

    def within(self, window: Window) -> np.ndarray:
        """The components (m,) that may be felt in a window."""
        low, high = (np.array([getattr(side, end) for side in window]) for end in ("start", "stop"))
        felt = (self.centers + self.reach >= low) & (self.centers - self.reach <= high - 1)
        return np.flatnonzero(felt.all(axis=1))


def tile_sides(radii: np.ndarray, n_dim: int) -> tuple[int, ...]:
    """Sides of a tile for components that are felt so far (K, d), in steps along each axis: powers of two."""
    widest = WIDEST_TILES.get(n_dim, WIDEST_TILE)
    typical = np.median(radii, axis=0) if len(radii) else np.full(n_dim, float(widest))
    sides = 2.0 ** np.floor(np.log2(np.clip(TILE_SHARE * typical, 1, widest)))
    return tuple(int(side) for side in np.clip(sides, min(NARROWEST_TILE, widest), widest))


def in_order(task: Callable[[int], Found], count: int, n_threads: int) -> Iterator[Found]:
    """What a task gives for 0, 1, ..., in this order, where some are at work at once, and few wait to be taken."""
    with ThreadPoolExecutor(n_threads) as threads:
        waiting: deque[Future[Found]] = deque()
        try:
            for number in range(count):
                waiting.append(threads.submit(task, number))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _added(total: MapSums, some: np.ndarray, found: MapSums) -> MapSums:
    """The sums with those of the components (m,) of one window; components stand there once."""
    total.moments[some] += found.moments
    total.cross[some] += found.cross
    return total._replace(
        cost=total.cost + found.cost, border=total.border + found.border, corner=total.corner + found.corner
    )


def _with_rest(array: np.ndarray, room: int) -> np.ndarray:
    """With rows of zeros up to so many."""
    return np.pad(array, [(0, room - len(array))] + [(0, 0)] * (array.ndim - 1))
