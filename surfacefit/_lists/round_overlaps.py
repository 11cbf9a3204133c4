"""Which components overlap on an even grid whose periodic axes are whole: through the nearest images of each other.

A sum over one period of products of all images is the sum over the endless lattice of the product of one component and
the nearest image of the other, where both are so narrow that no second image of a pair overlaps. Components are put
into the middle of three periods, which no product leaves: nothing is cut by a border.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._periodic.host_images import HostImages
from .._periodic.nearest import Periods, nearest_offsets, wrapped
from .overlaps import JOINT_WIDTHS, EvenGrid, Overlaps, in_steps, overlapping, rules_of_pairs

# Of a period: the largest deviation along an axis. Two components of 1 / 19 that have grown by `SAME_PAIRS_GROWTH`
# overlap, to `JOINT_WIDTHS`, within half a period.
NARROW_PERIOD_SHARE = 1 / 19


def round_grid(grid: EvenGrid, periods: Periods) -> EvenGrid:
    """A grid of three periods along periodic axes, with the one that was given in their middle."""
    closed = np.array([period is not None for period in periods])
    shape = tuple(3 * n if one else n for n, one in zip(grid.shape, closed, strict=True))
    low = np.where(closed, grid.low - grid.step * np.array(grid.shape), grid.low)
    return replace(grid, low=low, shape=shape, period=np.where(closed, grid.shape, 0))


def round_overlaps(grid: EvenGrid, centers: np.ndarray, factors: np.ndarray, periods: Periods) -> Overlaps | None:
    """All overlaps of components with centers (K, d) and Cholesky factors (K, d, d) on a grid of `round_grid`; None
    where a component is too wide, or they crowd too much for blocks to pay.
    """
    centers, factors = in_steps(grid, centers, factors)
    lengths = tuple(None if p is None else n / 3 for p, n in zip(periods, grid.shape, strict=True))
    deviations = np.sqrt(np.sum(factors**2, axis=2))
    if any(n is not None and (deviations[:, i] > NARROW_PERIOD_SHARE * n).any() for i, n in enumerate(lengths)):
        return None
    low = np.array([0.0 if n is None else n for n in lengths])
    centers = wrapped(centers, low, lengths)
    reach = np.broadcast_to(JOINT_WIDTHS * np.sqrt(2) * deviations.max(axis=0, initial=0), deviations.shape)
    images = HostImages.reaching(centers, reach, lengths, low, 2 * low)
    pairs = overlapping(images.centers, factors[images.owners])
    if pairs is None:
        return None
    owners = np.sort(images.owners[np.stack(pairs, axis=1)], axis=1)
    first, second = (column.astype(np.int32) for column in np.unique(owners, axis=0).T)
    offsets = nearest_offsets(centers[second] - centers[first], lengths)
    return Overlaps(first, second, rules_of_pairs(centers, factors, (first, second), offsets, grid.shape))
