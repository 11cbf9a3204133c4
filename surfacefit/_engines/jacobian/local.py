r"""Components near each tile, found anew at every evaluation: for many lanes of a batch in one program.

The points stand in tiles. At given components a tile has a list of those that reach it; J^T J of a tile is one product
of their columns and is added to the whole block by block. With 40 components on 64 x 64 points a tile of 8 x 8 knows a
sixth of them, and a step takes a quarter of the time.

A component with L L^T = Sigma is at least sqrt(q) of its widths away from a tile with middle m and half sides h, with

    q = sum_i max(|L^-1 (m - c)|_i - (|L^-1| h)_i, 0)^2,

and is left out where it has fallen below the cutoff so far away. Crowded tiles come first, in ranks with room for more
components a tile than the rest. Where a tile needs more room than it has, or components are not finite, the dense
engine takes over. So no plan can become wrong; the tails that are left out change from step to step, and costs with
them by some 1e-8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from ..._linear.normal import DenseNormal
from ..._lists.pairs import cutoff_radii
from ..._model.gaussian import profile
from ..._model.parameters import ChainRule, Components
from ..._model.surface import monomials
from .dense import SINGLE_PRECISION_ERROR, DenseEngine, DenseJacobian, Unplanned, background_rows
from .tiled import moved_moments

# Squared widths from a component's centre up to which its columns count in J^T J: exp(-r^2 / 2) is a hundredth there,
# and a ten-thousandth of the square of a column lies beyond. The gradient stays exact, and J^T J that of columns which
# end there: 12 frames with 40 components took 42 steps each, as with whole columns.
CURVED_SQUARES = 9.0


class Rank(NamedTuple):
    """Tiles (t,) of one rank, and the components (t, s) that reach them, nearest first, K where there are fewer."""

    tiles: Array
    members: Array


class Near(NamedTuple):
    """The ranks of tiles, the place (T,) of each tile among all of them, and whether all lists are complete."""

    ranks: tuple[Rank, ...]
    place: Array
    complete: Array


@register_dataclass
@dataclass(frozen=True, eq=False)
class LocalEngine(Unplanned):
    """order (T, n) : which point stands at each place of a tile; filled (T, n) : 1, or 0 where a point repeats.
    place (N,) : where each point stands in ``order.ravel()``. middle, half (T, d) : the tiles' boxes. cutoff () : the
    height below which a component may be left out. rooms : of each rank the number of tiles, how many components each
    has room for, and how many of these in J^T J.
    """

    order: Array
    filled: Array
    place: Array
    middle: Array
    half: Array
    cutoff: Array
    rooms: tuple[tuple[int, int, int], ...] = field(metadata={"static": True})

    def model(self, points: Array, components: Components) -> Array:
        near = self.near(components)

        def local() -> Array:
            parts = [self._heights(points, components, rank) for rank in near.ranks]
            heights = jnp.concatenate(parts)[near.place].ravel()[self.place]
            return heights + components.background(points)

        return jax.lax.cond(near.complete, local, lambda: DenseEngine().model(points, components))

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> LocalJacobian:
        dense = DenseEngine().jacobian(points, weights, components, chain)
        return LocalJacobian(self, points, weights, dense, self.near(components))

    def near(self, components: Components) -> Near:
        """The components that reach each tile."""
        nearest, finite = distances(self.middle, self.half, components, jnp)
        squares = reach(components.amplitudes, self.cutoff, jnp)
        counts, curved = (nearest <= squares).sum(axis=1), (nearest <= CURVED_SQUARES).sum(axis=1)
        crowded = jnp.argsort(-counts)
        ranks, complete, first = [], finite, 0
        for n_tiles, room, room_curved in self.rooms:
            tiles = crowded[first : first + n_tiles]
            complete &= jnp.all((counts[tiles] <= room) & (curved[tiles] <= room_curved))
            away, members = jax.lax.top_k(-nearest[tiles], room)
            ranks.append(Rank(tiles, jnp.where(-away <= squares, members, components.amplitudes.shape[0])))
            first += n_tiles
        return Near(tuple(ranks), jnp.argsort(crowded), complete)

    def whitened(self, points: Array, components: Components, tiles: Array, members: Array) -> list[Array]:
        """u = L^-1 (x - c) of the members at the places of their tiles, d arrays (t, s, n)."""
        tiled = points[self.order[tiles]]
        centers, inverse = (_with_nobody(one)[members] for one in (components.centers, components.inverse_factors))
        x = [tiled[:, None, :, j] - centers[..., j, None] for j in range(points.shape[1])]
        return [
            sum((inverse[..., i, j, None] * x[j] for j in range(1, i + 1)), inverse[..., i, 0, None] * x[0])
            for i in range(len(x))
        ]

    def _heights(self, points: Array, components: Components, rank: Rank) -> Array:
        amplitudes = _with_nobody(components.amplitudes)[rank.members]
        u = self.whitened(points, components, *rank)
        return jnp.einsum("ts,tsn->tn", amplitudes, _gaussian(u), precision="highest")


@register_dataclass
@dataclass(frozen=True, eq=False)
class LocalJacobian:
    """J of the dense engine, with J^T J and J^T r by tiles."""

    engine: LocalEngine
    points: Array
    weights: Array
    dense: DenseJacobian
    near: Near

    def mv(self, vector: Array) -> Array:
        return self.dense.mv(vector)

    def rmv(self, residuals: Array) -> Array:
        return self.dense.rmv(residuals)

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[DenseNormal, Array]:
        return jax.lax.cond(
            self.near.complete, lambda: self._local(residuals, error), lambda: self.dense.normal(residuals, error)
        )

    def block_diagonal(self) -> tuple[Array, Array]:
        return self.dense.block_diagonal()

    def column_blocks(self, factors: Array) -> Array:
        return self.dense.column_blocks(factors)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def as_matrix(self) -> Array:
        return self.dense.as_matrix()

    def _local(self, residuals: Array, error: Any) -> tuple[DenseNormal, Array]:
        chain, outer = self.dense.chain, background_rows(self.points, self.weights, self.dense.components)
        room, size = chain.own.shape[0] + 1, chain.own.shape[1]
        blocks = jnp.zeros((room, size, room, size), self.weights.dtype)
        cross, moments = jnp.zeros((room, size, len(outer)), self.weights.dtype), jnp.zeros((room, size), outer.dtype)
        for rank, (_, _, curved) in zip(self.near.ranks, self.engine.rooms, strict=True):
            moments = moments.at[rank.members].add(self._moments(rank, self.weights * residuals))
            members = rank.members[:, :curved]
            gram, beside = self._products(Rank(rank.tiles, members), outer, error)
            blocks = blocks.at[members[:, :, None], :, members[:, None]].add(gram)
            cross = cross.at[members].add(beside)
        corner, of_border = (jnp.matmul(outer, one, precision="highest") for one in (outer.T, residuals))
        whole = blocks[:-1, :, :-1].reshape(room - 1, size, -1)
        half = chain.transpose(whole, cross[:-1].reshape(-1, len(outer)).T).T
        across = chain.transpose(cross[:-1], corner)
        normal = chain.transpose(half.reshape(room - 1, size, -1), across.T)
        return DenseNormal(normal), chain.transpose(moments[:-1], of_border)

    def _products(self, rank: Rank, outer: Array, error: Any) -> tuple[Array, Array]:
        """Products of the columns of a rank's members with each other (t, s, s, q, q), and with the background's
        (t, s, q, b).
        """
        engine, (n_tiles, most) = self.engine, rank.members.shape
        u = engine.whitened(self.points, self.dense.components, *rank)
        order, filled = engine.order[rank.tiles], engine.filled[rank.tiles]
        g = (self.weights[order] * filled)[:, None] * _gaussian(u)
        rows = (g[:, :, None] * jnp.stack(monomials(u), axis=2)).reshape(n_tiles, -1, g.shape[-1])
        border = jnp.moveaxis(outer[:, order] * filled, 0, 1)
        size = rows.shape[1] // most
        blocks = _gram(rows, error).reshape(n_tiles, most, size, most, size).swapaxes(2, 3)
        beside = jnp.einsum("tan,tbn->tab", rows, border, precision="highest")
        return blocks, beside.reshape(n_tiles, most, size, -1)

    def _moments(self, rank: Rank, values: Array) -> Array:
        """sum_n g Phi(u) values_n (t, s, q) over the places of each tile, taken in the tile's own coordinates."""
        engine, components = self.engine, self.dense.components
        order, middle, half = (one[rank.tiles] for one in (engine.order, engine.middle, engine.half))
        half = jnp.where(half > 0, half, 1)
        local = (self.points[order] - middle[:, None]) / half[:, None]
        rows = jnp.stack(monomials([local[..., j] for j in range(local.shape[-1])]), axis=1)
        columns = rows * (values[order] * engine.filled[rank.tiles])[:, None]
        g = _gaussian(engine.whitened(self.points, components, *rank))
        sums = jnp.einsum("tsn,tqn->tsq", g, columns, precision="highest")
        centers, inverse = (_with_nobody(one)[rank.members] for one in (components.centers, components.inverse_factors))
        away = middle[:, None] - centers
        shift: Any = sum(inverse[..., j] * away[..., j, None] for j in range(away.shape[-1]))
        return moved_moments(sums, inverse * half[:, None, None], shift)


def distances(middle: Any, half: Any, components: Any, xp: Any) -> tuple[Any, Any]:
    """The squared distance q (T, K) in widths of each component from each tile, as the module's text has it, and
    whether all are finite. ``xp`` is `numpy`, or `jax.numpy`.
    """
    inverse, away = components.inverse_factors, middle[:, None] - components.centers
    axes = range(inverse.shape[2])
    nearest: Any = 0
    for i in axes:  # sums written out: XLA's own over so few entries takes ten times as long
        u = sum(inverse[:, i, j] * away[:, :, j] for j in axes[: i + 1])
        spread = sum(abs(inverse[:, i, j]) * half[:, None, j] for j in axes[: i + 1])
        nearest = nearest + xp.maximum(abs(u) - spread, 0) ** 2
    return nearest, xp.all(xp.isfinite(nearest)) & xp.all(xp.isfinite(components.amplitudes))


def reach(amplitudes: Any, cutoff: Any, xp: Any) -> Any:
    """The squared distance () in widths at which the highest component has fallen to the cutoff."""
    return cutoff_radii(abs(amplitudes).max(), cutoff, xp) ** 2


def _gaussian(u: list[Array]) -> Array:
    return jnp.asarray(profile(sum((x * x for x in u[1:]), u[0] * u[0])))


def _gram(rows: Array, error: Any) -> Array:
    """rows rows^T (t, m, m), in single precision where so large an ``error`` is allowed."""

    def product(factor: Array) -> Array:
        return jnp.einsum("tan,tbn->tab", factor, factor, precision="highest")

    if rows.dtype == jnp.float32:
        return product(rows)
    return jax.lax.cond(
        jnp.asarray(error) >= SINGLE_PRECISION_ERROR,
        lambda: product(rows.astype(jnp.float32)).astype(rows.dtype),
        lambda: product(rows),
    )


def _with_nobody(table: Array) -> Array:
    """One more row, of zeros."""
    return jnp.concatenate([table, jnp.zeros((1, *table.shape[1:]), table.dtype)])
