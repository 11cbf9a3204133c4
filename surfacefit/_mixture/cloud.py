r"""Points with weights: the door of `fit_mixture`, and the units in which it works.

Inside, points are u = W (x - shift) with mean zero and variance one: W whitens the data for full and tied covariances,
scales each axis for diagonal ones, and all axes alike for spherical ones, so that a covariance keeps its type. Fits are
then equivariant under the maps that the type allows, and a floor on widths means a share of the data's width in every
direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._base.checks import finite, first_index, real_array
from .._base.compile import rounded_up
from .._constraints.mixture_regularization import n_distinct
from .expectation_maximization import Cloud, Mixture

CHUNK_ELEMENTS = 2**19
FLATTEST = 1e-5
NARROWEST = 3e-7
DEFINITE = 1e-14
SMALLEST, LARGEST = 1e-140, 1e140


@dataclass(frozen=True, eq=False)
class WeightedPoints:
    """Points (N, d) of positive weights (N,), in the user's units and in float64; ``dtype`` is that of the user's
    array.
    """

    points: np.ndarray
    weights: np.ndarray
    dtype: np.dtype

    @property
    def n_dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def total(self) -> float:
        return float(self.weights.sum())


@dataclass(frozen=True, eq=False)
class Units:
    """u = forward (x - shift), x = shift + backward u."""

    shift: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @property
    def log_volume(self) -> float:
        """log |det forward|: what a density gains in these units."""
        return float(np.linalg.slogdet(self.forward)[1])

    def points(self, points: np.ndarray) -> np.ndarray:
        return (points - self.shift) @ self.forward.T

    def forms(self, covariances: np.ndarray) -> np.ndarray:
        """Covariances (..., d, d) in these units."""
        return _symmetric(self.forward @ covariances @ self.forward.T)

    def points_back(self, points: np.ndarray) -> np.ndarray:
        return points @ self.backward.T + self.shift

    def forms_back(self, covariances: np.ndarray) -> np.ndarray:
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
    if extent != 0 and not SMALLEST < extent < LARGEST:
        raise ValueError(
            f"`points` must spread over {SMALLEST:g} to {LARGEST:g}, so that variances are numbers, got {extent:g}:"
            f" rescale them"
        )
    if weights is None:
        return WeightedPoints(array, np.ones(len(array)), dtype)
    masses = np.asarray(real_array("weights", weights), np.float64)
    if masses.shape != (len(array),):
        raise ValueError(f"`weights` must have shape ({len(array)},), one for each of `points`, got {masses.shape}")
    wrong = ~(np.isfinite(masses) & (masses >= 0))
    if wrong.any():
        raise ValueError(
            f"`weights` must be zero or positive, and finite, got {masses[wrong][0]} at index {first_index(wrong)}"
        )
    used = masses > 0
    if not used.any():
        raise ValueError(
            f"`weights` must not all be zero: of {len(array)} points none is left; leave `weights` out to count all"
            f" alike"
        )
    return WeightedPoints(array[used], masses[used], dtype)


def check_enough(data: WeightedPoints, n_components: int) -> int:
    """The number of distinct points, which must not be below the number of components."""
    distinct = n_distinct(data.points)
    if distinct < n_components:
        raise ValueError(
            f"`n_components`={n_components} is more than the {distinct} distinct `points` of positive weight: at most"
            f" {distinct}"
        )
    return distinct


def covariance_of(data: WeightedPoints) -> np.ndarray:
    """The weighted covariance (d, d) of the data."""
    offsets = data.points - np.average(data.points, axis=0, weights=data.weights)
    return (offsets * (data.weights / data.total)[:, None]).T @ offsets


def units_of(data: WeightedPoints, kind: str, min_width: float = 0.0) -> Units:
    """Units in which the data have variance one, as far as the covariance type allows.

    Directions with next to no extent are taken to have FLATTEST of the widest one's, and so much that ``min_width`` of
    it is no less than NARROWEST of the widest: a narrower covariance has no Cholesky factor in double precision.
    """
    shift = np.average(data.points, axis=0, weights=data.weights)
    covariance = covariance_of(data)
    widths = np.sqrt(np.diag(covariance))
    widths = np.where(widths > 1e-14 * np.abs(data.points).max(), widths, 0)
    widths = np.where(widths > 0, widths, widths.max() or 1.0)
    if kind == "spherical":
        widths = np.full_like(widths, np.sqrt(np.mean(widths**2)))
    if kind not in ("full", "tied"):
        return Units(shift, np.diag(1 / widths), np.diag(widths))
    values, vectors = np.linalg.eigh(covariance / np.outer(widths, widths))
    flattest = np.clip(NARROWEST / min_width, FLATTEST, 1) if min_width > 0 else FLATTEST
    roots = np.sqrt(np.maximum(values, flattest**2 * values.max() or 1.0))
    return Units(shift, (vectors / roots).T / widths, widths[:, None] * vectors * roots)


def packed(points: np.ndarray, weights: np.ndarray, n_components: int, dtype: Any) -> Cloud:
    """Points (N, d) and weights (N,) on the device, in chunks of equal size; weights are divided by their mean.

    Sizes are rounded up a little, so that a like number of points compiles nothing new.
    """
    most = 1 << max(8, (CHUNK_ELEMENTS // n_components).bit_length() - 1)
    size = min(most, rounded_up(len(points)))
    n_chunks = -(-len(points) // size)
    spare = n_chunks * size - len(points)
    laid = np.pad(points, [(0, spare), (0, 0)], mode="edge").reshape(n_chunks, size, -1)
    masses = np.pad(weights / weights.mean(), (0, spare)).reshape(n_chunks, size)
    return Cloud(jnp.asarray(laid, dtype), jnp.asarray(masses, dtype))


def to_device(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, dtype: Any) -> Mixture:
    """A mixture given by NumPy arrays, with Cholesky factors."""
    return Mixture(
        *(jnp.asarray(array, dtype) for array in (weights, means, np.linalg.cholesky(definite(covariances))))
    )


def definite(forms: np.ndarray) -> np.ndarray:
    """Covariances (K, d, d) that have a Cholesky factor: those that rounding has left without are lifted by as much as
    it takes.
    """
    widths = np.sqrt(np.diagonal(forms, axis1=1, axis2=2))
    outer = widths[:, :, None] * widths[:, None, :]
    values, vectors = np.linalg.eigh(forms / outer)
    raised = np.einsum("kia,ka,kja->kij", vectors, np.maximum(values, DEFINITE), vectors) * outer
    return np.where((values[:, 0] < DEFINITE)[:, None, None], _symmetric(raised), forms)


def _symmetric(forms: np.ndarray) -> np.ndarray:
    return (forms + np.swapaxes(forms, -1, -2)) / 2
