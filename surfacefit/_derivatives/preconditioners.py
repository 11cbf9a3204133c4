"""Approximate inverses of the second derivatives of the cost, in scaled parameters y = D^1/2 x: those of the diagonal
blocks, and solutions of nearly the same system with cheaper products.

Where the engine holds J^T J as blocks of overlapping components, a product reads these instead of passing over the
points, and their sparse approximate inverse takes the iterations from hundreds to some twenty. Elsewhere the products
are those of the engine in single precision, preconditioned by the diagonal blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._linear.conjugate_gradients import conjugate_gradients
from .._linear.factorized_inverse import factorized_inverse
from .._linear.normal import BlockNormal, scaled_blocks
from .._model.block_layout import BlockLayout
from .hessian import Hessian

# Eigenvalue of a preconditioner's scaled block that is kept from zero, so that it stays positive definite.
LEAST_BLOCK_EIGENVALUE = 1e-4
# Relative residual to which the approximate system is solved that preconditions another: single precision keeps to it.
INNER_TOLERANCE = 1e-3
# Iterations to it; with diagonal blocks alone a thousand components on a lattice take 256.
INNER_ITERATIONS = 1000


class Roots(NamedTuple):
    """R with R R^T the inverses of the diagonal blocks, positive definite whatever these are: own (K, p, p) of the
    components, border (b, b).
    """

    layout: BlockLayout
    own: Array
    border: Array

    def inverse(self, vector: Array) -> Array:
        """R R^T v: (P,) -> (P,)."""
        layout = self.layout
        half = jnp.einsum("kqp,kq->kp", self.own, layout.blocks(vector), precision="highest")
        parts = jnp.einsum("kpq,kq->kp", self.own, half, precision="highest")
        rest = jnp.matmul(self.border.T, vector[layout.n_own :], precision="highest")
        return concatenated([parts.ravel(), jnp.matmul(self.border, rest, precision="highest")])


def inverse_roots(layout: BlockLayout, own: Array, corner: Array, free: Array, root: Array) -> Roots:
    """Of blocks (K, p, p) and of the border's (b, b), scaled by D^1/2 ``root`` (P,), over what is ``free`` (P,)."""

    def of(blocks: Array, scales: Array, may_move: Array) -> Array:
        scaled = blocks / (scales[:, :, None] * scales[:, None, :])
        some = may_move[:, :, None] & may_move[:, None, :]
        eye = np.eye(scales.shape[1], dtype=scales.dtype)
        values, vectors = jnp.linalg.eigh(jnp.where(some, scaled, 0) + jnp.where(may_move, 0, 1)[:, :, None] * eye)
        return vectors / jnp.sqrt(jnp.maximum(jnp.abs(values), LEAST_BLOCK_EIGENVALUE))[:, None, :]

    n_own = layout.n_own
    inner = of(own, layout.blocks(root), layout.blocks(free))
    return Roots(layout, inner, of(corner[None], root[None, n_own:], free[None, n_own:])[0])


def solution_by_blocks(
    hessian: Hessian, normal: BlockNormal, roots: Roots, free: Array, root: Array
) -> Callable[[Array], Array]:
    """A solution with J^T J as blocks of overlapping components, in their precision."""
    parts, dtype = hessian.parts, normal.blocks.dtype
    cross = normal.cross.at[:, :, : parts.cross.shape[2]].add(parts.cross.astype(dtype))
    whole = replace(normal.with_blocks(parts.own, parts.corner), cross=cross)
    held = hessian.layout.split(jnp.where(free, 0, 1).astype(dtype))
    own, border = jax.vmap(jnp.diag)(held[0]), jnp.diag(concatenated(held[1:]))
    scaled = scaled_blocks(whole, jnp.where(free, 1 / root, 0)).with_blocks(own, border)
    near = factorized_inverse(
        scaled, roots.own.astype(dtype), jnp.matmul(roots.border, roots.border.T, precision="highest").astype(dtype)
    )

    def solution(vector: Array) -> Array:
        size = jnp.linalg.norm(vector)
        unit = (vector / jnp.where(size > 0, size, 1)).astype(dtype)
        found = conjugate_gradients(scaled.mv, near.mv, unit, INNER_TOLERANCE, INNER_ITERATIONS)
        return jnp.where(free, found.astype(vector.dtype) * size, 0)

    return solution


def solution_in_single_precision(hessian: Hessian, roots: Roots, free: Array, root: Array) -> Callable[[Array], Array]:
    """A solution with the engine's products in single precision."""
    jacobian, slopes = jax.tree.map(_single, (hessian.point.jacobian, hessian.slopes))

    def product(vector: Array) -> Array:
        inner = jnp.where(free, vector, 0) / root
        image = jacobian.rmv(slopes * jacobian.mv(_single(inner))).astype(vector.dtype)
        return jnp.where(free, (image + hessian.parts.mv(hessian.layout, inner)) / root, 0)

    return lambda vector: conjugate_gradients(product, roots.inverse, vector, INNER_TOLERANCE, INNER_ITERATIONS)


def _single(leaf: Any) -> Any:
    return leaf.astype(jnp.float32) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf
