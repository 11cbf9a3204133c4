"""Search around a minimum: relocations and shuffles, accepted only where the joint refit is better.

Each round asks of every component what its loss would cost, and of every place what a component there would win; pairs of both are
relocations. The most promising moves are tried on the whole problem, several at once where they stand apart and promise to win.
When none helps, the search goes on from a slightly worse minimum that it met and has not been at, or from the best after some
components were taken away and grown anew, or on a sample added and then as many of the least useful taken away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from ._growth import grown
from ._initial import STARTS
from ._memory import MemoryShort
from ._moves import Move, Neighbourhood, apart, applied
from ._pruning import without_least
from ._workbench import Enough, State, Workbench, joined

EXACT = 1e-12
TRIES = 12
STEPS = 80
BETTER = 1e-3
SETTLE = 40
KICKS = 3
WALK = 0.15
PATIENT = 2
RESTARTS = 4.0
MANY = 64
SPLITS = 128
WORSE = 0.04
SHUFFLES = 16
STRENGTHS = (0.5, 1.0)
MOST = 256
AT_ONCE = 0.1
PAIRS = 24
USES = 6
PER_PARAMETER = 20


def trials(bench: Workbench, state: State, rng: np.random.Generator) -> list[list[Move]]:
    """Relocations and shuffles of a state, one by one in the order of what they promise; before that, winners that stand apart at once."""
    around, count = Neighbourhood(bench, state), state.size
    few = np.arange(count) if count <= MOST else around.by_weight()[:MOST]
    losses = around.raced(around.removals(few))
    gains = around.raced(around.additions(8 + count // 8, around.by_misfit(few)[:SPLITS]))
    pairs = [around.relocation(*pair) for pair in pairs_of(gains, losses, max(min(PAIRS, 2 * count), count // 4))]
    thrown = rng.choice(count, min(count, SHUFFLES), replace=False)
    shuffles = around.raced(around.shuffles(thrown, float(rng.choice(STRENGTHS)), rng))
    moves = around.raced(pairs) + [move for move in shuffles if not around.came_back(move)]
    moves.sort(key=lambda move: -move.fall)
    winners = apart([move for move in moves if move.fall > 0], max(1, round(AT_ONCE * count)))
    at_once = [winners[:n] for n in (len(winners), len(winners) // 2) if n > 1]
    return (at_once + [[move] for move in moves])[:TRIES]


def search(bench: Workbench, state: State, rng: np.random.Generator, patience: int, deadline: float) -> None:
    """Leaves the best state met in ``bench.best``; ends after ``patience`` rounds without a better one, or at a time.

    The time is one of the ``perf_counter`` clock. Trials are made on a sample of the points where that saves much; what is better
    there is refitted on all. Raises Halt where the fit as a whole must end.
    """
    bench.keep(state)
    bench.search_until = deadline
    sample = bench.sampled(PER_PARAMETER)

    def keep(found: State) -> bool:
        return bench.keep(found if sample is None else bench.refit(found.blocks, found.border, SETTLE))

    try:
        small = sample or bench
        _searched(small, small.refit(state.blocks, state.border, SETTLE), rng, patience, keep)
    except Enough:
        pass
    finally:
        bench.search_until = float("inf")


def _searched(bench: Workbench, state: State, rng: np.random.Generator, patience: int, keep: Callable[[State], bool]) -> None:
    best = here = state
    keep(state)
    failures, seen, exact = 0, {_level(state)}, EXACT * bench.empty().cost
    while failures < patience and best.cost > exact:
        found = _tried(bench, here, rng)
        failures += 1
        if found and _better(found[-1], here):
            here = found[-1]
        else:
            near = [other for other in found if other.cost < (1 + WORSE) * best.cost and _level(other) not in seen]
            walk = near and rng.random() < WALK
            here = near[rng.integers(len(near))] if walk else kicked(bench, best, rng, failures)
        seen.add(_level(here))
        if _better(here, best):
            best = here
            failures = 0 if keep(best) else failures


def _tried(bench: Workbench, here: State, rng: np.random.Generator) -> list[State]:
    """What trials have led to, in their turn; they end with the first that is better."""
    found: list[State] = []
    for moves in trials(bench, here, rng):
        bench.look()
        try:
            found.append(bench.refit(applied(here, moves), here.border, steps_of(here), target=here.cost))
        except MemoryShort:  # components may have grown too wide for it; the next trial may not
            continue
        if _better(found[-1], here):
            break
    return found


def _level(state: State) -> int:
    """States of nearly the same cost are taken for the same."""
    return round(math.log(min(max(state.cost, 1e-300), 1e300)) / (2 * BETTER))


def steps_of(state: State) -> int:
    """Joint steps for a trial: fewer where each is long, and where many moves are tried at once."""
    return STEPS if state.size <= MANY else STEPS // 4


def kicked(bench: Workbench, best: State, rng: np.random.Generator, failures: int) -> State:
    """Another minimum, not too far: the best of some, each with components taken away and as many grown anew, or the other way
    round, which finds more but compiles for more components: on a sample, and where the first rounds have not helped; then also
    anywhere.
    """
    kick = _regrown if bench.whole is None and failures <= PATIENT else _overgrown
    if failures > PATIENT and rng.random() < min(0.4, RESTARTS / best.size):
        kick = _restarted
    return min((kick(bench, best, rng) for _ in range(KICKS)), key=lambda state: state.cost)


def _restarted(bench: Workbench, best: State, rng: np.random.Generator) -> State:
    """Somewhere else altogether: a random start."""
    bench.look()
    surface = STARTS["random"](replace(bench.request, rng=rng))
    return bench.refit(bench.blocks(surface), best.border, STEPS)


def _overgrown(bench: Workbench, best: State, rng: np.random.Generator) -> State:
    """Some components more at peaks drawn at random, then as many away, the least useful first."""
    bench.look()
    wide = bench.roomier
    some = int(rng.integers(1, wide.request.n_components - best.size + 1)) if wide.request.n_components > best.size else 0
    peaks = bench.peaks(bench.residuals(best), 2 * some) if some else []
    if not peaks:
        return best
    drawn = rng.choice(len(peaks), min(some, len(peaks)), replace=False)
    added = bench.blocks(joined([peaks[n] for n in drawn]))
    state = wide.refit(np.concatenate([best.blocks, added]), best.border, SETTLE // 4)
    while state.size > best.size:
        at_once = max(1, min(state.size - best.size, round(AT_ONCE * state.size)))
        state = wide.refit(without_least(wide, state, at_once), state.border, SETTLE // 4)
    return bench.refit(state.blocks, state.border, SETTLE)


def _regrown(bench: Workbench, best: State, rng: np.random.Generator) -> State:
    bench.look()
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
