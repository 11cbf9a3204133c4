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
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._engines.jacobian import Curvature, ShardedEngine, TiledEngine
from .._lists.clusters import cluster_sets, component_orders
from .._lists.component_lists import ComponentLists, PlacedComponents
from .._lists.overlaps import Overlaps, work_of
from .._lists.pairs import TilePairs
from .._lists.tiles import Tiling, in_parts, with_multiple
from .._problem.planning import (
    MOST_NODES_A_PLACE,
    RunPlanner,
    TilePlanner,
    clustered_block_size,
    clusters_along,
    lists_of_tiles,
    tile_plan,
)
from .._problem.problem import SurfaceProblem
from .placement import split


class Owners(NamedTuple):
    """The device of each component (K,), and orders (s, K) of components, of which runs along the first make these."""

    device: np.ndarray
    orders: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """The place of each component along the first curve (K,)."""
        return np.argsort(self.orders[0])


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
        planner, block_size = self.planner, clustered_block_size(problem)
        if overlaps is None or planner.grid is None:
            planner.grid = None
            return None
        owners, dtype = self._owners(overlaps, there, block_size), problem.points.dtype
        device = owners.device[_later(overlaps, owners.place)]
        some = [Overlaps(*(column[device == number] for column in overlaps)) for number in range(self.mesh.size)]
        made: list[Any] = []
        while len({one.owner.shape for one in made}) != 1:  # again where a later device needed more room
            made = [planner.curvature(one, None, there, dtype, block_size) for one in some]
        if self._work(made, len(there.amplitudes)) > MOST_NODES_A_PLACE * n_pairs * planner.tiling.size:
            planner.grid = None  # once and for all, as in `TilePlanner`
            return None
        pairs = [self._own_part(one, number, owners, block_size) for number, one in enumerate(made)]
        return [one for one, _ in pairs], np.stack([mine for _, mine in pairs])

    def _owners(self, overlaps: Overlaps, there: PlacedComponents, block_size: int) -> Owners:
        """Runs of components along the curve, with about as many pairs each."""
        count = len(there.amplitudes)
        orders = component_orders(there.some(slice(self.planner.n_active)), count, cluster_sets(count))
        place = np.argsort(orders[0])
        pairs = np.bincount(place[_later(overlaps, place)], minlength=count)
        before = np.cumsum(pairs) - 0.5 * pairs
        device = np.minimum((before * self.mesh.size / max(1, int(pairs.sum()))).astype(int), self.mesh.size - 1)
        return Owners(device[place], orders)

    def _work(self, made: list[Curvature], count: int) -> float:
        n_rows = np.sum([np.asarray(one.n_rows) for one in made], axis=0)
        n_rows[0] -= len(made) * (count - self.planner.n_active)
        return work_of(n_rows, self.planner.tiling.low.shape[1])

    def _own_part(
        self, curvature: Curvature, number: int, owners: Owners, block_size: int
    ) -> tuple[Curvature, np.ndarray]:
        """The curvature of a device with only its own components in it, and which these are (K,)."""
        count, last = len(owners.device), len(curvature.owner) - 1
        owner, neighbours, rows = (np.asarray(a) for a in (curvature.owner, curvature.neighbours, curvature.own))
        mine = owners.device == number
        stranger = ~np.append(mine, True)[owner] & (owner >= self.planner.n_active)
        own = np.full(count, last, np.int32)  # the last row is never in use
        own[owner[rows]] = rows
        owner, neighbours = np.where(stranger, count, owner), np.where(stranger[:, None], count, neighbours)
        changed: dict[str, Any] = {
            "owner": owner.astype(np.int32),
            "neighbours": neighbours.astype(np.int32),
            "own": np.where(mine, own, last).astype(np.int32),
            "clusters": clusters_along(owners.orders, block_size, owner, neighbours) if block_size else None,
        }
        return replace(curvature, **changed), mine


def _later(overlaps: Overlaps, place: np.ndarray) -> np.ndarray:
    """Of each pair the component that comes later along the curve."""
    return np.where(place[overlaps.first] >= place[overlaps.second], overlaps.first, overlaps.second)


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
