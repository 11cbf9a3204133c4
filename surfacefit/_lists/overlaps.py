"""Which components overlap, on an even grid: rows of neighbours, and the rule that sums each pair's product.

The product of two Gaussians is a Gaussian. Where it lies inside the grid and is wider than the sampling, its moments
are integrals, exact by a few nodes; along an axis where it is cut by the border they are sums over the grid's lines;
and where it is narrower than the sampling, sums over all its grid points. A ridge, long along the first axis and narrow
across, needs more of these than a spot does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .pairs import ragged
from .small_matrices import inverses, squared_distances

# Neighbours; a product with a row of blocks then reads memory in long runs, and at most seven places are empty.
NEIGHBOURS_A_ROW = 8
# Widths of the joint covariance; the product of a pair farther apart is below exp(-5.5^2 / 2) = 3e-7 of a component's
# own, near the single precision in which blocks are held.
JOINT_WIDTHS = 5.5
# Widths of a product that must lie inside the grid to be integrated over the whole line; as above.
BORDER_WIDTHS = 5.5
# Steps squared; a Riemann sum of a Gaussian of this variance s^2 is its integral to 2 exp(-2 pi^2 s^2) = 1.3e-6.
RESOLVED_VARIANCE = 0.72
# Traces of two inverse covariances together, in steps^-2, below which their product is resolved, clear of rounding.
PLAIN_SHARPNESS = 0.999 / RESOLVED_VARIANCE
# Nodes an axis along which a product is cut by the border: enough for a smooth one over eleven widths. Sums over no
# more points are exact.
BORDER_NODES = 16
# Nodes an axis where a product is narrower than the sampling: it needs up to twice as many.
NARROW_NODES = 32
# Nodes along the first axis of a narrow product that spans more than NARROW_NODES points of it, in two dimensions: the
# sums across a tilted ridge change from point to point, so that all are needed (with 32 nodes an entry of J^T J was
# wrong by a factor of ten). Along the second axis these sums are short or smooth. More than so many points are not
# summed exactly; in three dimensions so many nodes would take too long.
RIDGE_NODES = 256
# Candidate pairs in all from which components crowd too much for blocks to pay: products with J are used instead. It
# bounds time, a microsecond a pair. Components of terrain widen as they settle: K = 5,000 on 2,000 x 2,000 points came
# to some 3.5 million, of which a tenth overlap, and a step by products took 100 s instead of 4.
MOST_PAIRS = 16_000_000
# Candidate pairs that are let besides for each component: 4,500 grown on terrain have 206, those 5,000 came to 700. The
# larger the map, the more stand within reach of the few that are as wide as it is.
MOST_PAIRS_A_COMPONENT = 1000
# Pairs; bounds the memory of the exact test, some 200 bytes a pair.
PAIRS_A_SLICE = 1_000_000
# Candidate pairs that are found at once, for 24 bytes each.
CANDIDATES_AT_ONCE = 16_000_000


class Rule(NamedTuple):
    """How a pair is summed: over so many ``nodes`` along each of these axes, by integration along the others."""

    axes: tuple[int, ...]
    nodes: tuple[int, ...]

    @property
    def n_sums(self) -> int:
        """Nodes of all summed axes together."""
        return math.prod(self.nodes)


@dataclass(frozen=True, eq=False)
class EvenGrid:
    """Points at low + step * index, index (d,) from 0 to shape - 1, all of weight one; ``period`` (d,) in steps, 0
    along open axes, where there are three of them (`round_grid`).
    """

    low: np.ndarray
    step: np.ndarray
    shape: tuple[int, ...]
    period: np.ndarray | None = None


class Overlaps(NamedTuple):
    """Pairs (n,) of components that overlap, each once, and the number of each pair's rule among `rules`."""

    first: np.ndarray
    second: np.ndarray
    rule: np.ndarray


@dataclass(frozen=True, eq=False)
class NeighbourRows:
    """Pairs (component, neighbour) in rows of neighbours of one component, which is its own first neighbour.

    owner : (R,) component of each row. neighbours : (R, NEIGHBOURS_A_ROW), K where there is none.
    """

    owner: np.ndarray
    neighbours: np.ndarray


def rules(n_dim: int) -> list[Rule]:
    """Inside the grid; cut along one axis; cut along several; narrower than the sampling; in two dimensions ridges."""
    everything = tuple(range(n_dim))
    return [
        Rule((), ()),
        *(Rule((axis,), (BORDER_NODES,)) for axis in everything),
        Rule(everything, (BORDER_NODES,) * n_dim),
        Rule(everything, (NARROW_NODES,) * n_dim),
        *([Rule(everything, (RIDGE_NODES, BORDER_NODES))] if n_dim == 2 else []),
    ]


def overlaps(grid: EvenGrid, centers: np.ndarray, factors: np.ndarray) -> Overlaps | None:
    """All overlaps of components with centers (K, d) and Cholesky factors (K, d, d), in the units of the grid; None
    where they crowd too much for blocks to pay.
    """
    centers, factors = in_steps(grid, centers, factors)
    pairs = overlapping(centers, factors)
    return None if pairs is None else Overlaps(*pairs, _rules_of(centers, factors, *pairs, grid.shape))


def renewed_overlaps(
    before: Overlaps, grid: EvenGrid, centers: np.ndarray, factors: np.ndarray, moved: np.ndarray
) -> Overlaps | None:
    """`overlaps`, where those between components that have not ``moved`` (K,) are those ``before``."""
    centers, factors = in_steps(grid, centers, factors)
    new = overlapping(centers, factors, moved)
    if new is None:
        return None
    kept = ~(moved[before.first] | moved[before.second])
    columns = zip(before, (*new, _rules_of(centers, factors, *new, grid.shape)), strict=True)
    return Overlaps(*(np.concatenate([old[kept], found]) for old, found in columns))


def neighbour_rows(
    pairs: Overlaps, n_components: int, n_dim: int, place: np.ndarray | None = None
) -> list[NeighbourRows]:
    """Rows for each of `rules`: each pair in those of both components, or given places (K,) of the components in some
    order, in those of the later one alone.
    """
    if place is None:
        other = pairs.first != pairs.second
        first = np.concatenate([pairs.first, pairs.second[other]])
        second = np.concatenate([pairs.second, pairs.first[other]])
        chosen = np.concatenate([pairs.rule, pairs.rule[other]])
    else:
        is_later, chosen = place[pairs.first] >= place[pairs.second], pairs.rule
        first, second = (np.where(is_later, *two) for two in (pairs[:2], pairs[1::-1]))
    return [_rows(first[chosen == n], second[chosen == n], n_components) for n in range(len(rules(n_dim)))]


def in_steps(grid: EvenGrid, centers: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (centers - grid.low) / grid.step, factors / grid.step[:, None]


def work(rows: list[NeighbourRows], n_dim: int) -> float:
    """Nodes at which products are taken, in all."""
    return work_of(np.array([len(one.owner) for one in rows]), n_dim)


def work_of(n_rows: np.ndarray, n_dim: int) -> float:
    """The same, for so many rows of each rule."""
    nodes = [rule.n_sums * 3 ** (n_dim - len(rule.axes)) for rule in rules(n_dim)]
    return float(NEIGHBOURS_A_ROW * np.dot(n_rows, nodes))


def overlapping(
    centers: np.ndarray, factors: np.ndarray, moved: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """All pairs within JOINT_WIDTHS of their joint covariance, once, each component with itself included; only those
    with one that has ``moved`` (K,) in them, if that is given. None if too many.
    """
    moved = np.ones(len(centers), bool) if moved is None else moved
    covariances = factors @ factors.swapaxes(1, 2)
    widths = np.sqrt(np.linalg.eigvalsh(covariances)[:, -1])
    octave = np.floor(2 * np.log2(widths / widths.min())).astype(int)
    found = [np.repeat(np.flatnonzero(moved)[:, None], 2, axis=1)]
    most = MOST_PAIRS + MOST_PAIRS_A_COMPONENT * len(centers)
    tasks = []
    for level in np.unique(octave):
        own, below = np.flatnonzero(octave == level), np.flatnonzero(octave <= level)
        reach = JOINT_WIDTHS * np.sqrt(2) * widths[own].max()
        for some, others in ((own[moved[own]], below), (own[~moved[own]], below[moved[below]])):
            if len(some) and len(others):
                tasks.append((level, some, others, reach, _most_near(centers, some, others, reach)))
    are_few = sum(task[-1] for task in tasks) <= most
    for level, some, others, reach, bound in tasks:
        count = bound if are_few else _count_near(centers, some, others, reach)
        most -= count
        if most < 0:
            return None
        for part in np.array_split(some, max(1, -(-count // CANDIDATES_AT_ONCE))):
            first, second = _near(centers, part, others, reach)
            once = (octave[second] < level) | (first < second)
            first, second = first[once], second[once]
            found += [
                _close(centers, covariances, first[i : i + PAIRS_A_SLICE], second[i : i + PAIRS_A_SLICE])
                for i in range(0, len(first), PAIRS_A_SLICE)
            ]
    both = np.concatenate(found)
    return both[:, 0].astype(np.int32), both[:, 1].astype(np.int32)


def _most_near(centers: np.ndarray, some: np.ndarray, others: np.ndarray, reach: float) -> int:
    """A bound of `_count_near`, in a fraction of the time: pairs of neighbouring cells of a lattice."""
    low = centers[others].min(axis=0)
    extent = centers[others].max(axis=0) - low
    side = np.maximum(reach, extent / max(1, int(len(others) ** (1 / centers.shape[1]))))
    shape = tuple((extent // side).astype(int) + 3)  # with an empty cell at either end

    def cells(which: np.ndarray) -> np.ndarray:
        index = np.clip((centers[which] - low) // side + 1, 0, np.array(shape) - 1).astype(int)
        return np.asarray(np.ravel_multi_index(tuple(index.T), shape))

    counts = np.bincount(cells(others), minlength=math.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        counts = np.sum([np.roll(counts, shift, axis) for shift in (-1, 0, 1)], axis=0)  # the ends are empty
    return int(counts.ravel()[cells(some)].sum())


def _count_near(centers: np.ndarray, some: np.ndarray, others: np.ndarray, reach: float) -> int:
    """How many pairs of one of some and one of other components have centres within reach."""
    from scipy.spatial import cKDTree  # here, since most fits need none, and it takes 0.2 s to import

    return int(cKDTree(centers[some]).count_neighbors(cKDTree(centers[others]), reach))


def _near(centers: np.ndarray, some: np.ndarray, others: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of one of some and one of other components whose centres are within reach."""
    from scipy.spatial import cKDTree

    near = cKDTree(centers[some]).sparse_distance_matrix(cKDTree(centers[others]), reach, output_type="ndarray")
    return some[near["i"]], others[near["j"]]


def _close(centers: np.ndarray, covariances: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The pairs (n, 2) whose distance is at most JOINT_WIDTHS in the metric of the sum of their covariances."""
    offset = centers[first] - centers[second]
    close = squared_distances(covariances[first] + covariances[second], offset) <= JOINT_WIDTHS**2
    return np.stack([first[close], second[close]], axis=1)


def _rules_of(
    centers: np.ndarray, factors: np.ndarray, first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    return rules_of_pairs(centers, factors, (first, second), centers[second] - centers[first], shape)


def rules_of_pairs(
    centers: np.ndarray,
    factors: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    offsets: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Number (n,) of each pair's rule among `rules`, whose components overlap; ``offsets`` (n, d) are those of the
    second from the first.
    """
    first, second = pairs
    inverse = inverses(factors)
    precision = inverse.swapaxes(1, 2) @ inverse
    sharpness = np.einsum("kii->k", precision)
    is_deep, number = _are_deep(centers, factors, shape), np.zeros(len(first), np.int8)
    is_plain = (is_deep[first] | is_deep[second]) & (sharpness[first] + sharpness[second] < PLAIN_SHARPNESS)
    rest = np.flatnonzero(~is_plain)
    both = precision[first[rest]], precision[second[rest]]
    number[rest] = _rules_one_by_one(centers[first[rest]], offsets[rest], *both, shape)
    return number


def _are_deep(centers: np.ndarray, factors: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which components (K,) stand so far inside the grid that it cuts no product with them. Where two overlap, their
    product's middle is within JOINT_WIDTHS of either, and it is narrower than either.
    """
    reach = (JOINT_WIDTHS + BORDER_WIDTHS + 1) * np.sqrt(np.sum(factors**2, axis=2))
    return np.asarray(((centers - reach > 0) & (centers + reach < np.asarray(shape) - 1)).all(axis=1))


def _rules_one_by_one(
    centers: np.ndarray, offsets: np.ndarray, near: np.ndarray, far: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    both = near + far
    joint = inverses(both)
    pull = np.einsum("nij,nj->ni", far, offsets)
    middle = centers + np.einsum("nij,nj->ni", joint, pull)
    reach = (BORDER_WIDTHS + 0.5) * np.sqrt(np.einsum("nii->ni", joint))
    cut = (middle - reach < -0.5) | (middle + reach > np.asarray(shape) - 0.5)
    narrowest = 1 / np.einsum("nii->n", both)
    resolved = narrowest >= RESOLVED_VARIANCE
    number = np.choose(np.minimum(cut.sum(axis=1), 2), [0, 1 + cut.argmax(axis=1), 1 + len(shape)])
    ends = np.clip([middle[:, 0] - reach[:, 0], middle[:, 0] + reach[:, 0]], 0, shape[0] - 1)
    is_ridge = (ends[1] - ends[0] > NARROW_NODES - 1) & (len(shape) == 2)
    return np.where(resolved, number, 2 + len(shape) + is_ridge).astype(np.int8)


def _rows(first: np.ndarray, second: np.ndarray, n_components: int) -> NeighbourRows:
    ranked = np.argsort((2 * first.astype(np.int64) + (first != second)) * n_components + second)
    first, second = first[ranked], second[ranked]
    degrees = np.bincount(first, minlength=n_components)
    _, place = ragged(degrees)
    n_rows = -(-degrees // NEIGHBOURS_A_ROW)
    owner, _ = ragged(n_rows)
    table = np.full((len(owner), NEIGHBOURS_A_ROW), n_components, np.int32)
    start = np.cumsum(n_rows) - n_rows
    table[start[first] + place // NEIGHBOURS_A_ROW, place % NEIGHBOURS_A_ROW] = second
    return NeighbourRows(owner.astype(np.int32), table)
