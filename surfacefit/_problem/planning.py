"""Plans for the tiled engine, made on the host: which lists, at which capacity, for which components.

A plan serves until a component leaves the room that it was given (`TilePlan.plan_is_valid`); the loop then asks for
another one. Capacities only grow, by steps of 2 or 1.4, so that most new plans find their program compiled. What the
fits before one have come to need, at the same number of tiles and room for components, is where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.devices import on_cpu
from .._base.memory import MemoryShort, gigabytes, tiled_need
from .._engines.jacobian import Curvature, TiledEngine, TilePlan
from .._engines.overlaps import ROWS_UNIT, EvenGrid, NeighbourRows, neighbour_rows, work
from .._engines.pairs import MARGIN_WIDTHS, Ellipsoids, TileLists, cutoff_radii, planned, tile_lists
from .._engines.tiles import Tiling
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._model.parameters import Parameterization
from .problem import SurfaceProblem

# Tiles; 32 tiles of 256 points and 8 components keep the work of a chunk within a core's cache.
CPU_TILES_A_CHUNK = 32
# Tiles; an accelerator wants thousands of independent tiles at once, and 2048 still fit its memory.
GPU_TILES_A_CHUNK = 2048
# Factors on what a plan needs now, the first one and later ones: components spread most in their first steps, and each
# capacity that is exceeded compiles a new program.
FIRST_HEADROOM = 1.5
HEADROOM = 1.2
# Units; below, capacities are powers of two, above powers of its root, where memory counts.
FINE_CAPACITIES_FROM = 512
# Nodes of overlaps for each place of a component in a tile, from which products with J are cheaper than blocks: a solve
# by products passes over the places some twenty times.
MOST_NODES_A_PLACE = 20.0
# Factor; an earlier fit's capacity is taken over unless it is more than so many times what this one needs.
MOST_CAPACITY_EXCESS = 4
# Factor; the most that a first plan leaves for components that are not in use yet.
MOST_SPARE_ROOM = 2.0
# Factor and share of the margin by which an ellipsoid encloses the components at two sets of parameters: clear of the
# rounding of the check on the device.
ENCLOSING_FACTOR, ENCLOSING_MARGIN = 1.02, 0.1

_met: dict[tuple[int, ...], dict[str, int]] = {}


@dataclass(frozen=True, eq=False)
class HostComponents:
    """Amplitudes (K,), centers (K, d) and Cholesky factors (K, d, d) in NumPy."""

    amplitudes: np.ndarray
    centers: np.ndarray
    factors: np.ndarray


@dataclass(eq=False)
class TilePlanner:
    """Makes engines for one tiling, in the units of the fit. ``grid`` is None unless all points of an even grid weigh
    the same.
    """

    tiling: Tiling
    grid: EvenGrid | None
    cutoff: float
    memory: float
    capacities: dict[str, int] = field(default_factory=dict)
    n_active: int = 0
    cpu: bool = True
    spare: float = 1.0
    likeness: tuple[int, ...] = ()

    def __call__(self, problem: SurfaceProblem, wanted: Array, params: Array) -> SurfaceProblem:
        """The problem with a plan that covers the components at ``wanted`` and at ``params``."""
        self.cpu = on_cpu(problem.points)
        self.n_active = int(problem.parameterization.n_active)
        self.spare = min(MOST_SPARE_ROOM, problem.parameterization.n_components / max(self.n_active, 1))
        self.likeness = (self.tiling.n_tiles, self.tiling.size, problem.parameterization.n_parameters)
        there, here = (_on_host(problem.parameterization, p) for p in (wanted, params))
        dtype = problem.points.dtype
        room = self._room(there, here)
        lists = self._lists(room)
        plan = tile_plan(self.tiling, lists, room, self.cutoff, self._capacity("chunks", len(lists.offsets)), dtype)
        direct = problem.parameterization.n_parameters <= DIRECT_SOLVE_PARAMETERS
        curvature = self._curvature(there, lists, dtype, direct)
        if not self._blocks_fit(problem, plan, curvature):
            self.grid, curvature = None, None
        return replace(problem, engine=TiledEngine(plan, curvature))

    def _blocks_fit(self, problem: SurfaceProblem, plan: TilePlan, curvature: Curvature | None) -> bool:
        """Whether memory suffices for the blocks as well; an error where not even the rest fits."""
        parts, dtype = problem.parameterization, problem.points.dtype
        n_rows = 0 if curvature is None else len(curvature.owner)
        members = (plan.members.shape[0], plan.members.shape[1], plan.members.shape[2])
        need = tiled_need(
            problem.points.shape[0],
            parts.n_dim,
            members,
            n_rows,
            parts.layout.block_size,
            self.tiling.size,
            dtype.itemsize,
        )
        least = need.total - need.blocks
        if least > self.memory:
            raise MemoryShort(
                f"this fit needs about {gigabytes(least)}, more than `max_memory` = {gigabytes(self.memory)}: allow"
                f" more, or use"
                " fewer points or components, a larger cutoff, or dtype='float32'"
            )
        return need.total <= self.memory

    def _room(self, there: HostComponents, here: HostComponents) -> Ellipsoids:
        """The ellipsoids of the components there, enlarged to hold those of the components here."""
        room = planned(there.centers, there.factors, cutoff_radii(there.amplitudes, self.cutoff))
        inverse = np.linalg.inv(room.factors)
        offset = np.einsum("kij,kj->ki", inverse, here.centers - there.centers)
        stretch = np.linalg.norm(inverse @ here.factors, ord=2, axis=(1, 2))
        needed = np.linalg.norm(offset, axis=1) + cutoff_radii(here.amplitudes, self.cutoff) * stretch
        return replace(room, radii=np.maximum(room.radii, ENCLOSING_FACTOR * needed + ENCLOSING_MARGIN * MARGIN_WIDTHS))

    def _lists(self, room: Ellipsoids) -> TileLists:
        active = Ellipsoids(room.centers[: self.n_active], room.factors[: self.n_active], room.radii[: self.n_active])
        lists = tile_lists(self.tiling, active, tiles_a_chunk(self.tiling.n_tiles, self.cpu), self.memory)
        members = np.where(lists.members == self.n_active, len(room.radii), lists.members)
        return replace(lists, members=members)

    def _rows(self, grid: EvenGrid, components: HostComponents, lists: TileLists) -> list[NeighbourRows] | None:
        """Neighbour rows, idle components alone in theirs; None where products with J are cheaper."""
        n_components = len(components.amplitudes)
        rows = neighbour_rows(grid, components.centers[: self.n_active], components.factors[: self.n_active])
        if rows is None or work(rows, len(grid.shape)) > MOST_NODES_A_PLACE * lists.n_pairs * self.tiling.size:
            return None
        idle = np.arange(self.n_active, n_components, dtype=np.int32)
        alone = np.full((len(idle), rows[0].neighbours.shape[1]), n_components, np.int32)
        alone[:, 0] = idle
        rows = [
            NeighbourRows(r.owner, np.where(r.neighbours == self.n_active, n_components, r.neighbours)) for r in rows
        ]
        return [
            NeighbourRows(np.concatenate([rows[0].owner, idle]), np.concatenate([rows[0].neighbours, alone])),
            *rows[1:],
        ]

    def _curvature(
        self, components: HostComponents, lists: TileLists, dtype: np.dtype, direct: bool
    ) -> Curvature | None:
        """Blocks in single precision, but where the system is solved directly."""
        rows = None if self.grid is None else self._rows(self.grid, components, lists)
        if rows is None or self.grid is None:
            self.grid = None  # once and for all: another kind of normal matrix is another program
            return None
        grid, n_components = self.grid, len(components.amplitudes)
        lengths = [-(-len(r.owner) // ROWS_UNIT) * ROWS_UNIT for r in rows]
        capacity = self._capacity("rows", sum(len(r.owner) for r in rows) + len(rows) * ROWS_UNIT, ROWS_UNIT)
        owner, neighbours = (
            _padded(
                np.concatenate([_padded(one, size, n_components) for one, size in zip(of_rules, lengths, strict=True)]),
                capacity,
                n_components,
            )
            for of_rules in ([r.owner for r in rows], [r.neighbours for r in rows])
        )
        own = np.flatnonzero((neighbours[:, 0] == owner) & (owner < n_components))
        return Curvature(
            owner=jnp.asarray(owner, jnp.int32),
            neighbours=jnp.asarray(neighbours, jnp.int32),
            own=jnp.asarray(own[np.argsort(owner[own])], jnp.int32),
            n_rows=jnp.asarray([len(r.owner) for r in rows], jnp.int32),
            low=jnp.asarray(grid.low, dtype),
            step=jnp.asarray(grid.step, dtype),
            shape=jnp.asarray(grid.shape, jnp.int32),
            dtype=np.dtype(dtype).name if direct else "float32",
        )

    def _capacity(self, name: str, needed: int, unit: int = 8) -> int:
        """Room for ``needed`` entries, which never shrinks: powers of two, and of its root where memory counts."""
        before, met = self.capacities.get(name, 0), _met.setdefault(self.likeness, {})
        if needed > before:
            room = max(1.0, needed * (HEADROOM if before else FIRST_HEADROOM * self.spare) / unit)
            halves = 1 if room < FINE_CAPACITIES_FROM else 2
            own = unit * int(np.ceil(2 ** (np.ceil(halves * np.log2(room)) / halves)))
            likely = met.get(name, 0)
            self.capacities[name] = likely if needed <= likely <= MOST_CAPACITY_EXCESS * own else own
            met[name] = self.capacities[name]
        return max(self.capacities.get(name, 0), unit)


def tile_plan(
    tiling: Tiling, lists: TileLists, room: Ellipsoids, cutoff: float, capacity: int, dtype: np.dtype
) -> TilePlan:
    """The lists on the device, with room for ``capacity`` chunks."""
    n_chunks, at_once = lists.members.shape[:2]
    spare, nobody = capacity - n_chunks, len(room.radii)
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
        inverse_factors=jnp.asarray(np.linalg.inv(room.factors), dtype),
        radii=jnp.asarray(room.radii, dtype),
        cutoff=jnp.asarray(cutoff, dtype),
    )


def tiles_a_chunk(n_tiles: int, cpu: bool) -> int:
    """How many tiles compiled code takes at once: enough work to outweigh its launch, few enough to stay in cache and
    to leave few places of the last chunk empty (at least about four chunks, where there are four tiles).
    """
    largest = CPU_TILES_A_CHUNK if cpu else GPU_TILES_A_CHUNK
    return int(min(largest, max(1, 2 ** int(np.log2(max(1, n_tiles / 4))))))


_components = quick_jit(Parameterization.components)


def _on_host(parameterization: Parameterization, params: Array) -> HostComponents:
    parts = _components(parameterization, params)
    return HostComponents(
        *(np.asarray(array, np.float64) for array in (parts.amplitudes, parts.centers, parts.factors))
    )


def _padded(rows: np.ndarray, size: int, value: int) -> np.ndarray:
    return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1), constant_values=value)
