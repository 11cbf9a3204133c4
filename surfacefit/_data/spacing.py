"""How far apart scattered points are along each axis.

Points on a lattice have its steps. Elsewhere the distance is that within which a point has two neighbours for each
axis, as it has on a lattice, with every axis in units of its extent; along a track, which leaves most of its box empty,
it is far less than for as many points spread evenly over the box, and it is never more. Along an axis it is at least
the median difference of neighbouring coordinates: rows of points are as far apart as they are.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

# Nodes of a lattice per point on it up to which points count as a lattice, with holes: half of the nodes are there.
MOST_NODES_PER_POINT = 2.0
# Points whose neighbours are looked for: their median distance is then known to some percent.
MAX_QUERIED_POINTS = 2048


def scattered_spacing(points: np.ndarray) -> np.ndarray:
    """Distance (d,) of neighbouring points (N, d) along each axis; zero along axes on which all are equal."""
    distinct, spacing = np.unique(points, axis=0), np.zeros(points.shape[1])
    extent = np.ptp(distinct, axis=0)
    axes = np.flatnonzero(extent)
    if not len(axes):
        return spacing
    gaps = np.array([np.median(np.diff(np.unique(distinct[:, axis]))) for axis in axes])
    with np.errstate(over="ignore"):
        n_nodes = np.prod(1 + extent[axes] / gaps)
    if n_nodes <= MOST_NODES_PER_POINT * len(distinct):
        spacing[axes] = gaps
        return spacing
    even = len(distinct) ** (-1 / len(axes))
    share = min(even, _neighbour_distance(distinct[:, axes] / extent[axes]))
    spacing[axes] = np.maximum(share * extent[axes], gaps)
    return spacing


def _neighbour_distance(points: np.ndarray) -> float:
    """Median distance to the (2 d)-th neighbour among distinct points (N, d)."""
    tree, order = cKDTree(points), min(2 * points.shape[1], len(points) - 1)
    queried = points[:: -(-len(points) // MAX_QUERIED_POINTS)]
    return float(np.median(tree.query(queried, [order + 1])[0]))
