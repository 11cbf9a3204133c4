"""Plans of the tiled engine for the devices of a mesh: each its own tiles, and its own rows of J^T J.

Tiles are cut into equal runs. Components are ordered along a Hilbert curve and cut into runs with about as many
overlapping pairs; a pair belongs to the device of its component that comes later along the curve. J^T J is then the sum
of what the devices hold, and neighbours seldom lie on two. Clusters are those of one device: of each, a device knows
where the blocks stand that it has.

Plans are made on the host from parameters that are the same everywhere, and so are the same in every process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._engines.jacobian import Curvature, ShardedEngine, TiledEngine
from .._lists.clusters import Arrangement, component_orders
from .._lists.component_lists import ComponentLists, PlacedComponents
from .._lists.overlaps import Overlaps, work_of
from .._lists.pairs import TilePairs
from .._lists.tiles import Tiling, in_parts, with_multiple
from .._problem.planning import (
    MOST_NODES_A_PLACE,
    RunPlanner,
    TilePlanner,
    clustered_block_size,
    lists_of_tiles,
    tile_plan,
)
from .._problem.problem import SurfaceProblem
from .placement import split


@dataclass(eq=False)
class MeshPlanner:
    """Makes engines for a mesh; ``planner`` is that of one device, for as many tiles as the devices share evenly."""

    planner: TilePlanner
    mesh: Mesh

    @classmethod
    def of(cls, planner: TilePlanner, mesh: Mesh) -> MeshPlanner:
        return cls(replace(planner, tiling=with_multiple(planner.tiling, mesh.size), capacities={}), mesh)

    def __call__(self, problem: SurfaceProblem, wanted: Array, params: Array) -> SurfaceProblem:
        return self.planned(problem, wanted, params)[0]

    def for_run(self, with_normal: bool = True) -> RunPlanner:
        return RunPlanner(self, with_normal)

    def planned(
        self,
        problem: SurfaceProblem,
        wanted: Array,
        params: Array,
        before: ComponentLists | None = None,
        with_normal: bool = True,
    ) -> tuple[SurfaceProblem, ComponentLists]:
        """As `TilePlanner.planned`, for points on the mesh."""
        planner = self.planner
        lists, there, room = planner.listed(problem, wanted, params, before, with_normal)
        planner.likeness = (*planner.likeness, self.mesh.size)  # what one device needs is something else
        n_components = problem.parameterization.n_components
        tiled = [
            lists_of_tiles(part, pairs, planner.n_active, n_components, planner.cpu)
            for part, pairs in self._tiles(lists.pairs)
        ]
        capacity = planner.capacity("chunks", max(len(one.offsets) for one in tiled))
        dtype = problem.points.dtype
        plans = [
            tile_plan(part, one, room, planner.cutoff, capacity, dtype)
            for part, one in zip(self._parts, tiled, strict=True)
        ]
        n_pairs = sum(one.n_pairs for one in tiled)
        curvatures = self._curvatures(problem, lists.overlaps, there, n_pairs) if with_normal else None
        curvature, mine = (None, None) if curvatures is None else curvatures
        if not planner.blocks_fit(problem, plans[0], None if curvature is None else curvature[0], self.mesh.size):
            planner.grid, curvature, mine = None, None, None
        parts = _stacked(
            [TiledEngine(plan, None if curvature is None else curvature[i]) for i, plan in enumerate(plans)]
        )
        placed, mine = split((parts, mine), self.mesh)
        return replace(problem, engine=ShardedEngine(placed, mine, self.mesh)), lists

    @cached_property
    def _parts(self) -> list[Tiling]:
        return in_parts(self.planner.tiling, self.mesh.size)

    def _tiles(self, pairs: TilePairs) -> list[tuple[Tiling, TilePairs]]:
        """Each device's tiles, and the pairs with them."""
        size = self._parts[0].n_tiles
        found = []
        for number, part in enumerate(self._parts):
            here = pairs.tile // size == number
            found.append((part, TilePairs(pairs.component[here], pairs.tile[here] - np.int32(number * size))))
        return found

    def _curvatures(
        self, problem: SurfaceProblem, overlaps: Overlaps | None, there: PlacedComponents, n_pairs: int
    ) -> tuple[list[Curvature], np.ndarray] | None:
        """Each device's rows, and which components (D, K) have theirs where; None where products with J are cheaper."""
        planner, whole = self.planner, Arrangement.of(there, self.planner.n_active, clustered_block_size(problem))
        if overlaps is None or planner.grid is None:
            planner.grid = None
            return None
        device, of_pair = self._devices(overlaps, there, whole)
        parts = [replace(whole, mine=device == number) for number in range(self.mesh.size)]
        some = [Overlaps(*(column[of_pair == number] for column in overlaps)) for number in range(self.mesh.size)]
        made: list[Any] = []
        while len({one.owner.shape for one in made}) != 1:  # again where a later device needed more room
            made = [
                planner.curvature(pairs, None, part, problem.points.dtype)
                for pairs, part in zip(some, parts, strict=True)
            ]
        if self._work(made, whole.n_components) > MOST_NODES_A_PLACE * n_pairs * planner.tiling.size:
            planner.grid = None  # once and for all, as in `TilePlanner`
            return None
        return made, device == np.arange(self.mesh.size)[:, None]

    def _devices(
        self, overlaps: Overlaps, there: PlacedComponents, arrangement: Arrangement
    ) -> tuple[np.ndarray, np.ndarray]:
        """The device of each component (K,), in runs along a curve with about as many pairs each, and of each pair."""
        place, count, n_active = arrangement.place, arrangement.n_components, self.planner.n_active
        if place is None:
            place = np.argsort(component_orders(there.some(slice(n_active)), count, 1)[0])
        later = np.where(place[overlaps.first] >= place[overlaps.second], overlaps.first, overlaps.second)
        pairs = np.bincount(place[later], minlength=count)
        before = np.cumsum(pairs) - 0.5 * pairs
        along = np.minimum((before * self.mesh.size / max(1, int(pairs.sum()))).astype(int), self.mesh.size - 1)
        device = along[place]
        return device, device[later]

    def _work(self, made: list[Curvature], count: int) -> float:
        n_rows = np.sum([np.asarray(one.n_rows) for one in made], axis=0)
        n_rows[0] -= count - self.planner.n_active
        return work_of(n_rows, self.planner.tiling.low.shape[1])


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
