"""The number of components: growth until it does not pay, then the least useful away one by one, then up and down again.

Each number that is met is judged by the criterion at the best fit of it; the best number wins. States in the units of the fit do not
depend on how many components there is room for, so room is made in powers of two as it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ._criteria import AutoComponents, ComponentPath, Deviance, Entry, Log
from ._moves import Neighbourhood, apart, applied
from ._pruning import without_least
from ._status import Status
from ._surface import GaussianSurface
from ._workbench import Halt, State, Workbench

FIRST_ROOM = 8
RATIO = 0.5
GROWTH_STEPS = 24
SETTLE = 60
GROWTH_PATIENCE = 2
DOWN_PATIENCE = 3
ROUNDS = 3
AT_ONCE = 0.04
FEW = 16
SPLITS = 16


class Chosen(NamedTuple):
    """The best number's surface in the user's units (None if nothing was tried), all that was tried, the steps that it took, and a
    status if a limit was met on the way.
    """

    surface: GaussianSurface | None
    path: ComponentPath
    steps: int
    halted: Status | None


@dataclass(eq=False)
class Choice:
    """A walk over numbers of components up to ``most``. ``make`` gives a bench with room for some of them, ``held_out`` the error of
    a surface in the data left out.
    """

    auto: AutoComponents
    most: int
    deviance: Deviance
    make: Callable[[int], Workbench]
    held_out: Callable[[GaussianSurface], float]
    log: Log = field(default_factory=Log)
    best: State | None = None
    _key: tuple[float, float] = (np.inf, np.inf)
    _benches: dict[int, Workbench] = field(default_factory=dict)

    def chosen(self) -> Chosen:
        """The walk to its end, or to where a limit ends it."""
        halted = None
        try:
            self._walk()
        except Halt as halt:
            halted = halt.status
        except KeyboardInterrupt:
            halted = Status.INTERRUPTED
        steps, best = sum(bench.steps for bench in self._benches.values()), self.best
        surface = None if best is None else self._bench(best.size).physical(best)
        return Chosen(surface, self.log.path(self.auto, 0 if best is None else best.size), steps, halted)

    def _walk(self) -> None:
        self._down(self._grown(), AT_ONCE)
        for _ in range(ROUNDS):
            before, best = self._key, self.best
            if best is not None:
                self._down(best, 0)
            if self.best is not None and self.best.size < self.most:
                self._down(self._up(self.best), 0)
            if self._key == before:
                return

    def _grown(self) -> State:
        """Growth at the peaks of the residual, until it has not paid for some rounds."""
        state, failures = self._bench(1).empty(), 0
        while state.size < self.most and failures < (GROWTH_PATIENCE if state.size < FEW else 1) and not self._reached():
            wanted = min(self.most, max(state.size + 1, round((1 + RATIO) * state.size)))
            bench = self._bench(wanted)
            blocks = bench.blocks_at_peaks(state, wanted - state.size)
            if not len(blocks):
                break
            state = bench.refit(np.concatenate([state.blocks, blocks]), state.border, GROWTH_STEPS)
            failures = 0 if self._note(state, self._entry(state)) else failures + 1
        return state

    def _down(self, state: State, share: float) -> None:
        """The least useful components away, a ``share`` of them (one at least) at once, until that has not paid for some rounds."""
        failures, last = 0, self.auto.key(self._entry(state))
        while state.size > 1 and failures < DOWN_PATIENCE:
            bench = self._bench(state.size)
            blocks = without_least(bench, state, max(1, round(share * state.size)))
            state = bench.refit(blocks, state.border, SETTLE)
            entry = self._entry(state)
            before, last = last, self.auto.key(entry)
            failures = 0 if self._note(state, entry) or last < before else failures + 1

    def _up(self, state: State) -> State:
        """A component more (or some, of many), by what they win at peaks and as halves of those that are there."""
        some = min(self.most - state.size, max(1, round(AT_ONCE * state.size)))
        bench = self._bench(state.size + some)
        around = Neighbourhood(bench, state)
        moves = around.raced(around.additions(4 + some, around.by_misfit(np.arange(state.size))[:SPLITS]))
        state = bench.refit(applied(state, apart(moves, some)), state.border, SETTLE)
        self._note(state, self._entry(state))
        return state

    def _bench(self, count: int) -> Workbench:
        """A bench with room for ``count`` components, and some more."""
        room = min(self.most, max(FIRST_ROOM, 1 << (count - 1).bit_length()))
        if room not in self._benches:
            self._benches[room] = self.make(room)
            self._benches[room].make_room()
        return self._benches[room]

    def _note(self, state: State, entry: Entry) -> bool:
        """Whether this state is the best so far. Raises Halt where the fit must end."""
        bench = self._bench(state.size)
        self.log.note(entry, self.auto)
        better = self.auto.key(entry) < self._key
        if better:
            self.best, self._key = state, self.auto.key(entry)
        bench.best = self.best
        bench.look()
        return better

    def _entry(self, state: State) -> Entry:
        bench = self._bench(state.size)
        square = 2 * (state.cost - bench.penalty(state)) * bench.prepared.cost_unit
        n_parameters, held_out = state.blocks.size + len(state.border), self.held_out(bench.physical(state))
        return self.deviance.entry(state.size, n_parameters, square, bench.misfit(state), held_out)

    def _reached(self) -> bool:
        return self.auto.target is not None and self._key[0] == 0
