"""A problem on the mesh, beside the same problem on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._engines.jacobian import ShardedEngine
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .placement import MeshPlace, split, whole
from .planning import MeshPlanner


@dataclass(frozen=True, eq=False)
class MeshStage:
    """Where the solver's joint steps run: growth and search work on the one device of ``prepared``."""

    prepared: Prepared
    mesh: Mesh
    timeout: float

    @cached_property
    def place(self) -> MeshPlace:
        return MeshPlace(self.mesh, self.timeout)

    @cached_property
    def planner(self) -> MeshPlanner | None:
        planner = self.prepared.planner
        return None if planner is None else MeshPlanner.of(planner, self.mesh)

    def problem_at(self, start: Any) -> SurfaceProblem:
        """The problem, with what is fixed held at parameters (P,), its points on the mesh."""
        points, heights, weights = self._points
        none: Any = None
        here = replace(self.prepared.fixing(start), points=none, heights=none, weights=none)
        problem = replace(whole(here, self.mesh), points=points, heights=heights, weights=weights)
        if self.planner is not None:
            return problem  # the planner makes the engine
        return replace(problem, engine=ShardedEngine(problem.engine, None, self.mesh))

    @cached_property
    def _points(self) -> tuple[Array, Array, Array]:
        """Points, heights and weights on their devices, filled up by places of no weight."""
        problem = self.prepared.problem
        n_tiles = 0 if self.prepared.planner is None else self.prepared.planner.tiling.n_tiles
        n_units = n_tiles or len(problem.heights)
        unit = len(problem.heights) // n_units
        spare = -n_units % self.mesh.size * unit
        points, heights, weights = (np.asarray(one) for one in (problem.points, problem.heights, problem.weights))
        filled = (
            np.pad(points, [(0, spare), (0, 0)], mode="edge"),
            np.pad(heights, (0, spare), mode="edge"),
            np.pad(weights, (0, spare)),
        )
        placed: tuple[Array, Array, Array] = split(filled, self.mesh)
        return placed
