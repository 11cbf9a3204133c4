"""Growth by regions: peaks on cells that become finer as components become many, each followed by a refit of groups of
neighbours on their windows; then joint steps on all points and sweeps in turns.

Windows hold what is wider than they are. Joint steps let wide components give way to the narrow ones above them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from .._data.data import lattice
from .._search.context import SearchContext
from .._search.growth import grow_from, wanted_components
from .._search.refits import refit
from .._search.residual_views import surface_of
from .._search.states import State
from .._starts.peaks import find_peaks
from .components import Components
from .first_components import dense_averages
from .levels import Level, level_of
from .sweeps import sweep

# Components that are grown together with the background before there are regions: windows hold the background, and up
# to here a dense joint step takes milliseconds.
FIRST_TOGETHER = 64
# Cells a component at least, six a parameter: as many as averages for a search have (`_search/surrogate`).
CELLS_PER_COMPONENT = 36
# Rounds in which the peaks of one state are found, as in growth by joint steps alone.
ROUNDS_OF_PEAKS = 4
# Joint steps on all points in a round once all components are there.
JOINT_STEPS = 6
# Most rounds of joint steps and a sweep then: a bound, few fits reach it.
SETTLING_ROUNDS = 8
# Relative fall of the cost in such a round below which components have settled: the solver's own steps do as well.
SETTLED_ROUND_FALL = 0.05


@dataclass(eq=False)
class RegionGrowth:
    """Components that grow towards as many as a context asks for, with the border (b,) of the background.

    When there are enough, ``is_whole``, what is left of each point is looked at: joint steps fit them closer than
    averages at the cells' middles can tell. From the time ``last_round`` of the ``perf_counter`` clock on, all that are
    missing are added in one round.
    """

    context: SearchContext
    components: Components
    border: np.ndarray
    sweeps: int = 0
    level: Level | None = None
    is_whole: bool = False
    last_round: float = float("inf")

    @classmethod
    def of_nothing(cls, context: SearchContext) -> RegionGrowth:
        nothing = context.packing.empty_state()
        return cls(context, Components.of(context.prepared.host.parameterization, nothing.blocks), nothing.border)

    @property
    def state(self) -> State:
        return State(self._level_for(len(self.components)).cost, self.components.blocks.copy(), self.border)

    def grow(self) -> None:
        """Adds components until there are enough, or no peak is left, then refits until they have settled."""
        wanted = self.context.request.n_components
        self._begin(min(FIRST_TOGETHER, wanted))
        while more := self._more(wanted):
            if not self.add_at_peaks(more):
                break
            self._sweep()
        self.is_whole = True
        for _ in range(SETTLING_ROUNDS if len(self.components) else 0):
            before = self.state.cost
            self._step_together()
            self._sweep()
            if self.state.cost > (1 - SETTLED_ROUND_FALL) * before:
                break

    def _more(self, wanted: int) -> int:
        """How many components the next round adds, at most."""
        there = len(self.components)
        return wanted - there if time.perf_counter() >= self.last_round else wanted_components(there, wanted)

    def _begin(self, count: int) -> None:
        """The first components with the background, on averages by joint steps alone."""
        averages = dense_averages(self.context, count)
        if averages is None:
            return
        first = grow_from(averages, averages.views.background_only(), count, lambda state: self.context.check_limits())
        self.border, self.components = first.border, Components.of(self.components.parts, first.blocks)

    def add_at_peaks(self, more: int) -> bool:
        """Adds up to so many components at the highest peaks; whether there were any."""
        level = self._level_for(len(self.components) + more)
        peaks = find_peaks(level.raster, level.sums, more, max(1, more // ROUNDS_OF_PEAKS), self.context.request.signed)
        if not peaks:
            return False
        blocks = self.context.packing.blocks(surface_of(peaks))
        level.add(Components.of(self.components.parts, blocks).surface, -1.0)
        self.components = self.components.with_more(blocks)
        return True

    def _sweep(self) -> None:
        self.sweeps += 1
        sweep(self.context, self._level_for(len(self.components)), self.components, self.sweeps, self._seen)
        self.context.record(self.state)

    def _step_together(self) -> None:
        """Joint steps on all points."""
        context, self.level = self.context, None  # it would have to be made anew, and joint steps need the memory
        context.progress.stage = f"joint steps of {len(self.components):,} components"
        state = refit(context, self.components.blocks, self.border, JOINT_STEPS)
        self.border, self.components = state.border, Components.of(self.components.parts, state.blocks)
        context.record(self.state)

    def _seen(self, done: int, total: int) -> None:
        """Shows that so many of a sweep's regions are done, and looks at the limits."""
        self.context.progress.stage = f"{len(self.components):,} components, {done:,} of {total:,} regions"
        self.context.record(self.state)

    def _level_for(self, count: int) -> Level:
        """The level of so many components, which knows what is left above those that there are."""
        side = 1 if self.is_whole else self._side_for(count)
        if self.level is None or self.level.side != side:
            self.level = level_of(self.context.request.raster, side)
            self.level.leave(self.components.surface, self._rise(self.level))
        return self.level

    def _side_for(self, count: int) -> int:
        """Points along each axis of the cells for so many components: a power of two."""
        side, points, n_dim = 1, len(self.context.request.heights), self.context.parameterization.n_dim
        while points / (2 * side) ** n_dim >= CELLS_PER_COMPONENT * max(count, 1):
            side *= 2
        return side

    def _rise(self, level: Level) -> np.ndarray:
        """How much higher the background is at each cell than at its start."""
        parts = self.components.parts
        background = parts.background.with_vector(self.border[parts.layout.background])
        points = lattice(level.axes)
        return np.asarray(background(points) - parts.background(points), float).reshape(level.left.shape)
