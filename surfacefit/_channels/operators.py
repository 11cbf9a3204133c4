"""Jacobian operators of several channels: J of all weighted residuals (C N,), channel after channel.

`ChannelsApart` asks an engine for each channel by itself: for any weights, and the plain version that the other one is
compared with. `ChannelsTogether` passes once over the tiles: exponentials are taken once, and all
channels are columns of the same matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._engines.jacobian import TiledEngine
from .._engines.jacobian.dense import background_rows
from .._linear.normal import DenseNormal, ProductNormal
from .._model.background import ConstantBackground, PlaneBackground
from .._model.parameters import Components
from .curvature import channel_normal
from .parameters import ChannelChain, ChannelParameterization


def channel_models(engine: Any, points: Array, parts: ChannelParameterization, params: Array) -> Array:
    """The heights (C, N) of all channels."""
    if not isinstance(engine, TiledEngine):
        each = [engine.model(points, parts.of_channel(params, c)) for c in range(parts.n_channels)]
        return jnp.stack(each)
    sums = engine.tiles(points, parts.components(params)).sums_of(parts.amplitude_matrix(params))
    return sums + jnp.stack([background(points) for background in parts.channel_backgrounds(params)])


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelJacobian:
    """What both operators hold: points (N, d), weights (C, N), the parameterisation and where it stands.

    importance (C,) : the square of each channel's weight, where a closed form takes all points to have the same.
    """

    engine: Any
    points: Array
    weights: Array
    parts: ChannelParameterization
    params: Array
    importance: Array

    def restored(self, normal: Any) -> Any:
        """The normal matrix, bound to this operator."""
        return normal.bound(self)

    @property
    def n_channels(self) -> int:
        return self.parts.n_channels

    def _chain(self) -> ChannelChain:
        return self.parts.channel_chain(self.params)

    def _split(self, vector: Array) -> tuple[Array, list[Array]]:
        """A vector (P,) as its blocks, flat, and the borders of the channels."""
        n_own = self.parts.layout.n_own
        return vector[:n_own], self.parts.by_channel(vector[n_own:])


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelsApart(ChannelJacobian):
    """J channel by channel, on any engine without a plan."""

    def mv(self, vector: Array) -> Array:
        blocks, borders = self._split(vector)
        return concatenated([one.mv(concatenated([blocks, b])) for one, b in zip(self._each(), borders, strict=True)])

    def rmv(self, residuals: Array) -> Array:
        parts = residuals.reshape(self.n_channels, -1)
        return self._joined([one.rmv(part) for one, part in zip(self._each(), parts, strict=True)])

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[DenseNormal, Array]:
        parts = residuals.reshape(self.n_channels, -1)
        both = [one.normal(part, error) for one, part in zip(self._each(), parts, strict=True)]
        matrices = [self._placed(normal.as_matrix(), c) for c, (normal, _) in enumerate(both)]
        return DenseNormal(reduce(jnp.add, matrices)), self._joined([gradient for _, gradient in both])

    def block_diagonal(self) -> tuple[Array, Array]:
        blocks, corners = zip(*(one.block_diagonal() for one in self._each()), strict=True)
        return reduce(jnp.add, blocks), jax.scipy.linalg.block_diag(*corners)

    def as_matrix(self) -> Array:
        rows = []
        for channel, one in enumerate(self._each()):
            matrix, n_own = one.as_matrix(), self.parts.layout.n_own
            borders = [jnp.zeros((len(matrix), len(b)), matrix.dtype) for b in self._borders()]
            borders[channel] = matrix[:, n_own:]
            rows.append(concatenated([matrix[:, :n_own], *borders], axis=1))
        return concatenated(rows)

    def _each(self) -> list[Any]:
        """The operators of the channels."""
        chain = self._chain()
        return [
            self.engine.jacobian(
                self.points, self.weights[c], self.parts.of_channel(self.params, c), chain.of_channel(c)
            )
            for c in range(self.n_channels)
        ]

    def _borders(self) -> list[Array]:
        return self._split(self.params)[1]

    def _joined(self, gradients: list[Array]) -> Array:
        """Gradients (n_own + b_c,) of the channels as one (P,)."""
        n_own = self.parts.layout.n_own
        return concatenated([reduce(jnp.add, [g[:n_own] for g in gradients]), *(g[n_own:] for g in gradients)])

    def _placed(self, matrix: Array, channel: int) -> Array:
        """J^T J of one channel at its places in that of all (P, P)."""
        n_own, sizes = self.parts.layout.n_own, [len(b) for b in self._borders()]
        first = n_own + sum(sizes[:channel])
        index = jnp.concatenate([jnp.arange(n_own), first + jnp.arange(sizes[channel])])
        whole = jnp.zeros((self.params.size, self.params.size), matrix.dtype)
        return whole.at[index[:, None], index[None, :]].add(matrix)


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelsTogether(ChannelJacobian):
    """J of all channels in one pass over the tiles."""

    def mv(self, vector: Array) -> Array:
        chain, (flat, borders) = self._chain(), self._split(vector)
        blocks = flat.reshape(-1, chain.block_size)
        heights = chain.slopes * blocks[:, : self.n_channels]
        along = jnp.einsum("kqg,kg->kq", chain.geometry, blocks[:, self.n_channels :], precision="highest")
        sums = self._tiles().sums_of(heights, chain.amplitudes, along) * self.weights
        rows = self._background()
        below = [jnp.matmul(b, row, precision="highest") for b, row in zip(borders, rows, strict=True)]
        return (sums + jnp.stack(below)).ravel()

    def rmv(self, residuals: Array) -> Array:
        return self._border(residuals, with_background=False)[2]

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[Any, Array]:
        if self.engine.curvature is None:
            return ProductNormal(*self.block_diagonal()), self.rmv(residuals)
        cross, corner, gradient = self._border(residuals)
        components, chain = self.parts.components(self.params), self._chain()
        return channel_normal(self.engine.curvature, components, chain, self.importance, cross, corner), gradient

    def block_diagonal(self) -> tuple[Array, Array]:
        chain, tiles = self._chain(), self._tiles()
        blocks = []
        for channel in range(self.n_channels):
            own, grams = chain.of_channel(channel).own, tiles.grams(self.weights[channel])
            blocks.append(jnp.einsum("kqp,kqr,krs->kps", own, grams, own, precision="highest"))
        return reduce(jnp.add, blocks), self._corner(self._background())

    def as_matrix(self) -> Array:
        return jax.lax.map(self.mv, jnp.eye(self.params.size, dtype=self.weights.dtype)).T

    def _border(self, residuals: Array, with_background: bool = True) -> tuple[Array, Array, Array]:
        """The backgrounds with the components (K, p, b) and with themselves (b, b), and J^T r (P,)."""
        chain, rows = self._chain(), self._background()
        parts = residuals.reshape(self.n_channels, -1)
        columns = [parts.T * self.weights.T]
        if with_background:
            columns += [(w * row).T for w, row in zip(self.weights, self._different(rows), strict=False)]
        moments = self._tiles().moments(concatenated(columns, axis=1))
        below = [jnp.matmul(row, part, precision="highest") for row, part in zip(rows, parts, strict=True)]
        gradient = concatenated([chain.blocks(moments[:, :, : self.n_channels]).ravel(), *below])
        if not with_background:
            return gradient, gradient, gradient
        cross = self._of_all(moments[:, :, self.n_channels :])
        placed = [chain.columns(c, part) for c, part in enumerate(cross)]
        return concatenated(placed, axis=2), self._corner(rows), gradient

    @property
    def _are_alike(self) -> bool:
        """Whether the backgrounds' columns differ by the channels' weights alone."""
        even = self.engine.curvature is not None
        return even and all(isinstance(one, ConstantBackground | PlaneBackground) for one in self.parts.backgrounds)

    def _different(self, rows: list[Array]) -> list[Array]:
        """Those of the backgrounds' rows that do not follow from the first channel's."""
        return rows[:1] if self._are_alike else rows

    def _of_all(self, moments: Array) -> list[Array]:
        """Moments (K, q, b_c) of each channel's background, from those that are `_different`."""
        if self._are_alike:
            return [moments * (one / self.importance[0]) for one in self.importance]
        return [jnp.moveaxis(part, 0, 2) for part in self.parts.by_channel(jnp.moveaxis(moments, 2, 0))]

    def _corner(self, rows: list[Array]) -> Array:
        return jax.scipy.linalg.block_diag(*(jnp.matmul(row, row.T, precision="highest") for row in rows))

    def _background(self) -> list[Array]:
        """The columns of each channel's background as rows (b_c, N), weighted."""
        parts: Components = self.parts.components(self.params)
        models = self.parts.channel_backgrounds(self.params)
        return [
            background_rows(self.points, weights, parts._replace(background=model))
            for weights, model in zip(self.weights, models, strict=True)
        ]

    def _tiles(self) -> Any:
        return self.engine.tiles(self.points, self.parts.components(self.params))
