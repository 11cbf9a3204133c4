"""Components in groups of neighbours, each with a window of cells around it, and turns in which no windows touch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .._model.surface import GaussianSurface
from .levels import Level
from .rendering import boxes

# Components that a group has room for: a compromise, as its step costs the cube of them and its seams their root.
GROUP_COMPONENTS = 24
# Widths around each component that its group's window reaches, its halo: 4 % of the height is left there.
HALO_WIDTHS = 2.5
# Times the median width in a group beyond which a component is refitted among others as wide: its window would hold
# the others in a few cells.
WIDE_RATIO = 3.0
# Share of a cut's groups by which it may be off the middle, so that the seams of one sweep are not those of the next.
CUT_SHIFT = 0.2


class Group(NamedTuple):
    """Components (m,) by their numbers, and their window: its first cells and those after the last (d,)."""

    members: np.ndarray
    low: np.ndarray
    high: np.ndarray


def groups_of(surface: GaussianSurface, level: Level, number: int) -> Iterator[list[Group]]:
    """All components in groups, other ones for each sweep of another ``number``, in sets: those of usual width first,
    then those that are too wide for their group among each other.
    """
    low, high = boxes(level.axes, surface, HALO_WIDTHS)
    widths = np.sqrt(np.einsum("kii->ki", surface.covariances) / level.cell**2).max(axis=1)
    places, rng = surface.centers / level.cell, np.random.default_rng(number)
    left = np.arange(surface.n_components)
    while len(left):
        found, wide = [], []
        for members in _divided(left, places, -(-len(left) // GROUP_COMPONENTS), rng):
            too_wide = widths[members] > WIDE_RATIO * np.median(widths[members])
            wide.append(members[too_wide])
            kept = members[~too_wide]
            found.append(Group(kept, low[kept].min(axis=0), high[kept].max(axis=0)))
        yield found
        left = np.sort(np.concatenate(wide))


def turns(groups: list[Group]) -> list[list[int]]:
    """The groups, by their numbers, in turns: windows of one turn do not touch."""
    low, high = np.array([group.low for group in groups]), np.array([group.high for group in groups])
    turn = np.full(len(groups), -1)
    for n in range(len(groups)):
        meets = ((low[:n] < high[n]) & (high[:n] > low[n])).all(axis=1)
        used = np.unique(turn[:n][meets])
        free = np.flatnonzero(used != np.arange(len(used)))
        turn[n] = free[0] if len(free) else len(used)
    return [np.flatnonzero(turn == t).tolist() for t in range(turn.max(initial=-1) + 1)]


def _divided(members: np.ndarray, places: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Members in ``count`` groups of about one size, by cuts across the longest side."""
    if count == 1:
        yield members
        return
    shift = int(CUT_SHIFT * count)
    first = count // 2 + int(rng.integers(-shift, shift + 1))
    axis = int(np.argmax(np.ptp(places[members], axis=0)))
    order = members[np.argsort(places[members, axis], kind="stable")]
    cut = round(len(members) * first / count)
    yield from _divided(order[:cut], places, first, rng)
    yield from _divided(order[cut:], places, count - first, rng)
