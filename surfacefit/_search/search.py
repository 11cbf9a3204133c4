"""Search around a minimum: relocations, accepted only where the joint refit is better.

Each round asks of every component what its loss would cost, and of every place what a component there would win; pairs
of both are relocations. The most promising moves are tried on the problem, or on a smaller one like it: two trials
beside one another, several moves in one trial where they stand apart and promise to win.
When none helps, the search goes on from a slightly worse minimum that it met and has not been at, or from one that
`_search/kicks` leads to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np

from .._base.memory import MemoryShort
from .._base.threads import single_threaded_blas
from .context import Enough, Halt, SearchContext, State
from .moves import FEW_STEPS, Move, Neighbourhood, apart, applied
from .perturbations import SETTLE, Minima, better, perturbed

EXACT = 1e-12
TRIES = 6
STEPS = 80
WALK = 0.15
MANY = 64
SPLITS = 128
WORSE = 0.04
MOST = 256
AT_ONCE = 0.1
PAIRS = 24
SEARCHED = 0.9
USES = 6


def trials(context: SearchContext, state: State) -> list[list[Move]]:
    """Relocations of a state, one by one in the order of what they promise; before that, winners that stand apart at
    once.
    """
    around, count = Neighbourhood(context, state), state.size
    few = np.arange(count) if count <= MOST else around.by_weight()[:MOST]
    losses = around.losses(few)
    gains = around.refitted(
        around.additions(8 + count // 8, around.by_misfit(few)[: min(SPLITS, max(8, count // 2))]), FEW_STEPS
    )
    moves = around.raced([around.relocation(*pair) for pair in pairs_of(gains, losses, max(PAIRS, count // 4))])
    moves.sort(key=lambda move: -move.fall)
    winners = apart([move for move in moves if move.fall > 0], max(1, round(AT_ONCE * count)))
    at_once = [winners[:n] for n in (len(winners), len(winners) // 2) if n > 1]
    return (at_once + [[move] for move in moves])[:TRIES]


class Effort(NamedTuple):
    """How long to search: ``patience`` rounds without a better state, and a time of the ``perf_counter`` clock."""

    patience: int
    deadline: float


def search(
    context: SearchContext, sample: SearchContext | None, state: State, effort: Effort, rng: np.random.Generator
) -> None:
    """Leaves the best state met in ``context.best``.

    Trials are made on a smaller problem ``sample`` where there is one; what is better
    there is refitted on all points. Raises Halt where the fit as a whole must end.
    """
    context.keep(state)
    small = sample or context
    met = Minima(small.recosted(state), EXACT * small.empty().cost)

    def hold() -> None:
        with suppress(MemoryShort):  # for components that have grown too wide on the smaller problem
            context.hold(met.best if sample is None else context.recosted(met.best))

    def keep() -> None:
        hold()
        context.look()

    try:
        with suppress(Enough), single_threaded_blas(context.parameterization.n_parameters):
            context.search_until = min(effort.deadline, _before(context.deadline) if sample else context.deadline)
            _searched(small, met, rng, effort.patience, keep)
        context.search_until = float("inf")
        with suppress(MemoryShort):
            context.hold(met.best if sample is None else context.refit(met.best.blocks, met.best.border, SETTLE))
        context.look()
    except (Halt, KeyboardInterrupt, MemoryShort):
        hold()
        raise
    finally:
        context.search_until = float("inf")


def _before(deadline: float) -> float:
    """Leaves time to refit what a sample has led to on all points."""
    now = time.perf_counter()
    return now + SEARCHED * max(0.0, deadline - now)


def _searched(
    context: SearchContext, met: Minima, rng: np.random.Generator, patience: int, keep: Callable[[], None]
) -> None:
    """Asks to ``keep`` the best where a climb has ended, or on all points as soon as there is one."""
    here = context.refit(met.best.blocks, met.best.border, SETTLE)
    met.visit(here)
    failures = 0
    while failures < patience and not met.exact:
        before, found = met.best, _tried(context, here)
        near = [other for other in found if other.cost < (1 + WORSE) * before.cost and not met.visited(other)]
        met.add(found)
        failures += 1
        climbed = bool(found) and better(found[-1], here)
        if not (climbed and context.whole):
            keep()
        if climbed:
            here = found[-1]
        elif failures < patience:
            here = (
                near[rng.integers(len(near))]
                if near and rng.random() < WALK
                else perturbed(context, met, rng, failures)
            )
        met.visit(here)
        if better(met.best, before):
            failures = 0


def _tried(context: SearchContext, here: State) -> list[State]:
    """What trials have led to, a few at once in their turn; they end where one is better, and it stands last."""
    found: list[State] = []
    queue = trials(context, here)
    for first in range(0, len(queue), context.at_once):
        context.look()
        starts = [applied(here, moves) for moves in queue[first : first + context.at_once]]
        tasks = [partial(context.refit, blocks, here.border, steps_of(here), here.cost) for blocks in starts]
        found += sorted(context.beside(tasks), key=lambda state: -state.cost)
        if found and better(found[-1], here):
            break
    return found


def steps_of(state: State) -> int:
    """Joint steps for a trial: fewer where each is long, and where many moves are tried at once."""
    return STEPS if state.size <= MANY else STEPS // 4


def pairs_of(gains: list[Move], losses: list[Move], most: int) -> list[tuple[Move, Move]]:
    """Up to ``most`` pairs of an addition and a removal, the most promising first, no part in more than USES of
    them.
    """
    uses: dict[int, int] = {}
    chosen: list[tuple[Move, Move]] = []
    for gain, loss in sorted(product(gains, losses), key=lambda pair: -pair[0].fall - pair[1].fall):
        same = gain.splits and gain.members[0] == loss.candidate.removed
        if len(chosen) < most and not same and uses.get(id(gain), 0) < USES and uses.get(id(loss), 0) < USES:
            chosen.append((gain, loss))
            uses.update({id(part): uses.get(id(part), 0) + 1 for part in (gain, loss)})
    return chosen
