"""Where the blocks of a matrix stand, and its product with a vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

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
    other way round: half the memory, and half the work of making them. n_rows () : the rows in use, before all others,
    which are empty; without it all may be. segments : parts of the rows, of which `repeated` leaves out empty ones.
    """

    owner: Array
    neighbours: Array
    own: Array
    clusters: Clusters | None = None
    once: bool = field(default=False, metadata={"static": True})
    n_rows: Array | None = None
    segments: int = field(default=1, metadata={"static": True})

    def product(self, blocks: Array, parts: Array) -> Array:
        """A v (K, p) of the matrix with ``blocks`` (R, p, w p), for parts (K, p) of v."""
        count, size = parts.shape
        padded = jnp.concatenate([parts, jnp.zeros((1, size), parts.dtype)])
        of_neighbours = padded[self.neighbours].reshape(len(blocks), -1)
        along = jnp.einsum("rpc,rc->rp", blocks, of_neighbours, precision="highest")
        total = jax.ops.segment_sum(along, self.owner, count)
        if not self.once:
            return total
        back = jnp.einsum("rpc,rp->rc", blocks, padded[self.owner], precision="highest").reshape(-1, size)
        return total + jax.ops.segment_sum(back, self.others().ravel(), count + 1)[:count]

    def repeated(self, blocks: Array) -> Callable[[Array], Array]:
        """The function v (K, p) -> A v (K, p), for many products: without the segments of rows that are not in use.

        Each segment is copied once here. To take some rows at a time in a loop copies them for each product.
        """
        n_rows, count = self.n_rows, min(self.segments, len(blocks))
        if n_rows is None or count == 1:
            return partial(self.product, blocks)
        ends = [number * len(blocks) // count for number in range(count + 1)]
        parts = [slice(*pair) for pair in pairwise(ends)]
        cut = [(replace(self, owner=self.owner[p], neighbours=self.neighbours[p]), blocks[p]) for p in parts]

        def product(vector: Array) -> Array:
            total = jnp.zeros_like(vector)
            for part, (pattern, some) in zip(parts, cut, strict=True):
                of_part = partial(pattern.product, some, vector)
                total = total + jax.lax.cond(n_rows > part.start, of_part, lambda: jnp.zeros_like(vector))
            return total

        return product

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
