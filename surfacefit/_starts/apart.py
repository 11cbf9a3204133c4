"""The strongest of many places that stand apart from each other: greedy selection with a k-d tree for each width.

Places come in the order of their strength. Each is taken unless one taken before is too near, and "near" is in
proportion to the sum of both widths. Places are taken in blocks: those of a block are compared pair by pair, and those
that it takes rule out the later ones around them. The work grows in proportion to the number of places.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# Places that are compared pair by pair at once. A compromise: fewer would spend their time on the loop, more on pairs.
BLOCK_PLACES = 64
# Relative widening of the balls that trees search: their distances round otherwise than those that decide.
RADIUS_MARGIN = 1e-9


class _Alike(NamedTuple):
    """Numbers (m,) of the places of one width, and a tree of them."""

    width: float
    numbers: np.ndarray
    tree: cKDTree


def strongest_apart(
    places: np.ndarray, widths: np.ndarray, count: int, min_distance: float, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Numbers (n,), n <= ``count``, of the places (N, d) that are taken; widths (N,), strongest first.

    A place is taken if its distance from each that was taken before exceeds ``min_distance`` times the sum of their
    widths. Along axes of finite ``lengths`` (d,) places repeat after these.
    """
    if count == 1:
        return np.arange(min(1, len(places)))
    if lengths is not None:
        return _apart_on_torus(places, widths, count, min_distance, lengths)
    free, taken, first = np.ones(len(places), bool), np.zeros(0, int), 0
    groups: list[_Alike] = []
    while len(taken) < count:
        block = first + np.flatnonzero(free[first:])[:BLOCK_PLACES]
        if not len(block):
            break
        chosen = _greedy(places[block], min_distance * (widths[block, None] + widths[block]))
        new = block[chosen][: count - len(taken)]
        taken, first = np.concatenate([taken, new]), int(block[-1]) + 1
        if len(taken) == count:
            break
        groups = groups or [_alike(places, widths, width) for width in np.unique(widths)]
        for group in groups:
            _rule_out(free, places, group, new, min_distance * (widths[new] + group.width))
    return taken


def _apart_on_torus(
    places: np.ndarray, widths: np.ndarray, count: int, min_distance: float, lengths: np.ndarray
) -> np.ndarray:
    taken = np.zeros(0, int)
    for i in range(len(places)):
        offsets = places[taken] - places[i]
        offsets = offsets - np.where(np.isfinite(lengths), lengths, 0) * np.round(offsets / lengths)
        if np.all(np.linalg.norm(offsets, axis=1) > min_distance * (widths[taken] + widths[i])):
            taken = np.append(taken, i)
        if len(taken) == count:
            break
    return taken


def _alike(places: np.ndarray, widths: np.ndarray, width: float) -> _Alike:
    numbers = np.flatnonzero(widths == width)
    return _Alike(float(width), numbers, cKDTree(places[numbers]))


def _greedy(places: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Which of a few places (n,) are taken; two within ``reach`` (n, n) exclude each other."""
    near = np.linalg.norm(places[:, None] - places, axis=2) <= reach
    taken = np.ones(len(places), bool)
    for i in range(len(places)):
        if taken[i]:
            taken[i + 1 :] &= ~near[i, i + 1 :]
    return taken


def _rule_out(free: np.ndarray, places: np.ndarray, group: _Alike, new: np.ndarray, reach: np.ndarray) -> None:
    """Clears ``free`` at the places of a group within reach (n,) of the new ones (n,)."""
    found = group.tree.query_ball_point(places[new], (1 + RADIUS_MARGIN) * reach)
    lengths = [len(one) for one in found]
    if sum(lengths):
        near = group.numbers[np.concatenate([one for one in found if one])]
        distance = np.linalg.norm(places[near] - np.repeat(places[new], lengths, axis=0), axis=1)
        free[near[distance <= np.repeat(reach, lengths)]] = False
