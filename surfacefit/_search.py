"""Search around a minimum: relocations and shuffles, accepted only where the joint refit is better.

Each round asks of every component what its loss would cost, and of every place what a component there would win; pairs of both are
relocations. The most promising moves are tried on the whole problem, several at once where they stand apart and promise to win.
When none helps, the search goes on from a slightly worse minimum that it met, and comes back to the best if that leads nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ._growth import largest_misfit
from ._moves import Move, Neighbourhood, applied
from ._workbench import State, Workbench

TRIES = 12
STEPS = 80
BETTER = 1e-3
SETTLE = 40
WORSE = 0.04
KICKED = 8
SHUFFLES = 16
STRENGTHS = (0.5, 1.0)
MOST = 256
AT_ONCE = 0.1
PAIRS = 48
PER_PARAMETER = 12


class Trial(NamedTuple):
    """Moves to be made together, and the fall in cost that they promise."""

    promise: float
    moves: tuple[Move, ...]

    @property
    def parts(self) -> tuple[int, ...]:
        return tuple(id(move) for move in self.moves)


class Survey:
    """The moves from a state: relocations are looked for once, shuffles anew each time; no trial is made twice."""

    def __init__(self, bench: Workbench, state: State):
        self.state, self._around = state, Neighbourhood(bench, state)
        self._tried: set[tuple[int, ...]] = set()

    def trials(self, rng: np.random.Generator, most: int) -> Iterator[Trial]:
        """Up to ``most`` trials in the order of what they promise, several winners that stand apart at once before that."""
        trials = sorted(self._relocations + self._shuffles(rng), key=lambda trial: -trial.promise)
        fresh = [trial for trial in in_turn(trials, max(1, round(AT_ONCE * self.state.count))) if trial.parts not in self._tried]
        for trial in fresh[:most]:
            self._tried.add(trial.parts)
            yield trial

    def kick(self, rng: np.random.Generator, count: int) -> tuple[Move, ...]:
        """Some relocations at once, whatever they promise."""
        some = rng.permutation(len(self._relocations))
        chosen: list[Move] = []
        touched: set[int] = set()
        for n in some:
            (move,) = self._relocations[n].moves
            if len(chosen) < count and move.candidate.removed not in touched:
                chosen.append(move)
                touched |= move.touched
        return tuple(chosen)

    @cached_property
    def _relocations(self) -> list[Trial]:
        around, count = self._around, self.state.count
        few = np.arange(count) if count <= MOST else around.by_weight()[:MOST]
        losses = around.raced(around.removals(few))
        gains = around.raced(around.additions(8 + count // 8, largest_misfit(around, count)))
        pairs = [around.relocation(*pair) for pair in pairs_of(gains, losses)[:PAIRS]]
        return [Trial(move.fall, (move,)) for move in around.raced(pairs)]

    def _shuffles(self, rng: np.random.Generator) -> list[Trial]:
        around, count = self._around, self.state.count
        which = rng.choice(count, min(count, SHUFFLES), replace=False)
        moves = around.raced(around.shuffles(which, float(rng.choice(STRENGTHS)), rng))
        return [Trial(move.fall, (move,)) for move in moves if not around.came_back(move)]


def search(bench: Workbench, state: State, rng: np.random.Generator, patience: int, deadline: float) -> State:
    """The best state met; ends after ``patience`` trials without a better one, or at a time on the ``perf_counter`` clock.

    Trials are made on a sample of the points where that saves much; what is better there is refitted on all.
    Raises Halt with the best in ``bench.best`` where the fit as a whole must end.
    """
    sample = bench.sampled(PER_PARAMETER)
    if sample is None:
        return _searched(bench, state, rng, patience, deadline, bench.keep)
    best = state

    def keep(found: State) -> None:
        nonlocal best
        bench.steps += sample.steps
        sample.steps = 0
        refitted = bench.refit(found.blocks, found.border, SETTLE)
        if refitted.cost < best.cost:
            best = refitted
            bench.keep(best)

    _searched(sample, sample.refit(state.blocks, state.border, SETTLE), rng, patience, deadline, keep)
    return best


def _searched(
    bench: Workbench, state: State, rng: np.random.Generator, patience: int, deadline: float, keep: Callable[[State], None]
) -> State:
    best = here = Survey(bench, state)
    failures = 0
    while failures < patience and time.perf_counter() < deadline:
        found = []
        for trial in here.trials(rng, TRIES):
            bench.check_time()
            if time.perf_counter() >= deadline:
                break
            found.append(bench.refit(applied(here.state, trial.moves), here.state.border, STEPS, target=here.state.cost))
            failures += 1
            if _better(found[-1], here.state):
                break
        if found and _better(found[-1], here.state):
            here = Survey(bench, found[-1])
        else:
            near = [state for state in found if _better(here.state, state) and state.cost < (1 + WORSE) * best.state.cost]
            here = Survey(bench, near[rng.integers(len(near))] if near else kicked(bench, best, rng))
        if _better(here.state, best.state):
            best, failures = here, 0
            keep(best.state)
    return best.state


def kicked(bench: Workbench, best: Survey, rng: np.random.Generator) -> State:
    """The best state after some relocations at once, whatever they promise."""
    moves = best.kick(rng, int(rng.integers(2, 3 + best.state.count // KICKED)))
    return bench.refit(applied(best.state, moves), best.state.border, SETTLE)


def _better(a: State, b: State) -> bool:
    return a.cost < (1 - BETTER) * b.cost


def pairs_of(gains: list[Move], losses: list[Move]) -> list[tuple[Move, Move]]:
    """Pairs of an addition and a removal, the most promising first."""
    pairs = [(gain, loss) for gain in gains for loss in losses if not (gain.splits and gain.members[0] == loss.candidate.removed)]
    return sorted(pairs, key=lambda pair: -pair[0].fall - pair[1].fall)


def in_turn(trials: list[Trial], most: int) -> list[Trial]:
    """First all winners that stand apart, then half of them; then one by one, none with a part that two before it had."""
    apart: list[Trial] = []
    touched: set[int] = set()
    uses: dict[int, int] = {}
    single = []
    for trial in trials:
        if all(uses.get(part, 0) < 2 for part in trial.parts):
            single.append(trial)
            uses.update({part: uses.get(part, 0) + 1 for part in trial.parts})
        own = set().union(*(move.touched for move in trial.moves))
        if trial.promise > 0 and len(apart) < most and not own & touched:
            apart.append(trial)
            touched |= own
    together = [_joined(apart[:n]) for n in (len(apart), len(apart) // 2) if n > 1]
    return together + single


def _joined(trials: list[Trial]) -> Trial:
    return Trial(sum(trial.promise for trial in trials), tuple(move for trial in trials for move in trial.moves))
