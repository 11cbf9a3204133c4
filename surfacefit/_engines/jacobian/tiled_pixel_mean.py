"""The sparse engine for heights that are means over pixels: components at the nodes of the pixels in their tiles.

The boxes of the tiles hold the nodes of their pixels, so that the plan's lists serve as they are. J is a weighted sum
of the sparse engine's at points that are moved by a node each, and so are its products with vectors. The squares of a
component's columns are no such sums: they take the mean over the nodes first. J^T J is applied as products with J,
since blocks from the components alone are those of heights at points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jax import Array
from jax.tree_util import register_dataclass

from ..._model.parameters import ChainRule, Components
from ..pixel_nodes import PixelNodes
from .dense import background_rows
from .pixel_mean import NO_NODES, summed
from .tile_plan import TilePlan
from .tiled import TiledEngine, TiledJacobian, Tiles


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiledPixelEngine(TiledEngine):
    """Components at the nodes of the pixels in the tiles of a plan."""

    nodes: PixelNodes = field(default=NO_NODES)

    def model(self, points: Array, components: Components) -> Array:
        def at(node: tuple[Array, Array]) -> Array:
            return node[1] * TiledEngine.model(self, points + node[0], components)

        return summed(at, self.nodes)

    def tiles(self, points: Array, components: Components) -> Tiles:
        return _PixelTiles(self.plan, points, components, self.nodes)

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> TiledPixelJacobian:
        return TiledPixelJacobian(self, points, weights, components, chain, self.nodes)


@register_dataclass
@dataclass(frozen=True, eq=False)
class TiledPixelJacobian(TiledJacobian):
    """J of means over pixels, recomputed chunk by chunk."""

    nodes: PixelNodes = field(default=NO_NODES)

    def mv(self, vector: Array) -> Array:
        return self._over_nodes(lambda jacobian: jacobian.mv(vector))

    def rmv(self, residuals: Array) -> Array:
        return self._over_nodes(lambda jacobian: jacobian.rmv(residuals))

    def _background(self) -> Array:
        return self._over_nodes(lambda at: background_rows(at.points, at.weights, at.components))

    def _over_nodes(self, of: Callable[[TiledJacobian], Array]) -> Array:
        """The sum over nodes of what is linear in the rows of J, from the Jacobian at points moved by each."""
        plain = TiledEngine(self.engine.plan)

        def at(node: tuple[Array, Array]) -> Array:
            moved = self.points + node[0]
            return of(TiledJacobian(plain, moved, node[1] * self.weights, self.components, self.chain))

        return summed(at, self.nodes)


class _PixelTiles(Tiles):
    """Sums over the lists of a plan of squares of means over the nodes of each place."""

    def __init__(self, plan: TilePlan, points: Array, components: Components, nodes: PixelNodes):
        super().__init__(plan, points, components)
        self.nodes = nodes

    def grams(self, weights: Array) -> Array:
        return self.column_blocks(weights**2)

    def rows(self, chunk: Any) -> Array:
        return summed(lambda node: node[1] * Tiles.rows(self, chunk.moved_by(node[0])), self.nodes)
