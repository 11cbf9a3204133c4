r"""Free numbers of components that several channels share, and back.

A component's block is (alpha_1, ..., alpha_C, centre, shape): an amplitude in each of C channels, and one place and
shape for all. Behind the blocks stand the backgrounds of the channels, one after the other. In channel c the columns of
a component are again g_k Phi(u_k) B_k^c, where B_k^c has the slope of a_kc at the monomial 1 in column c, zeros for the
other amplitudes, and a_kc S_k for centre and shape: S_k, which all channels share, is that of a component of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._base.devices import namespace
from .._model.block_layout import BlockLayout
from .._model.parameters import ChainRule, Components, Parameterization, cholesky_factors
from .._model.surface import inverse_lower


@dataclass(frozen=True)
class ChannelLayout(BlockLayout):
    """Where each number stands: ``n_channels`` amplitudes are the first columns of a block."""

    n_channels: int = 1

    @property
    def centers(self) -> slice:
        """Columns of a block that hold the centre."""
        return slice(self.n_channels, self.n_channels + self.n_dim)


class ChannelChain(NamedTuple):
    """The chain rule of all channels: slopes and amplitudes (K, C), and S_k (K, q, g) of centre and shape."""

    slopes: Array
    amplitudes: Array
    geometry: Array

    @property
    def n_channels(self) -> int:
        return int(self.slopes.shape[1])

    @property
    def block_size(self) -> int:
        return self.n_channels + int(self.geometry.shape[2])

    def of_channel(self, channel: int) -> ChainRule:
        """B_k^c (K, q, p) of one channel."""
        count, n_monomials, _ = self.geometry.shape
        own = jnp.zeros((count, n_monomials, self.n_channels), self.slopes.dtype)
        own = own.at[:, 0, channel].set(self.slopes[:, channel])
        shape = self.amplitudes[:, channel, None, None] * self.geometry
        return ChainRule(concatenated([own, shape], axis=2), shape[:, :, :0])

    def blocks(self, moments: Array) -> Array:
        """sum_c (B_k^c)^T m_kc (K, p) of moments (K, q, C)."""
        heights = self.slopes * moments[:, 0]
        weighted = jnp.einsum("kqc,kc->kq", moments, self.amplitudes, precision="highest")
        shape = jnp.einsum("kqg,kq->kg", self.geometry, weighted, precision="highest")
        return concatenated([heights, shape], axis=1)

    def columns(self, channel: int, moments: Array) -> Array:
        """(B_k^c)^T m_k (K, p, m) of moments (K, q, m) in one channel."""
        own = self.of_channel(channel).own
        return jnp.einsum("kqp,kqm->kpm", own, moments, precision="highest")


@register_dataclass
@dataclass(frozen=True, eq=False)
class ChannelParameterization(Parameterization):
    """How K components in several channels stand in a vector (P,); ``backgrounds`` are those of the channels."""

    backgrounds: tuple[Any, ...] = field(default=())

    @property
    def n_channels(self) -> int:
        return len(self.backgrounds)

    @property
    def layout(self) -> ChannelLayout:
        shape_size = self.covariance.n_parameters(self.n_dim)
        return ChannelLayout(
            n_components=self.n_components,
            n_dim=self.n_dim,
            block_size=self.n_channels + self.n_dim + shape_size,
            n_shared=0,
            n_background=sum(self._sizes),
            n_channels=self.n_channels,
        )

    @property
    def _sizes(self) -> list[int]:
        return [int(background.n_parameters) for background in self.backgrounds]

    def pack_channels(self, amplitudes: Any, centers: Any, covariances: Any, backgrounds: Any) -> np.ndarray:
        """Parameters (P,) of amplitudes (K, C), centres (K, d), covariances (K, d, d) and backgrounds, on the host."""
        dtype = np.dtype(self.floor.dtype)
        alpha = self.amplitude.free(np.asarray(amplitudes, float))
        shapes = self.covariance.parameters(np.asarray(covariances, float), np.asarray(self.floor, float))
        blocks = np.concatenate([alpha, np.asarray(centers, float), shapes], axis=1)
        border = [np.asarray(background.vector(), float) for background in backgrounds]
        return np.concatenate([blocks.ravel(), *border]).astype(dtype)

    def components(self, params: Any) -> Components:
        """Places and shapes, with the largest amplitude in any channel: how far a component is felt."""
        xp = namespace(self.floor, params)
        factors = cholesky_factors(self, params)
        largest = xp.abs(self.amplitude_matrix(params)).max(axis=1)
        centers = self.layout.blocks(params)[:, self.layout.centers]
        return Components(largest, centers, factors, inverse_lower(factors), self.background)

    def amplitude_matrix(self, params: Any) -> Any:
        """Amplitudes (K, C)."""
        return self.amplitude.value(self.layout.blocks(params)[:, : self.n_channels])

    def channel_backgrounds(self, params: Any) -> list[Any]:
        """The backgrounds of the channels, with their numbers from the border."""
        numbers = self.layout.split(params)[2]
        return [b.with_vector(part) for b, part in zip(self.backgrounds, self.by_channel(numbers), strict=True)]

    def by_channel(self, border: Any) -> list[Any]:
        """The border (b, ...) cut into those of the channels."""
        ends = np.cumsum([0, *self._sizes])
        return [border[a:b] for a, b in pairwise(ends)]

    def channel_chain(self, params: Array) -> ChannelChain:
        """The chain rule at parameters (P,)."""
        parts = self.components(params)
        unit = self.chain(params, parts._replace(amplitudes=jnp.ones_like(parts.amplitudes)))
        alpha = self.layout.blocks(params)[:, : self.n_channels]
        return ChannelChain(self.amplitude.slope(alpha), self.amplitude.value(alpha), unit.own[:, :, 1:])

    def of_channel(self, params: Array, channel: int) -> Components:
        """The components as one channel has them."""
        return self.components(params)._replace(
            amplitudes=self.amplitude_matrix(params)[:, channel],
            background=self.channel_backgrounds(params)[channel],
        )
