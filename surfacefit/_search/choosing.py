"""The number of components: growth until it does not pay, then the least useful away one by one, then up and down
again.

Each number that is met is judged by the criterion at the best fit of it; the best number wins. States in the units of
the fit do not depend on how many components there is room for, so room is made in powers of two as it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .._base.status import Status
from .._model.surface import GaussianSurface
from .._results.criteria import AutoComponents, ComponentPath, Deviance, Entry, Log
from .context import Halt, SearchContext, State
from .cross_validation import held_out_error, reweighted
from .moves import Neighbourhood, apart, applied
from .pruning import without_least

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
SAME = 0.1  # of the BIC: the same fit once more


class Chosen(NamedTuple):
    """The best number's surface in the user's units (None if nothing was tried), all that was tried, the steps that it
    took, and a status if a limit was met on the way.
    """

    surface: GaussianSurface | None
    path: ComponentPath
    steps: int
    halted: Status | None


class Tried(NamedTuple):
    """A state and what is known of it."""

    state: State
    entry: Entry

    @property
    def size(self) -> int:
        return self.state.size


@dataclass(eq=False)
class Choice:
    """A walk over numbers of components up to ``most``. ``make`` gives a context with room for some of them; ``fold``
    (N,) says when each point is left out, None if none is.
    """

    auto: AutoComponents
    most: int
    deviance: Deviance
    make: Callable[[int], SearchContext]
    fold: np.ndarray | None
    _states: dict[int, State] = field(default_factory=dict)
    _contexts: dict[int, SearchContext] = field(default_factory=dict)

    @cached_property
    def log(self) -> Log:
        return Log(self.auto)

    @property
    def best(self) -> Tried | None:
        """Of one component or more: a fit has one at least."""
        entry = self.log.best(1)
        return None if entry is None else Tried(self._states[entry.n_components], entry)

    def chosen(self) -> Chosen:
        """The walk to its end, or to where a limit ends it."""
        halted = None
        try:
            self._walk()
        except Halt as halt:
            halted = halt.status
        except KeyboardInterrupt:
            halted = Status.INTERRUPTED
        steps, best = sum(context.steps for context in self._contexts.values()), self.best
        surface = None if best is None else self._context(best.size).physical(best.state)
        path = self.log.path()
        if halted is not None and best is None:  # no component has been tried: none has been found not to be called for
            path = replace(path, chosen=-1)
        return Chosen(surface, path, steps, halted)

    def _walk(self) -> None:
        self._down(self._grown(), AT_ONCE)
        for _ in range(ROUNDS):
            before = self.best
            if before is None:
                return
            self._down(before, 0)
            best = self.best or before
            if best.size < self.most:
                self._down(self._up(best), 0)
            if self.log.best(1) is before.entry:
                return

    def _grown(self) -> Tried | None:
        """Growth at the peaks of the residual, until it has not paid for some rounds."""
        state, tried, failures = self._level(), None, 0
        while state.size < self.most and (tried is None or not self._reached()):
            if failures >= (GROWTH_PATIENCE if state.size < FEW else 1):
                break
            wanted = min(self.most, max(state.size + 1, round((1 + RATIO) * state.size)))
            context = self._context(wanted)
            blocks = context.blocks_at_peaks(state, wanted - state.size)
            if not len(blocks):
                break
            state = context.refit(np.concatenate([state.blocks, blocks]), state.border, GROWTH_STEPS)
            tried = self._noted(state)
            failures = 0 if tried.entry is self.log.lowest else failures + 1
        return tried

    def _level(self) -> State:
        """The background alone, which is noted; growth begins from its start, as found where the data are lowest or in
        their middle.
        """
        context = self._context(1)
        start = context.empty()
        alone = reweighted(context, context.prepared.problem.weights)
        level = context.recosted(alone.refit(start.blocks, start.border, GROWTH_STEPS))
        self._states[0] = level
        self.log.note(self._entry(level))
        return start

    def _down(self, tried: Tried | None, share: float) -> None:
        """The least useful components away, a ``share`` of them (one at least) at once, until that has not paid for
        some rounds.
        """
        failures = 0
        while tried is not None and tried.size > 1 and failures < DOWN_PATIENCE:
            (state, before), context = tried, self._context(tried.size)
            blocks = without_least(context, state, max(1, round(share * state.size)))
            tried = self._noted(context.refit(blocks, state.border, SETTLE))
            failures = 0 if self.log.key(tried.entry) < self.log.key(before) else failures + 1

    def _up(self, tried: Tried) -> Tried:
        """A component more (or some, of many), by what they win at peaks and as halves of those that are there."""
        state = tried.state
        some = min(self.most - state.size, max(1, round(AT_ONCE * state.size)))
        context = self._context(state.size + some)
        around = Neighbourhood(context, state)
        moves = around.raced(around.additions(4 + some, around.by_misfit(np.arange(state.size))[:SPLITS]))
        return self._noted(context.refit(applied(state, apart(moves, some)), state.border, SETTLE))

    def _context(self, count: int) -> SearchContext:
        """A context with room for ``count`` components, and some more."""
        room = min(self.most, max(FIRST_ROOM, 1 << (count - 1).bit_length()))
        if room not in self._contexts:
            self._contexts[room] = self.make(room)
            self._contexts[room].make_room()
        return self._contexts[room]

    def _noted(self, state: State) -> Tried:
        """A state with what is known of it, which may be the best so far. Raises Halt where the fit must end."""
        entry = self._entry(state)
        if self.log.note(entry):
            self._states[state.size] = state
        best = self.best or Tried(state, entry)
        context = self._context(best.size)  # one with room for it, should it be asked for its surface
        context.best = best.state
        context.look()
        return Tried(state, entry)

    def _entry(self, state: State) -> Entry:
        context = self._context(state.size)
        square = 2 * (state.cost - context.penalty(state)) * context.prepared.cost_unit
        n_shared = context.parameterization.layout.n_shared  # a shape that is tied counts where there is a component
        shared = n_shared if state.size == 0 else 0
        entry = self.deviance.entry(
            state.size, state.blocks.size + len(state.border) - shared, square, context.misfit(state)
        )
        if self.fold is None:
            return entry
        before = self.log.entries.get(state.size)
        if before is not None and entry.bic > before.bic - SAME:
            return entry._replace(held_out=before.held_out, held_out_se=before.held_out_se)
        held_out, standard_error = held_out_error(context, state, self.fold)
        return entry._replace(held_out=held_out, held_out_se=standard_error)

    def _reached(self) -> bool:
        best = self.log.best()
        return self.auto.target is not None and best is not None and self.log.key(best)[0] == 0
