"""How far a step moves each component, in its own widths, and how far a step may carry it at all."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._base.devices import namespace
from .block_layout import ALPHA
from .covariance.base import LEAST_EXCESS, positive, positive_inverse
from .parameters import Parameterization, cholesky_factors
from .surface import inverse_lower

# Extents of the data: a component as wide as this is level over the data to the rounding of float64. Without a limit a
# direction along which the cost is flat carried centres and widths off to infinity.
FARTHEST_EXTENTS = 1e8
# Excess of a width over its floor, relative to the floor, below which a step counts in the width and not in its free
# number: there the free number is a logarithm, which a linear model takes far too far when the width is to grow.
NEAR_FLOOR_EXCESS = 0.01


def relative_change(parts: Parameterization, params: Array, step: Array) -> Array:
    """Largest move (K,) of each component in its own widths, for a step (P,) from parameters (P,).

    A centre moves by |L^{-1} dc| and a Cholesky factor by |L^{-1} dL|; the largest entry counts. A shared shape counts
    for every component.
    """
    factors, d_factors = jax.jvp(lambda p: cholesky_factors(parts, p), (params,), (step,))
    inverse = inverse_lower(factors)
    d_centers = parts.layout.blocks(step)[:, parts.layout.centers]
    move = jnp.einsum("kij,kj->ki", inverse, d_centers, precision="highest")
    stretch = jnp.einsum("kij,kjl->kil", inverse, d_factors, precision="highest")
    return jnp.maximum(jnp.abs(move).max(axis=1), jnp.abs(stretch).max(axis=(1, 2)))


def within_extent(parts: Parameterization, params: Array, step: Array, extent: Array) -> Array:
    """The step (P,), shortened where it would take centres or shapes beyond FARTHEST_EXTENTS times ``extent``, or
    widths to their floor.
    """
    layout = parts.layout
    blocks, shared, _ = layout.split(params)
    d_blocks, d_shared, background = layout.split(step)
    farthest = FARTHEST_EXTENTS * jnp.maximum(extent, 1)
    own = jnp.where(np.arange(layout.block_size) == ALPHA, jnp.inf, farthest)
    own, shape = (
        jnp.clip(d_blocks, -own - blocks, own - blocks),
        jnp.clip(d_shared, -farthest - shared, farthest - shared),
    )
    limited = concatenated([own.ravel(), shape, background])
    return jnp.maximum(limited, near_floor(parts, LEAST_EXCESS) - params)


def near_floor(parts: Parameterization, excess: float) -> Any:
    """Parameters (P,) of widths that exceed their floor by this part of it; minus infinity for all others."""
    layout, size = parts.layout, parts.covariance.n_parameters(parts.n_dim)
    floor = parts.floor.max(keepdims=True) if size < parts.n_dim else parts.floor
    shape = concatenated([positive_inverse(excess * floor), _open(size - len(floor), floor)])
    if layout.n_shared:
        return concatenated([_open(layout.n_own, floor), shape, _open(layout.n_background, floor)])
    own = concatenated([_open(layout.shapes.start, floor), shape])
    blocks = namespace(floor).broadcast_to(own, (parts.n_components, layout.block_size))
    return concatenated([blocks.ravel(), _open(layout.n_border, floor)])


def from_floor(parts: Parameterization, params: Array, step: Array) -> Array:
    """The step (P,), in which widths near their floor grow by what the linear model says of the width."""
    grown = positive_inverse(positive(params) + jax.nn.sigmoid(params) * jnp.maximum(step, 0)) - params
    leaves = (step > 0) & (params < near_floor(parts, NEAR_FLOOR_EXCESS))
    return jnp.where(leaves, jnp.minimum(grown, step), step)


def floor_slopes(parts: Parameterization, params: Any) -> Any:
    """Slopes (P,) of widths near their floor by their free numbers, relative to those at NEAR_FLOOR_EXCESS; else 1."""
    xp = namespace(params)
    return xp.exp(xp.minimum(params - near_floor(parts, NEAR_FLOOR_EXCESS), 0))


def _open(size: int, like: Any) -> np.ndarray:
    """The lower sides (size,) of numbers without a lower limit."""
    return np.full(size, -np.inf, like.dtype)
