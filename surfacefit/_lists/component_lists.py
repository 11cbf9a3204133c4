"""The lists of a plan: which components are felt in which tiles, and which overlap, renewed where components move.

A plan ends when one component leaves the room that it was given, which one of a thousand does in nearly every step.
Lists of all others are then kept: to find a few components anew takes a tenth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._periodic.nearest import Periods
from .ghosts import Ghosts
from .overlaps import EvenGrid, Overlaps, overlaps, renewed_overlaps
from .pairs import MARGIN_WIDTHS, Ellipsoids, TilePairs, cutoff_radii, planned, renewed_tile_pairs, tile_pairs
from .round_overlaps import round_overlaps
from .small_matrices import inverses, spectral_norms
from .tiles import Tiling

# Planned widths that a component may move while the rules chosen for summing its overlaps stay accurate: well inside
# what they allow for (`overlaps.BORDER_WIDTHS`).
SAME_RULES_SHIFT_WIDTHS = 1.0
# Factor by which it may shrink meanwhile: well inside `overlaps.RESOLVED_VARIANCE`.
SAME_RULES_SHRINKAGE = 1.5
# Factor by which a component may grow from its planned widths before it may overlap others than planned: at 1.2 a pair
# left out at 5.5 joint widths is still 4.6 apart, where its overlap is exp(-10.5). At a growth of 2.6, which a plan for
# two sets of parameters can allow, an entry of J^T J was wrong by 27 %.
SAME_PAIRS_GROWTH = 1.2
# Factor and share of the margin by which an ellipsoid encloses the components at two sets of parameters: clear of the
# rounding of the check on the device.
ENCLOSING_FACTOR, ENCLOSING_MARGIN = 1.02, 0.1
# Share of the change that a component may undergo within a plan, from which a new plan renews its lists too: so that it
# does not end the next one at once.
USED_SHARE = 0.5
# Share of components that have moved from which lists are made for all: to keep the rest then saves no time.
ALL_FROM_SHARE = 0.3


class PlacedComponents(NamedTuple):
    """Amplitudes (K,), centers (K, d) and Cholesky factors (K, d, d) in NumPy."""

    amplitudes: np.ndarray
    centers: np.ndarray
    factors: np.ndarray

    def some(self, which: Any) -> PlacedComponents:
        return PlacedComponents(*(part[which] for part in self))


@dataclass(frozen=True, eq=False)
class ComponentLists:
    """room : the ellipsoids (K,) that components were given. pairs : with tiles. overlaps : with each other; None where
    nobody asks for them, or there are too many. ghosts : along periodic axes those that pairs are of.
    """

    room: Ellipsoids
    pairs: TilePairs
    overlaps: Overlaps | None
    ghosts: Ghosts | None = None


@dataclass(frozen=True, eq=False)
class ListMaker:
    """Makes lists for one tiling; those of overlaps where there is a ``grid``: one of `round_grid` if there are
    ``periods``.
    """

    tiling: Tiling
    grid: EvenGrid | None
    cutoff: float
    memory: float = float("inf")
    periods: Periods | None = None

    def made(self, there: PlacedComponents, here: PlacedComponents) -> ComponentLists:
        """Lists for components there, with room for them here too."""
        room = enclosing(there, here, self.cutoff)
        if self.periods is not None:
            ghosts = Ghosts.of(room, self.periods, self.tiling)
            grid, pairs = self.grid, tile_pairs(self.tiling, ghosts.shifted(room), self.memory)
            near = None if grid is None else round_overlaps(grid, room.centers, room.factors, self.periods)
            return ComponentLists(room, pairs, near, ghosts)
        overlapping = None if self.grid is None else overlaps(self.grid, room.centers, room.factors)
        return ComponentLists(room, tile_pairs(self.tiling, room, self.memory), overlapping)

    def renewed(self, before: ComponentLists, there: PlacedComponents, here: PlacedComponents) -> ComponentLists:
        """`made`, but components that are still within the room that they had keep it, and their lists."""
        if self.periods is not None or len(before.room.radii) != len(there.amplitudes):
            return self.made(there, here)
        if (before.overlaps is None) != (self.grid is None):
            return self.made(there, here)
        moved = have_moved(before.room, there, here, self.cutoff)
        if moved.mean() > ALL_FROM_SHARE:
            return self.made(there, here)
        room = _replaced(before.room, moved, enclosing(there.some(moved), here.some(moved), self.cutoff))
        pairs, overlapping = renewed_tile_pairs(before.pairs, self.tiling, room, moved, self.memory), None
        if self.grid is not None and before.overlaps is not None:
            overlapping = renewed_overlaps(before.overlaps, self.grid, room.centers, room.factors, moved)
        return ComponentLists(room, pairs, overlapping)


def enclosing(there: PlacedComponents, here: PlacedComponents, cutoff: float) -> Ellipsoids:
    """The ellipsoids of the components there, enlarged to hold those of the components here."""
    room = planned(there.centers, there.factors, cutoff_radii(there.amplitudes, cutoff))
    needed = ENCLOSING_FACTOR * _reached(room, here, cutoff) + ENCLOSING_MARGIN * MARGIN_WIDTHS
    return Ellipsoids(room.centers, room.factors, np.maximum(room.radii, needed))


def have_moved(room: Ellipsoids, there: PlacedComponents, here: PlacedComponents, cutoff: float) -> np.ndarray:
    """Which components (K,) have used up USED_SHARE of what they may change within their room there, or are no longer
    within it here.
    """
    shift, growth = _change(room, there)
    shrinkage = spectral_norms(inverses(there.factors) @ room.factors)
    kept = shift <= USED_SHARE * SAME_RULES_SHIFT_WIDTHS
    kept &= growth - 1 <= USED_SHARE * (SAME_PAIRS_GROWTH - 1)
    kept &= shrinkage - 1 <= USED_SHARE * (SAME_RULES_SHRINKAGE - 1)
    for place, margin in ((there, 1 - USED_SHARE), (here, ENCLOSING_MARGIN)):
        kept &= ENCLOSING_FACTOR * _reached(room, place, cutoff) + margin * MARGIN_WIDTHS <= room.radii
    return ~kept


def _reached(room: Ellipsoids, parts: PlacedComponents, cutoff: float) -> np.ndarray:
    """How far (K,) components reach from the middles of their ellipsoids, in widths of these."""
    shift, growth = _change(room, parts)
    return np.asarray(shift + cutoff_radii(parts.amplitudes, cutoff) * growth)


def _change(room: Ellipsoids, parts: PlacedComponents) -> tuple[np.ndarray, np.ndarray]:
    """How far (K,) components have moved from the middles of their ellipsoids, and grown, in widths of these."""
    shift = np.linalg.norm(np.einsum("kij,kj->ki", room.inverse, parts.centers - room.centers), axis=1)
    return shift, spectral_norms(room.inverse @ parts.factors)


def _replaced(room: Ellipsoids, moved: np.ndarray, new: Ellipsoids) -> Ellipsoids:
    whole = Ellipsoids(room.centers.copy(), room.factors.copy(), room.radii.copy())
    whole.centers[moved], whole.factors[moved], whole.radii[moved] = new.centers, new.factors, new.radii
    return whole
