"""A plan on the device: tiles, the lists of components in them, and how far those may move before it must be
renewed.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._model.parameters import Components
from ..pairs import SMALLEST_RADIUS, UNDERFLOW

FAR = 1.0
SHRUNK = 1.5


@register_dataclass
@dataclass(frozen=True, eq=False)
class TilePlan:
    """Lists as `TileLists`, with the ellipsoids that they were made for.

    order (T',), rank (T,), offsets (C,), members (C, c, s), n_chunks () : as in `TileLists`, padded.
    middle, half (T, d) : the tiles' boxes. centers (K, d), factors and inverse_factors (K, d, d), radii (K,) : the
    ellipsoids. cutoff () : the height below which a component may be left out.
    """

    order: Array
    rank: Array
    offsets: Array
    members: Array
    n_chunks: Array
    middle: Array
    half: Array
    centers: Array
    factors: Array
    inverse_factors: Array
    radii: Array
    cutoff: Array

    @property
    def n_tiles(self) -> int:
        return self.rank.shape[0]

    def plan_is_valid(self, components: Components) -> Array:
        """Whether every component, out to its cutoff, lies inside the ellipsoid planned for it.

        |L0^-1 (c - c0)| + radius |L0^-1 L| <= planned radius. Where components are not finite no plan would
        do, and the solver will find out.
        """
        offset = jnp.einsum("kij,kj->ki", self.inverse_factors, components.centers - self.centers, precision="highest")
        relative = jnp.einsum("kij,kjl->kil", self.inverse_factors, components.factors, precision="highest")
        reached = jnp.sqrt(jnp.sum(offset**2, axis=1)) + self._radii(components.amplitudes) * _norms(relative)
        return jnp.all(reached <= self.radii) | ~jnp.all(jnp.isfinite(reached))

    def resembles(self, components: Components) -> Array:
        """Whether no component has moved by more than FAR of its planned widths, or shrunk to less than 1 / SHRUNK of
        one.

        The rules by which overlapping pairs are summed were chosen for the planned widths.
        """
        offset = jnp.einsum("kij,kj->ki", self.inverse_factors, components.centers - self.centers, precision="highest")
        shrunk = jnp.einsum("kij,kjl->kil", components.inverse_factors, self.factors, precision="highest")
        near = jnp.all(jnp.sum(offset**2, axis=1) <= FAR**2) & jnp.all(_norms(shrunk) <= SHRUNK)
        return near | ~jnp.all(jnp.isfinite(offset)) | ~jnp.all(jnp.isfinite(shrunk))

    def _radii(self, amplitudes: Array) -> Array:
        tiny = float(np.finfo(amplitudes.dtype).tiny)
        squares = 2 * jnp.log(jnp.maximum(jnp.abs(amplitudes), tiny) / self.cutoff)
        return jnp.clip(jnp.sqrt(jnp.maximum(squares, 0.0)), SMALLEST_RADIUS, UNDERFLOW)


def _norms(matrices: Array) -> Array:
    """Bounds (K,) of the spectral norms of (K, d, d), at most d^(1/64) too large: from the 32nd power of M M^T."""
    size = jnp.sqrt(jnp.sum(matrices**2, axis=(1, 2)))
    unit = matrices / size[:, None, None]
    square = jnp.einsum("kij,klj->kil", unit, unit, precision="highest")
    for _ in range(4):
        square = jnp.einsum("kij,kjl->kil", square, square, precision="highest")
    return size * jnp.sqrt(jnp.sum(square**2, axis=(1, 2))) ** (1 / 32)
