"""A plan on the device: tiles, the lists of components in them, and how far those may move before it must be
renewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._lists.component_lists import SAME_PAIRS_GROWTH, SAME_RULES_SHIFT_WIDTHS, SAME_RULES_SHRINKAGE
from ..._lists.ghosts import Ghosts
from ..._lists.pairs import cutoff_radii
from ..._model.parameters import Components


class GhostTable(NamedTuple):
    """Images of components along periodic axes: the ``owners`` (M,) of ghosts, K for nobody, and how far (M, d) each is
    from its owner.
    """

    owners: Array
    shifts: Array

    @classmethod
    def of(cls, ghosts: Ghosts, dtype: np.dtype) -> GhostTable:
        return cls(jnp.asarray(ghosts.owners, jnp.int32), jnp.asarray(ghosts.shifts, dtype))


@register_dataclass
@dataclass(frozen=True, eq=False)
class TilePlan:
    """Lists as `TileLists`, with the ellipsoids that they were made for.

    order (T',), rank (T,), offsets (C,), members (C, c, s), n_chunks () : as in `TileLists`, padded.
    middle, half (T, d) : the tiles' boxes. centers (K, d), factors and inverse_factors (K, d, d), radii (K,) : the
    ellipsoids. cutoff () : the height below which a component may be left out. ghosts : what ``members`` are along
    periodic axes; None where they are the components themselves.
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
    ghosts: GhostTable | None = None

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
        radii = cutoff_radii(components.amplitudes, self.cutoff, jnp)
        reached = jnp.sqrt(jnp.sum(offset**2, axis=1)) + radii * _norms(relative)
        return jnp.all(reached <= self.radii) | ~jnp.all(jnp.isfinite(reached))


def height_left_out(plan: TilePlan) -> Array:
    """The height by which two plans may differ at a point: the cutoff for each component of the longest list. A chunk
    of the first tiles stands at the beginning of each level.
    """
    in_use = jnp.arange(len(plan.offsets), dtype=plan.n_chunks.dtype) < plan.n_chunks
    levels = jnp.count_nonzero(in_use & (plan.offsets == 0))
    return plan.cutoff * (levels * plan.members.shape[2]).astype(plan.cutoff.dtype)


def resembles(plan: TilePlan, components: Components) -> Array:
    """Whether all components are still much like those planned for: none has moved by more than
    SAME_RULES_SHIFT_WIDTHS, or shrunk by more than SAME_RULES_SHRINKAGE.

    The rules by which overlapping pairs are summed were chosen for the planned widths.
    """
    offset = jnp.einsum("kij,kj->ki", plan.inverse_factors, components.centers - plan.centers, precision="highest")
    shrunk = jnp.einsum("kij,kjl->kil", components.inverse_factors, plan.factors, precision="highest")
    near = jnp.all(jnp.sum(offset**2, axis=1) <= SAME_RULES_SHIFT_WIDTHS**2)
    near = near & jnp.all(_norms(shrunk) <= SAME_RULES_SHRINKAGE)
    return near | ~jnp.all(jnp.isfinite(offset)) | ~jnp.all(jnp.isfinite(shrunk))


def has_same_pairs(plan: TilePlan, components: Components) -> Array:
    """Whether no component has grown by more than SAME_PAIRS_GROWTH since the overlapping pairs were listed."""
    grown = jnp.einsum("kij,kjl->kil", plan.inverse_factors, components.factors, precision="highest")
    return jnp.all(_norms(grown) <= SAME_PAIRS_GROWTH) | ~jnp.all(jnp.isfinite(grown))


def _norms(matrices: Array) -> Array:
    """Bounds (K,) of the spectral norms of (K, d, d), at most d^(1/64) too large: from the 32nd power of M M^T."""
    size = jnp.sqrt(jnp.sum(matrices**2, axis=(1, 2)))
    unit = matrices / size[:, None, None]
    square = jnp.einsum("kij,klj->kil", unit, unit, precision="highest")
    for _ in range(4):
        square = jnp.einsum("kij,kjl->kil", square, square, precision="highest")
    return size * jnp.sqrt(jnp.sum(square**2, axis=(1, 2))) ** (1 / 32)
