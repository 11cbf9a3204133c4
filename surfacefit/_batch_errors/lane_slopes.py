"""How the numbers of a surface change with its parameters, for many fits of one form at once: the arrays of
`component_slopes` (`_statistics/component_errors.py`), whose formulas these are.
"""

from __future__ import annotations

import jax
import numpy as np

from .._many.map_numbers import MapEnds
from .._model.block_layout import ALPHA
from .._model.surface import GaussianSurface
from .._statistics.component_errors import ComponentSlopes, background_slopes
from .error_lanes import ErrorLanes, columns_of


def slopes_of_components(lanes: ErrorLanes, ends: MapEnds, factor_slopes: np.ndarray) -> ComponentSlopes:
    """As `component_slopes` has them for one fit, of the components of all lanes, one after another."""
    parts, count, n = lanes.first.host.parameterization, lanes.count, len(lanes.flats)
    layout, d = parts.layout, parts.n_dim
    size = layout.block_size + layout.n_shared
    blocks = lanes.params[:, : layout.n_own].reshape(n, layout.n_components, layout.block_size)[:, :count]
    amplitudes, centers = np.zeros((n, count, size)), np.zeros((n, count, d, size))
    covariances = np.zeros((n, count, d, d, size))
    amplitudes[..., ALPHA] = lanes.scaling.height_scale[:, None] * parts.amplitude.slope(blocks[..., ALPHA])
    centers[..., layout.centers] = (lanes.scaling.point_scale[:, :, None] * np.eye(d))[:, None]
    shapes = slice(layout.block_size, size) if layout.n_shared else layout.shapes
    covariances[..., shapes] = _covariance_slopes(lanes, blocks[..., layout.shapes], factor_slopes[:, :count])
    columns = lanes.flats[:, None], columns_of(ends, lanes.flats)
    surface = GaussianSurface(*(one[columns].reshape(n * count, *one.shape[2:]) for one in ends.surfaces[:3]))
    flat = [one.reshape(n * count, *one.shape[2:]) for one in (amplitudes, centers, covariances)]
    return ComponentSlopes(surface, flat[0], flat[1], flat[2], np.zeros((0, 0)), None)


def _covariance_slopes(lanes: ErrorLanes, shapes: np.ndarray, factor_slopes: np.ndarray) -> np.ndarray:
    """dSigma / d shape (B, K, d, d, s), in the user's units."""
    parts, n = lanes.first.host.parameterization, len(lanes.flats)
    layout, d = parts.layout, parts.n_dim
    if layout.n_shared:
        shared = lanes.params[:, None, layout.n_own : layout.n_own + layout.n_shared]
        shapes = np.broadcast_to(shared, (n, lanes.count, layout.n_shared))
    floors = np.asarray(lanes.problems.parameterization.floor)[:, None]
    factors = parts.covariance.cholesky(shapes, floors)
    changes = np.zeros((*factors.shape, factor_slopes.shape[-1]))
    changes[:, :, *np.tril_indices(d)] = factor_slopes
    half = np.einsum("bkims,bkjm->bkijs", changes, factors, optimize=True)
    units = lanes.scaling.point_scale[:, None, :, None, None] * lanes.scaling.point_scale[:, None, None, :, None]
    return np.asarray(units * (half + half.swapaxes(2, 3)))


def slopes_of_backgrounds(lanes: ErrorLanes, size: int) -> np.ndarray:
    """Of the numbers (B, b, b) of backgrounds, ``size`` each, by their parameters."""
    if lanes.backgrounds is None:
        return np.asarray(lanes.scaling.height_scale[:, None, None] * np.eye(size))
    scalings = (jax.tree.map(lambda leaf, row=row: leaf[row], lanes.scaling) for row in range(len(lanes.flats)))
    return np.stack([background_slopes(*pair)[0] for pair in zip(lanes.backgrounds, scalings, strict=True)])
