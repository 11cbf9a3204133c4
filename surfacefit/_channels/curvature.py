r"""J^T J of several channels from one set of overlaps: no pass over points, and one over pairs for all channels.

With the overlap moments M = M_ij of two components, squared weights w_c^2 of the channels, amplitudes a and their
slopes s by their free numbers, the block of the components i and j is

    amplitude c with amplitude c':     w_c^2 s_ic s_jc M_00      where c = c', else 0
    amplitude c with centre and shape: w_c^2 s_ic a_jc (M S_j)_0
    centre and shape with themselves:  (sum_c w_c^2 a_ic a_jc) S_i^T M S_j

so that what is expensive, M and its products with S, is the same whatever the number of channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._engines.jacobian import Curvature
from .._linear.normal import BlockNormal, BlockPattern
from .._lists.overlaps import NEIGHBOURS_A_ROW, rules
from .._model.parameters import Components
from .parameters import ChannelChain


def channel_normal(
    curvature: Curvature,
    components: Components,
    chain: ChannelChain,
    importance: Array,
    cross: Array,
    corner: Array,
) -> BlockNormal:
    """J^T J of channels of squared weights ``importance`` (C,), with the backgrounds' parts ``cross`` (K, p, b) and
    ``corner`` (b, b).
    """
    return ChannelCurvature(**vars(curvature)).of_channels(components, chain, importance, cross, corner)


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelCurvature(Curvature):
    """Neighbour rows as of one channel, whose blocks hold the amplitudes of all."""

    def of_channels(
        self, components: Components, chain: ChannelChain, importance: Array, cross: Array, corner: Array
    ) -> BlockNormal:
        """The normal matrix; see `channel_normal`."""
        size = chain.block_size
        table = self._channel_table(components, chain, importance)
        blocks = jnp.zeros((len(self.owner), size, NEIGHBOURS_A_ROW * size), self.dtype)
        lengths, nothing = self._lengths(), table["shared"]
        starts = jnp.cumsum(lengths) - lengths
        for number, rule in enumerate(rules(len(self.shape))):
            blocks, _ = self._filled(blocks, nothing, table, rule, starts[number], self.n_rows[number])
        pattern = BlockPattern(
            self.owner, self.neighbours, self.own, self.clusters, self.once, lengths.sum(), self.segments
        )
        return BlockNormal(blocks, pattern, cross.astype(self.dtype), corner.astype(self.dtype))

    def _channel_table(self, components: Components, chain: ChannelChain, importance: Array) -> dict[str, Array]:
        """The components' table, with amplitudes and slopes weighted by channel."""
        unit: Any = chain.of_channel(0)._replace(own=chain.geometry)
        table = self._table(components, unit)
        root = jnp.sqrt(importance)
        for name, numbers in (("slopes", chain.slopes * root), ("heights", chain.amplitudes * root)):
            table[name] = jnp.concatenate([numbers, jnp.zeros_like(numbers[:1])]).astype(self.dtype)
        return table

    def _rows(self, table: dict[str, Array], sums: Array, first: Array, second: Array) -> Array:
        """Blocks (some, p, w p) of the pairs of some rows."""
        near, far = table["own"][first], table["own"][second]
        s_near, s_far = table["slopes"][first], table["slopes"][second]
        a_near, a_far = table["heights"][first], table["heights"][second]
        along = _summed(sums[:, :, :, None] * far[:, None], 2)
        shapes = _summed(near[:, :, :, None] * along[:, :, None, :], 1)
        back = _summed(sums[:, :, 0, None] * near, 1)
        n_channels = s_near.shape[1]
        heights = (s_near * s_far * sums[:, 0, 0, None])[:, :, None] * np.eye(n_channels, dtype=sums.dtype)
        right = (s_near * a_far)[:, :, None] * along[:, 0, None, :]
        left = back[:, :, None] * (a_near * s_far)[:, None, :]
        top = concatenated([heights, right], axis=2)
        bottom = concatenated([left, jnp.sum(a_near * a_far, axis=1)[:, None, None] * shapes], axis=2)
        blocks = concatenated([top, bottom], axis=1)
        some, size = len(first) // NEIGHBOURS_A_ROW, blocks.shape[1]
        return jnp.moveaxis(blocks.reshape(some, NEIGHBOURS_A_ROW, size, size), 1, 2).reshape(some, size, -1)


def _summed(products: Array, axis: int) -> Array:
    """The sum over a short axis, written out: batched products of such small matrices take ten times as long."""
    parts = [jnp.take(products, i, axis=axis) for i in range(products.shape[axis])]
    return sum(parts[1:], parts[0])
