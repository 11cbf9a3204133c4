"""Plans for the tiled engine, made on the host: which lists, at which capacity, for which components.

A plan serves until a component leaves the room that it was given (`TilePlan.plan_is_valid`); the loop then asks for
another one. Capacities only grow, by steps of 2 or 1.2, so that most new plans find their program compiled. What the
fits before one have come to need, at the same number of tiles and room for components, is where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.devices import on_cpu
from .._base.memory import MemoryShort, cluster_bytes, gigabytes, tiled_need
from .._engines.jacobian import Curvature, Frame, GhostTable, TiledEngine, TiledPixelEngine, TilePlan
from .._engines.pixel_nodes import PixelNodes
from .._linear.cluster_preconditioner import Clusters
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._lists.chunk_sizes import chunk_shape, row_segments, rows_at_once
from .._lists.clusters import Arrangement, clustered
from .._lists.component_lists import ComponentLists, ListMaker, PlacedComponents, enclosing
from .._lists.overlaps import NEIGHBOURS_A_ROW, EvenGrid, NeighbourRows, Overlaps, neighbour_rows, work
from .._lists.pairs import Ellipsoids, TileLists, TilePairs, tile_lists
from .._lists.tiles import Tiling
from .._model.parameters import Components, Parameterization
from .._periodic.nearest import Periods
from .problem import SurfaceProblem

# Factor on what the first plan needs now: components spread most in their first steps, and each capacity that is
# exceeded compiles a new program.
FIRST_HEADROOM = 1.5
# The same for later plans, and for large first ones.
HEADROOM = 1.2
# Units from which a capacity is large: it counts in memory, and compiling its program little beside its steps. Below,
# capacities are powers of two, above of its fourth root.
LARGE_CAPACITY_FROM = 512
# Units from which a capacity is huge: of its eighth root, since what is empty is read as well.
HUGE_CAPACITY_FROM = 4096
# Nodes of overlaps for each place of a component in a tile, from which products with J are cheaper than blocks: a solve
# by products passes over the places some twenty times.
MOST_NODES_A_PLACE = 20.0
# Factor; an earlier fit's capacity is taken over unless it is more than so many times what this one needs.
MOST_CAPACITY_EXCESS = 4
# Factor; the most that a first plan leaves for components that are not in use yet.
MOST_SPARE_ROOM = 2.0
_met: dict[tuple[int, ...], dict[str, int]] = {}


@dataclass(eq=False)
class TilePlanner:
    """Makes engines for one tiling, in the units of the fit. ``grid`` is None unless all points of an even grid weigh
    the same. ``nodes`` are those of pixels, which the tiling has in its boxes, where heights are means over them.
    """

    tiling: Tiling
    grid: EvenGrid | None
    cutoff: float
    memory: float
    capacities: dict[str, int] = field(default_factory=dict)
    n_active: int = 0
    cpu: bool = True
    _spare: float = 1.0
    likeness: tuple[int, ...] = ()
    nodes: PixelNodes | None = None

    def __call__(self, problem: SurfaceProblem, wanted: Array, params: Array) -> SurfaceProblem:
        """The problem with a plan that covers the components at ``wanted`` and at ``params``."""
        return self.planned(problem, wanted, params)[0]

    def for_run(self, with_normal: bool = True) -> RunPlanner:
        """A planner for one run of a solver, that asks for normal matrices or not."""
        return RunPlanner(self, with_normal)

    def planned(
        self,
        problem: SurfaceProblem,
        wanted: Array,
        params: Array,
        before: ComponentLists | None = None,
        with_normal: bool = True,
    ) -> tuple[SurfaceProblem, ComponentLists]:
        """The problem with a plan, and its lists, which are as far as they serve those of the plan ``before``."""
        parts, dtype = problem.parameterization, problem.points.dtype
        lists, there, room = self.listed(problem, wanted, params, before, with_normal)
        ghosts, count, most = lists.ghosts, self.n_active, parts.n_components
        if ghosts is not None:
            count, most = len(ghosts.owners), self.capacity("ghosts", len(ghosts.owners))
        tiled = lists_of_tiles(self.tiling, lists.pairs, count, most, self.cpu)
        plan = tile_plan(self.tiling, tiled, room, self.cutoff, self.capacity("chunks", len(tiled.offsets)), dtype)
        if ghosts is not None:
            plan = replace(plan, ghosts=GhostTable.of(ghosts.padded(most, parts.n_components), dtype))
        curvature = None
        if with_normal and self.grid is not None:
            arrangement = Arrangement.of(there, self.n_active, clustered_block_size(problem))
            curvature = self.curvature(lists.overlaps, tiled, arrangement, dtype)
        if not self.blocks_fit(problem, plan, curvature):
            self.grid, curvature = None, None
        if self.nodes is not None:
            return replace(problem, engine=TiledPixelEngine(plan, nodes=self.nodes)), lists
        return replace(problem, engine=TiledEngine(plan, curvature)), lists

    def listed(
        self,
        problem: SurfaceProblem,
        wanted: Array,
        params: Array,
        before: ComponentLists | None = None,
        with_normal: bool = True,
    ) -> tuple[ComponentLists, PlacedComponents, Ellipsoids]:
        """The lists of a plan, the components there, and the room that all of them are given, idle ones included."""
        parts = problem.parameterization
        self.cpu = on_cpu(problem.points)
        self.n_active = int(parts.n_active)
        self._spare = min(MOST_SPARE_ROOM, parts.n_components / max(self.n_active, 1))
        self.likeness = (self.tiling.n_tiles, self.tiling.size, parts.n_parameters)
        there, here = (_on_host(parts, p) for p in (wanted, params))
        grid, periods = self.grid if with_normal else None, host_periods(parts)
        maker = ListMaker(self.tiling, grid, self.cutoff, self.memory, periods)
        places = [where.some(slice(self.n_active)) for where in (there, here)]
        idle = [where.some(slice(self.n_active, None)) for where in (there, here)]
        lists = maker.made(*places) if before is None else maker.renewed(before, *places)
        return lists, there, _with_idle(lists.room, enclosing(idle[0], idle[1], self.cutoff))

    def blocks_fit(
        self, problem: SurfaceProblem, plan: TilePlan, curvature: Curvature | None, n_devices: int = 1
    ) -> bool:
        """Whether memory suffices for the blocks as well; an error where not even the rest fits. Plan and curvature are
        those of one of so many devices: on a CPU they share the memory.
        """
        memory = self.memory / (n_devices if self.cpu else 1)
        parts, dtype = problem.parameterization, problem.points.dtype
        n_rows = 0 if curvature is None else len(curvature.owner)
        members = (plan.members.shape[0], plan.members.shape[1], plan.members.shape[2])
        need = tiled_need(
            problem.points.shape[0] // n_devices,
            parts.n_dim,
            members,
            n_rows,
            parts.layout.block_size,
            self.tiling.size,
            dtype.itemsize,
        )
        least = need.total - need.blocks
        if least > memory:
            raise MemoryShort(
                f"this fit needs about {gigabytes(least)}, more than `max_memory` = {gigabytes(memory)}: allow"
                f" more, or use"
                " fewer points or components, a larger cutoff, or dtype='float32'"
            )
        clusters = None if curvature is None else curvature.clusters
        beside = 0.0
        if clusters is not None:
            n_clusters, size = clusters.members.shape
            beside = cluster_bytes(n_clusters, size, parts.layout.block_size)
        return need.total + beside <= memory

    def _rows(
        self, overlaps: Overlaps | None, tiled: TileLists | None, arrangement: Arrangement
    ) -> list[NeighbourRows] | None:
        """Neighbour rows, each pair once if there are clusters, idle components alone in theirs; None where products
        with J are cheaper.
        """
        if overlaps is None:
            return None
        n_dim = self.tiling.low.shape[1]
        rows = neighbour_rows(overlaps, self.n_active, n_dim, arrangement.place)
        if tiled is not None and work(rows, n_dim) > MOST_NODES_A_PLACE * tiled.n_pairs * self.tiling.size:
            return None
        n_components, idle = arrangement.n_components, arrangement.idle(self.n_active)
        alone = np.full((len(idle), NEIGHBOURS_A_ROW), n_components, np.int32)
        alone[:, 0] = idle
        rows = [
            NeighbourRows(r.owner, np.where(r.neighbours == self.n_active, n_components, r.neighbours)) for r in rows
        ]
        return [
            NeighbourRows(np.concatenate([rows[0].owner, idle]), np.concatenate([rows[0].neighbours, alone])),
            *rows[1:],
        ]

    def curvature(
        self, overlaps: Overlaps | None, tiled: TileLists | None, arrangement: Arrangement, dtype: np.dtype
    ) -> Curvature | None:
        """Blocks in single precision, each pair's once, with clusters; without these, where the system is solved
        directly, in the precision of the fit and both ways round.
        """
        n_components, orders = arrangement.n_components, arrangement.orders
        rows = self._rows(overlaps, tiled, arrangement)
        if rows is None or self.grid is None:
            self.grid = None  # once and for all: another kind of normal matrix is another program
            return None
        grid, n_rows = self.grid, sum(len(r.owner) for r in rows)
        unit = self._unit(n_rows)
        lengths = [-(-len(r.owner) // unit) * unit for r in rows]
        capacity = self.capacity("rows", n_rows + len(rows) * unit, unit)
        owner, neighbours = (
            _padded(
                np.concatenate([_padded(one, size, n_components) for one, size in zip(of_rules, lengths, strict=True)]),
                capacity,
                n_components,
            )
            for of_rules in ([r.owner for r in rows], [r.neighbours for r in rows])
        )
        with_own = np.flatnonzero((neighbours[:, 0] == owner) & (owner < n_components))
        own = np.full(n_components, capacity - 1)  # the last row is never in use
        own[owner[with_own]] = with_own
        period = None if grid.period is None else jnp.asarray(grid.period, dtype)
        return Curvature(
            owner=jnp.asarray(owner, jnp.int32),
            neighbours=jnp.asarray(neighbours, jnp.int32),
            own=jnp.asarray(own, jnp.int32),
            n_rows=jnp.asarray([len(r.owner) for r in rows], jnp.int32),
            frame=Frame(jnp.asarray(grid.low, dtype), jnp.asarray(grid.step, dtype), period),
            shape=jnp.asarray(grid.shape, jnp.int32),
            clusters=None if orders is None else _clusters(orders, arrangement.block_size, owner, neighbours),
            rows_at_once=unit,
            dtype=np.dtype(dtype).name if orders is None else "float32",
            once=orders is not None,
            segments=row_segments(self.cpu, capacity),
        )

    def _unit(self, n_rows: int) -> int:
        """Rows that are summed at once, which stay as they are within a fit: another number is another program."""
        return self.capacities.setdefault("rows at once", rows_at_once(n_rows, self.cpu))

    def capacity(self, name: str, needed: int, unit: int = 8) -> int:
        """Room for ``needed`` entries, which never shrinks."""
        before, met = self.capacities.get(name, 0), _met.setdefault(self.likeness, {})
        if needed > before:
            is_large = needed >= LARGE_CAPACITY_FROM * unit
            first = (HEADROOM if is_large else FIRST_HEADROOM) * self._spare
            room, parts = max(1.0, needed * (HEADROOM if before else first) / unit), _sizes_an_octave(needed / unit)
            own = unit * int(np.ceil(2 ** (np.ceil(parts * np.log2(room)) / parts)))
            likely = met.get(name, 0)
            self.capacities[name] = likely if needed <= likely <= MOST_CAPACITY_EXCESS * own else own
            met[name] = self.capacities[name]
        return max(self.capacities.get(name, 0), unit)


@dataclass(eq=False)
class RunPlanner:
    """The plans of one run of a solver: each keeps of the lists before it what still serves, so that they depend on
    nothing but the run. A solver that does not work ``with_normal`` matrices needs no lists of overlaps.
    """

    planner: Any
    with_normal: bool = True
    lists: ComponentLists | None = None

    def __call__(self, problem: SurfaceProblem, wanted: Array, params: Array) -> SurfaceProblem:
        planned: SurfaceProblem
        planned, self.lists = self.planner.planned(problem, wanted, params, self.lists, self.with_normal)
        return planned


def clustered_block_size(problem: SurfaceProblem) -> int:
    """Parameters of a component where clusters are inverted; 0 where nothing is preconditioned."""
    parts = problem.parameterization
    return 0 if parts.n_parameters <= DIRECT_SOLVE_PARAMETERS else parts.layout.block_size


def lists_of_tiles(tiling: Tiling, pairs: TilePairs, n_active: int, n_components: int, cpu: bool) -> TileLists:
    """The lists of some tiles, from their pairs with the components in use."""
    tiled = tile_lists(tiling, pairs, n_active, chunk_shape(tiling.n_tiles, cpu))
    members = np.where(tiled.members == n_active, n_components, tiled.members)
    return replace(tiled, members=members, nobody=n_components)


def tile_plan(
    tiling: Tiling, lists: TileLists, room: Ellipsoids, cutoff: float, capacity: int, dtype: np.dtype
) -> TilePlan:
    """The lists on the device, with room for ``capacity`` chunks."""
    n_chunks, at_once = lists.members.shape[:2]
    spare, nobody = capacity - n_chunks, lists.nobody
    return TilePlan(
        order=jnp.asarray(np.pad(lists.order, (0, -len(lists.order) % at_once)), jnp.int32),
        rank=jnp.asarray(lists.rank, jnp.int32),
        offsets=jnp.asarray(np.pad(lists.offsets, (0, spare)), jnp.int32),
        members=jnp.asarray(np.pad(lists.members, [(0, spare), (0, 0), (0, 0)], constant_values=nobody), jnp.int32),
        n_chunks=jnp.asarray(n_chunks, jnp.int32),
        middle=jnp.asarray(tiling.middle, dtype),
        half=jnp.asarray(np.where(tiling.half > 0, tiling.half, 1.0), dtype),
        centers=jnp.asarray(room.centers, dtype),
        factors=jnp.asarray(room.factors, dtype),
        inverse_factors=jnp.asarray(room.inverse, dtype),
        radii=jnp.asarray(room.radii, dtype),
        cutoff=jnp.asarray(cutoff, dtype),
    )


def _sizes_an_octave(units: float) -> int:
    """How many capacities there are between one of so many units and twice as many."""
    if units < LARGE_CAPACITY_FROM:
        return 1
    return 4 if units < HUGE_CAPACITY_FROM else 8


def host_periods(parts: Parameterization) -> Periods | None:
    """The periods of the axes as numbers, in the units of the fit."""
    return None if parts.periods is None else tuple(p if p is None else float(p) for p in parts.periods)


@quick_jit
def _components(parameterization: Parameterization, params: Array) -> Components:
    return parameterization.components(params)


def _on_host(parameterization: Parameterization, params: Array) -> PlacedComponents:
    parts = _components(parameterization, params)
    return PlacedComponents(
        *(np.asarray(array, np.float64) for array in (parts.amplitudes, parts.centers, parts.factors))
    )


def _clusters(orders: np.ndarray, block_size: int, owner: np.ndarray, neighbours: np.ndarray) -> Clusters:
    arrays = clustered(orders, block_size, owner, neighbours)
    return Clusters(**{name: jnp.asarray(array) for name, array in arrays.items()})


def _with_idle(room: Ellipsoids, idle: Ellipsoids) -> Ellipsoids:
    """The ellipsoids of components in use, and of the rest, which are in no list."""
    both = zip((room.centers, room.factors, room.radii), (idle.centers, idle.factors, idle.radii), strict=True)
    return Ellipsoids(*(np.concatenate(pair) for pair in both))


def _padded(rows: np.ndarray, size: int, value: int) -> np.ndarray:
    return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1), constant_values=value)
