"""Which components overlap, on an even grid: rows of neighbours, and the rule that sums each pair's product.

The product of two Gaussians is a Gaussian. Where it lies inside the grid and is wider than the sampling, its moments
are integrals, exact by a few nodes; along an axis where it is cut by the border they are sums over the grid's lines;
and where it is narrower than the sampling, sums over all its grid points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .pairs import ragged

# Neighbours; a product with a row of blocks then reads memory in long runs, and at most seven places are empty.
NEIGHBOURS_A_ROW = 8
# Neighbour rows; the rows of a rule begin at a multiple of so many, and are taken in chunks that divide it.
ROWS_UNIT = 64
# Widths of the joint covariance; the product of a pair farther apart is below exp(-5.5^2 / 2) = 3e-7 of a component's
# own, near the single precision in which blocks are held.
JOINT_WIDTHS = 5.5
# Widths of a product that must lie inside the grid to be integrated over the whole line; as above.
BORDER_WIDTHS = 5.5
# Steps squared; a Riemann sum of a Gaussian of this variance s^2 is its integral to 2 exp(-2 pi^2 s^2) = 1.3e-6.
RESOLVED_VARIANCE = 0.72
# Nodes an axis along which a product is cut by the border, and where it is narrower than the sampling. Sums over no
# more points are exact; sixteen are enough for a smooth product over eleven widths, and a narrow one needs up to twice
# that.
BORDER_NODES = 16
NARROW_NODES = 32
# Candidate pairs, in all and a component, from which components crowd too much for blocks to pay: products with J are
# used instead. Bounds time (a microsecond a pair) and memory (24 bytes). Components of terrain widen as they settle:
# K = 5,000 on 2,000 x 2,000 points came to some 3.5 million, of which a tenth overlap, and a step by products took 100
# s instead of 4.
MOST_PAIRS = 16_000_000
MOST_PAIRS_A_COMPONENT = 300
# Pairs; bounds the memory of the exact test, some 200 bytes a pair.
PAIRS_A_SLICE = 1_000_000


class Rule(NamedTuple):
    """How a pair is summed: over ``nodes`` nodes along these axes, by integration along the others."""

    axes: tuple[int, ...]
    nodes: int


@dataclass(frozen=True, eq=False)
class EvenGrid:
    """Points at low + step * index, index (d,) from 0 to shape - 1, all of weight one."""

    low: np.ndarray
    step: np.ndarray
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NeighbourRows:
    """Pairs (component, neighbour) in rows of neighbours of one component, which is its own first neighbour.

    owner : (R,) component of each row. neighbours : (R, NEIGHBOURS_A_ROW), K where there is none.
    """

    owner: np.ndarray
    neighbours: np.ndarray


def rules(n_dim: int) -> list[Rule]:
    """Inside the grid; cut along one axis; cut along several; narrower than the sampling."""
    everything = tuple(range(n_dim))
    return [
        Rule((), 0),
        *(Rule((axis,), BORDER_NODES) for axis in everything),
        Rule(everything, BORDER_NODES),
        Rule(everything, NARROW_NODES),
    ]


def neighbour_rows(grid: EvenGrid, centers: np.ndarray, factors: np.ndarray) -> list[NeighbourRows] | None:
    """Rows for each of `rules`, or None where components crowd too much for blocks to pay.

    centers (K, d), Cholesky factors (K, d, d), in the units of the grid.
    """
    centers, factors = (centers - grid.low) / grid.step, factors / grid.step[:, None]
    pairs = overlapping(centers, factors)
    if pairs is None:
        return None
    first, second = pairs
    chosen = _rules_of(centers, factors, first, second, grid.shape)
    other = first != second
    first, second = np.concatenate([first, second[other]]), np.concatenate([second, first[other]])
    chosen = np.concatenate([chosen, chosen[other]])
    return [_rows(first[chosen == n], second[chosen == n], len(centers)) for n in range(len(rules(len(grid.shape))))]


def work(rows: list[NeighbourRows], n_dim: int) -> float:
    """Nodes at which products are taken, in all."""
    nodes = [rule.nodes ** len(rule.axes) * 3 ** (n_dim - len(rule.axes)) for rule in rules(n_dim)]
    return float(sum(r.neighbours.size * n for r, n in zip(rows, nodes, strict=True)))


def overlapping(centers: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """All pairs within JOINT_WIDTHS of their joint covariance, once, each component with itself included; None if too
    many.
    """
    from scipy.spatial import cKDTree  # here, since most fits need none, and it takes 0.2 s to import

    covariances = factors @ factors.swapaxes(1, 2)
    widths = np.sqrt(np.linalg.eigvalsh(covariances)[:, -1])
    octave = np.floor(2 * np.log2(widths / widths.min())).astype(int)
    found = [np.repeat(np.arange(len(centers))[:, None], 2, axis=1)]
    most = MOST_PAIRS + MOST_PAIRS_A_COMPONENT * len(centers)
    for level in np.unique(octave):
        own, below = np.flatnonzero(octave == level), np.flatnonzero(octave <= level)
        reach = JOINT_WIDTHS * np.sqrt(2) * widths[own].max()
        tree, other = cKDTree(centers[own]), cKDTree(centers[below])
        most -= int(tree.count_neighbors(other, reach))
        if most < 0:
            return None
        near = tree.sparse_distance_matrix(other, reach, output_type="ndarray")
        first, second = own[near["i"]], below[near["j"]]
        once = (octave[second] < level) | (first < second)
        first, second = first[once], second[once]
        found += [
            _close(centers, covariances, first[i : i + PAIRS_A_SLICE], second[i : i + PAIRS_A_SLICE])
            for i in range(0, len(first), PAIRS_A_SLICE)
        ]
    pairs = np.concatenate(found)
    return pairs[:, 0], pairs[:, 1]


def _close(centers: np.ndarray, covariances: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The pairs (n, 2) whose distance is at most JOINT_WIDTHS in the metric of the sum of their covariances."""
    offset = centers[first] - centers[second]
    whitened = np.linalg.solve(covariances[first] + covariances[second], offset[:, :, None])[:, :, 0]
    close = np.sum(offset * whitened, axis=1) <= JOINT_WIDTHS**2
    return np.stack([first[close], second[close]], axis=1)


def _rules_of(
    centers: np.ndarray, factors: np.ndarray, first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Number (n,) of each pair's rule among `rules`."""
    inverse = np.linalg.inv(factors)
    precision = inverse.swapaxes(1, 2) @ inverse
    joint = np.linalg.inv(precision[first] + precision[second])
    pull = np.einsum("nij,nj->ni", precision[second], centers[second] - centers[first])
    middle = centers[first] + np.einsum("nij,nj->ni", joint, pull)
    reach = (BORDER_WIDTHS + 0.5) * np.sqrt(np.einsum("nii->ni", joint))
    cut = (middle - reach < -0.5) | (middle + reach > np.asarray(shape) - 0.5)
    narrowest = 1 / np.einsum("nii->n", precision[first] + precision[second])
    resolved = narrowest >= RESOLVED_VARIANCE
    number = np.choose(np.minimum(cut.sum(axis=1), 2), [0, 1 + cut.argmax(axis=1), 1 + len(shape)])
    return np.where(resolved, number, 2 + len(shape))


def _rows(first: np.ndarray, second: np.ndarray, n_components: int) -> NeighbourRows:
    ranked = np.lexsort((second, first != second, first))
    first, second = first[ranked], second[ranked]
    degrees = np.bincount(first, minlength=n_components)
    _, place = ragged(degrees)
    n_rows = -(-degrees // NEIGHBOURS_A_ROW)
    owner, _ = ragged(n_rows)
    table = np.full((len(owner), NEIGHBOURS_A_ROW), n_components, np.int32)
    start = np.cumsum(n_rows) - n_rows
    table[start[first] + place // NEIGHBOURS_A_ROW, place % NEIGHBOURS_A_ROW] = second
    return NeighbourRows(owner.astype(np.int32), table)
