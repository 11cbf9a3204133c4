"""Small samples of the points around some components: even in density, and found at once however many points there
are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

REACH = 3.0
SPARE = 4
FEW = 4096  # points, which need no tree


@dataclass(eq=False)
class Windows:
    """Samples of up to ``size`` of the points (N, d), which have been shuffled: the first n of them are a fair
    sample.
    """

    points: np.ndarray
    size: int
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
        """Indices (n,) of the points with any of these ranks at a level, and how many points each stands for.

        They are thinned evenly to ``size``.
        """
        inside = np.zeros(max(1, len(self.points) >> level), bool)
        for some in ranks:
            inside[some] = True
        together = np.flatnonzero(inside)
        share = min(1.0, self.size / max(len(together), 1)) * 2.0**-level
        return self._order[together[: self.size]], 1 / share

    def level(self, covariance: np.ndarray) -> int:
        """Halvings of the points after which some SPARE times ``size`` remain within REACH widths, as far as these lie
        on the map.
        """
        if len(self.points) <= SPARE * self.size:
            return 0
        n_dim = len(self._extent)
        ball = math.pi ** (n_dim / 2) / math.gamma(n_dim / 2 + 1)
        squares = np.maximum(np.linalg.eigvalsh(covariance / np.outer(self._extent, self._extent)), 0.0)
        share = ball * np.prod(np.minimum(REACH * np.sqrt(squares), 1.0))
        expected = min(share, 1.0) * len(self.points) / (SPARE * self.size)
        return max(0, math.floor(math.log2(expected))) if expected > 1 else 0

    def ranks(self, level: int, center: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Ranks (n,) in the shuffled order of the points within REACH widths, among those left at a level."""
        near = self._ball(level, center, covariance)
        offset = self._shuffled[near] - center
        inside = np.einsum("ni,ni->n", offset @ np.linalg.inv(covariance), offset) <= REACH**2
        return np.flatnonzero(inside) if isinstance(near, slice) else near[inside]

    def _ball(self, level: int, center: np.ndarray, covariance: np.ndarray) -> np.ndarray | slice:
        """All the points among which the near ones are: where they are few, none need be looked for."""
        count = max(1, len(self.points) >> level)
        if count <= FEW:
            return slice(count)
        return np.asarray(
            self._tree(level).query_ball_point(center, REACH * math.sqrt(np.linalg.eigvalsh(covariance)[-1])), int
        )

    def _tree(self, level: int) -> cKDTree:
        if level not in self._trees:
            self._trees[level] = cKDTree(self._shuffled[: max(1, len(self.points) >> level)])
        return self._trees[level]
