"""A normal matrix that is the sum of what each device of a mesh holds: blocks stay where they are, vectors are summed.

Each device has the rows of its components and the part of the border that comes from its points. All that a solver
asks for is linear in the matrix, so that it is the sum of what the devices say; conjugate gradients send a vector of
all parameters an iteration, and one more where clusters are inverted. The matrices of these, whose blocks lie on
several devices, are added up once a solve, and each device inverts a part of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jax.tree_util import register_dataclass

from ..._system.mesh import SPLIT, TILES, WHOLE, of_all, on_each, own, total, total_part
from ..cluster_preconditioner import Clusters, cluster_matrices, cluster_preconditioner
from ..linear_solve import solve_cholesky, solve_conjugate_gradients
from .blocks import DIRECT_SOLVE_PARAMETERS, BlockNormal, diagonal_of


@register_dataclass
@dataclass(frozen=True, eq=False)
class SummedNormal:
    """J^T J as the sum of matrices of blocks.

    part : one `BlockNormal` a device, its arrays with a leading axis of devices. Components without a row there have
    their ``own`` row of blocks beyond those in use. mine (D, K) : which have one.
    """

    part: BlockNormal
    mine: Array
    mesh: Mesh = field(metadata={"static": True})

    @property
    def least_damping(self) -> float:
        return self.part.least_damping

    def bound(self, jacobian: Any) -> SummedNormal:
        return self

    def with_blocks(self, own_blocks: Array, corner: Array) -> SummedNormal:
        return self._with(BlockNormal.with_blocks, own_blocks, corner)

    def with_penalty(self, own_blocks: Array, corner: Array) -> SummedNormal:
        return self._with(BlockNormal.with_penalty, own_blocks, corner)

    def _with(self, adding: Callable[..., BlockNormal], own_blocks: Array, corner: Array) -> SummedNormal:
        def added(part: BlockNormal, mine: Array, blocks: Array, corner: Array) -> BlockNormal:
            first = (jax.lax.axis_index(TILES) == 0).astype(corner.dtype)
            blocks = jnp.where(own(mine)[:, None, None], blocks, 0)
            changed: BlockNormal = of_all(adding(own(part), blocks, corner * first))
            return changed

        arguments = (SPLIT, SPLIT, WHOLE, WHOLE)
        return replace(self, part=on_each(added, self.mesh, arguments, SPLIT)(self.part, self.mine, own_blocks, corner))

    def mv(self, vector: Array) -> Array:
        product: Array = self._summed(lambda part, _, v: part.mv(v), vector)
        return product

    def diagonal(self) -> Array:
        return diagonal_of(*self._diagonals())

    def as_matrix(self) -> Array:
        matrix: Array = self._summed(lambda part, _: part.as_matrix())
        return matrix

    def solve(self, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
        """As `BlockNormal.solve`, the conjugate gradients on each device at once."""
        if gradient.size <= DIRECT_SOLVE_PARAMETERS:
            return solve_cholesky(self.as_matrix().astype(gradient.dtype), gradient, scaling, damping)
        dtype = self.part.blocks.dtype

        def solved(part: BlockNormal, mine: Array, g: Array, scales: Array, mu: Array) -> Array:
            part, mine = own(part), own(mine)
            blocks, corner = total(_diagonal_of(part, mine))
            product = part.repeated()
            return solve_conjugate_gradients(
                lambda v: total(product(v)), blocks, corner, g, scales, mu, together=_together(part, blocks)
            )

        arguments = (SPLIT, SPLIT, WHOLE, WHOLE, WHOLE)
        step = on_each(solved, self.mesh, arguments, WHOLE)(
            self.part, self.mine, *(array.astype(dtype) for array in (gradient, scaling, damping))
        )
        return step.astype(gradient.dtype), jnp.all(jnp.isfinite(step))

    def _diagonals(self) -> tuple[Array, Array]:
        blocks: tuple[Array, Array] = self._summed(_diagonal_of)
        return blocks

    def _summed(self, function: Callable[..., Any], *whole: Array) -> Any:
        """The sum over the devices of function(part, mine, *whole)."""

        def summed(part: BlockNormal, mine: Array, *whole: Array) -> Any:
            return total(function(own(part), own(mine), *whole))

        arguments = (SPLIT, SPLIT, *(WHOLE for _ in whole))
        return on_each(summed, self.mesh, arguments, WHOLE)(self.part, self.mine, *whole)


def _diagonal_of(part: BlockNormal, mine: Array) -> tuple[Array, Array]:
    return jnp.where(mine[:, None, None], part.diagonal_blocks(), 0), part.corner


def _together(part: BlockNormal, blocks: Array) -> Callable[[Array, Array], Callable[[Array], Array]] | None:
    """The preconditioner of all clusters, from the devices that invert them."""
    clusters = part.pattern.clusters
    if clusters is None:
        return None
    rows, divided = _divided(cluster_matrices(part.blocks, clusters, part.penalty), clusters)

    def made(roots: Array, damping: Array) -> Callable[[Array], Array]:
        inner = cluster_preconditioner(rows, divided, blocks, roots, damping)
        return lambda y: total(inner(y))

    return made


def _divided(matrices: Array, clusters: Clusters) -> tuple[Array, Clusters]:
    """This device's part of all clusters and, as the rows of a matrix of blocks, of their matrices, the sum of what
    devices have of these (C, mp, mp).

    One more cluster holds nobody: the place of components whose clusters are on other devices.
    """
    count, size = clusters.members.shape
    n_devices, width = jax.lax.axis_size(TILES), matrices.shape[1]
    share = -(-count // n_devices)
    first, nobody = jax.lax.axis_index(TILES) * share, clusters.place.shape[1]
    parts = jnp.pad(matrices, [(0, share * n_devices - count), (0, 0), (0, 0)])
    rows = jnp.pad(total_part(parts), [(0, 1), (0, 0), (0, 0)]).reshape(-1, width // size, width)
    here = first + jnp.arange(share + 1)
    here = jnp.where(here < first + share, here, count)
    members = clusters.members.at[here].get(mode="fill", fill_value=nobody)
    place = clusters.place - first * size
    place = jnp.where((place >= 0) & (place < share * size), place, share * size)
    return rows, Clusters(members, place, jnp.arange(members.size * size).reshape(-1, size, size))
