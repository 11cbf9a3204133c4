"""One shape for all components, held while their number, centres and amplitudes are fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._base.checks import real_array
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface

# Of the geometric mean of two deviations: by how much a covariance may fail to be symmetric.
ASYMMETRY = 1e-9
# Of the largest: least eigenvalue of the correlations, a few units of rounding, below which there is no inverse.
LEAST_ROUND_SHARE = 1e-14


def checked_shape(shape: Any, n_dim: int, name: str = "shape") -> np.ndarray | None:
    """The option ``shape``, or another of this kind, as a covariance (d, d): from a deviation for all axes, one
    along each, or itself.
    """
    if shape is None:
        return None
    array = real_array(name, shape)
    if np.asarray(shape).dtype == bool:
        raise TypeError(f"`{name}` must be a standard deviation or a covariance, got {shape!r}")
    array = array.astype(float)
    if array.ndim > 2:
        raise ValueError(
            f"`{name}` is one covariance ({n_dim}, {n_dim}) for all components of all maps, got {array.shape}: fit maps"
            " of another shape by a call of their own"
        )
    if array.shape not in ((), (n_dim,), (n_dim, n_dim)):
        raise ValueError(
            f"`{name}` must be a standard deviation, one for each axis ({n_dim},), or a covariance ({n_dim}, {n_dim}),"
            f" got shape {array.shape}"
        )
    if array.ndim < 2 and not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"`{name}` must be positive standard deviations, got {shape!r}")
    covariance = np.diag(np.broadcast_to(array, n_dim) ** 2) if array.ndim < 2 else array
    if not np.isfinite(covariance).all() or not _is_covariance(covariance):
        raise ValueError(f"`{name}` must be a symmetric, positive definite covariance, got {shape!r}")
    return (covariance + covariance.T) / 2


def _is_covariance(matrix: np.ndarray) -> bool:
    """Whether a matrix is symmetric and definite, whatever the units of the axes."""
    deviations = np.sqrt(np.maximum(np.diagonal(matrix), 0))
    if not deviations.all() or not (np.abs(matrix - matrix.T) <= ASYMMETRY * np.outer(deviations, deviations)).all():
        return False
    values = np.linalg.eigvalsh(matrix / np.outer(deviations, deviations))
    return bool(values[0] > LEAST_ROUND_SHARE * values[-1])


def check_room(shape: np.ndarray, floor: np.ndarray) -> None:
    """Refuses a shape whose Cholesky factor is not above the floors (d,) of widths along the axes."""
    diagonal = np.diagonal(np.linalg.cholesky(shape))
    if (diagonal <= floor).any():
        i = int(np.argmin(diagonal - floor))
        raise ValueError(
            f"`shape` must be wider than `min_width` allows, here {floor[i]:.4g} along axis {i}, got {diagonal[i]:.4g}:"
            " give a smaller `min_width`, in sampling distances"
        )


def in_shape(surface: GaussianSurface, shape: np.ndarray | None) -> GaussianSurface:
    """The surface with the shape (d, d) for all components; as it is where none is held."""
    if shape is None:
        return surface
    return replace(surface, covariances=np.broadcast_to(shape, np.shape(surface.covariances)))


def shape_numbers(shape: np.ndarray, parts: Parameterization, scaling: Scaling) -> np.ndarray:
    """The free numbers (s,) of the shape in a fit whose components share theirs."""
    inner = shape / np.outer(scaling.point_scale, scaling.point_scale)
    return np.asarray(parts.covariance.parameters(inner, np.asarray(parts.floor, float)), float)
