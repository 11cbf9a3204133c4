"""The sparse engine: components only in the tiles where they are felt, chunk by chunk of the plan's lists.

A chunk is a few components at each of some tiles, so that all work is on arrays (tiles, components,
places): exponentials, and small matrix products with them. Moments are taken in each tile's own coordinates, where one
product gives all of them, and then moved to the component's u = A x + b. Nothing of the size of the pairs times places
is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from ..._base.compile import concatenated
from ..._linear.normal import BlockNormal, ProductNormal
from ..._model.gaussian import profile
from ..._model.parameters import ChainRule, Components, n_monomials
from ..._model.surface import monomials
from .curvature import Curvature
from .dense import background_rows
from .tile_plan import TilePlan, has_same_pairs, height_left_out, resembles


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiledEngine:
    """Components at the tiles of a plan; ``curvature`` gives J^T J without points, where the grid allows."""

    plan: TilePlan
    curvature: Curvature | None = None

    @property
    def has_plan(self) -> bool:
        return True

    def plan_is_valid(self, components: Components) -> Array:
        covered = self.plan.plan_is_valid(components)
        return covered if self.curvature is None else covered & resembles(self.plan, components)

    def curvature_is_valid(self, components: Components) -> Array:
        valid = self.plan_is_valid(components)
        return valid if self.curvature is None else valid & has_same_pairs(self.plan, components)

    def left_out(self) -> Array:
        """The height that its plan leaves out at a point at most."""
        return height_left_out(self.plan)

    def model(self, points: Array, components: Components) -> Array:
        tiles = Tiles(self.plan, points, components)
        return tiles.sum_of(components.amplitudes[:, None], 0).reshape(-1) + components.background(points)

    def tiles(self, points: Array, components: Components) -> Tiles:
        """Sums over the plan's lists, for operators of other models of the same components."""
        return Tiles(self.plan, points, components)

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> TiledJacobian:
        return TiledJacobian(self, points, weights, components, chain)


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiledJacobian:
    """J of a sum of Gaussians, recomputed chunk by chunk: points (N, d) and weights (N,) in the order of the tiles."""

    engine: TiledEngine
    points: Array
    weights: Array
    components: Components
    chain: ChainRule

    def mv(self, vector: Array) -> Array:
        coefficients, background = self.chain.apply(vector)
        inner = self._tiles().sum_of(coefficients, 2).reshape(-1) * self.weights
        return inner + jnp.matmul(background, self._background(), precision="highest")

    def rmv(self, residuals: Array) -> Array:
        moments = self._tiles().moments((self.weights * residuals)[:, None])[:, :, 0]
        return self.chain.transpose(moments, jnp.matmul(self._background(), residuals, precision="highest"))

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[Any, Array]:
        if self.engine.curvature is None:
            return ProductNormal(*self.block_diagonal()), self.rmv(residuals)
        cross, corner, gradient = self._border(residuals)
        return self.engine.curvature.normal(self.components, self.chain, cross, corner), gradient

    def renewed(self, normal: BlockNormal, residuals: Array, gradient: Array, needed: Array) -> tuple[Any, Array]:
        """As `normal`, where that is ``needed``, in the place of an older normal matrix of the same form; else that
        one, and its ``gradient`` (P,). All loops then end before they begin.
        """
        curvature: Any = self.engine.curvature
        plan = replace(self.engine.plan, n_chunks=jnp.where(needed, self.engine.plan.n_chunks, 0))
        now = replace(self, engine=replace(self.engine, plan=plan))
        cross, corner, fresh = now._border(residuals)
        n_rows = jnp.where(needed, curvature.n_rows, 0)
        made = replace(curvature, n_rows=n_rows).written_over(normal.blocks, self.components, self.chain, cross, corner)
        none: Any = None
        new, old = (replace(one, blocks=none) for one in (made, normal))
        rest = jax.tree.map(partial(jnp.where, needed), new, old)
        return replace(rest, blocks=made.blocks), jnp.where(needed, fresh, gradient)

    def _border(self, residuals: Array) -> tuple[Array, Array, Array]:
        """The background with the components (K, q, b) and with itself (b, b), and J^T r (P,)."""
        border = self._background()
        columns = concatenated([residuals[:, None], border.T], axis=1)
        moments = self._tiles().moments(self.weights[:, None] * columns)
        outer = jnp.matmul(border, columns, precision="highest")
        gradient = self.chain.transpose(moments[:, :, 0], outer[:, 0])
        return moments[:, :, 1:], outer[:, 1:], gradient

    def block_diagonal(self) -> tuple[Array, Array]:
        grams, border = self._tiles().grams(self.weights), self._background()
        own = jnp.einsum("kqp,kqr,krs->kps", self.chain.own, grams, self.chain.own, precision="highest")
        n_shared = self.chain.shared.shape[2]
        if n_shared:
            first = own.shape[0] * own.shape[1]
            columns = [self.mv(jnp.zeros(self._size(), border.dtype).at[first + i].set(1)) for i in range(n_shared)]
            border = concatenated([jnp.stack(columns), border])
        return own, jnp.matmul(border, border.T, precision="highest")

    def column_blocks(self, factors: Array) -> Array:
        return self._tiles().column_blocks(self.weights**2 * factors)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def as_matrix(self) -> Array:
        return jax.lax.map(self.mv, jnp.eye(self._size(), dtype=self.weights.dtype)).T

    def _size(self) -> int:
        n_components, _, size = self.chain.own.shape
        return n_components * size + self.chain.shared.shape[2] + int(self.components.background.n_parameters)

    def _background(self) -> Array:
        return background_rows(self.points, self.weights, self.components)

    def _tiles(self) -> Tiles:
        return self.engine.tiles(self.points, self.components)


class Tiles:
    """Points as tiles (T, n, d), components as a table with a row of zeros at the end for "nobody"."""

    def __init__(self, plan: TilePlan, points: Array, components: Components):
        self.plan = plan
        self.points = jnp.moveaxis(points.reshape(plan.n_tiles, -1, points.shape[1]), 2, 1)
        self.n_dim = points.shape[1]
        self.n_components = len(components.amplitudes)
        parts = [components.centers, components.inverse_factors.reshape(self.n_components, -1)]
        self.table = self._by_member(jnp.concatenate(parts, axis=1))
        if plan.ghosts is not None:
            self.table = self.table.at[:-1, : self.n_dim].add(plan.ghosts.shifts)

    def sum_of(self, coefficients: Array, degree: int) -> Array:
        """sum_k g_k (coefficients_k . Phi(u_k)) at all places (T, n): coefficients (K, q), or (K, 1) for degree 0."""
        table = self._by_member(coefficients)

        def add(total: Array, chunk: _Chunk) -> Array:
            c, u = table[chunk.members], chunk.whitened()
            if degree == 0:
                part = jnp.einsum("cs,csn->cn", c[..., 0], _gaussian(u), precision="highest")
            else:
                rows = monomials(u)
                polynomial = sum((c[..., q, None] * rows[q] for q in range(1, len(rows))), c[..., 0, None])
                part = jnp.einsum(
                    "cs,csn->cn", jnp.ones_like(c[..., 0]), polynomial * _gaussian(u), precision="highest"
                )
            before = jax.lax.dynamic_slice_in_dim(total, chunk.offset, len(part))
            return jax.lax.dynamic_update_slice_in_dim(total, before + part, chunk.offset, 0)

        shape = (len(self.plan.order), self.points.shape[2])
        return self._walk(add, jnp.zeros(shape, self.points.dtype))[self.plan.rank]

    def sums_of(self, heights: Array, scales: Array | None = None, along: Array | None = None) -> Array:
        """sum_k g_k (heights_kc + scales_kc along_k . Phi(u_k)) at all places (C, N), for heights and scales (K, C) and
        polynomials ``along`` (K, q), if there are any: exponentials are taken once for all C sums.
        """
        n_sums = heights.shape[1]
        table = self._by_member(
            heights if scales is None or along is None else concatenated([heights, scales, along], axis=1)
        )

        def add(total: Array, chunk: _Chunk) -> Array:
            c, u = table[chunk.members], chunk.whitened()
            g = _gaussian(u)
            part = jnp.einsum("csm,csn->cmn", c[..., :n_sums], g, precision="highest")
            if along is not None:
                rows, p = monomials(u), c[..., 2 * n_sums :]
                polynomial = sum((p[..., q, None] * rows[q] for q in range(1, len(rows))), p[..., 0, None])
                part += jnp.einsum("csm,csn->cmn", c[..., n_sums : 2 * n_sums], polynomial * g, precision="highest")
            before = jax.lax.dynamic_slice_in_dim(total, chunk.offset, len(part))
            return jax.lax.dynamic_update_slice_in_dim(total, before + part, chunk.offset, 0)

        shape = (len(self.plan.order), n_sums, self.points.shape[2])
        sums = self._walk(add, jnp.zeros(shape, self.points.dtype))[self.plan.rank]
        return jnp.moveaxis(sums, 1, 0).reshape(n_sums, -1)

    def moments(self, columns: Array) -> Array:
        """sum_n g_k Phi(u_k) column_n (K, q, m) for columns (N, m)."""
        n_columns, size = columns.shape[1], n_monomials(self.n_dim)
        tiled = jnp.moveaxis(columns.reshape(self.plan.n_tiles, -1, n_columns), 2, 1)

        def add(total: Array, chunk: _Chunk) -> Array:
            rows = jnp.stack(monomials(list(jnp.moveaxis(chunk.local_points(), 1, 0))[: self.n_dim]), axis=1)
            values = tiled[chunk.tiles]
            columns = (values[:, :, None] * rows[:, None]).reshape(len(rows), n_columns * size, -1)
            sums = jnp.einsum("csn,cqn->csq", _gaussian(chunk.whitened()), columns, precision="highest")
            moved = chunk.moved(sums.reshape(*sums.shape[:2], n_columns, size))
            return total.at[chunk.members].add(jnp.moveaxis(moved, 2, 3))

        return self._of_owners(self._walk(add, self._nothing(size, n_columns)))

    def grams(self, weights: Array) -> Array:
        """sum_n w^2 g_k^2 Phi(u_k) Phi(u_k)^T (K, q, q); along periodic axes of each image by itself, without its
        products with the others of its component.
        """
        size, tiled = n_monomials(self.n_dim), weights.reshape(self.plan.n_tiles, -1)

        def add(total: Array, chunk: _Chunk) -> Array:
            u = chunk.whitened()
            g = tiled[chunk.tiles][:, None] * _gaussian(u)
            rows = g[:, :, None] * jnp.stack(monomials(u), axis=2)
            return total.at[chunk.members].add(jnp.einsum("csqn,csrn->csqr", rows, rows, precision="highest"))

        return self._of_owners(self._walk(add, self._nothing(size, size)))

    def column_blocks(self, weights: Array) -> Array:
        """sum_n w g_k^2 Phi(u_k) Phi(u_k)^T (K, q, q), for weights of either sign."""
        size, tiled = n_monomials(self.n_dim), weights.reshape(self.plan.n_tiles, -1)

        def add(total: Array, chunk: _Chunk) -> Array:
            rows = self.rows(chunk)
            weighted = tiled[chunk.tiles][:, None, None] * rows
            return total.at[chunk.members].add(jnp.einsum("csqn,csrn->csqr", weighted, rows, precision="highest"))

        return self._of_owners(self._walk(add, self._nothing(size, size)))

    def _by_member(self, table: Array) -> Array:
        """Rows of components (K, ...) as those of the lists' members, with one of zeros at the end."""
        whole, ghosts = _with_nobody(table), self.plan.ghosts
        return whole if ghosts is None else _with_nobody(whole[ghosts.owners])

    def _nothing(self, *shape: int) -> Array:
        """Sums of all members before the first, and of nobody."""
        count = self.n_components if self.plan.ghosts is None else len(self.plan.ghosts.owners)
        return jnp.zeros((count + 1, *shape), self.points.dtype)

    def _of_owners(self, sums: Array) -> Array:
        """Sums of members as those of components (K, ...)."""
        ghosts = self.plan.ghosts
        if ghosts is None:
            return sums[: self.n_components]
        total = jnp.zeros((self.n_components + 1, *sums.shape[1:]), sums.dtype)
        return total.at[ghosts.owners].add(sums[:-1])[: self.n_components]

    def rows(self, chunk: _Chunk) -> Array:
        """g_k Phi(u_k) of the components of a chunk (c, s, q, n)."""
        u = chunk.whitened()
        return _gaussian(u)[:, :, None] * jnp.stack(monomials(u), axis=2)

    def _walk(self, add: Callable[[Array, _Chunk], Array], total: Array) -> Array:
        return jax.lax.fori_loop(0, self.plan.n_chunks, lambda number, total: add(total, _Chunk(self, number)), total)


class _Chunk:
    """A few components at each of some tiles: c tiles, s members, n places."""

    def __init__(self, tiles: Tiles, number: Array):
        plan = tiles.plan
        self.offset, self.members = plan.offsets[number], plan.members[number]
        self.tiles = jax.lax.dynamic_slice_in_dim(plan.order, self.offset, self.members.shape[0])
        self.points, self.n_dim = tiles.points[self.tiles], tiles.n_dim
        row = tiles.table[self.members]
        self.centers = row[..., : self.n_dim]
        self.inverse = row[..., self.n_dim :].reshape(*row.shape[:-1], self.n_dim, self.n_dim)
        self.middle, self.half = plan.middle[self.tiles], plan.half[self.tiles]

    def whitened(self) -> list[Array]:
        """u = L^-1 (x - c), d arrays (c, s, n)."""
        x = [self.points[:, None, j] - self.centers[..., j, None] for j in range(self.n_dim)]
        inverse = self.inverse[..., None]
        return [
            sum((inverse[..., i, j, :] * x[j] for j in range(1, i + 1)), inverse[..., i, 0, :] * x[0])
            for i in range(self.n_dim)
        ]

    def moved_by(self, offset: Array) -> _Chunk:
        """The same components at points that are moved by an offset (d,)."""
        moved = copy(self)
        moved.points = self.points + offset[:, None]
        return moved

    def local_points(self) -> Array:
        """Points in units of their tile (c, d, n), between -1 and 1."""
        return (self.points - self.middle[..., None]) / self.half[..., None]

    def moved(self, sums: Array) -> Array:
        """Moments (c, s, m, q) in the tiles' coordinates, as moments in the components' u."""
        stretch = (self.inverse * self.half[:, None, None, :])[:, :, None]
        shift = jnp.einsum("csij,csj->csi", self.inverse, self.middle[:, None] - self.centers, precision="highest")[
            :, :, None
        ]
        return moved_moments(sums, stretch, shift)


def moved_moments(sums: Array, stretch: Array, shift: Array) -> Array:
    """Moments (..., q) of x, in the order of the monomials, as moments of u = stretch x + shift, stretch (..., d, d)
    lower.
    """
    n_dim = shift.shape[-1]
    places = [(i, j) for i in range(n_dim) for j in range(i + 1)]
    zeroth, first = sums[..., 0], [sums[..., 1 + i] for i in range(n_dim)]
    second = {pair: sums[..., 1 + n_dim + number] for number, pair in enumerate(places)}
    turned = [sum(stretch[..., i, a] * first[a] for a in range(i + 1)) for i in range(n_dim)]
    own = [turned[i] + shift[..., i] * zeroth for i in range(n_dim)]
    products = []
    for i, j in places:
        inner = sum(
            stretch[..., i, a] * stretch[..., j, b] * second[max(a, b), min(a, b)]
            for a in range(i + 1)
            for b in range(j + 1)
        )
        products.append(inner + turned[i] * shift[..., j] + shift[..., i] * own[j])
    return jnp.stack([zeroth, *own, *products], axis=-1)


def _gaussian(u: list[Array]) -> Array:
    return jnp.asarray(profile(sum((x * x for x in u[1:]), u[0] * u[0])))


def _with_nobody(table: Array) -> Array:
    """One more row, of zeros."""
    return jnp.concatenate([table, jnp.zeros((1, *table.shape[1:]), table.dtype)])
