r"""Points with weights: the input validation of `fit_mixture`, and the units in which it works.

Inside, points are u = W (x - shift) with mean zero and variance one. W whitens the data for full and tied covariances,
scales each axis for diagonal ones, and scales all axes alike for spherical ones, so that a covariance keeps its type.
Fits are then equivariant under the maps that the type allows, and a floor on widths is a share of the data's width in
every direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._base.checks import finite, first_index, real_array
from .._base.compile import FINEST_SIZES_PER_OCTAVE, rounded_up, stepped_up
from .._constraints.mixture_regularization import n_distinct
from .mixture_model import Mixture, PointChunks

# Elements of an array (K, n) of one chunk: 4 MB in double precision, so that the few such arrays of a step stay in the
# cache; smaller chunks would spend their time on the loop.
POINT_CHUNK_ELEMENTS = 2**19

# Points of a chunk, whatever K is: fewer would spend their time on the loop.
MIN_CHUNK_POINTS = 2**8

# Of the widest direction: the width of flat directions of the data in the units of a fit. They have none to divide by,
# and the whitening stays well conditioned.
MIN_RELATIVE_WIDTH = 1e-5

# Of the widest direction: a floor on widths below this has no Cholesky factor in double precision, since its square
# would be near the rounding of the largest eigenvalue.
MIN_RELATIVE_FLOOR = 3e-7

# Of the largest coordinate: a spread along an axis below this is rounding, and the axis counts as constant.
ROUNDING_SPREAD = 1e-14

# Lowest eigenvalue of a correlation matrix that Cholesky's method factors in double precision, with room for rounding.
MIN_EIGENVALUE = 1e-14

# Of a step of a grid: distance of a gap from a multiple of the step that counts as rounding, in single precision too.
GRID_ROUNDING = 1e-2

# Distinct coordinates along an axis that make a grid if no coordinate repeats: fewer are even by chance too often.
LEAST_GRID_VALUES = 5

# Of a cell: least width of a component on a grid. The sum over the cells of a component of this width is its integral
# to 1.5 % wherever it stands; of one of 0.3 cells it is off by up to a third, which the likelihood takes for density.
MIN_CELL_WIDTH = 0.5

# Extent of the points, in their units, below which variances and their determinants would underflow.
MIN_EXTENT = 1e-140

# Extent of the points, in their units, above which variances and their determinants would overflow.
MAX_EXTENT = 1e140


@dataclass(frozen=True, eq=False)
class WeightedPoints:
    """Points (N, d) of positive weights (N,), in the user's units and in float64.

    ``dtype`` is that of the user's array. ``cell`` (d,) is the size of the cells that the points stand for, where they
    were given with weights and stand on an even grid; else zero.
    """

    points: np.ndarray
    weights: np.ndarray
    dtype: np.dtype
    cell: np.ndarray

    @property
    def n_dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def as_given(self) -> np.ndarray:
        """The points in single precision if they were given in it."""
        return self.points.astype(np.float32) if self.dtype == np.float32 else self.points

    @property
    def total(self) -> float:
        return float(self.weights.sum())


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a fit: u = forward (x - shift), x = shift + backward u; shift (d,), matrices (d, d).

    In these units no component is narrower than ``floor`` in any direction.
    """

    shift: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    floor: float

    @property
    def log_volume(self) -> float:
        """log |det forward|: what a log-density in the user's units gains over one in these."""
        return float(np.linalg.slogdet(self.forward)[1])

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., d) in the units of the fit."""
        return (points - self.shift) @ self.forward.T

    def covariances(self, covariances: np.ndarray) -> np.ndarray:
        """Covariances (..., d, d) in the units of the fit."""
        return _symmetric(self.forward @ covariances @ self.forward.T)

    def physical_points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., d) in the user's units."""
        return points @ self.backward.T + self.shift

    def physical_covariances(self, covariances: np.ndarray) -> np.ndarray:
        """Covariances (..., d, d) in the user's units."""
        return _symmetric(self.backward @ covariances @ self.backward.T)


def weighted_points(points: Any, weights: Any) -> WeightedPoints:
    """A user's points (N, d) or (N,) and weights (N,) or None, checked; points of weight zero are left out."""
    given = finite("points", real_array("points", points))
    array, dtype = given.astype(np.float64), given.dtype
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"`points` must have shape (N, d), one row a point, with N, d >= 1, got {np.shape(points)}")
    extent = float(np.ptp(array, axis=0).max())
    if extent != 0 and not MIN_EXTENT < extent < MAX_EXTENT:
        raise ValueError(
            f"`points` must spread over {MIN_EXTENT:g} to {MAX_EXTENT:g}, so that variances are numbers, got"
            f" {extent:g}: rescale them"
        )
    if weights is None:
        return WeightedPoints(array, np.ones(len(array)), dtype, np.zeros(array.shape[1]))
    masses = _checked_weights(weights, len(array))
    return WeightedPoints(array[masses > 0], masses[masses > 0], dtype, cell_of(array))


def cell_of(points: np.ndarray) -> np.ndarray:
    """Size (d,) of the cells of the even grid on which the points (N, d) stand; zero along axes where there is none.

    The grid may have holes: along each axis all differences are multiples of the least one.
    """
    return np.array([_step(np.unique(column), len(points)) for column in points.T])


def _step(values: np.ndarray, n_points: int) -> float:
    """The step of distinct coordinates (m,) of so many points, rising; zero where they are not even or too few."""
    gaps = np.diff(values)
    if len(values) < 2 or (len(values) < LEAST_GRID_VALUES and n_points < 2 * len(values)):
        return 0.0
    # The least gap alone would carry its rounding into every multiple of it.
    step = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    return step if (np.abs(gaps / step - np.round(gaps / step)) < GRID_ROUNDING).all() else 0.0


def _checked_weights(weights: Any, n_points: int) -> np.ndarray:
    masses = np.asarray(real_array("weights", weights), np.float64)
    if masses.shape != (n_points,):
        raise ValueError(f"`weights` must have shape ({n_points},), one for each of `points`, got {masses.shape}")
    wrong = ~(np.isfinite(masses) & (masses >= 0))
    if wrong.any():
        raise ValueError(
            f"`weights` must be zero or positive, and finite, got {masses[wrong][0]} at index {first_index(wrong)}"
        )
    if not (masses > 0).any():
        raise ValueError(
            f"`weights` must not all be zero: none of the {n_points} points is left; omit `weights` to count all alike"
        )
    return masses


def check_enough(data: WeightedPoints, n_components: int) -> int:
    """The number of distinct points, which must not be below the number of components."""
    distinct = n_distinct(data.points)
    if distinct < n_components:
        raise ValueError(
            f"`n_components`={n_components} is more than the {distinct} distinct `points` of positive weight:"
            f" at most {distinct}"
        )
    return distinct


def covariance_of(data: WeightedPoints) -> np.ndarray:
    """The weighted covariance (d, d) of the data."""
    offsets = data.points - np.average(data.points, axis=0, weights=data.weights)
    return (offsets * (data.weights / data.total)[:, None]).T @ offsets


def units_of(data: WeightedPoints, kind: str, min_width: float = 0.0) -> Units:
    """Units in which the data have variance one, as far as the covariance type allows, and the floor in these.

    Directions in which the data are flat count as MIN_RELATIVE_WIDTH of the widest one, or as wide as it takes for
    ``min_width`` of it to be MIN_RELATIVE_FLOOR of the widest. Where half a cell is wider than ``min_width`` of the
    data, the units are those in which the floor, the wider of both in each direction, is the same in all directions.
    """
    shift = np.average(data.points, axis=0, weights=data.weights)
    covariance = covariance_of(data)
    widths = np.sqrt(np.diag(covariance))
    widths = np.where(widths > ROUNDING_SPREAD * np.abs(data.points).max(), widths, 0)
    widths = np.where(widths > 0, widths, widths.max() or 1.0)
    if kind == "spherical":
        widths = np.full_like(widths, np.sqrt(np.mean(widths**2)))
    if kind not in ("full", "tied"):
        units = Units(shift, np.diag(1 / widths), np.diag(widths), min_width)
    else:
        values, vectors = np.linalg.eigh(covariance / np.outer(widths, widths))
        least = np.clip(MIN_RELATIVE_FLOOR / min_width, MIN_RELATIVE_WIDTH, 1) if min_width > 0 else MIN_RELATIVE_WIDTH
        roots = np.sqrt(np.maximum(values, least**2 * values.max() or 1.0))
        units = Units(shift, (vectors / roots).T / widths, widths[:, None] * vectors * roots, min_width)
    return _with_cells(units, data.cell, kind) if min_width > 0 and data.cell.any() else units


def _with_cells(units: Units, cell: np.ndarray, kind: str) -> Units:
    """The units with a floor of half a cell at least, isotropic in them.

    In units in which the old floor is the identity, half a cell has the matrix C of squares. The smallest matrix above
    both has the eigenvectors of C, and its eigenvalues where these exceed one.
    """
    half = MIN_CELL_WIDTH * (np.full_like(cell, cell.max()) if kind == "spherical" else cell)
    squares = units.covariances(np.diag(half**2)) / units.floor**2
    values, vectors = np.linalg.eigh(squares)
    roots = np.sqrt(np.maximum(values, 1.0))
    if kind not in ("full", "tied"):  # diagonal matrices commute: the axes stay those of the data
        vectors, roots = np.eye(len(cell)), np.sqrt(np.maximum(np.diag(squares), 1.0))
    if not (roots > 1).any():
        return units
    narrowest = roots.min()
    scale = vectors * (narrowest / roots)
    return Units(units.shift, scale.T @ units.forward, units.backward @ (vectors * (roots / narrowest)),
                 float(units.floor * narrowest))  # fmt: skip


def point_chunks(points: np.ndarray, weights: np.ndarray, n_components: int, dtype: Any) -> PointChunks:
    """Points (N, d) and weights (N,) on the device, in chunks of equal size; weights are divided by their mean.

    Sizes are rounded up a little, so that a similar number of points compiles nothing new.
    """
    elements = POINT_CHUNK_ELEMENTS // n_components
    most = max(MIN_CHUNK_POINTS, 1 << max(elements.bit_length() - 1, 0))
    size = min(most, rounded_up(len(points)))
    n_chunks = stepped_up(-(-len(points) // size), FINEST_SIZES_PER_OCTAVE)
    spare = n_chunks * size - len(points)
    laid = np.pad(points, [(0, spare), (0, 0)], mode="edge").reshape(n_chunks, size, -1)
    masses = np.pad(weights / weights.mean(), (0, spare)).reshape(n_chunks, size)
    return PointChunks(jnp.asarray(laid, dtype), jnp.asarray(masses, dtype))


def mixture_of(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, dtype: Any) -> Mixture:
    """A mixture of NumPy arrays (K,), (K, d) and, from covariances (K, d, d), Cholesky factors."""
    arrays = weights, means, np.linalg.cholesky(definite(covariances))
    return Mixture(*(np.asarray(array, dtype) for array in arrays))


def definite(covariances: np.ndarray) -> np.ndarray:
    """Covariances (K, d, d) that have a Cholesky factor: those that rounding has left without are raised a little."""
    widths = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    outer = widths[:, :, None] * widths[:, None, :]
    values, vectors = np.linalg.eigh(covariances / outer)
    raised = np.einsum("kia,ka,kja->kij", vectors, np.maximum(values, MIN_EIGENVALUE), vectors) * outer
    return np.where((values[:, 0] < MIN_EIGENVALUE)[:, None, None], _symmetric(raised), covariances)


def _symmetric(covariances: np.ndarray) -> np.ndarray:
    return (covariances + np.swapaxes(covariances, -1, -2)) / 2
