"""A plan on the device: tiles, the lists of components in them, and how far those may move before it must be renewed."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._pairs import SMALLEST_RADIUS, UNDERFLOW
from .._parameters import Components


@register_dataclass
@dataclass(frozen=True, eq=False)
class TilePlan:
    """Lists as `TileLists`, with the ellipsoids that they were made for.

    order (T',), rank (T,), offsets (C,), members (C, c, s), n_chunks () : as in `TileLists`, padded.
    middle, half (T, d) : the tiles' boxes. centers (K, d), inverse_factors (K, d, d), radii (K,) : the ellipsoids.
    cutoff () : the height below which a component may be left out.
    """

    order: Array
    rank: Array
    offsets: Array
    members: Array
    n_chunks: Array
    middle: Array
    half: Array
    centers: Array
    inverse_factors: Array
    radii: Array
    cutoff: Array

    @property
    def n_tiles(self) -> int:
        return self.rank.shape[0]

    def covers(self, components: Components) -> Array:
        """Whether every component, out to its cutoff, lies inside the ellipsoid planned for it.

        |L0^-1 (c - c0)| + radius |L0^-1 L| <= planned radius, with a bound of the spectral norm that is at most
        d^(1/64) too large.
        """
        offset = jnp.einsum("kij,kj->ki", self.inverse_factors, components.centers - self.centers, precision="highest")
        relative = jnp.einsum("kij,kjl->kil", self.inverse_factors, components.factors, precision="highest")
        size = jnp.sqrt(jnp.sum(relative**2, axis=(1, 2)))
        unit = relative / size[:, None, None]
        square = jnp.einsum("kij,klj->kil", unit, unit, precision="highest")
        for _ in range(4):
            square = jnp.einsum("kij,kjl->kil", square, square, precision="highest")
        norm = size * jnp.sqrt(jnp.sum(square**2, axis=(1, 2))) ** (1 / 32)
        reached = jnp.sqrt(jnp.sum(offset**2, axis=1)) + self._radii(components.amplitudes) * norm
        return jnp.all(~(reached > self.radii))

    def _radii(self, amplitudes: Array) -> Array:
        tiny = float(np.finfo(amplitudes.dtype).tiny)
        squares = 2 * jnp.log(jnp.maximum(amplitudes, tiny) / self.cutoff)
        return jnp.clip(jnp.sqrt(jnp.maximum(squares, 0.0)), SMALLEST_RADIUS, UNDERFLOW)
