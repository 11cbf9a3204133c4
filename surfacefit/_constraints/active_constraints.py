"""Constraints that act on the next step: directions in which it must not move, or only up to a nearby limit.

Each is a unit normal n in the parameters of one component, or of the border, with the gap to its limit along n. A
solver adds a heavy penalty (n^T h - gap)^2 to the quadratic model, as blocks of J^T J or as rows below J. All else then
moves as if n^T h were fixed at the gap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated

# Weight of the penalty times the root of the dtype's rounding, relative to the scale of J^T J along the normal. A
# compromise: more holds a direction better, and costs the other directions digits; the root gives each half of them.
PENALTY_WEIGHT = 0.1


class GroupConstraints(NamedTuple):
    """Active constraints of n groups of p parameters, up to m in each.

    normals (n, p, m) : unit vectors, zero where a constraint is not active.
    gaps (n, m) : how far the step may go along each of them.
    """

    normals: Array
    gaps: Array

    def tangential(self, vectors: Array) -> Array:
        """Vectors (n, p) without their parts in the span of the normals."""
        values, axes = jnp.linalg.eigh(jnp.einsum("npa,nqa->npq", self.normals, self.normals, precision="highest"))
        free = (values <= float(np.sqrt(np.finfo(vectors.dtype).eps))).astype(vectors.dtype)
        return jnp.einsum("npa,na,nqa,nq->np", axes, free, axes, vectors, precision="highest")

    def penalty_rows(self, scaling: Array) -> Array:
        """Rows (n, m, p), below J, that hold a step with squared scales (n, p): n^T times the root of a weight."""
        heavy = PENALTY_WEIGHT / float(np.sqrt(np.finfo(scaling.dtype).eps))
        sizes = heavy * jnp.einsum("npa,np->na", self.normals**2, scaling, precision="highest")
        return jnp.sqrt(sizes)[:, :, None] * self.normals.swapaxes(1, 2)

    def penalty_blocks(self, scaling: Array) -> Array:
        """What these rows add to J^T J, (n, p, p)."""
        rows = self.penalty_rows(scaling)
        return jnp.einsum("nap,naq->npq", rows, rows, precision="highest")

    def with_gap(self, gradients: Array, scaling: Array) -> Array:
        """Gradients (n, p) without their parts along the normals, plus what makes a step close the gaps."""
        pull = jnp.einsum("npq,nqa,na->np", self.penalty_blocks(scaling), self.normals, self.gaps, precision="highest")
        return self.tangential(gradients) - pull


class ActiveConstraints(NamedTuple):
    """Active constraints of each component's parameters (K, p, m), and of the border's (1, s + b, m)."""

    own: GroupConstraints
    border: GroupConstraints

    def tangential(self, vector: Array) -> Array:
        """A vector (P,) without its parts along the normals."""
        own, border = self._split(vector)
        return concatenated([self.own.tangential(own).ravel(), self.border.tangential(border).ravel()])

    def with_gap(self, gradient: Array, scaling: Array) -> Array:
        """The gradient (P,) that goes with the blocks of J^T J for these scales (P,)."""
        (own, border), (scales, border_scales) = self._split(gradient), self._split(scaling)
        return concatenated(
            [self.own.with_gap(own, scales).ravel(), self.border.with_gap(border, border_scales).ravel()]
        )

    def penalty_blocks(self, scaling: Array) -> tuple[Array, Array]:
        """What to add to the blocks (K, p, p) and the corner (s + b, s + b) of J^T J, for squared scales (P,)."""
        own, border = self._split(scaling)
        return self.own.penalty_blocks(own), self.border.penalty_blocks(border)[0]

    def augmented_rows(self, matrix: Array, residuals: Array, scaling: Array) -> tuple[Array, Array]:
        """J (N, P) and r (N,) with the rows of the penalty below: for QR, which does not square J."""
        scales, border_scales = self._split(scaling)
        own, border = self.own.penalty_rows(scales), self.border.penalty_rows(border_scales)[0]
        count, m, size = own.shape
        index = np.arange(count)
        spread = (
            jnp.zeros((count, m, count, size), own.dtype).at[index, :, index].set(own).reshape(count * m, count * size)
        )
        rows = jnp.concatenate(
            [jnp.pad(spread, [(0, 0), (0, border.shape[1])]), jnp.pad(border, [(0, 0), (count * size, 0)])]
        )
        pairs = ((self.own, scales), (self.border, border_scales))
        closing = [
            jnp.einsum("nap,npb,nb->na", group.penalty_rows(sizes), *group, precision="highest").ravel()
            for group, sizes in pairs
        ]
        return jnp.concatenate([matrix, rows]), jnp.concatenate([residuals, -jnp.concatenate(closing)])

    def _split(self, vector: Array) -> tuple[Array, Array]:
        count, size, _ = self.own.normals.shape
        return vector[: count * size].reshape(count, size), vector[count * size :][None]
