"""Search around a minimum: relocations and shuffles, accepted only where the joint refit is better.

Each round asks of every component what its loss would cost, and of every place what a component there would win; pairs of both are
relocations. The most promising moves are tried on the whole problem, several at once where they stand apart and promise to win.
When none helps, the search goes on from a slightly worse minimum that it met and has not been at, else from the best with some
components taken away and grown anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from ._growth import grown
from ._moves import Move, Neighbourhood, applied
from ._workbench import State, Workbench

TRIES = 12
STEPS = 80
BETTER = 1e-3
SETTLE = 40
KICKS = 4
MANY = 64
SPLITS = 128
WORSE = 0.04
SHUFFLES = 16
STRENGTHS = (0.5, 1.0)
MOST = 256
AT_ONCE = 0.1
PAIRS = 24
USES = 6
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
        fresh = [trial for trial in in_turn(trials, max(1, round(AT_ONCE * self.state.size))) if trial.parts not in self._tried]
        for trial in fresh[:most]:
            self._tried.add(trial.parts)
            yield trial

    @cached_property
    def _relocations(self) -> list[Trial]:
        around, count = self._around, self.state.size
        few = np.arange(count) if count <= MOST else around.by_weight()[:MOST]
        losses = around.raced(around.removals(few))
        gains = around.raced(around.additions(8 + count // 8, around.by_misfit()[:SPLITS]))
        pairs = [around.relocation(*pair) for pair in pairs_of(gains, losses, max(PAIRS, count // 4))]
        return [Trial(move.fall, (move,)) for move in around.raced(pairs)]

    def _shuffles(self, rng: np.random.Generator) -> list[Trial]:
        around, count = self._around, self.state.size
        which = rng.choice(count, min(count, SHUFFLES), replace=False)
        moves = around.raced(around.shuffles(which, float(rng.choice(STRENGTHS)), rng))
        return [Trial(move.fall, (move,)) for move in moves if not around.came_back(move)]


def search(bench: Workbench, state: State, rng: np.random.Generator, patience: int, deadline: float) -> State:
    """The best state met; ends after ``patience`` rounds without a better one, or at a time on the ``perf_counter`` clock.

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
    failures, seen = 0, {_level(state)}
    while failures < patience and time.perf_counter() < deadline:
        found = []
        for trial in here.trials(rng, TRIES):
            bench.check_time()
            if time.perf_counter() >= deadline:
                break
            found.append(bench.refit(applied(here.state, trial.moves), here.state.border, steps_of(here.state), target=here.state.cost))
            if _better(found[-1], here.state):
                break
        failures += 1
        if found and _better(found[-1], here.state):
            here = Survey(bench, found[-1])
        else:
            near = [state for state in found if state.cost < (1 + WORSE) * best.state.cost and _level(state) not in seen]
            here = Survey(bench, near[rng.integers(len(near))] if near else kicked(bench, best.state, rng))
        seen.add(_level(here.state))
        if _better(here.state, best.state):
            best, failures = here, 0
            keep(best.state)
    return best.state


def _level(state: State) -> int:
    """States of nearly the same cost are taken for the same."""
    return round(math.log(max(state.cost, 1e-300)) / (2 * BETTER))


def steps_of(state: State) -> int:
    """Joint steps for a trial: fewer where each is long, and where many moves are tried at once."""
    return STEPS if state.size <= MANY else STEPS // 4


def kicked(bench: Workbench, best: State, rng: np.random.Generator) -> State:
    """Another minimum, not too far: the best of KICKS, each with some components taken away and as many grown anew."""
    return min((_regrown(bench, best, rng) for _ in range(KICKS)), key=lambda state: state.cost)


def _regrown(bench: Workbench, best: State, rng: np.random.Generator) -> State:
    lost = rng.choice(best.size, int(rng.integers(1, max(1, best.size // 2) + 1)), replace=False)
    left = best._replace(blocks=np.delete(best.blocks, lost, axis=0))
    if left.size:
        left = bench.refit(left.blocks, left.border, SETTLE // 4)
    again = grown(bench, left, best.size)
    return bench.refit(again.blocks, again.border, SETTLE)


def _better(a: State, b: State) -> bool:
    return a.cost < (1 - BETTER) * b.cost


def pairs_of(gains: list[Move], losses: list[Move], most: int) -> list[tuple[Move, Move]]:
    """Up to ``most`` pairs of an addition and a removal, the most promising first, no part in more than USES of them."""
    uses: dict[int, int] = {}
    chosen: list[tuple[Move, Move]] = []
    for gain, loss in sorted(product(gains, losses), key=lambda pair: -pair[0].fall - pair[1].fall):
        same = gain.splits and gain.members[0] == loss.candidate.removed
        if len(chosen) < most and not same and uses.get(id(gain), 0) < USES and uses.get(id(loss), 0) < USES:
            chosen.append((gain, loss))
            uses.update({id(part): uses.get(id(part), 0) + 1 for part in (gain, loss)})
    return chosen


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
