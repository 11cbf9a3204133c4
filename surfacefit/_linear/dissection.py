"""Nested dissection: in which order the unknowns of a matrix that is a sum over tiles are eliminated.

The tiles are halved, and halved again. What only one half feels is eliminated there; what both feel waits, and what is
left to it is added up over both. Unknowns are numbered as they are eliminated, so that in every front those that go
stand before those that wait; those that go together by the first tile that feels them, so that what a half knows stands
in few runs in the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Shares of the tiles on one side of the cuts that are tried: the cheapest of nine near the middle saves a tenth of the
# operations against the middle one.
CUT_SHARES = tuple(np.linspace(0.4, 0.6, 9).tolist())


class Elements(NamedTuple):
    """The matrix as its tiles: ``members[t]`` the unknowns (rising) of tile t, ``of(t)`` its matrix over them,
    ``extra`` (n,) on the diagonal of the whole, ``middles`` (T, d) where the tiles are. An unknown in no tile stands
    alone.
    """

    members: list[np.ndarray]
    of: Callable[[int], np.ndarray]
    middles: np.ndarray
    extra: np.ndarray

    def met(self) -> np.ndarray:
        """Which unknowns (n,) stand in any tile."""
        found = np.zeros(len(self.extra), bool)
        for members in self.members:
            found[members] = True
        return found


@dataclass(eq=False)
class Part:
    """Some tiles, of which ``tiles`` are not in ``halves``: unknowns that are eliminated here ``own``, those that wait
    ``rest``.

    As ranks in the order of elimination, ``own`` is a range and ``rest`` rises.
    """

    tiles: np.ndarray
    halves: list[Part]
    own: np.ndarray
    rest: np.ndarray

    def places(self, ranks: np.ndarray) -> np.ndarray:
        """Where unknowns of these ranks stand in own and rest."""
        later = np.searchsorted(self.rest, ranks) + len(self.own)
        first = self.own[0] if len(self.own) else 0
        return np.where(ranks < first + len(self.own), ranks - first, later)


class Order(NamedTuple):
    """Of elimination: ``unknowns`` (n,) one after the other, those in no tile last, and the ``rank`` (n,) of each."""

    unknowns: np.ndarray
    rank: np.ndarray


def dissected(elements: Elements, leaf: int) -> tuple[Part, Order]:
    """All tiles, halved down to ``leaf`` of them, and the order of elimination."""
    whole = _part(elements, np.arange(len(elements.members)), np.zeros(len(elements.extra), bool), leaf)
    unknowns = np.concatenate([*_eliminations(whole, _first_met(elements, whole)), np.flatnonzero(~elements.met())])
    rank = np.empty_like(unknowns)
    rank[unknowns] = np.arange(len(unknowns))
    _rank(whole, rank)
    return whole, Order(unknowns, rank)


def _part(elements: Elements, tiles: np.ndarray, waits: np.ndarray, leaf: int) -> Part:
    if len(tiles) <= leaf:
        halves, felt = [], [elements.members[t] for t in tiles]
    else:
        halves = [
            _part(elements, some, _felt(elements, others, waits), leaf)
            for some, others in _split(elements, tiles, waits)
        ]
        tiles, felt = tiles[:0], [half.rest for half in halves]
    index = np.unique(np.concatenate(felt))
    return Part(tiles, halves, index[~waits[index]], index[waits[index]])


def _felt(elements: Elements, tiles: np.ndarray, waits: np.ndarray) -> np.ndarray:
    """Which unknowns (n,) stand in any of these tiles, besides those that wait anyway."""
    felt = waits.copy()
    felt[np.concatenate([elements.members[t] for t in tiles])] = True
    return felt


def _split(elements: Elements, tiles: np.ndarray, waits: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two halves, each with the other, that leave the least work, which goes as cubes of the numbers of unknowns."""
    half, nobody = len(tiles) // 2, np.zeros_like(waits)
    best = (np.inf, tiles[:half], tiles[half:])  # where all tiles have one middle there is no cut
    for some, others in _cuts(elements.middles, tiles):
        first, second = _felt(elements, some, nobody), _felt(elements, others, nobody)
        shared = first & second & ~waits
        counts = [np.count_nonzero(mask) for mask in (shared, first & (waits | second), second & (waits | first))]
        work = float(sum(float(count) ** 3 for count in counts))
        if work < best[0]:
            best = (work, some, others)
    return [best[1:], best[:0:-1]]


def _cuts(middles: np.ndarray, tiles: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Across each axis near the middle; where tiles stand in rows, between these: a step in a cut is felt on both its
    sides.
    """
    for along in middles[tiles].T:
        ranked = np.argsort(along, kind="stable")
        ends = np.flatnonzero(np.diff(along[ranked]) > 1e-9 * np.ptp(along)) + 1
        for share in CUT_SHARES if len(ends) else ():
            cut = ends[np.argmin(np.abs(ends - share * len(tiles)))]
            yield tiles[ranked[:cut]], tiles[ranked[cut:]]


def _first_met(elements: Elements, whole: Part) -> np.ndarray:
    """Which tile, in the order of elimination, is the first to feel an unknown (n,)."""
    first, tiles = np.empty(len(elements.extra), int), _tiles(whole)
    for number in reversed(range(len(tiles))):
        first[elements.members[tiles[number]]] = number
    return first


def _tiles(part: Part) -> list[int]:
    return [tile for half in part.halves for tile in _tiles(half)] + part.tiles.tolist()


def _eliminations(part: Part, first: np.ndarray) -> list[np.ndarray]:
    """What each part eliminates, halves first."""
    own = part.own[np.argsort(first[part.own], kind="stable")]
    return [unknowns for half in part.halves for unknowns in _eliminations(half, first)] + [own]


def _rank(part: Part, rank: np.ndarray) -> None:
    """Unknowns become ranks."""
    part.own, part.rest = np.sort(rank[part.own]), np.sort(rank[part.rest])
    for half in part.halves:
        _rank(half, rank)
