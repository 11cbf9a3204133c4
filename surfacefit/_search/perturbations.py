"""Kicks: ways out of a minimum from which no single move leads, each to another minimum not too far away.

Two minima may be spliced along a line, which keeps what is good in either (Deaven & Ho, Phys. Rev. Lett. 75 (1995)
288); components may be taken away and as many grown anew, or added first and then as many of the least useful taken
away; and for few components, or where little helps, a random start is as good, most of which can be given up after some
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from .._starts import STARTS
from .context import SearchContext, State, joined
from .growth import grown
from .pruning import without_least

BETTER = 1e-3
SETTLE = 40
KICKS, MOST_KICKS = 4, 100
FLIGHTS = 12288.0
PATIENT = 2
RESTARTS, MOST_RESTARTS = 4.0, 0.5
RESTART_STEPS = 160
REGROWN = 8.0
SPLICED = 0.3
AT_ONCE = 0.1
KEPT = 8
NEAR = 0.06

Perturbation = Callable[[SearchContext, State, np.random.Generator], State]


def better(a: State, b: State) -> bool:
    return a.cost < (1 - BETTER) * b.cost


@dataclass(eq=False)
class Minima:
    """The best state met, some others nearly as good, and where the search has been.

    States of nearly the same cost are taken for the same; one of no more than ``nothing`` leaves nothing to look for.
    """

    best: State
    nothing: float = 0.0
    others: dict[int, State] = field(default_factory=dict)
    _visited: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.visit(self.best)

    def add(self, states: Iterable[State]) -> None:
        for state in states:
            self.best = min(self.best, state, key=lambda one: one.cost)
            level = _level(state)
            if level not in self.others or state.cost < self.others[level].cost:
                self.others[level] = state
        near = [level for level in sorted(self.others) if self.others[level].cost < (1 + NEAR) * self.best.cost]
        self.others = {level: self.others[level] for level in near[:KEPT]}

    def visit(self, state: State) -> None:
        """The search goes on from there."""
        self.add([state])
        self._visited.add(_level(state))

    @property
    def exact(self) -> bool:
        return self.best.cost <= self.nothing

    def visited(self, state: State) -> bool:
        return _level(state) in self._visited

    def partner(self, rng: np.random.Generator) -> State | None:
        """One of the others, if there is one."""
        levels = [level for level in self.others if level != _level(self.best)]
        return self.others[levels[rng.integers(len(levels))]] if levels else None


def perturbed(context: SearchContext, met: Minima, rng: np.random.Generator, failures: int) -> State:
    """The best that kicks lead to, more of them where components are few; where they find a better state they begin
    anew from there.

    Growing over finds more than growing again, but compiles for more components: it is for a sample, and where the
    first rounds have not helped; then, and of few components from the first, kicks lead anywhere, too.
    """
    first, states, wanted = met.best, list[State](), min(MOST_KICKS, max(KICKS, round(FLIGHTS / met.best.size**3)))
    while len(states) < wanted and not met.exact:
        context.look()
        before = met.best
        drawn = rng.spawn(min(context.at_once, wanted - len(states)))
        made = context.beside(
            [partial(_perturbation, context, before, met.partner(rng), failures, own) for own in drawn]
        )
        met.add(made)
        states = [] if better(met.best, before) else [*states, *(made or [before])]
    fresh = [state for state in states if not met.visited(state)]
    return met.best if met.exact or better(met.best, first) else min(fresh or states, key=lambda state: state.cost)


def _perturbation(
    context: SearchContext, best: State, partner: State | None, failures: int, rng: np.random.Generator
) -> State:
    kind = _draw_kind(context, best.size, failures, rng)
    if kind is not random_restart and partner is not None and rng.random() < SPLICED:
        return crossover(context, best, partner, rng)
    return kind(context, best, rng)


def _draw_kind(context: SearchContext, size: int, failures: int, rng: np.random.Generator) -> Perturbation:
    """A kind of kick; of few components as many as half can be grown anew and end near, of many hardly."""
    anywhere = min(MOST_RESTARTS, RESTARTS / size)
    few = size <= RESTARTS / MOST_RESTARTS
    if (few or failures > PATIENT) and rng.random() < anywhere:
        return random_restart
    quick = context.whole is None and failures <= PATIENT
    return remove_and_regrow if quick or rng.random() < REGROWN / size else grow_and_prune


def crossover(context: SearchContext, one: State, other: State, rng: np.random.Generator) -> State:
    """The components of one on one side of a line, those of the other on the other side, refitted together."""
    mine, theirs = context.surface(one).centers, context.surface(other).centers
    extent = np.ptp(mine, axis=0)
    direction = rng.normal(size=mine.shape[1]) / np.where(extent > 0, extent, 1.0)
    mine, theirs = mine @ direction, theirs @ direction
    along = np.sort(np.concatenate([mine, theirs]))
    lines = (along[1:] + along[:-1]) / 2
    n_mine, n_theirs = np.searchsorted(np.sort(mine), lines), other.size - np.searchsorted(np.sort(theirs), lines)
    fits = np.flatnonzero((n_mine + n_theirs == one.size) & (n_mine > 0) & (n_theirs > 0))
    if not len(fits):
        return one
    line = lines[rng.choice(fits)]
    return context.refit(np.concatenate([one.blocks[mine < line], other.blocks[theirs >= line]]), one.border, SETTLE)


def random_restart(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """Somewhere else altogether: a random start."""
    surface = STARTS["random"](replace(context.request, rng=rng))
    return context.refit(context.blocks(surface), best.border, RESTART_STEPS, best.cost)


def grow_and_prune(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """Some components more at peaks drawn at random, then as many away, the least useful first."""
    wide = context.roomier
    some = (
        int(rng.integers(1, wide.request.n_components - best.size + 1)) if wide.request.n_components > best.size else 0
    )
    peaks = context.peaks(best, 2 * some) if some else []
    if not peaks:
        return best
    drawn = rng.choice(len(peaks), min(some, len(peaks)), replace=False)
    added = context.blocks(joined([peaks[n] for n in drawn]))
    state = wide.refit(np.concatenate([best.blocks, added]), best.border, SETTLE // 4)
    while state.size > best.size:
        at_once = max(1, min(state.size - best.size, round(AT_ONCE * state.size)))
        state = wide.refit(without_least(wide, state, at_once), state.border, SETTLE // 4)
    return context.refit(state.blocks, state.border, SETTLE)


def remove_and_regrow(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """Some components away, and as many grown anew."""
    lost = rng.choice(best.size, int(rng.integers(1, max(1, best.size // 2) + 1)), replace=False)
    left = best._replace(blocks=np.delete(best.blocks, lost, axis=0))
    if left.size:
        left = context.refit(left.blocks, left.border, SETTLE // 4)
    again = grown(context, left, best.size)
    return context.refit(again.blocks, again.border, SETTLE)


def _level(state: State) -> int:
    return round(math.log(min(max(state.cost, 1e-300), 1e300)) / (2 * BETTER))
