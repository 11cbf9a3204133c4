"""Arrays on the devices of a mesh, and what a run of a solver asks of where it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .._linear.normal import SummedNormal
from .._system.mesh import SPLIT, WHOLE
from .._system.processes import from_first, waited

# Name of the only array of a solver's state that has an entry a point.
BY_POINT = "residuals"


def split(tree: Any, mesh: Mesh) -> Any:
    """A tree with its arrays cut into equal parts along their first axis, one a device."""
    return jax.tree.map(lambda leaf: _placed(leaf, mesh, SPLIT), tree)


def whole(tree: Any, mesh: Mesh) -> Any:
    """A tree with its arrays whole on every device."""
    return jax.tree.map(lambda leaf: _placed(leaf, mesh, WHOLE), tree)


@dataclass(frozen=True, eq=False)
class MeshPlace:
    """Where a run on a mesh has its arrays; see `OneDevice`, the same for one device.

    timeout : seconds after which, of several processes, one that does not answer counts as lost.
    """

    mesh: Mesh
    timeout: float = float("inf")

    def placed(self, tree: Any) -> Any:
        """A run's arrays on the mesh: residuals, and rows of J^T J held apart, on their devices, all else whole."""

        def at(path: tuple[Any, ...], leaf: Any) -> Any:
            if isinstance(leaf, SummedNormal):
                return split(leaf, self.mesh)
            by_point = any(getattr(key, "name", None) == BY_POINT for key in path)
            cut = by_point and len(leaf) % self.mesh.size == 0
            return _placed(leaf, self.mesh, SPLIT if cut else WHOLE)

        return jax.tree.map_with_path(at, tree, is_leaf=lambda node: isinstance(node, SummedNormal))

    def brought_back(self, params: Any) -> Array:
        """Parameters on the one device on which all else is computed."""
        return jnp.asarray(np.asarray(params))

    def computed(self, function: Callable[[], Any]) -> Any:
        """What a function gives that all devices compute together."""
        return function() if jax.process_count() == 1 else waited(function, self.timeout)

    def agreed(self, *numbers: Any) -> tuple[Any, ...]:
        """The numbers of the first process."""
        if jax.process_count() == 1:
            return numbers
        return tuple(waited(partial(from_first, numbers), self.timeout))


def _placed(leaf: Any, mesh: Mesh, how: PartitionSpec) -> Array:
    sharding = NamedSharding(mesh, how)
    if isinstance(leaf, Array) and leaf.sharding == sharding:
        return leaf
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])
