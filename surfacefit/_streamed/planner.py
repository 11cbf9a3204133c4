"""Plans of a map on disk: a pass at the parameters that a solver wants, and the lists from which J^T J is made there.

All follows from the parameters and from capacities that only grow, and not from the plans before, so that a fit that
was killed goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import Array

from .._base.devices import on_cpu
from .._base.memory import BLOCK_ARRAYS, MemoryShort, cluster_bytes, gigabytes
from .._engines.jacobian import Curvature
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._lists.clusters import Arrangement
from .._lists.component_lists import PlacedComponents
from .._lists.overlaps import overlaps
from .._lists.tiles import Tiling
from .._model.parameters import Components
from .._problem.planning import TilePlanner
from .map_passes import MapPasses
from .problem import KnownPoint, StreamedProblem, same

# Factor; what capacities leave for later plans, which would compile a new program where they need more.
ROOM_TO_GROW = 1.25
# Bits of a capacity: of few sizes, so that most plans find their program compiled.
CAPACITY_BITS = 3


@dataclass(eq=False)
class StreamedPlanner(TilePlanner):
    """Makes plans by ``passes``; ``host`` is the parameterisation in NumPy."""

    passes: MapPasses = None  # type: ignore[assignment]
    host: Any = None

    @classmethod
    def of(cls, passes: MapPasses, host: Any, memory: float) -> StreamedPlanner:
        corner = np.zeros((1, len(passes.sides)))
        whole = Tiling(np.zeros((1, 1), int), np.ones((1, 1), bool), corner, corner)
        planner = cls(whole, passes.grid, passes.cutoff, memory, passes=passes, host=host)
        planner.cpu, planner.n_active = on_cpu(), int(host.n_active)
        return planner

    def for_run(self, with_normal: bool = True) -> StreamedPlanner:  # type: ignore[override]
        """A planner for one run of a solver."""
        return self

    def __call__(self, problem: StreamedProblem, wanted: Array, params: Array) -> StreamedProblem:  # type: ignore[override]
        """The problem with passes at the parameters ``wanted`` and ``params``; what is known there is kept."""
        here = self._known(problem, np.asarray(params, float))
        there = here if same(wanted, here) else self._known(problem, np.asarray(wanted, float))
        return self.renewed(problem, there, here)

    def renewed(self, problem: StreamedProblem, there: KnownPoint, here: KnownPoint) -> StreamedProblem:
        """The problem with these points, and J^T J there."""
        return replace(problem, there=there, here=here, curvature=self._curvature_at(self._components(there.params)))

    def _known(self, problem: StreamedProblem, params: np.ndarray) -> KnownPoint:
        for known in (problem.there, problem.here):
            if known is not None and same(params, known):
                return known
        if not np.isfinite(params).all() and problem.here is not None:
            return KnownPoint(params, problem.here.sums)
        return KnownPoint(params, self.passes(self._components(params), self.n_active))

    def _components(self, params: np.ndarray) -> Components:
        """Those in use, in double precision."""
        parts = jax.tree.map(lambda leaf: np.asarray(leaf, float), self.host.components(np.asarray(params, float)))
        return parts

    def _curvature_at(self, parts: Components) -> Curvature:
        placed = PlacedComponents(*(np.asarray(a) for a in (parts.amplitudes, parts.centers, parts.factors)))
        used = placed.some(slice(self.n_active))
        assert self.grid is not None
        found = overlaps(self.grid, used.centers, used.factors)
        layout = self.host.layout
        direct = layout.n_parameters <= DIRECT_SOLVE_PARAMETERS
        arrangement = Arrangement.of(placed, self.n_active, 0 if direct else layout.block_size)
        curvature = self.curvature(found, None, arrangement, np.dtype(float))
        need = float("inf") if curvature is None else self._bytes(curvature)
        if curvature is None or need > self.memory:
            raise MemoryShort(
                f"J^T J of components that overlap so much needs about {gigabytes(need)}, more than `max_memory` ="
                f" {gigabytes(self.memory)}: allow more, or use fewer or narrower components"
            )
        return curvature

    def _bytes(self, curvature: Curvature) -> float:
        size = self.host.layout.block_size
        blocks = BLOCK_ARRAYS * curvature.neighbours.size * size**2 * np.dtype(curvature.dtype).itemsize
        clusters = curvature.clusters
        if clusters is None:
            return float(blocks)
        n_clusters, members = clusters.members.shape
        return float(blocks) + cluster_bytes(n_clusters, members, size)

    def capacity(self, name: str, needed: int, unit: int = 8) -> int:
        """Room for ``needed`` entries, which never shrinks, and depends on nothing but this fit."""
        before = self.capacities.get(name, 0)
        if needed > before:
            units = max(1, int(np.ceil(needed * ROOM_TO_GROW / unit)))
            fine = 1 << max(0, units.bit_length() - CAPACITY_BITS)
            self.capacities[name] = unit * (-(-units // fine) * fine)
        return max(self.capacities.get(name, 0), unit)
