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
    block is the component's own. n_rows () : the rows in use, of which all others are empty; without it all may be.
    at_once : rows of which a product is taken at once, 0 for all. clusters : components that a preconditioner inverts
    together; without it each is alone.
    """

    owner: Array
    neighbours: Array
    own: Array
    n_rows: Array | None = None
    clusters: Clusters | None = None
    at_once: int = field(default=0, metadata={"static": True})

    def product(self, blocks: Array, parts: Array) -> Array:
        """A v (K, p) of the matrix with ``blocks`` (R, p, w p), for parts (K, p) of v."""
        padded = jnp.concatenate([parts, jnp.zeros((1, parts.shape[1]), parts.dtype)])
        return jax.ops.segment_sum(self._of_rows(blocks, padded), self.owner, len(parts))

    def _of_rows(self, blocks: Array, padded: Array) -> Array:
        """The products (R, p) of all rows, some at a time."""

        def product(blocks: Array, neighbours: Array) -> Array:
            return jnp.einsum("rpc,rc->rp", blocks, padded[neighbours].reshape(len(blocks), -1), precision="highest")

        n_all, some = len(self.owner), self.at_once
        if self.n_rows is None or not 0 < some < n_all:
            return product(blocks, self.neighbours)

        def add(number: Array, products: Array) -> Array:
            first = jnp.minimum(number * some, n_all - some)
            rows = (jax.lax.dynamic_slice_in_dim(one, first, some) for one in (blocks, self.neighbours))
            return jax.lax.dynamic_update_slice_in_dim(products, product(*rows), first, 0)

        count = (self.n_rows + some - 1) // some
        products: Array = jax.lax.fori_loop(0, count, add, jnp.zeros((n_all, padded.shape[1]), padded.dtype))
        return products
