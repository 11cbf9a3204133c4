r"""Diagonal blocks of the inverse of a large normal matrix, exactly, by nested dissection.

The matrix is a sum over tiles of small dense ones, each over the components that the tile feels. It is factorised without ever being put
together (multifrontal method: Duff & Reid, ACM Trans. Math. Software 9 (1983) 302): the tiles are halved, and halved again; what only one
half feels is eliminated there, what both feel waits. On the way back the entries of the inverse that a half needs are taken from those of
the whole (Erisman & Tinney, Comm. ACM 18 (1975) 177). With V eliminated and B waiting,

    Z_VB = -G Z_BB,   Z_VV = F_VV^-1 + G Z_BB G^T,   G = F_VV^-1 F_VB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.linalg

LEAF = 8
SHARES = (0.5, 0.42, 0.58)


class Elements(NamedTuple):
    """The matrix as its tiles: ``members[t]`` the unknowns (rising) of tile t, ``of(t)`` its matrix over them, ``extra`` (n,) on the
    diagonal of the whole, ``middles`` (T, d) where the tiles are. An unknown in no tile stands alone.
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
class Front:
    """Unknowns that are eliminated here ``own``, those that wait ``rest``, the lower factor of F_VV, and G."""

    own: np.ndarray
    rest: np.ndarray
    factor: np.ndarray
    coupling: np.ndarray
    halves: list[Front] = field(default_factory=list)


class Wanted(NamedTuple):
    """Blocks of unknowns (n, m), of which the first stands in no more tiles than the others; which block begins with an unknown
    (P,), -1 for none; and the inverse there (n, m, m).
    """

    blocks: np.ndarray
    of: np.ndarray
    found: np.ndarray


def inverse_blocks(elements: Elements, blocks: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse (n, m, m) at blocks of unknowns (n, m), each beginning with one that the others join in all its tiles, and (b, b) at
    unknowns ``corner`` (b,) that stand in all tiles.

    Raises `numpy.linalg.LinAlgError` where the matrix is not positive definite.
    """
    root, _ = _eliminated(elements, np.arange(len(elements.members)), np.zeros(len(elements.extra), bool))
    of = np.full(len(elements.extra), -1)
    of[blocks[:, 0]] = np.arange(len(blocks))
    wanted = Wanted(blocks, of, np.zeros((*blocks.shape, blocks.shape[1])))
    last = root.own
    whole = _inverted(root, np.zeros((0, 0)), wanted)
    alone = ~elements.met()[blocks[:, 0]]
    wanted.found[alone] = np.eye(blocks.shape[1]) / elements.extra[blocks[alone]][:, :, None]
    places = np.searchsorted(last, corner)
    return wanted.found, whole[np.ix_(places, places)]


def _eliminated(elements: Elements, tiles: np.ndarray, waits: np.ndarray) -> tuple[Front, np.ndarray]:
    """The front of some tiles, and what it leaves to those that wait, as a matrix over ``rest``."""
    halves: list[Front] = []
    if len(tiles) <= LEAF:
        parts = [(elements.members[t], elements.of(t)) for t in tiles]
    else:
        parts = []
        for some, others in _split(elements, tiles, waits):
            felt = waits.copy()
            for t in others:
                felt[elements.members[t]] = True
            front, left = _eliminated(elements, some, felt)
            halves.append(front)
            parts.append((front.rest, left))
    index = np.unique(np.concatenate([unknowns for unknowns, _ in parts]))
    own, rest = index[~waits[index]], index[waits[index]]
    matrix = np.zeros((len(index), len(index)))
    place = np.empty(len(waits), int)
    place[own], place[rest] = np.arange(len(own)), np.arange(len(own), len(index))
    unknowns, values = parts.pop()
    matrix[place[unknowns][:, None], place[unknowns]] = values
    while parts:
        unknowns, values = parts.pop()
        matrix[place[unknowns][:, None], place[unknowns]] += values
    del values
    matrix[np.arange(len(own)), np.arange(len(own))] += elements.extra[own]
    return _front(matrix, own, rest, halves)


def _front(matrix: np.ndarray, own: np.ndarray, rest: np.ndarray, halves: list[Front]) -> tuple[Front, np.ndarray]:
    """Of a matrix over own and rest unknowns, in this order; nothing else may hold it."""
    n = len(own)
    left = matrix[n:, n:].copy()
    if not n:
        return Front(own, rest, matrix[:0, :0], matrix[:0], halves), left
    factor = np.linalg.cholesky(matrix[:n, :n])
    half = scipy.linalg.solve_triangular(factor, matrix[:n, n:], lower=True, check_finite=False)
    left -= half.T @ half
    coupling = scipy.linalg.solve_triangular(factor, half, lower=True, trans=1, check_finite=False)
    return Front(own, rest, factor, coupling, halves), left


def _split(elements: Elements, tiles: np.ndarray, waits: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two halves, each with the other, along the side and near the middle where the fewest unknowns feel both."""
    middles, best = elements.middles[tiles], (np.inf, tiles, tiles)
    for axis in range(middles.shape[1]):
        order = tiles[np.argsort(middles[:, axis], kind="stable")]
        for share in SHARES:
            cut = min(max(1, round(share * len(order))), len(order) - 1)
            felt = [np.zeros(len(waits), bool) for _ in range(2)]
            for mask, some in zip(felt, (order[:cut], order[cut:]), strict=True):
                mask[np.concatenate([elements.members[t] for t in some])] = True
            both = float(np.count_nonzero(felt[0] & felt[1] & ~waits))
            if both < best[0]:
                best = (both, order[:cut], order[cut:])
    return [best[1:], best[:0:-1]]


def _inverted(front: Front, waiting: np.ndarray, wanted: Wanted) -> np.ndarray:
    """The inverse over all of a front, given that over those that wait; writes the blocks there, and goes on to the halves."""
    n, size = len(front.own), len(front.own) + len(front.rest)
    whole = np.empty((size, size))
    whole[n:, n:] = waiting
    if n:
        whole[:n, n:] = -front.coupling @ waiting
        whole[n:, :n] = whole[:n, n:].T
        whole[:n, :n] = _inverse(front.factor) - whole[:n, n:] @ front.coupling.T
    place = np.empty(len(wanted.of), int)
    place[front.own], place[front.rest] = np.arange(n), np.arange(n, size)
    which = wanted.of[front.own]
    which = which[which >= 0]
    places = place[wanted.blocks[which]]
    wanted.found[which] = whole[places[:, :, None], places[:, None, :]]
    front.factor = front.coupling = np.zeros((0, 0))
    for half in front.halves:
        places = place[half.rest]
        _inverted(half, whole[places[:, None], places], wanted)
    return whole


def _inverse(factor: np.ndarray) -> np.ndarray:
    """(L L^T)^-1 of a lower factor."""
    root = scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
    return np.asarray(root.T @ root)
