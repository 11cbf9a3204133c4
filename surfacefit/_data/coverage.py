r"""Where the data are, as a component sees it: the share of its volume over them, and whether its centre is among them.

Distances are counted in samples: along each axis in units of the sampling distance there. A place counts as over the
data if it is in their box, half a sample around included, and no farther from a point that was used than 1.5 samples or
the component's smallest width, whichever is more. So a pixel that is missing is no hole, and neither is the gap between
tracks for a component that is wider than it.

A share is the mean over places drawn as the component is distributed, evenly and in pairs about its centre: the
additive recurrence of the golden ratio's relatives (Roberts, 2018) under the inverse of the normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage, special
from scipy.spatial import cKDTree

from .data import SurfaceData

# Samples: a place this near to a point that was used is over the data, however narrow the component. One missing sample
# of a grid is then no hole, a block of three by three is. Beyond four dimensions cells are larger than that.
REACH_SAMPLES = 1.5
# Widths around a centre within which a point must have been used, or the centre stands where there are no data.
CORE_WIDTHS = 0.5
# Pairs of places at which a component is looked at: shares are then right to about 1 %.
PLACE_PAIRS = 256
# Widths: a component this far inside a grid without gaps lies over the data but for 1e-4 of its volume.
INNER_WIDTHS = 4.0
# Numbers in the places of the components that are looked at together: 32 MB in double precision.
MAX_PLACE_NUMBERS = 2**22


@dataclass(frozen=True, eq=False)
class Shapes:
    """Components in samples: centres (K, d), variances (K, d) along their axes, rising, and the axes (K, d, d)."""

    centers: np.ndarray
    variances: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, data: SurfaceData, centers: np.ndarray, covariances: np.ndarray) -> Shapes:
        """Those of centres (K, d) and covariances (K, d, d) in the units of the data."""
        values, vectors = np.linalg.eigh(covariances / np.outer(data.spacing, data.spacing))
        return cls(centers / data.spacing, np.maximum(values, 0), vectors)

    def extents(self) -> np.ndarray:
        """Widths (K, d) along the axes of the data."""
        return np.sqrt(np.einsum("kia,ka->ki", self.axes**2, self.variances))


@dataclass(frozen=True, eq=False)
class Coverage:
    """Where the used points of ``data`` are, in samples; ``periods`` (d,) of the axes in the units of the data, None
    for open ones.
    """

    data: SurfaceData
    periods: tuple[float | None, ...] | None = None

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner (d,) of the used points, half a sample around included."""
        points = self.data.used_points
        return points.min(axis=0) / self.data.spacing - 0.5, points.max(axis=0) / self.data.spacing + 0.5

    @property
    def gapless(self) -> bool:
        """Whether all places in the box are over the data: on a grid of which every point is used."""
        return self.data.axes is not None and bool(self.data.used.all())

    @property
    def reach(self) -> float:
        """Samples within which a used point makes any place one over the data."""
        return max(REACH_SAMPLES, 0.5 + np.sqrt(self.data.n_dim) / 2)

    def home(self, places: np.ndarray) -> np.ndarray:
        """Places (..., d) moved by whole periods to where the box begins, and a period on."""
        if self.periods is None:
            return places
        moved, low = np.array(places), self.box[0]
        for axis, (period, step) in enumerate(zip(self.periods, self.data.spacing, strict=True)):
            if period is not None:
                length = period / step
                moved[..., axis] -= length * np.floor((moved[..., axis] - low[axis]) / length)
        return moved

    def inside(self, places: np.ndarray) -> np.ndarray:
        """Which places (..., d) are in the box."""
        (low, high), places = self.box, self.home(places)
        return np.asarray(((places >= low) & (places <= high)).all(axis=-1))

    def distances(self, places: np.ndarray) -> np.ndarray:
        """Distances (...) from places (..., d) in the box to the nearest used point, on a grid the nearest cell."""
        if self.gapless:
            return np.zeros(places.shape[:-1])
        places = self.home(places)
        if self.data.axes is None:
            return np.asarray(self._tree.query(places)[0])
        return np.asarray(self._cell_distances[tuple(np.moveaxis(self._cells(places), -1, 0))])

    def near(self, place: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """Used points (n, d) that include all within ``reach`` (d,) of a place (d,)."""
        if self.data.axes is None:
            found = self._tree.query_ball_point(place, float(np.linalg.norm(reach)))
            return np.asarray(self._tree.data[found])
        low, high = self._cells(place - reach), self._cells(place + reach)
        window = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
        index = np.argwhere(self.data.used[window]) + low
        return np.stack([axis[index[:, i]] for i, axis in enumerate(self._axes)], axis=1)

    @cached_property
    def _axes(self) -> list[np.ndarray]:
        assert self.data.axes is not None
        return [axis / step for axis, step in zip(self.data.axes, self.data.spacing, strict=True)]

    def _cells(self, places: np.ndarray) -> np.ndarray:
        """Indices (..., d) of the nearest cells."""
        columns = [np.searchsorted((axis[1:] + axis[:-1]) / 2, places[..., i]) for i, axis in enumerate(self._axes)]
        return np.stack(columns, axis=-1)

    @cached_property
    def _cell_distances(self) -> np.ndarray:
        return np.asarray(ndimage.distance_transform_edt(~self.data.used))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.data.used_points / self.data.spacing)


def shares_over_data(coverage: Coverage, shapes: Shapes) -> np.ndarray:
    """Share (K,) of each component's volume that lies over the data."""
    shares, reach = np.ones(len(shapes.centers)), INNER_WIDTHS * shapes.extents()
    inner = coverage.inside(shapes.centers - reach) & coverage.inside(shapes.centers + reach)
    looked_at = np.flatnonzero(~inner) if coverage.gapless else np.arange(len(shares))
    places = _normal_places(shapes.centers.shape[1])
    at_once = max(1, MAX_PLACE_NUMBERS // places.size)
    for first in range(0, len(looked_at), at_once):
        some = looked_at[first : first + at_once]
        spread = places * np.sqrt(shapes.variances[some, None])
        around = shapes.centers[some, None] + np.einsum("knj,kij->kni", spread, shapes.axes[some])
        over = coverage.inside(around)
        within = np.maximum(np.sqrt(shapes.variances[some, :1]), coverage.reach)
        over[over] = coverage.distances(around[over]) <= np.broadcast_to(within, over.shape)[over]
        shares[some] = over.mean(axis=1)
    return shares


def without_data(coverage: Coverage, shapes: Shapes) -> np.ndarray:
    """Which components (K,) are centred in the box, but with no used point near.

    A near point lies in the ellipsoid whose squared axes are those of half a width plus that of the reach.
    """
    found = np.zeros(len(shapes.centers), bool)
    centers = coverage.home(shapes.centers)
    inside = np.flatnonzero(coverage.inside(centers))
    rounding = np.sqrt(centers.shape[1]) / 2
    for k in inside[coverage.distances(centers[inside]) + rounding > coverage.reach]:
        squares = CORE_WIDTHS**2 * shapes.variances[k] + coverage.reach**2
        points = coverage.near(centers[k], np.sqrt(shapes.axes[k] ** 2 @ squares))
        found[k] = not np.any(((points - centers[k]) @ shapes.axes[k]) ** 2 @ (1 / squares) <= 1)
    return found


def _normal_places(n_dim: int) -> np.ndarray:
    """Places (n, d) that are distributed evenly under a standard normal density, in opposite pairs."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (n_dim + 1))
    steps = root ** -np.arange(1.0, n_dim + 1)
    half = special.ndtri((0.5 + np.arange(1, PLACE_PAIRS + 1)[:, None] * steps) % 1)
    return np.concatenate([half, -half])
