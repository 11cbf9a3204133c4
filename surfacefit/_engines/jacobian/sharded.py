"""Any engine on the devices of a mesh: each device has a part of the points, and all have all parameters.

Heights and products J v are there where the points are. All else is a sum over points, and so the sum of what the
devices' own engines say: J^T r, the blocks of J^T J, or the whole of it. Blocks from the components alone need no
points; each device then holds the rows of its components (`SummedNormal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
from jax import Array
from jax.sharding import Mesh
from jax.tree_util import register_dataclass

from ..._linear.normal import SummedNormal
from ..._model.parameters import ChainRule, Components
from ..._system.mesh import SPLIT, WHOLE, of_all, on_each, own, total


@register_dataclass
@dataclass(frozen=True, eq=False)
class ShardedEngine:
    """One engine a device, their arrays with a leading axis of devices, for points (N, d) cut into equal parts.

    mine (D, K) : of which components a device holds the rows of J^T J; None where no rows are held apart.
    """

    parts: Any
    mine: Array | None
    mesh: Mesh = field(metadata={"static": True})

    @property
    def has_plan(self) -> bool:
        return bool(self.parts.has_plan)

    def plan_is_valid(self, components: Components) -> Array:
        return self._everywhere(lambda part, c: part.plan_is_valid(c), components)

    def curvature_is_valid(self, components: Components) -> Array:
        return self._everywhere(lambda part, c: part.curvature_is_valid(c), components)

    def left_out(self) -> Array:
        """The height that the plan of a device leaves out at a point at most."""
        heights: Array = jax.vmap(lambda part: part.left_out())(self.parts)
        return heights.max()

    def model(self, points: Array, components: Components) -> Array:
        def heights(parts: Any, points: Array, components: Components) -> Array:
            found: Array = own(parts).model(points, components)
            return found

        return on_each(heights, self.mesh, (SPLIT, SPLIT, WHOLE), SPLIT)(self.parts, points, components)

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> ShardedJacobian:
        return ShardedJacobian(self, points, weights, components, chain)

    def _everywhere(self, question: Callable[[Any, Components], Array], components: Components) -> Array:
        """The answer, which every device finds by itself: all know the ellipsoids of all components."""

        def answered(parts: Any, components: Components) -> Array:
            return question(own(parts), components)

        return on_each(answered, self.mesh, (SPLIT, WHOLE), WHOLE)(self.parts, components)


@register_dataclass
@dataclass(frozen=True, eq=False)
class ShardedJacobian:
    """J as rows on each device: points (N, d) and weights (N,) cut into equal parts."""

    engine: ShardedEngine
    points: Array
    weights: Array
    components: Components
    chain: ChainRule

    def mv(self, vector: Array) -> Array:
        product: Array = self._on_each(lambda jacobian, v: jacobian.mv(v), (WHOLE,), SPLIT)(vector)
        return product

    def rmv(self, residuals: Array) -> Array:
        product: Array = self._on_each(lambda jacobian, r: total(jacobian.rmv(r)), (SPLIT,), WHOLE)(residuals)
        return product

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[Any, Array]:
        apart, mine = self.engine.mine is not None, self.engine.mine

        def normal(jacobian: Any, residuals: Array, error: Array) -> tuple[Any, Array]:
            matrix, gradient = jacobian.normal(residuals, error)
            return of_all(matrix) if apart else total(matrix), total(gradient)

        found = self._on_each(normal, (SPLIT, WHOLE), (SPLIT if apart else WHOLE, WHOLE))
        matrix, gradient = found(residuals, jax.numpy.asarray(error))
        return matrix if mine is None else SummedNormal(matrix, mine, self.engine.mesh), gradient

    def block_diagonal(self) -> tuple[Array, Array]:
        blocks: tuple[Array, Array] = self._on_each(lambda jacobian: total(jacobian.block_diagonal()), (), WHOLE)()
        return blocks

    def column_blocks(self, factors: Array) -> Array:
        blocks: Array = self._on_each(lambda jacobian, f: total(jacobian.column_blocks(f)), (SPLIT,), WHOLE)(factors)
        return blocks

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def as_matrix(self) -> Array:
        matrix: Array = self._on_each(lambda jacobian: jacobian.as_matrix(), (), SPLIT)()
        return matrix

    def _on_each(self, function: Callable[..., Any], arguments: tuple[Any, ...], results: Any) -> Callable[..., Any]:
        """The function of a device's own Jacobian and of further arguments."""

        def there(
            parts: Any, points: Array, weights: Array, components: Components, chain: ChainRule, *more: Any
        ) -> Any:
            return function(own(parts).jacobian(points, weights, components, chain), *more)

        mapped = on_each(there, self.engine.mesh, (SPLIT, SPLIT, SPLIT, WHOLE, WHOLE, *arguments), results)
        return lambda *more: mapped(self.engine.parts, self.points, self.weights, self.components, self.chain, *more)
