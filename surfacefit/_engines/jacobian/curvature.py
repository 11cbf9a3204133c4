"""J^T J of a whole, evenly weighted grid from the components alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from ..._base.compile import concatenated
from ..._linear.cluster_preconditioner import Clusters
from ..._linear.normal import BlockNormal, BlockPattern
from ..._lists.overlaps import NEIGHBOURS_A_ROW, Rule, rules
from ..._model.parameters import ChainRule, Components
from ..overlap_sums import overlap_sums

# Nodes of a rule from which fewer rows are taken at once: with so many a row takes as much memory as its block.
NODES_OF_FULL_CHUNKS = 64


class Frame(NamedTuple):
    """The grid low + step * index, all (d,); ``period`` in steps, 0 along open axes, where the grid is that of
    `round_grid`.
    """

    low: Array
    step: Array
    period: Array | None = None


@register_dataclass
@dataclass(frozen=True, eq=False)
class Curvature:
    """Neighbour rows of all rules, padded to one capacity, on the grid low + step * index.

    owner (R,), neighbours (R, NEIGHBOURS_A_ROW), own (K,) : all rules' rows one after the other; each rule has
    ``n_rows``, and begins at a multiple of ``rows_at_once``, the rows that are summed together.
    frame, shape (d,) : the grid. clusters : components that a preconditioner takes together. once : whether each
    pair of components stands in one row only, and segments of rows for products, as in `BlockPattern`.
    """

    owner: Array
    neighbours: Array
    own: Array
    n_rows: Array
    frame: Frame
    shape: Array
    clusters: Clusters | None
    rows_at_once: int = field(metadata={"static": True})
    dtype: str = field(default="float32", metadata={"static": True})
    once: bool = field(default=False, metadata={"static": True})
    segments: int = field(default=1, metadata={"static": True})

    @property
    def wide_vectors(self) -> bool:
        """Whether programs are compiled for wide vectors: where there are clusters, and systems not solved directly."""
        return self.clusters is not None

    def normal(self, components: Components, chain: ChainRule, cross: Array, corner: Array) -> BlockNormal:
        """J^T J; ``cross`` (K, q, b) and ``corner`` (b, b) are the background's part."""
        size = chain.own.shape[2]
        blocks = jnp.zeros((len(self.owner), size, NEIGHBOURS_A_ROW * size), self.dtype)
        return self.written_over(blocks, components, chain, cross, corner)

    def written_over(
        self, blocks: Array, components: Components, chain: ChainRule, cross: Array, corner: Array
    ) -> BlockNormal:
        """The same in the place of older ``blocks``, of which rows that are not in use may stay, as nobody's."""
        table = self._table(components, chain)
        shared = jnp.zeros((len(chain.own) + 1, *chain.shared.shape[1:]), self.dtype)
        lengths = self._lengths()
        starts = jnp.cumsum(lengths) - lengths
        for number, rule in enumerate(rules(len(self.shape))):
            blocks, shared = self._filled(blocks, shared, table, rule, starts[number], self.n_rows[number])
        return self._bordered(blocks, shared, chain, cross, corner)

    def _bordered(self, blocks: Array, shared: Array, chain: ChainRule, cross: Array, corner: Array) -> BlockNormal:
        own, common = chain.own.astype(self.dtype), chain.shared.astype(self.dtype)
        cross, corner = cross.astype(self.dtype), corner.astype(self.dtype)
        columns = concatenated([shared[: len(own)], cross], axis=2)
        inner = jnp.einsum("kqs,kqb->sb", common, columns, precision="highest")
        top, side = inner, inner[:, common.shape[2] :]
        corner = jnp.concatenate([top, jnp.concatenate([side.T, corner], axis=1)])
        border = jnp.einsum("kqp,kqb->kpb", own, columns, precision="highest")
        pattern = BlockPattern(
            self.owner, self.neighbours, self.own, self.clusters, self.once, self._lengths().sum(), self.segments
        )
        return BlockNormal(blocks, pattern, border, corner)

    def _lengths(self) -> Array:
        """Rows of each rule, those filled up included."""
        return (self.n_rows + self.rows_at_once - 1) // self.rows_at_once * self.rows_at_once

    def _filled(
        self, blocks: Array, shared: Array, table: dict[str, Array], rule: Rule, start: Array, n_rows: Array
    ) -> tuple[Array, Array]:
        """With the rows of one rule computed, some at once: blocks (R, p, w p), and sums (K + 1, q, s) of their
        products with shared columns.
        """
        some = max(1, self.rows_at_once // max(1, rule.n_sums // NODES_OF_FULL_CHUNKS))

        def compute(number: Array, filled: tuple[Array, Array]) -> tuple[Array, Array]:
            place = start + number * some
            first, second = self._pairs(place, some)
            sums = self._sums(table, rule, first, second)
            own = self._rows(table, sums, first, second)
            return (
                jax.lax.dynamic_update_slice_in_dim(filled[0], own, place, 0),
                self._with_shared(filled[1], table["shared"], sums, first, second),
            )

        return jax.lax.fori_loop(0, (n_rows + some - 1) // some, compute, (blocks, shared))

    def _pairs(self, place: Array, some: int) -> tuple[Array, Array]:
        """The pairs (n,) of so many rows from ``place`` on."""
        owner = jax.lax.dynamic_slice_in_dim(self.owner, place, some)
        first = jnp.broadcast_to(owner[:, None], (some, NEIGHBOURS_A_ROW)).ravel()
        return first, jax.lax.dynamic_slice_in_dim(self.neighbours, place, some).ravel()

    def _sums(self, table: dict[str, Array], rule: Rule, first: Array, second: Array) -> Array:
        """The sums (n, q, q) of pairs, zero where there is no neighbour."""
        centers, inverse = table["centers"], table["inverse"]
        there = (second < len(centers) - 1).astype(centers.dtype)
        offsets = centers[second] - centers[first]
        if self.frame.period is not None:
            offsets = _nearest(offsets, self.frame.period.astype(offsets.dtype))
        sums = overlap_sums(rule, self.shape, offsets, centers[first], inverse[first], inverse[second], there)
        # XLA would sum anew, nine nodes a pair, for each of the six rows of the chain rule that the sums are used in.
        return jax.lax.optimization_barrier(sums) if self.once else sums

    def _rows(self, table: dict[str, Array], sums: Array, first: Array, second: Array) -> Array:
        """Blocks (some, p, w p) of the pairs of some rows."""
        # Sums instead of batched products of 6 x 6 matrices, which take ten times as long on a CPU.
        own, some = table["own"][second], len(first) // NEIGHBOURS_A_ROW
        blocks = sum(
            (sums[:, :, r, None] * own[:, None, r] for r in range(1, sums.shape[1])),
            sums[:, :, 0, None] * own[:, None, 0],
        )
        blocks = jnp.moveaxis(blocks.reshape(some, NEIGHBOURS_A_ROW, *blocks.shape[1:]), 1, 2).reshape(
            some, sums.shape[1], -1
        )
        turned = jnp.swapaxes(table["own"], 1, 2)[first[::NEIGHBOURS_A_ROW]]
        return jnp.einsum("kpq,kqs->kps", turned, blocks, precision="highest")

    def _with_shared(self, total: Array, shared: Array, sums: Array, first: Array, second: Array) -> Array:
        """``total`` (K + 1, q, s) with the products of pairs' sums and the columns that all components share."""
        if not shared.shape[2]:
            return total
        along = jnp.einsum("nqr,nrs->nqs", sums, shared[second], precision="highest")
        by_row = along.reshape(-1, NEIGHBOURS_A_ROW, *along.shape[1:]).sum(axis=1)
        total = total.at[first[::NEIGHBOURS_A_ROW]].add(by_row)
        if not self.once:
            return total
        back = jnp.einsum("nrq,nrs->nqs", sums, shared[first], precision="highest")
        return total.at[jnp.where(first == second, len(total), second)].add(back, mode="drop")

    def _table(self, components: Components, chain: ChainRule) -> dict[str, Array]:
        """Components in steps of the grid, with a last row for nobody."""
        centers = (components.centers - self.frame.low) / self.frame.step
        if self.frame.period is not None:  # into the middle one of three
            middle = 1.5 * self.frame.period
            centers = _nearest(centers - middle, self.frame.period) + middle
        inverse = components.inverse_factors * self.frame.step
        identity = jnp.eye(inverse.shape[1], dtype=inverse.dtype)[None]
        parts: dict[str, Any] = {
            "centers": jnp.concatenate([centers, jnp.zeros_like(centers[:1])]),
            "inverse": jnp.concatenate([inverse, identity]),
            "own": jnp.concatenate([chain.own, jnp.zeros_like(chain.own[:1])]),
            "shared": jnp.concatenate([chain.shared, jnp.zeros_like(chain.shared[:1])]),
        }
        return {name: part.astype(self.dtype) for name, part in parts.items()}


def _nearest(offsets: Array, period: Array) -> Array:
    """Offsets (n, d) to the nearest images; a period of 0 is that of an open axis."""
    length = jnp.where(period > 0, period, 1)
    return offsets - period * jnp.round(offsets / length)
