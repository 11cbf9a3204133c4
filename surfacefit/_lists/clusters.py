"""Clusters of components that stand side by side: runs along a Hilbert curve through their centres.

Of the orders of points on a line it keeps neighbours together best. On 10,000 components with ten thousandths of
damping, conjugate gradients took 173 iterations with single components as preconditioner, 83 with runs of 16 in the
order of a k-d tree, 68 with runs along the curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .component_lists import PlacedComponents

# Parameters that a cluster has at most: their inverse is a block of 9 kB.
CLUSTER_PARAMETERS = 48
# The same where there is one set of clusters alone, whose borders no other bridges: an inverse is a block of 37 kB.
LONE_CLUSTER_PARAMETERS = 96
# Sets of clusters, along as many curves. On 10,000 components conjugate gradients took 26 and 68 iterations with one
# set of 16 a cluster, 16 and 38 with three of 8, whose inverses are three quarters of the work.
CLUSTER_SETS = 3
# Components from which there are several. On a map of terrain thirty steps took with one set instead of three 0.95 of
# the time for 512 components, 0.85 for 1,024 and 0.83 for 2,048, to errors of 0.97, 0.99 and 1.01; of 3,000 random
# components twelve took 1.05, to an error of 1.36.
CLUSTER_SETS_FROM = 2500
# Angle between the axes of one curve and the next, in radians: their clusters then have other borders.
CURVES_ANGLE = np.pi / 6
# Bits of a place on the curve at most, in an integer of 64.
CURVE_BITS = 60
# Bits of a coordinate at most: a side is cut into so many halves, so that one component far away leaves the rest apart.
AXIS_BITS = 30
# Coordinates at most, so that their differences are finite.
LARGEST_COORDINATE = 1e150


@dataclass(frozen=True, eq=False)
class Arrangement:
    """How components stand in a matrix of blocks.

    orders (s, K) : along curves, runs of which are clusters; None where the system is solved directly. block_size :
    parameters of each. mine (K,) : those whose rows are here, all others' being on other devices.
    """

    n_components: int
    orders: np.ndarray | None
    block_size: int
    mine: np.ndarray | None = None

    @classmethod
    def of(cls, components: PlacedComponents, n_active: int, block_size: int) -> Arrangement:
        """That of the first ``n_active``, with clusters unless ``block_size`` is 0; the rest is not in use."""
        count, orders = len(components.amplitudes), None
        if block_size:
            orders = component_orders(components.some(slice(n_active)), count, cluster_sets(count))
        return cls(count, orders, block_size)

    @cached_property
    def place(self) -> np.ndarray | None:
        """The place of each component along the first curve (K,)."""
        return None if self.orders is None else np.argsort(self.orders[0])

    def idle(self, n_active: int) -> np.ndarray:
        """Components not in use whose rows are here."""
        all_idle = np.arange(n_active, self.n_components, dtype=np.int32)
        return all_idle if self.mine is None else all_idle[self.mine[n_active:]]


def component_orders(components: PlacedComponents, count: int, n_sets: int = CLUSTER_SETS) -> np.ndarray:
    """Orders (s, ``count``) of components along ``n_sets`` curves, each turned against the one before, in units of
    their typical widths; one order where there is one axis. All beyond those given, which are not in use, come last.
    """
    n_active = len(components.amplitudes)
    idle, orders = np.arange(n_active, count), []
    places = components.centers / _typical_widths(components)
    for _ in range(n_sets if places.shape[1] > 1 else 1):
        orders.append(np.concatenate([hilbert_order(places) if n_active else idle[:0], idle]))
        places = _turned(places)
    return np.stack(orders)


def cluster_sets(n_components: int) -> int:
    """Sets of clusters for so many components."""
    return CLUSTER_SETS if n_components >= CLUSTER_SETS_FROM else 1


def clustered(orders: np.ndarray, block_size: int, owner: np.ndarray, neighbours: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of `Clusters`, runs of K components of ``block_size`` parameters in each of these orders (s, K), from
    rows of neighbours: owner (R,) and neighbours (R, w), K for none.

    A pair may stand in the rows of the component that comes later in the first order alone. Within a cluster components
    are therefore in that order, whichever curve it is a run of.
    """
    n_components = orders.shape[1]
    size = cluster_size(block_size, n_components, len(orders))
    rank = np.append(np.argsort(orders[0]), n_components)
    sets = []
    for order in orders:
        members = np.pad(order, (0, -len(order) % size), constant_values=n_components).reshape(-1, size)
        members = np.take_along_axis(members, np.argsort(rank[members], axis=1, kind="stable"), axis=1)
        place = np.empty(n_components + 1, np.int64)
        place[members.ravel()] = np.arange(members.size)
        sets.append((members, place[:-1], _blocks_of(members, place, owner, neighbours)))
    members, place, blocks = (np.stack(parts) for parts in zip(*sets, strict=True))
    place = place + members[0].size * np.arange(len(orders))[:, None]
    flat = {"members": members.reshape(-1, size), "place": place, "blocks": blocks.reshape(-1, size, size)}
    return {name: array.astype(np.int32) for name, array in flat.items()}


def _blocks_of(members: np.ndarray, place: np.ndarray, owner: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Where the blocks (C, m, m) of members (C, m) stand, which have places (K + 1,) among them."""
    size, cluster = members.shape[1], (place // members.shape[1]).astype(np.int32)
    cluster[-1] = -1  # nobody is in no cluster, nor a neighbour of one
    owners = np.where(owner < len(place) - 1, cluster[owner], -2)
    together = np.flatnonzero(owners[:, None] == cluster[neighbours])
    first, second = place[owner[together // neighbours.shape[1]]], place[neighbours.ravel()[together]]
    blocks = np.full((len(members), size, size), neighbours.size, np.int32)
    blocks[first // size, first % size, second % size] = together
    return blocks


def cluster_size(block_size: int, n_components: int, n_sets: int) -> int:
    """Components a cluster, of so many parameters each, in so many sets; 1 where there are no clusters, and
    ``block_size`` is 0.
    """
    most = CLUSTER_PARAMETERS if n_sets > 1 else LONE_CLUSTER_PARAMETERS
    return max(1, min(most // block_size, n_components)) if block_size else 1


def hilbert_order(points: np.ndarray) -> np.ndarray:
    """The order (n,) of points (n, d) along a Hilbert curve through the cube that holds them; NaN counts as zero.

    Skilling, Programming the Hilbert curve, AIP Conf. Proc. 707 (2004) 381.
    """
    n_dim = points.shape[1]
    bits = min(AXIS_BITS, CURVE_BITS // n_dim)
    points = np.clip(np.nan_to_num(points), -LARGEST_COORDINATE, LARGEST_COORDINATE)
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    x = ((points - low) / (extent or 1.0) * (2**bits - 1)).astype(np.int32).T.copy()
    for bit in reversed(range(1, bits)):
        rest = (1 << bit) - 1
        for i in range(n_dim):
            is_set = -(x[i] >> bit & 1)  # all bits, or none
            swapped = (x[0] ^ x[i]) & rest & ~is_set
            x[0] ^= swapped | (is_set & rest)
            x[i] ^= swapped
    for i in range(1, n_dim):
        x[i] ^= x[i - 1]
    turned = np.zeros_like(x[0])
    for bit in reversed(range(1, bits)):
        turned ^= -(x[-1] >> bit & 1) & ((1 << bit) - 1)
    x ^= turned
    along = np.zeros(len(points), np.int64)
    for bit in reversed(range(bits)):
        for i in range(n_dim):
            along <<= 1
            along |= x[i] >> bit & 1
    return np.argsort(along, kind="stable")


def _turned(points: np.ndarray) -> np.ndarray:
    """Points (n, d) turned by the same angle in the plane of each axis and the next."""
    turned, cosine, sine = points.astype(float), np.cos(CURVES_ANGLE), np.sin(CURVES_ANGLE)
    for axis in range(points.shape[1] - 1):
        x, y = turned[:, axis].copy(), turned[:, axis + 1]
        with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite, and stands anywhere
            turned[:, axis], turned[:, axis + 1] = cosine * x - sine * y, sine * x + cosine * y
    return turned


def _typical_widths(components: PlacedComponents) -> np.ndarray:
    """The median standard deviation (d,) of components along each axis."""
    widths = np.median(np.sqrt(np.sum(components.factors**2, axis=2)), axis=0)
    return np.where(widths > 0, widths, 1.0)
