"""How far a step moves each component, in its own widths, and how far a step may carry it at all."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .block_layout import ALPHA
from .parameters import Parameterization, cholesky_factors
from .surface import inverse_lower

# Extents of the data: a component as wide as this is level over the data to the rounding of float64. Without a limit a
# direction along which the cost is flat carried centres and widths off to infinity.
FARTHEST_EXTENTS = 1e8


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
    """The step (P,), shortened where it would take centres or shapes beyond FARTHEST_EXTENTS times ``extent``."""
    layout = parts.layout
    blocks, shared, _ = layout.split(params)
    d_blocks, d_shared, background = layout.split(step)
    farthest = FARTHEST_EXTENTS * jnp.maximum(extent, 1)
    own = jnp.where(np.arange(layout.block_size) == ALPHA, jnp.inf, farthest)
    own, shape = (
        jnp.clip(d_blocks, -own - blocks, own - blocks),
        jnp.clip(d_shared, -farthest - shared, farthest - shared),
    )
    return concatenated([own.ravel(), shape, background])
