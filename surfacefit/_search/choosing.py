"""The number of components: growth until it does not pay, removal of the least useful, then up and down again.

Growth takes all points for independent, and so ends at a number that is rather too large. Its residuals show how many
points count as one, and from there on the criterion knows. At last components go that are not significant.

Each number that is tried is judged by the criterion at the best fit of it; the best number wins. States in the units of
the fit do not depend on how many components there is room for, so room is made in powers of two as it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .._base.status import Status
from .._constraints.box import bound_tolerance
from .._data.effective_size import Noise, noise_of
from .._data.noise import robust_deviation
from .._model.surface import GaussianSurface
from .._problem.amplitude_errors import LinearizedSurface, local_heights
from .._problem.loss_views import held_by_prior
from .._results.criteria import AutoComponents, ComponentPath, Deviance, Entry, Log
from .._results.record import MAX_EXACT_PARAMETERS
from .context import FitHalted, SearchContext
from .cross_validation import held_out_error, reweighted
from .growth import GROWTH_RATIO
from .moves import Neighbourhood, apply_moves, disjoint
from .pruning import insignificant, linearized, without_least_useful
from .refits import refit, reserve_plan_capacity
from .states import State

# Components that the smallest problem has room for: one program serves most choices of a few.
MIN_ROOM = 8
# Joint steps a growth round, three times those of plain growth: the criterion is read off the state that they lead to.
JUDGED_GROWTH_STEPS = 24
# Joint steps after a removal or addition: the criterion compares the states, so they must have settled.
JUDGED_SETTLING_STEPS = 60
# Components of the richest fit of a walk for each one of the best number by its noise: on terrain a richer fit always
# leaves less noise, and growth would run to the limit.
RICHNESS = 3
# And so many more, so that a best number of none or one is judged beside richer fits, too.
SPARE_RICHNESS = 8
# Growth rounds without a better number after which growth ends; one round where a round adds many components.
GROWTH_PATIENCE = 2
# Components from which a round of growth adds so many that one failure is enough.
IMPATIENT_COMPONENTS = 16
# Numbers in a row that do not pay after which removal ends: one poor removal may be made up for by the next.
REMOVAL_PATIENCE = 3
# Walks up and down after the first one; each starts from the best number, so that most end after one.
MAX_WALKS = 3
# Share of the components removed at once after growth, which overshoots; at last they go one by one.
REMOVED_SHARE = 0.04
# Components that are tried as two halves on the way up, those with the most misfit under them.
MAX_HALVED = 16
# Peaks tried on the way up besides one for each component that is wanted.
SPARE_PEAKS = 4
# Fall of the BIC below which a number has been fitted no better than before: blocks are not left out once more for it.
SAME_BIC = 0.1


class Chosen(NamedTuple):
    """The surface of the best number in the user's units, None if none was tried; the path of all numbers tried; the
    steps taken, and a status if a limit of the fit was met.
    """

    surface: GaussianSurface | None
    path: ComponentPath
    steps: int
    halted: Status | None


class Tried(NamedTuple):
    """A state and its entry in the path."""

    state: State
    entry: Entry

    @property
    def size(self) -> int:
        return self.state.size


@dataclass(eq=False)
class Choice:
    """A walk over numbers of components up to ``most``.

    ``make`` returns a context with room for a number of components; ``fold`` (N,) is the fold of each point, None where
    the criterion needs no points left out. ``_deviation`` is that of the noise beneath misfit that counts as none,
    weighted; known once growth has ended.
    """

    auto: AutoComponents
    most: int
    deviance: Deviance
    make: Callable[[int], SearchContext]
    fold: np.ndarray | None
    _states: dict[int, State] = field(default_factory=dict)
    _contexts: dict[int, SearchContext] = field(default_factory=dict)
    _deviation: float | None = None

    @cached_property
    def log(self) -> Log:
        return Log(self.auto, self.deviance)

    @property
    def best(self) -> Tried | None:
        """The best of one component or more, from which a walk goes on."""
        entry = self.log.best(1)
        return None if entry is None else Tried(self._states[entry.n_components], entry)

    @property
    def _chosen(self) -> Tried | None:
        """What was settled on, or the best number so far; the background alone is a number, too."""
        entry = self.log.best() if self.log.settled is None else self.log.entries[self.log.settled]
        return None if entry is None else Tried(self._states[entry.n_components], entry)

    def chosen(self) -> Chosen:
        """The best number, after the whole walk or as far as a limit of the fit allowed."""
        halted = None
        try:
            self._walk()
        except FitHalted as halt:
            halted = halt.status
        except KeyboardInterrupt:
            halted = Status.INTERRUPTED
        steps, best = sum(context.progress.steps for context in self._contexts.values()), self._chosen
        if halted is not None and self.best is None:
            best = None
        surface = None if best is None else self._context(best.size).packing.physical(best.state)
        path = self.log.path()
        if halted is not None and best is None:  # no number has been tried, so that none has been chosen
            path = replace(path, chosen=-1)
        return Chosen(surface, path, steps, halted)

    def _walk(self) -> None:
        grown = self._grown()
        if not self.auto.sees_noise:
            self._down(grown, REMOVED_SHARE)
            self._up_and_down()
            return
        if self.best is not None:
            self._look_at_noise(self.best.state)
        if self.auto.criterion == "significance":
            self._settle_best(self.best)
            return
        self._down(self.best, REMOVED_SHARE)
        self._up_and_down()
        self._settle_best(self._chosen)

    def _look_at_noise(self, richest: State) -> None:
        """Judges all numbers anew by the noise that the richest fit shows."""
        context = self._context(richest.size)
        if self.auto.tolerance:
            self._deviation = robust_deviation(context.views.residuals(richest))
        self.log.volume = self._volume(richest)
        for size, state in self._states.items() if self.auto.tolerance else ():
            self.log.entries[size] = self._entry(state)

    def _up_and_down(self) -> None:
        for _ in range(MAX_WALKS):
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
        """Growth at the peaks of the residual until it has not paid for some rounds; the last state tried."""
        state, tried, failures = self._level(), None, 0
        while state.size < self.most and (tried is None or not self._reached()):
            if failures >= (GROWTH_PATIENCE if state.size < IMPATIENT_COMPONENTS else 1):
                break
            wanted = min(self.most, max(state.size + 1, round((1 + GROWTH_RATIO) * state.size)))
            context = self._context(wanted)
            blocks = context.views.blocks_at_peaks(state, wanted - state.size)
            if not len(blocks):
                break
            blocks = np.concatenate([state.blocks, blocks])
            state = refit(context, blocks, state.border, JUDGED_GROWTH_STEPS)
            tried = self._noted(state)
            failures = 0 if tried.entry is self.log.lowest else failures + 1
            if self.auto.sees_noise and self._is_rich(tried):
                break
        return tried

    def _is_rich(self, tried: Tried) -> bool:
        """Whether a state is so much larger than the best number, by the noise of its own residuals, that growth has
        shown enough of that noise.
        """
        if tried.size <= SPARE_RICHNESS:
            return False
        inner = linearized(self._context(tried.size), tried.state)
        # What the fit has taken from the noise takes time to give back, and matters little for where growth ends.
        noise = noise_of(self._context(tried.size).prepared.data, self._counted(tried.state))
        volume = inner.volume(noise)
        best = replace(self.log, volume=volume).lowest
        return tried.size > RICHNESS * best.n_components + SPARE_RICHNESS

    def _level(self) -> State:
        """The background as first estimated, where growth starts; its fit is entered as K = 0."""
        context = self._context(1)
        start = context.views.background_only()
        alone = reweighted(context, context.prepared.problem.weights)
        level = context.views.with_cost(refit(alone, start.blocks, start.border, JUDGED_GROWTH_STEPS))
        self._states[0] = level
        self.log.note(self._entry(level))
        return start

    def _down(self, tried: Tried | None, share: float) -> None:
        """Removes the least useful components, a ``share`` at once but at least one, until that has not paid for some
        rounds.
        """
        failures = 0
        while tried is not None and tried.size > 1 and failures < REMOVAL_PATIENCE:
            (state, before), context = tried, self._context(tried.size)
            blocks = without_least_useful(context, state, max(1, round(share * state.size)))
            tried = self._noted(refit(context, blocks, state.border, JUDGED_SETTLING_STEPS))
            failures = 0 if self.log.key(tried.entry) < self.log.key(before) else failures + 1

    def _up(self, tried: Tried) -> Tried:
        """One component more, or some where there are many: at peaks, or as halves of a component."""
        state = tried.state
        count = min(self.most - state.size, max(1, round(REMOVED_SHARE * state.size)))
        context = self._context(state.size + count)
        around = Neighbourhood(context, state)
        halved = around.by_misfit(np.arange(state.size))[:MAX_HALVED]
        moves = around.refit_best(around.additions(SPARE_PEAKS + count, halved))
        blocks = apply_moves(state, disjoint(moves, count))
        return self._noted(refit(context, blocks, state.border, JUDGED_SETTLING_STEPS))

    def _settle_best(self, tried: Tried | None) -> None:
        """Removes components until all that are left are significant, and adds others as long as those are."""
        tried = None if tried is None else self._settled(tried)
        while tried is not None and 0 < tried.size < self.most:
            state, more = tried.state, self._up(tried)
            after = self._settled(more)
            if after.size <= tried.size or not self._pays(after, tried):
                self._states[state.size], self.log.entries[state.size] = tried
                self.log.settled = state.size
                return
            tried = after

    def _pays(self, after: Tried, before: Tried) -> bool:
        """Whether more components that are all significant are better."""
        if self.auto.criterion == "significance":
            return True
        return self.log.key(after.entry) < self.log.key(before.entry)

    def _settled(self, tried: Tried) -> Tried:
        """What is left where components are removed until all are significant."""
        while tried.size:
            (state, entry), context = tried, self._context(tried.size)
            inner = linearized(context, state)
            weak, significances = insignificant(inner, self._noise(state, inner), self.auto)
            tried = Tried(state, entry._replace(significance=float(significances.min())))
            self._states[state.size], self.log.entries[state.size] = tried
            self.log.settled = state.size
            blocks = np.delete(state.blocks, weak, axis=0)
            if not len(weak):
                return tried
            if not len(blocks):
                break
            state = refit(context, blocks, state.border, JUDGED_SETTLING_STEPS)
            tried = Tried(state, self._entry(state))
            context.check_limits()
        self.log.settled = 0
        return Tried(self._states[0], self.log.entries[0])

    def _noise(self, state: State, inner: LinearizedSurface) -> Noise:
        """The noise of which a state leaves its residuals."""
        return noise_of(self._context(state.size).prepared.data, self._counted(state), inner.basis)

    def _volume(self, state: State) -> float:
        """How many points count as one for a component, by the residuals of a state."""
        inner = linearized(self._context(state.size), state)
        return inner.volume(self._noise(state, inner))

    def _counted(self, state: State) -> np.ndarray:
        """The residuals (N,) of a state beyond the share of the local height that the model itself cannot follow."""
        context = self._context(state.size)
        residuals = context.views.residuals(state)
        if self._deviation is None:
            return residuals
        heights = local_heights(context.packing.surface(state), context.views.points)
        sizes, forgiven = np.abs(residuals), self.auto.tolerance * context.views.weights * heights
        # What is forgiven still counts as noise: otherwise components would be better for the points that they cover.
        sizes = np.where(forgiven > self._deviation, np.maximum(sizes - forgiven, self._deviation), sizes)
        return np.asarray(np.sign(residuals) * sizes)

    def _context(self, count: int) -> SearchContext:
        """A context with room for ``count`` components or more."""
        room = min(self.most, max(MIN_ROOM, 1 << (count - 1).bit_length()))
        if room not in self._contexts:
            self._contexts[room] = self.make(room)
            reserve_plan_capacity(self._contexts[room])
        return self._contexts[room]

    def _noted(self, state: State) -> Tried:
        """A state with its entry, which is added to the path. Raises `FitHalted` where the fit must end."""
        entry = self._entry(state)
        if self.log.note(entry):
            self._states[state.size] = state
        best = self.best or Tried(state, entry)
        context = self._context(best.size)  # one with room for the best state, whose surface the callback may ask for
        context.progress.best = best.state
        context.check_limits()
        return Tried(state, entry)

    def _entry(self, state: State) -> Entry:
        context = self._context(state.size)
        square = 2 * (state.cost - context.views.penalty(state)) * context.prepared.cost_unit
        counted = square
        if self._deviation is not None:
            counted = float(np.sum(self._counted(state) ** 2)) * context.prepared.cost_unit
        number = _n_parameters(context, state)
        entry = self.deviance.entry(state.size, number, square, context.views.misfit(state), counted)
        if self.fold is None:
            return entry
        before = self.log.entries.get(state.size)
        if before is not None and entry.bic > before.bic - SAME_BIC:
            return entry._replace(held_out=before.held_out, held_out_se=before.held_out_se)
        held_out, standard_error = held_out_error(context, state, self.fold)
        return entry._replace(held_out=held_out, held_out_se=standard_error)

    def _reached(self) -> bool:
        best = self.log.best()
        return self.auto.target is not None and best is not None and self.log.key(best)[0] == 0


def _n_parameters(context: SearchContext, state: State) -> float:
    """Free numbers of a state; with a prior how many of them the data determine, where they are not very many."""
    count = context.prepared.free_numbers(state.size)
    if context.prepared.problem.penalty is None or not state.size or count > MAX_EXACT_PARAMETERS:
        return count
    problem, params = context.packing.planned(state, with_normal=True)
    host, near = context.prepared.host_fixing(params), bound_tolerance(context.parameterization.floor.dtype)
    return count - float(held_by_prior(problem, host, np.asarray(params), near).sum())
