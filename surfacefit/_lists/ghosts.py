"""Components along periodic axes as those that tiles list: each image that reaches the map is a ghost of its owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._periodic.host_images import HostImages
from .._periodic.nearest import Periods
from .pairs import Ellipsoids
from .tiles import Tiling


@dataclass(frozen=True, eq=False)
class Ghosts:
    """The ``owners`` (M,) of ghosts, rising, and how far (M, d) each is from its owner."""

    owners: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, room: Ellipsoids, periods: Periods, tiling: Tiling) -> Ghosts:
        """The images of ellipsoids that reach the tiles."""
        ends = tiling.low.min(axis=0), tiling.high.max(axis=0)
        images = HostImages.reaching(room.centers, room.half_sides, periods, *ends)
        return cls(images.owners, images.centers - room.centers[images.owners])

    def shifted(self, room: Ellipsoids) -> Ellipsoids:
        """The ellipsoids (M,) of the ghosts."""
        return Ellipsoids(room.centers[self.owners] + self.shifts, room.factors[self.owners], room.radii[self.owners])

    def padded(self, count: int, nobody: int) -> Ghosts:
        """With ghosts of nobody up to so many."""
        spare = count - len(self.owners)
        owners = np.pad(self.owners, (0, spare), constant_values=nobody)
        return Ghosts(owners, np.pad(self.shifts, [(0, spare), (0, 0)]))
