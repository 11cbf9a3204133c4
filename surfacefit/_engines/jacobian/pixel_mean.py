"""The plain engine for heights that are means over pixels: every component at the nodes of every pixel.

J = G T as in the dense engine, with the columns G = w mean(g_k Phi(u_k)) over a pixel's nodes. All products are those
of the dense engine; only the exponentials are as many times more as a pixel has nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._model.parameters import ChainRule, Components
from ..pixel_nodes import PixelNodes
from .dense import DenseEngine, DenseJacobian

# Nodes of a pixel that a default engine has: the centre alone.
NO_NODES = PixelNodes(np.zeros((1, 1)), np.ones(1))


@register_dataclass
@dataclass(frozen=True)
class PixelEngine(DenseEngine):
    """All components at all nodes."""

    nodes: PixelNodes = field(default=NO_NODES)

    def model(self, points: Array, components: Components) -> Array:
        def at(node: tuple[Array, Array]) -> Array:
            return node[1] * DenseEngine.model(self, points + node[0], components)

        return summed(at, self.nodes)

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> PixelJacobian:
        plain = DenseEngine.jacobian(self, points, weights, components, chain)
        return PixelJacobian(
            plain.points, plain.weights, components, chain, plain.n_points, plain.thinned, nodes=self.nodes
        )


@register_dataclass
@dataclass(frozen=True, eq=False)
class PixelJacobian(DenseJacobian):
    """J of means over pixels, recomputed chunk by chunk."""

    nodes: PixelNodes = field(default=NO_NODES)

    def _rows(self, points: Array, weights: Array) -> tuple[Array, Array]:
        def at(node: tuple[Array, Array]) -> tuple[Array, Array]:
            return DenseJacobian._rows(self, points + node[0], node[1] * weights)

        return summed(at, self.nodes)


def summed(at: Any, nodes: PixelNodes) -> Any:
    """The sum over nodes of a function of (offset, share), one node after another."""
    first = at((nodes.offsets[0], nodes.shares[0]))

    def add(total: Any, node: tuple[Array, Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, at(node)), None

    return jax.lax.scan(add, first, (nodes.offsets[1:], nodes.shares[1:]))[0]
