"""The surfaces that the parameters of lanes stand for, the way back, and standard errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.covariance import COVARIANCE_TYPES
from . import algebra
from .algebra import Entries
from .gaussians import Component, SmallModel, strictly_lower
from .normal import Lanes, information


class SurfaceLanes(NamedTuple):
    """Numbers of B surfaces, or their standard errors: (B, K), (B, K, d), (B, K, d, d) and (B,)."""

    amplitudes: Any
    centers: Any
    covariances: Any
    background: Any


def packed(model: SmallModel, surfaces: SurfaceLanes, floor: np.ndarray) -> np.ndarray:
    """Parameters (B, P) of surfaces, on the host; widths below the floor (d,) are raised to just above it."""
    alpha = AMPLITUDE_TYPES[model.amplitudes].free(surfaces.amplitudes)
    shapes = COVARIANCE_TYPES[model.covariance_type].parameters(surfaces.covariances, floor)
    blocks = np.concatenate([alpha[..., None], surfaces.centers, shapes], axis=-1)
    return np.concatenate([blocks.reshape(len(blocks), -1), np.asarray(surfaces.background)[:, None]], axis=-1)


def surface_lanes(model: SmallModel, params: Entries, floor: Array) -> SurfaceLanes:
    """The surfaces that parameters, P arrays (B,), stand for."""
    components = model.components(params, floor)
    return SurfaceLanes(
        jnp.stack([one.amplitude for one in components], axis=-1),
        jnp.stack([jnp.stack(one.center, axis=-1) for one in components], axis=-2),
        _matrices([_covariance(model, one) for one in components], model.n_dim),
        params[-1],
    )


def standard_errors(model: SmallModel, lanes: Lanes, params: Entries) -> SurfaceLanes:
    """Standard errors for residuals of variance one: from the inverse of J^T J, or of the loss's information.

    All are infinite in lanes where the data do not determine every parameter.
    """
    size, block = model.n_parameters, model.layout.block_size
    matrix = information(model, lanes, params)
    factor = algebra.cholesky(matrix, size)
    covariance, lost = algebra.inverse(factor, size), algebra.lost_pivots(matrix, factor, size)

    def error(gradient: dict[int, Array]) -> Array:
        pairs = [(i, j) for i in gradient for j in gradient]
        total = algebra.sum_of(gradient[i] * gradient[j] * covariance[algebra.at(i, j)] for i, j in pairs)
        return jnp.where(lost, jnp.inf, jnp.sqrt(jnp.maximum(total, 0)))

    components, ones = model.components(params, lanes.floor), jnp.ones_like(params[-1])
    first = model.layout.centers.start
    amplitudes, centers, matrices = [], [], []
    for k, one in enumerate(components):
        amplitudes.append(error({k * block: one.amplitude_slope}))
        centers.append([error({k * block + first + i: ones}) for i in range(model.n_dim)])
        slopes = _covariance_slopes(model, one, k * block + model.layout.shapes.start)
        matrices.append([error(slope) if slope else 0 * ones for slope in slopes])
    return SurfaceLanes(
        jnp.stack(amplitudes, axis=-1),
        jnp.stack([jnp.stack(rows, axis=-1) for rows in centers], axis=-2),
        _matrices(matrices, model.n_dim),
        error({size - 1: ones}),
    )


def _covariance(model: SmallModel, component: Component) -> list[Array]:
    """The lower triangle of L L^T by rows."""
    rows = component.factor
    return [
        algebra.sum_of(rows[i][n] * rows[j][n] for n in range(j + 1)) for i in range(model.n_dim) for j in range(i + 1)
    ]


def _covariance_slopes(model: SmallModel, component: Component, first: int) -> list[dict[int, Array]]:
    """Of each entry of the lower triangle of L L^T: its derivatives by the parameters that it depends on."""
    d, rows = model.n_dim, component.factor
    if model.covariance_type == "spherical":
        place = {(i, i): (first, component.width_slopes[0]) for i in range(d)}
    else:
        place = {(i, i): (first + i, component.width_slopes[i]) for i in range(d)}
    if model.covariance_type == "full":
        place |= {entry: (first + d + n, jnp.ones_like(rows[0][0])) for n, entry in enumerate(strictly_lower(d))}
    slopes: list[dict[int, Array]] = []
    for i in range(d):
        for j in range(i + 1):
            slope: dict[int, Array] = {}
            for n in range(j + 1):
                for entry, other in (((i, n), rows[j][n]), ((j, n), rows[i][n])):
                    if entry in place:
                        index, by_free = place[entry]
                        slope[index] = slope.get(index, 0) + by_free * other
            slopes.append(slope if i == j or model.covariance_type == "full" else {})
    return slopes


def _matrices(triangles: list[list[Array]], n_dim: int) -> Array:
    """(B, K, d, d) of lower triangles by rows."""
    full = [[[one[algebra.at(i, j)] for j in range(n_dim)] for i in range(n_dim)] for one in triangles]
    return jnp.stack([jnp.stack([jnp.stack(r, axis=-1) for r in m], axis=-2) for m in full], axis=-3)
