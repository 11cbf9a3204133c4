"""Where the blocks of a matrix stand, and its product with a vector."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from ..cluster_preconditioner import Clusters


@register_dataclass
@dataclass(frozen=True, eq=False)
class BlockPattern:
    """Rows of blocks of one component with w of its neighbours.

    owner (R,), neighbours (R, w) : the components that blocks belong to, K for none. own (K,) : the row whose first
    block is the component's own. clusters : components that a preconditioner inverts together; without it each is
    alone. once : whether each pair of components stands in one row only, and its block also serves transposed, the
    other way round: half the memory, and half the work of making them.
    """

    owner: Array
    neighbours: Array
    own: Array
    clusters: Clusters | None = None
    once: bool = field(default=False, metadata={"static": True})

    def product(self, blocks: Array, parts: Array) -> Array:
        """A v (K, p) of the matrix with ``blocks`` (R, p, w p), for parts (K, p) of v."""
        # All rows at once: to take some at a time copies their blocks, and so doubles the time.
        count, size = parts.shape
        padded = jnp.concatenate([parts, jnp.zeros((1, size), parts.dtype)])
        of_neighbours = padded[self.neighbours].reshape(len(blocks), -1)
        along = jnp.einsum("rpc,rc->rp", blocks, of_neighbours, precision="highest")
        total = jax.ops.segment_sum(along, self.owner, count)
        if not self.once:
            return total
        back = jnp.einsum("rpc,rp->rc", blocks, padded[self.owner], precision="highest").reshape(-1, size)
        return total + jax.ops.segment_sum(back, self.others().ravel(), count + 1)[:count]

    def others(self) -> Array:
        """The neighbours (R, w) that are not their owners, K for none."""
        return jnp.where(self.neighbours == self.owner[:, None], len(self.own), self.neighbours)

    def pairs(self, blocks: Array) -> tuple[Array, Array, Array]:
        """All ordered pairs, owners and neighbours (n,), one of them K for none, with their blocks (n, p, p): those of
        ``blocks`` (R, p, w p) in their places, row by row, and after them those that stand there transposed.
        """
        width, size = self.neighbours.shape[1], blocks.shape[1]
        owner, neighbour = jnp.repeat(self.owner, width), self.neighbours.ravel()
        along = jnp.moveaxis(blocks.reshape(-1, size, width, size), 2, 1).reshape(-1, size, size)
        if not self.once:
            return owner, neighbour, along
        owners, neighbours = (jnp.concatenate(two) for two in ((owner, self.others().ravel()), (neighbour, owner)))
        return owners, neighbours, jnp.concatenate([along, jnp.swapaxes(along, 1, 2)])
