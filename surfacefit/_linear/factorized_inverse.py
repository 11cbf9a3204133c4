r"""A sparse approximate inverse G^T G of a matrix of blocks A, for conjugate gradients.

G is lower triangular in the order of the components. Block row i stands on component i and the few earlier neighbours
with which it overlaps most: with A = L L^T over these alone, it is the last block row of L^-1. So the diagonal blocks
of G A G^T are those of the identity, and where A couples nothing else, G^T G is A^-1.

Kolotilina & Yeremin, SIAM J. Matrix Anal. Appl. 14 (1993) 45.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

from .._base.lane_loop import each
from .normal import BlockNormal

# Earlier neighbours of a component. On a lattice of overlapping components 7 take 18 iterations to 1e-3, all of up to
# 12 take 16, none take 256.
EARLIER_NEIGHBOURS = 7
# Neighbours of a component among which the earlier ones are looked for: some hundred in crowded fits, where the work
# stays below that of J^T J.
NEIGHBOURS_LOOKED_AT = 64
# Components whose matrices are held at once on an accelerator: some 10 MB.
COMPONENTS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class FactorizedInverse:
    """G of the components, as blocks (K, p, m p) over their members (K, m), K for nobody; and the inverse (b, b) of the
    border's block.
    """

    blocks: Array
    members: Array
    border: Array

    def mv(self, vector: Array) -> Array:
        """G^T G v: (P,) -> (P,)."""
        count, size, _ = self.blocks.shape
        parts, rest = vector[: count * size].reshape(count, size), vector[count * size :]
        gathered = jnp.concatenate([parts, jnp.zeros((1, size), parts.dtype)])[self.members].reshape(count, -1)
        inner = jnp.einsum("kpc,kc->kp", self.blocks, gathered, precision="highest")
        back = jnp.einsum("kpc,kp->kc", self.blocks, inner, precision="highest").reshape(-1, size)
        own = jax.ops.segment_sum(back, self.members.ravel(), count + 1)[:count]
        return jnp.concatenate([own.ravel(), jnp.matmul(self.border, rest, precision="highest")])


class _Pairs(NamedTuple):
    """All pairs (owner, neighbour) (n,), sorted; where each owner's begin (K + 1,); their places among the blocks."""

    owner: Array
    neighbour: Array
    place: Array
    start: Array


def factorized_inverse(matrix: BlockNormal, roots: Array, border: Array) -> FactorizedInverse:
    """Of a positive definite matrix; ``roots`` (K, p, p), R R^T the inverse of its diagonal blocks nearly, serve where
    a component with its neighbours is not, and ``border`` (b, b) is the inverse of the border's block.
    """
    count, size, _ = matrix.cross.shape
    owner, neighbour, blocks = matrix.pattern.pairs(matrix.blocks)
    pairs = _sorted_pairs(owner, neighbour, count)
    earlier = _earlier(pairs, jnp.sum(blocks**2, axis=(1, 2)), count)
    members = jnp.concatenate([earlier, jnp.arange(count, dtype=earlier.dtype)[:, None]], axis=1)
    known = jnp.concatenate([blocks, jnp.zeros((1, size, size), blocks.dtype)])
    rows = partial(_row, known)
    places = _places(matrix, pairs, members)
    found = each(lambda one: rows(*one), (places, members < count, roots), COMPONENTS_AT_ONCE)
    return FactorizedInverse(found, members, border)


def _sorted_pairs(owner: Array, neighbour: Array, count: int) -> _Pairs:
    place = jnp.arange(neighbour.size, dtype=jnp.int32)
    owner, neighbour, place = jax.lax.sort((owner, neighbour, place), num_keys=2)
    start = jnp.searchsorted(owner, jnp.arange(count + 1, dtype=jnp.int32)).astype(jnp.int32)
    return _Pairs(owner, neighbour, place, start)


def _earlier(pairs: _Pairs, strengths: Array, count: int) -> Array:
    """The earlier neighbours (K, m) with which a component overlaps most, K where there are fewer."""
    one = jnp.arange(count, dtype=jnp.int32)[:, None]
    ahead = np.arange(NEIGHBOURS_LOOKED_AT, dtype=np.int32)[None]
    index = jnp.minimum(pairs.start[:-1, None] + ahead, pairs.owner.size - 1)
    there = (pairs.owner[index] == one) & (pairs.neighbour[index] < one)
    most, which = jax.lax.top_k(jnp.where(there, strengths[pairs.place[index]], -1), EARLIER_NEIGHBOURS)
    found = jnp.take_along_axis(pairs.neighbour[index], which, axis=1)
    return jnp.where(most > 0, found, count)


def _places(matrix: BlockNormal, pairs: _Pairs, members: Array) -> Array:
    """Where the blocks of members with members (K, m, m) stand, below the diagonal and on it; the last place, of zeros,
    for those that are not there.
    """
    count, size = members.shape
    rows, columns = np.tril_indices(size, -1)
    first, second = members[:, rows], members[:, columns]
    low, end = pairs.start[jnp.minimum(first, count - 1)], pairs.start[jnp.minimum(first, count - 1) + 1]
    last = pairs.owner.size - 1

    def halve(_: Any, loop: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = loop
        middle = (low + high) // 2
        below = pairs.neighbour[jnp.minimum(middle, last)] < second
        return jnp.where((low < high) & below, middle + 1, low), jnp.where((low < high) & ~below, middle, high)

    low, _ = jax.lax.fori_loop(0, pairs.owner.size.bit_length() + 1, halve, (low, end))
    at = jnp.minimum(low, last)
    there = (low < end) & (pairs.neighbour[at] == second) & (first < count) & (second < count)
    nowhere = pairs.owner.size
    own = jnp.where(
        members < count,
        matrix.pattern.own[jnp.minimum(members, count - 1)] * matrix.pattern.neighbours.shape[1],
        nowhere,
    )
    whole = jnp.full((count, size, size), nowhere, own.dtype)
    diagonal = np.arange(size)
    whole = whole.at[:, diagonal, diagonal].set(own)
    return whole.at[:, rows, columns].set(jnp.where(there, pairs.place[at], nowhere))


def _row(blocks: Array, places: Array, there: Array, root: Array) -> Array:
    """A block row (p, m p) of G."""
    size = blocks.shape[1]
    matrix = jnp.moveaxis(blocks[places], 2, 1).reshape(places.shape[0] * size, -1)
    matrix += jnp.diag(jnp.repeat(jnp.where(there, 0, 1).astype(matrix.dtype), size))
    factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    last = jnp.zeros((len(matrix), size), matrix.dtype).at[-size:].set(jnp.eye(size, dtype=matrix.dtype))
    row = solve_triangular(factor, last, lower=True, trans=1).T
    alone = jnp.zeros_like(row).at[:, -size:].set(root.T)
    return jnp.where(jnp.all(jnp.isfinite(row)), row, alone)
