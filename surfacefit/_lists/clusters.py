"""Clusters of components that stand side by side: runs along a Hilbert curve through their centres.

Of the orders of points on a line it keeps neighbours together best. On 10,000 components with ten thousandths of
damping, conjugate gradients took 173 iterations with single components as preconditioner, 83 with runs of 16 in the
order of a k-d tree, 68 with runs along the curve.
"""

from __future__ import annotations

import numpy as np

from .component_lists import PlacedComponents

# Parameters that a cluster has at most: their inverse is a block of 37 kB, which a core's cache holds. With twice as
# many, conjugate gradients took 51 iterations instead of 68 on 10,000 components, for four times the work of inverting.
CLUSTER_PARAMETERS = 96
# Bits of a place on the curve at most, in an integer of 64.
CURVE_BITS = 60
# Bits of a coordinate at most: a side is cut into so many halves, so that one component far away leaves the rest apart.
AXIS_BITS = 30
# Coordinates at most, so that their differences are finite.
LARGEST_COORDINATE = 1e150


def component_order(components: PlacedComponents, count: int) -> np.ndarray:
    """The order (``count``,) of components along the curve, in units of their typical widths; all beyond those given,
    which are not in use, come last.
    """
    n_active = len(components.amplitudes)
    order = hilbert_order(components.centers / _typical_widths(components)) if n_active else np.zeros(0, int)
    return np.concatenate([order, np.arange(n_active, count)])


def clustered(order: np.ndarray, block_size: int, owner: np.ndarray, neighbours: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of `Clusters`, runs of K components of ``block_size`` parameters in this order (K,), from rows of
    neighbours: owner (R,) and neighbours (R, w), K for none.
    """
    n_components = len(order)
    size = cluster_size(block_size, n_components)
    members = np.pad(order, (0, -len(order) % size), constant_values=n_components).reshape(-1, size)
    place = np.empty(n_components, np.int64)
    place[order] = np.arange(n_components)
    known = np.append(place, -size)  # nobody is in no cluster
    first, second = np.broadcast_to(known[owner][:, None], neighbours.shape), known[neighbours]
    together = (first // size == second // size) & (first >= 0)
    blocks = np.full((len(members), size, size), neighbours.size, np.int32)
    first, second = first[together], second[together]
    blocks[first // size, first % size, second % size] = np.flatnonzero(together.ravel())
    return {"members": members.astype(np.int32), "place": place.astype(np.int32), "blocks": blocks}


def cluster_size(block_size: int, n_components: int) -> int:
    """Components a cluster, of so many parameters each; 1 where there are no clusters, and ``block_size`` is 0."""
    return max(1, min(CLUSTER_PARAMETERS // block_size, n_components)) if block_size else 1


def hilbert_order(points: np.ndarray) -> np.ndarray:
    """The order (n,) of points (n, d) along a Hilbert curve through the cube that holds them; NaN counts as zero.

    Skilling, Programming the Hilbert curve, AIP Conf. Proc. 707 (2004) 381.
    """
    n_dim = points.shape[1]
    bits = min(AXIS_BITS, CURVE_BITS // n_dim)
    points = np.clip(np.nan_to_num(points), -LARGEST_COORDINATE, LARGEST_COORDINATE)
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    x = ((points - low) / (extent or 1.0) * (2**bits - 1)).astype(np.int64).T
    for bit in reversed(range(1, bits)):
        rest = (1 << bit) - 1
        for i in range(n_dim):
            is_set = (x[i] >> bit) & 1 == 1
            swapped = np.where(is_set, 0, (x[0] ^ x[i]) & rest)
            x[0] ^= np.where(is_set, rest, swapped)
            x[i] ^= swapped
    for i in range(1, n_dim):
        x[i] ^= x[i - 1]
    turned = np.zeros_like(x[0])
    for bit in reversed(range(1, bits)):
        turned ^= np.where((x[-1] >> bit) & 1 == 1, (1 << bit) - 1, 0)
    x ^= turned
    along = np.zeros_like(x[0])
    for bit in reversed(range(bits)):
        for i in range(n_dim):
            along = along << 1 | (x[i] >> bit) & 1
    return np.argsort(along, kind="stable")


def _typical_widths(components: PlacedComponents) -> np.ndarray:
    """The median standard deviation (d,) of components along each axis."""
    widths = np.median(np.sqrt(np.sum(components.factors**2, axis=2)), axis=0)
    return np.where(widths > 0, widths, 1.0)
