"""Small samples of the points around some components, of even density, found fast however many points there are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

# Widths around a component within which points count as its own: 1 % of its height is left at three.
RADIUS_WIDTHS = 3.0
# Points found for each one that a sample takes: the points of several components are joined, and thinned to its size.
OVERSAMPLING = 4
# Points up to which all distances are computed at once, faster than a query of a k-d tree.
MAX_POINTS_WITHOUT_TREE = 4096


@dataclass(eq=False)
class Windows:
    """Samples of up to ``size`` of the points (N, d); ``periods`` are those of the axes, None for open ones.

    The points are shuffled once, so that the first n of them are a fair sample. Level l keeps the first N / 2^l; ranks
    are places in the shuffled order.
    """

    points: np.ndarray
    size: int
    periods: tuple[float | None, ...] | None = None
    _order: np.ndarray = field(init=False)
    _shuffled: np.ndarray = field(init=False)
    _extent: np.ndarray = field(init=False)
    _trees: dict[int, cKDTree] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._order = np.random.default_rng(0).permutation(len(self.points))
        self._shuffled = self.points[self._order]
        extent = np.ptp(self.points, axis=0)
        self._extent = np.where(extent > 0, extent, extent.max() or 1.0)

    def sample(self, level: int, ranks: list[np.ndarray]) -> tuple[np.ndarray, float]:
        """Indices (n,) of the points with any of these ranks at a level, and how many points each represents.

        The first ``size`` of them in the shuffled order are taken.
        """
        inside = np.zeros(max(1, len(self.points) >> level), bool)
        for some in ranks:
            inside[some] = True
        together = np.flatnonzero(inside)
        share = min(1.0, self.size / max(len(together), 1)) * 2.0**-level
        return self._order[together[: self.size]], 1 / share

    def level(self, covariance: np.ndarray) -> int:
        """The level at which about OVERSAMPLING times ``size`` points remain within RADIUS_WIDTHS of a component.

        Only the part of the component's ball that can lie on the map counts.
        """
        if len(self.points) <= OVERSAMPLING * self.size:
            return 0
        n_dim = len(self._extent)
        ball = math.pi ** (n_dim / 2) / math.gamma(n_dim / 2 + 1)
        squares = np.maximum(np.linalg.eigvalsh(covariance / np.outer(self._extent, self._extent)), 0.0)
        share = ball * np.prod(np.minimum(RADIUS_WIDTHS * np.sqrt(squares), 1.0))
        expected = min(share, 1.0) * len(self.points) / (OVERSAMPLING * self.size)
        return max(0, math.floor(math.log2(expected))) if expected > 1 else 0

    def ranks(self, level: int, center: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Ranks (n,) of the points of a level within RADIUS_WIDTHS of a component."""
        near = self._ball(level, center, covariance)
        offset = self._offsets(self._shuffled[near] - center)
        inside = np.einsum("ni,ni->n", offset @ np.linalg.inv(covariance), offset) <= RADIUS_WIDTHS**2
        return np.flatnonzero(inside) if isinstance(near, slice) else near[inside]

    def _offsets(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets (n, d) from the nearest images of a centre."""
        for axis, period in enumerate(self.periods or ()):
            if period is not None:
                offsets[:, axis] -= period * np.round(offsets[:, axis] / period)
        return offsets

    def _ball(self, level: int, center: np.ndarray, covariance: np.ndarray) -> np.ndarray | slice:
        """Ranks that include all near ones: those within the longest width, or all where they are few."""
        count = max(1, len(self.points) >> level)
        if count <= MAX_POINTS_WITHOUT_TREE or self.periods is not None:
            return slice(count)
        return np.asarray(
            self._tree(level).query_ball_point(center, RADIUS_WIDTHS * math.sqrt(np.linalg.eigvalsh(covariance)[-1])),
            int,
        )

    def _tree(self, level: int) -> cKDTree:
        if level not in self._trees:
            from scipy.spatial import cKDTree  # here, since few fits need it, and it takes 0.2 s to import

            self._trees[level] = cKDTree(self._shuffled[: max(1, len(self.points) >> level)])
        return self._trees[level]
