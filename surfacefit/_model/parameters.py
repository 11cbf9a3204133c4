r"""Free numbers to components and back, and the chain rule between them.

The parameter vector (P,) holds one block a component, with an amplitude's free number alpha, a centre and a covariance
type's shape numbers, then a border that all components share (`block_layout`). Because a component's derivatives are
its own Gaussian times a quadratic in u = L^{-1} (x - c),

    df/da = g,      df/dc = a g L^{-T} u,      df/dL = a g tril(L^{-T} u u^T),

each block of the Jacobian is J_k = (g_k Phi(u_k)) B_k, where Phi holds the monomials 1, u_i, u_i u_j (i >= j) and
B_k is a small matrix. `ChainRule` holds the B_k; an engine needs nothing else of the parameterisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._base.devices import namespace
from .._periodic.images import Images, images_of
from .._periodic.nearest import Periods
from .amplitudes import AmplitudeType, Positive
from .background import background_model
from .block_layout import ALPHA, BlockLayout, center_columns, shape_numbers
from .covariance import CovarianceType
from .surface import GaussianSurface, inverse_lower


class Components(NamedTuple):
    """Physical arrays of K components: amplitudes (K,), centers (K, d), Cholesky factors and inverses (K, d, d);
    ``images`` where axes are periodic.
    """

    amplitudes: Array
    centers: Array
    factors: Array
    inverse_factors: Array
    background: Any
    images: Images | None = None


class ChainRule(NamedTuple):
    """T: changes of parameters (P,) to coefficients of the monomials (K, q) and of the background (b,).

    ``own`` (K, q, p) acts on a component's block, ``shared`` (K, q, s) on the shared shape (s = 0 unless tied).
    """

    own: Array
    shared: Array

    def apply(self, change: Array) -> tuple[Array, Array]:
        """T v."""
        n_components, _, size = self.own.shape
        n_own, n_shared = n_components * size, self.shared.shape[2]
        blocks = change[:n_own].reshape(n_components, size)
        coefficients = jnp.einsum("kqp,kp->kq", self.own, blocks, precision="highest")
        coefficients += jnp.einsum("kqs,s->kq", self.shared, change[n_own : n_own + n_shared], precision="highest")
        return coefficients, change[n_own + n_shared :]

    def transpose(self, moments: Array, background: Array) -> Array:
        """T^T m (P, ...), from moments (K, q, ...) of the monomials and (b, ...) of the background's columns."""
        own = jnp.einsum("kqp,kq...->kp...", self.own, moments, precision="highest")
        own = own.reshape(own.shape[0] * own.shape[1], *own.shape[2:])
        if not self.shared.shape[2]:
            return concatenated([own, background])
        shared = jnp.einsum("kqs,kq...->s...", self.shared, moments, precision="highest")
        return concatenated([own, shared, background])


@register_dataclass
@dataclass(frozen=True, eq=False)
class Parameterization:
    """How the free numbers of K components in d dimensions, with widths above ``floor`` (d,), and a background stand in
    a vector (P,).

    There is room for ``n_components``; those beyond ``n_active`` are idle: amplitude 0, derivatives 0. With
    ``shape_held`` the shape that tied components share does not change. ``periods`` are those of the axes, None for an
    open one. With all arrays of NumPy, `pack` and `components` compute on the host.
    """

    floor: Any
    background: Any
    n_active: Any
    covariance: CovarianceType
    n_components: int = field(metadata={"static": True})
    amplitude: AmplitudeType = field(default_factory=Positive, metadata={"static": True})
    shape_held: bool = field(default=False, metadata={"static": True})
    periods: Periods | None = None

    @property
    def n_dim(self) -> int:
        return int(self.floor.shape[0])

    @property
    def layout(self) -> BlockLayout:
        """Where each number stands in the parameter vector."""
        shape_size, shared = self.covariance.n_parameters(self.n_dim), self.covariance.shared
        return BlockLayout(
            n_components=self.n_components,
            n_dim=self.n_dim,
            block_size=center_columns(self.n_dim).stop + (0 if shared else shape_size),
            n_shared=shape_size if shared else 0,
            n_background=self.background.n_parameters,
        )

    @property
    def active(self) -> Any:
        """Which of the components (K,) are not idle."""
        xp = namespace(self.n_active)
        count = xp.asarray(self.n_active)
        return xp.arange(self.n_components, dtype=count.dtype) < count

    @property
    def n_parameters(self) -> int:
        return self.layout.n_parameters

    def pack(self, surface: GaussianSurface) -> Any:
        """Parameters (P,) of a surface: widths below the floor are raised to just above it, spare room is zeros."""
        xp, dtype = namespace(self.floor, *jax.tree.leaves(surface)), self.floor.dtype
        amplitudes, centers = (xp.asarray(a, dtype) for a in (surface.amplitudes, surface.centers))
        # On the host in double precision: rounded to single, a narrow one may have no Cholesky factor.
        covariances = xp.asarray(surface.covariances, np.float64 if xp is np else dtype)
        alpha = self.amplitude.free(amplitudes)
        columns, border = [alpha[:, None], centers], []
        if self.covariance.shared:
            one = covariances.mean(axis=0) if len(alpha) else xp.eye(self.n_dim, dtype=dtype)
            border.append(self.covariance.parameters(one, self.floor).astype(dtype))
        else:
            columns.append(self.covariance.parameters(covariances, self.floor).astype(dtype))
        border.append(xp.asarray(background_model(surface.background).vector(), dtype))
        room = np.zeros((self.n_components - len(alpha), self.layout.block_size), dtype)
        return concatenated([xp.concatenate([xp.concatenate(columns, axis=1), room]).ravel(), *border])

    def components(self, params: Any) -> Components:
        """The components that the parameters (P,) stand for."""
        xp = namespace(self.floor, params)
        blocks, _, background = self.layout.split(params)
        factors = cholesky_factors(self, params)
        model = self.background.with_vector(background)
        amplitudes = xp.where(self.active, self.amplitude.value(blocks[:, ALPHA]), 0)
        images = None if self.periods is None else images_of(xp, self.periods, factors, self.active)
        return Components(amplitudes, blocks[:, self.layout.centers], factors, inverse_lower(factors), model, images)

    def chain(self, params: Array, parts: Components) -> ChainRule:
        """The derivative T at the parameters (P,) and their components: the matrices B_k of the module's text."""
        alpha, n_dim = self.layout.blocks(params)[:, ALPHA], self.n_dim
        scaled = parts.amplitudes[:, None, None] * parts.inverse_factors
        first = (np.arange(n_monomials(n_dim)) == 0)[None, :, None].astype(params.dtype)
        amplitude = jnp.where(self.active, self.amplitude.slope(alpha), 0)[:, None, None] * first
        center = jnp.pad(scaled, [(0, 0), (1, n_monomials(n_dim) - 1 - n_dim), (0, 0)])
        shape = jnp.einsum("qtim,kim->kqt", _shape_map(n_dim).astype(params.dtype), scaled, precision="highest")
        shape = jnp.einsum("kqt,kts->kqs", shape, factor_slopes(self, params), precision="highest")
        own = [amplitude, center] if self.covariance.shared else [amplitude, center, shape]
        shared = jnp.zeros_like(shape) if self.shape_held else shape
        return ChainRule(jnp.concatenate(own, axis=2), shared if self.covariance.shared else shape[:, :, :0])


def surface_of(parts: Parameterization, params: Array) -> GaussianSurface:
    """The surface that the parameters (P,) stand for, in the units of the fit."""
    found = parts.components(params)
    covariances = jnp.einsum("kij,klj->kil", found.factors, found.factors, precision="highest")
    return GaussianSurface(found.amplitudes, found.centers, covariances, found.background, parts.periods)


def cholesky_factors(parts: Parameterization, params: Any) -> Any:
    """Cholesky factors L (K, d, d) of the covariances that the parameters (P,) stand for."""
    return parts.covariance.cholesky(_repeated_shapes(parts, params), parts.floor)


def factor_slopes(parts: Parameterization, params: Array) -> Array:
    """d tril(L) / d shape (K, T, s)."""
    lower = np.tril_indices(parts.n_dim)

    def entries(shape: Array) -> Array:
        return parts.covariance.cholesky(shape, parts.floor)[lower]

    return jax.vmap(jax.jacfwd(entries))(_repeated_shapes(parts, params))


def _repeated_shapes(parts: Parameterization, params: Any) -> Any:
    """Shape numbers (K, s), one row a component also where all share them."""
    shapes = shape_numbers(parts.layout, params)
    return namespace(params).broadcast_to(shapes, (parts.n_components, shapes.shape[1]))


def n_monomials(n_dim: int) -> int:
    """Monomials of degree at most 2 in d variables, which is also the number of parameters of a full component."""
    return 1 + n_dim + n_dim * (n_dim + 1) // 2


@lru_cache(maxsize=8)
def _shape_map(n_dim: int) -> np.ndarray:
    """S (q, T, d, d): the coefficient of monomial u_i u_n in df/dL_mn is sum_i S[., mn, i, m] a (L^{-1})_im."""
    pairs = [(m, n) for m in range(n_dim) for n in range(m + 1)]
    result = np.zeros((n_monomials(n_dim), len(pairs), n_dim, n_dim))
    for t, (m, n) in enumerate(pairs):
        for i in range(m, n_dim):
            result[1 + n_dim + pairs.index((i, n)), t, i, m] = 1.0
    return result
