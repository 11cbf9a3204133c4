r"""Limits of the principal widths of full covariances, and of their ratio.

Widths are the singular values s_i = v_i^T F w_i of the Cholesky factor F in the user's units, and grad s_i = v_i^T (dF) w_i. A step is
projected by clipping them. Where one stands at a limit that lies where the cost falls, its gradient n becomes a wall: the step is solved
for with n n^T, very heavy, on the diagonal of J^T J, so that all else moves as if that width were held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ._bounds import Bounds
from ._parameters import Parameterization
from ._scaling import Scaling

NEAR = 1e3  # units of rounding


class Walls(NamedTuple):
    """Unit vectors in the parameters of the components (K, p, n) and of the border (s + b, n), zero where there is no wall."""

    own: Array
    border: Array

    def along(self, vector: Array) -> Array:
        """The part of a vector (P,) that runs along the walls."""
        count, size, _ = self.own.shape
        own, border = vector[: count * size].reshape(count, size, 1), vector[count * size :][None, :, None]
        return jnp.concatenate([_along(own, self.own).ravel(), _along(border, self.border[None]).ravel()])

    def blocks(self, scaling: Array) -> tuple[Array, Array]:
        """What to add to the blocks (K, p, p) and the corner (s + b, s + b) of J^T J, for its scales (P,)."""
        count, size, _ = self.own.shape
        own, border = scaling[: count * size].reshape(count, size), scaling[count * size :][None]
        return _heavy(self.own, own), _heavy(self.border[None], border)[0]


@register_dataclass
@dataclass(frozen=True)
class WidthLimits:
    """Least and largest width, and their largest ratio (infinite: none); ``scales`` (d,) lead to the user's units."""

    scales: Any
    low: Any
    high: Any
    aspect: Any

    def clipped(self, parts: Parameterization, params: Array) -> Array:
        shapes = parts.shapes(params)
        projected = jax.vmap(lambda shape: self._projected(parts, shape))(shapes)
        return parts.with_shapes(params, projected)

    def walls(self, parts: Parameterization, params: Array, gradient: Array, near: float = 0.0) -> Walls:
        slopes = parts.shapes(gradient)
        near = max(near, NEAR * float(np.finfo(params.dtype).eps))
        found = jax.vmap(lambda shape, slope: self._walls(parts, shape, slope, near))(parts.shapes(params), slopes)
        rows = parts.block_size - (0 if parts.covariance.shared else parts.shape_size)
        border = jnp.zeros((parts.n_shared + int(np.size(parts.background.vector())), parts.n_dim), params.dtype)
        if parts.covariance.shared:
            own = jnp.zeros((parts.n_components, parts.block_size, parts.n_dim), params.dtype)
            return Walls(own, border.at[: parts.n_shared].set(found[0]))
        return Walls(jnp.pad(found, [(0, 0), (rows, 0), (0, 0)]), border)

    def _limits(self, widths: Array) -> tuple[Array, Array]:
        """The least and the largest that each of the widths (d,) may be, with the largest as it is."""
        largest = jnp.clip(jnp.max(widths), self.low, self.high)
        return jnp.maximum(self.low, largest / self.aspect), jnp.broadcast_to(self.high, widths.shape)

    def _projected(self, parts: Parameterization, shape: Array) -> Array:
        factor = self.scales[:, None] * parts.covariance.cholesky(shape, parts.floor)
        vectors, widths, _ = jnp.linalg.svd(factor)
        inside = jnp.clip(widths, *self._limits(widths))
        root = vectors * inside / self.scales[:, None]
        covariance = jnp.matmul(root, root.T, precision="highest")
        return jnp.where(jnp.all(inside == widths), shape, parts.covariance.parameters(covariance, parts.floor))

    def _walls(self, parts: Parameterization, shape: Array, slope: Array, near: float) -> Array:
        """Unit vectors (s, d), one a width."""
        factor, turn = self.scales[:, None] * parts.covariance.cholesky(shape, parts.floor), self.scales[:, None, None]
        slopes = turn * jax.jacfwd(lambda shape: parts.covariance.cholesky(shape, parts.floor))(shape)
        vectors, widths, others = jnp.linalg.svd(factor)
        normals = jnp.einsum("in,ijs,nj->sn", vectors, slopes, others, precision="highest")
        low, high = self._limits(widths)
        by_ratio = jnp.isfinite(self.aspect) & (widths[0] > self.aspect * self.low)
        below = jnp.where(by_ratio, self.aspect * normals - normals[:, :1], normals)
        at_low, at_high = widths <= low * (1 + near), widths >= high * (1 - near)
        fall = -jnp.matmul(slope, jnp.where(at_low, below, normals), precision="highest")
        wall = jnp.where(at_low & (fall < 0), below, jnp.where(at_high & (fall > 0), normals, 0))
        size = jnp.linalg.norm(wall, axis=0)
        return wall / jnp.where(size > 0, size, 1)


def width_limits(bounds: Bounds, covariance_type: str, scaling: Scaling) -> WidthLimits | None:
    """Limits that no box can hold, in NumPy; None where there are none."""
    if covariance_type not in ("full", "tied") or (bounds.widths is None and bounds.aspect is None):
        return None
    if covariance_type == "full" and len(scaling.point_scale) == 1:  # one width a component: a box holds it
        return None
    low, high = (0.0, math.inf) if bounds.widths is None else bounds.widths
    numbers = (max(float(low), 0.0), float(high), float(bounds.aspect or math.inf))
    return WidthLimits(np.asarray(scaling.point_scale), *(np.asarray(number) for number in numbers))


def _along(vectors: Array, walls: Array) -> Array:
    """Vectors (n, p, 1) without their parts in the span of walls (n, p, m)."""
    inner = jnp.einsum("npa,npb->nab", walls, walls, precision="highest")
    ridge = float(np.sqrt(np.finfo(walls.dtype).eps))
    parts = jnp.linalg.solve(inner + ridge * jnp.eye(walls.shape[2], dtype=walls.dtype), jnp.einsum("npa,npq->naq", walls, vectors))
    return vectors - jnp.einsum("npa,naq->npq", walls, parts, precision="highest")


def _heavy(walls: Array, scaling: Array) -> Array:
    """Blocks (n, p, p) of walls (n, p, m) for scales (n, p)."""
    weight = 0.1 / float(np.sqrt(np.finfo(walls.dtype).eps))
    sizes = weight * jnp.einsum("npa,np->na", walls**2, scaling, precision="highest")
    return jnp.einsum("npa,na,nqa->npq", walls, sizes, walls, precision="highest")
