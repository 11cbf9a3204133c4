"""What one window of a map adds to the cost and its gradient: a compiled pass that takes each exponential once.

The window's tiles are taken some at a time, those with lists of like length together. Each group first fills a buffer
with the Gaussians of its members and adds up the surface, then multiplies the same buffer with the residuals: an engine
in memory, which keeps nothing of the size of pairs times points, takes every exponential twice. Residuals and Gaussians
are in the precision of the pass, what is summed over tiles in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import batch_jit
from .._engines.jacobian.tiled import moved_moments
from .._model.gaussian import profile
from .._model.parameters import n_monomials
from .._model.surface import monomials

# Members of a tile that are taken at once: a product over 8 fits the vector units.
MEMBERS_AT_ONCE = 8


class MapSums(NamedTuple):
    """Sums over the points of a map at one set of parameters, in the units of the fit.

    cost () : half the sum of squared residuals r. moments (K, q), border (b,) : J^T r before the chain rule, as sums of
    g_k Phi(u_k) r and of the background's slopes times r. cross (K, q, b), corner (b, b) : the background's part of
    J^T J, over all places of the grid, those without a height too.
    """

    cost: Any
    moments: Any
    border: Any
    cross: Any
    corner: Any


@register_dataclass
@dataclass(frozen=True, eq=False)
class WindowPlan:
    """The components of a window and the lists of its tiles; S components with a row for nobody behind them.

    middles (T, d) : of the tiles in steps of the grid from the window's first point, in the order of falling lists.
    counts (T, d) : places of a tile that lie within the grid, along each axis. groups (G,) : chunks of members that
    each group of tiles has. members (T, M), shifts (T, M, d) : rows of the table, and L^-1 (middle - c). amplitudes
    (S,), slopes (S, d, d) : with L^-1 times the grid's steps. background : as the components' own. low, step (d,) : the
    window's first point and the grid's steps, in the units of the fit.
    """

    order: Any
    middles: Any
    counts: Any
    groups: Any
    members: Any
    shifts: Any
    amplitudes: Any
    slopes: Any
    background: Any
    low: Any
    step: Any
    sides: tuple[int, ...] = field(metadata={"static": True})
    tiles_at_once: int = field(metadata={"static": True})


def window_sums(plan: WindowPlan, heights: Array) -> MapSums:
    """The sums of one window (n_1, ..., n_d) of heights in the units of the fit, NaN where there are none."""
    tiles = _tiles(heights, plan.sides)[plan.order]
    places, n_border = _places(plan.sides), int(plan.background.n_parameters)
    size = n_monomials(len(plan.sides))
    local = _local_monomials(places, plan.sides, heights.dtype)
    buffer = jnp.zeros((plan.members.shape[1], plan.tiles_at_once, tiles.shape[1]), heights.dtype)
    columns = 1 + n_border
    sums = (
        jnp.zeros((), float),
        jnp.zeros((len(plan.amplitudes), columns, size), float),
        jnp.zeros((n_border, columns), float),
    )

    def group(number: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
        (cost, moments, outer), buffer = carry
        some = _Group(plan, tiles, places, number)
        background, rows = some.background()

        def fill(chunk: Array, filled: tuple[Array, Array]) -> tuple[Array, Array]:
            buffer, model = filled
            amplitudes, gaussians = some.gaussians(chunk)
            model = model + jnp.einsum("sc,scn->cn", amplitudes, gaussians, precision="highest")
            return jax.lax.dynamic_update_slice_in_dim(buffer, gaussians, chunk * MEMBERS_AT_ONCE, 0), model

        buffer, model = jax.lax.fori_loop(0, plan.groups[number], fill, (buffer, background))
        residuals = jnp.where(jnp.isnan(some.heights), 0, model - some.heights)
        values = jnp.concatenate([residuals[:, None], rows], axis=1)
        weighted = (values[:, :, None] * local).reshape(len(values), columns * size, -1)

        def take(chunk: Array, moments: Array) -> Array:
            gaussians = jax.lax.dynamic_slice_in_dim(buffer, chunk * MEMBERS_AT_ONCE, MEMBERS_AT_ONCE, 0)
            found = jnp.einsum("scn,cqn->csq", gaussians, weighted, precision="highest")
            return some.added(moments, chunk, found.reshape(*found.shape[:2], columns, size))

        moments = jax.lax.fori_loop(0, plan.groups[number], take, moments)
        cost = cost + 0.5 * jnp.sum(jnp.square(residuals.astype(float)))
        return (cost, moments, outer + some.outer(rows, values)), buffer

    (cost, moments, outer), _ = jax.lax.fori_loop(0, len(plan.groups), group, (sums, buffer))
    moments = jnp.moveaxis(moments, 1, 2)
    return MapSums(cost, moments[:, :, 0], outer[:, 0], moments[:, :, 1:], outer[:, 1:])


summed = batch_jit(window_sums)


class _Group:
    """Some tiles at once: c tiles of n places each."""

    def __init__(self, plan: WindowPlan, tiles: Array, places: np.ndarray, number: Array):
        self.plan, self.places, self.n_dim = plan, places, len(plan.sides)
        c = plan.tiles_at_once

        def part(array: Any) -> Array:
            return jax.lax.dynamic_slice_in_dim(array, number * c, c)

        self.heights, self.middles, self.counts = part(tiles), part(plan.middles), part(plan.counts)
        self.members, self.shifts = part(plan.members), part(plan.shifts)
        self.offsets = (places - (np.asarray(plan.sides) - 1) / 2).astype(tiles.dtype)

    def gaussians(self, chunk: Array) -> tuple[Array, Array]:
        """Amplitudes (s, c) and Gaussians (s, c, n) of a chunk of each tile's members."""
        members, shifts = self._chunk(chunk)
        slopes, n_dim = self.plan.slopes[members], self.n_dim
        squares = jnp.zeros((*members.shape, len(self.places)), self.heights.dtype)
        for i in range(n_dim):
            u = shifts[..., i, None]
            for j in range(i + 1):
                u = u + slopes[..., i, j, None] * self.offsets[:, j]
            squares = squares + u * u
        return self.plan.amplitudes[members], jnp.asarray(profile(squares))

    def added(self, moments: Array, chunk: Array, found: Array) -> Array:
        """Moments (S, b, q) of the components, with those (c, s, b, q) of a chunk in the tiles' own coordinates."""
        members, shifts = self._chunk(chunk)
        half = jnp.asarray(np.asarray(self.plan.sides) / 2, self.heights.dtype)
        stretch = self.plan.slopes[members] * half
        moved = moved_moments(jnp.moveaxis(found, 0, 1), stretch[:, :, None], shifts[:, :, None])
        return moments.at[members].add(moved.astype(moments.dtype))

    def background(self) -> tuple[Array, Array]:
        """Heights (c, n) of the background, and its slopes (c, b, n), 0 beyond the grid."""
        model, plan = self.plan.background, self.plan
        points = plan.low + plan.step * (self.middles[:, None] + self.offsets)
        within = (self.places.astype(self.counts.dtype) < self.counts[:, None]).all(axis=2)
        heights = jnp.broadcast_to(model(points), within.shape).astype(self.heights.dtype)
        vector = model.vector().astype(self.heights.dtype)
        if not vector.size:
            return heights, jnp.zeros((len(points), 0, points.shape[1]), self.heights.dtype)
        slopes = jax.jacfwd(lambda v: jnp.broadcast_to(model.with_vector(v)(points), within.shape))(vector)
        return heights, jnp.moveaxis(jnp.where(within[..., None], slopes, 0), 2, 1).astype(self.heights.dtype)

    def outer(self, rows: Array, values: Array) -> Array:
        """Sums (b, 1 + b) of the background's slopes times residuals and slopes."""
        return jnp.einsum("cbn,cvn->bv", rows, values, precision="highest").astype(float)

    def _chunk(self, chunk: Array) -> tuple[Array, Array]:
        """Members (s, c) and shifts (s, c, d)."""
        first = chunk * MEMBERS_AT_ONCE
        members = jax.lax.dynamic_slice_in_dim(self.members, first, MEMBERS_AT_ONCE, 1)
        shifts = jax.lax.dynamic_slice_in_dim(self.shifts, first, MEMBERS_AT_ONCE, 1)
        return members.T, jnp.moveaxis(shifts, 1, 0)


def _tiles(heights: Array, sides: tuple[int, ...]) -> Array:
    """Heights (T, n) tile by tile, of a window whose sides are multiples of the tiles'."""
    cut = [part for length, side in zip(heights.shape, sides, strict=True) for part in (length // side, side)]
    axes = [*range(0, 2 * len(sides), 2), *range(1, 2 * len(sides), 2)]
    return heights.reshape(cut).transpose(axes).reshape(-1, int(np.prod(sides)))


def _places(sides: tuple[int, ...]) -> np.ndarray:
    """Index (n, d) of each place in a tile."""
    return np.stack(np.meshgrid(*(np.arange(side) for side in sides), indexing="ij"), axis=-1).reshape(-1, len(sides))


def _local_monomials(places: np.ndarray, sides: tuple[int, ...], dtype: Any) -> Array:
    """The monomials (q, n) of the places in units of half a tile's sides, from its middle."""
    half = np.asarray(sides) / 2
    units = [jnp.asarray(column, dtype) for column in ((places - (np.asarray(sides) - 1) / 2) / half).T]
    return jnp.stack(monomials(units))
