"""Search around a minimum: relocations of components, accepted only where the joint refit is better.

Each round predicts for every component what its loss would cost, and for every place what a component there would gain;
pairs of both are relocations. The most promising are tried by joint refits, on the problem or on its surrogate: two
trials at a time, and several moves in one trial where they touch different components. When none helps, the search goes
on from a slightly worse minimum that it has not been at, or from a perturbation of the best (`_search/perturbations`).
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
from .context import FitHalted, SearchContext, SearchOver
from .moves import RANKING_STEPS, Move, Neighbourhood, apply_moves, disjoint
from .perturbations import SETTLING_STEPS, Minima, background_freed, is_better, perturbed, tries_moves
from .refits import n_parallel, refit, run_parallel
from .states import State

# Cost below which a fit is exact, per cost of the background alone: residuals of 1e-6 of the heights are near the
# rounding of single precision, in which surrogates are computed.
EXACT_SHARE = 1e-12
# Trials a round. At K = 32 the first of a round won in 47 % of 781, the second in 17 %, those from the seventh on in
# 3 %; with 4 instead of 6 volcano K = 32 ended at 0.8901 instead of 0.8887 m.
TRIALS = 6
# Joint steps a trial: enough to settle; most are given up before.
TRIAL_STEPS = 80
# Correlation of neighbouring residuals up to which they may be noise: chance makes 0.03 of it on a thousand points, and
# what is left of terrain has 0.5 and more.
MAX_NOISE_CORRELATION = 0.1
# Times the fall that an added component shows after RANKING_STEPS that it may show in the end: most reach two thirds.
RANKED_SHARE = 2.0
# Components up to which a trial has TRIAL_STEPS steps; of more, where each is long and trials hold several moves, a
# quarter of them.
MAX_LONG_TRIAL_COMPONENTS = 64
# Components a round whose loss is predicted, those of the least weight first: each may take a local refit of 1 ms.
MAX_REMOVALS = 256
# Components a round that are tried as two halves, those with the most misfit under them.
MAX_SPLITS = 128
# The same for few components, where half of them are fewer.
MIN_SPLITS = 8
# Peaks a round at which a component is tried: a few more than there are trials; not tuned closely.
MIN_PEAKS = 8
# One more peak a round for each so many components.
COMPONENTS_PER_PEAK = 8
# Relocations a round that are refitted locally: with 12 and 40 volcano K = 32 ended at 0.8938 and 0.8923 m, with 24 at
# 0.8887 m.
MIN_PAIRS = 24
# Of many components one relocation for so many of them.
COMPONENTS_PER_PAIR = 4
# Relocations that one addition or removal takes part in: else a single promising part would fill all pairs.
MAX_PAIRS_PER_PART = 6
# Share of the components that the moves of one trial may add: predictions of many moves at once come true less often.
MOVES_PER_COMPONENT = 0.1
# Chance to go on from a near minimum rather than a perturbation. In half of the rounds instead of 0.15 volcano K = 32
# ended at 0.8914 instead of 0.8889 m.
NEAR_MINIMUM_CHANCE = 0.15
# Relative excess in cost up to which a minimum is near enough to go on from.
NEAR_MINIMUM_EXCESS = 0.04
# Share of the time left before the fit's deadline that a search on a surrogate may take: the rest is for the refit on
# all points.
SURROGATE_TIME_SHARE = 0.9


class Effort(NamedTuple):
    """How long to search: ``patience`` rounds without a better state, a time of the ``perf_counter`` clock, and nominal
    seconds of work (`_solvers/work`).
    """

    patience: int
    deadline: float = float("inf")
    work: float = float("inf")


def search(
    context: SearchContext,
    surrogate: SearchContext | None,
    state: State,
    effort: Effort,
    rng: np.random.Generator,
    before_refit: Callable[[], object] = lambda: None,
) -> None:
    """Leaves the best state found in ``context.progress.best``.

    Trials are made on the surrogate, where there is one; what is best there is refitted on all points, after
    ``before_refit``. Raises `FitHalted` where the fit as a whole must end.
    """
    context.record(state)
    progress, small = context.progress, surrogate or context
    minima = Minima(small.views.with_cost(state), EXACT_SHARE * small.views.background_only().cost)

    def record() -> None:
        with suppress(MemoryShort):  # for components that have grown too wide on the surrogate
            progress.record(minima.best if surrogate is None else context.views.with_cost(minima.best))

    def record_and_check() -> None:
        record()
        context.check_limits()

    try:
        with suppress(SearchOver), single_threaded_blas(context.parameterization.n_parameters):
            latest = progress.deadline if surrogate is None else _with_time_for_refit(progress.deadline)
            progress.search_deadline, progress.search_work = min(effort.deadline, latest), progress.work + effort.work
            _search_rounds(small, minima, rng, effort.patience, record_and_check)
        progress.search_deadline = progress.search_work = float("inf")
        with suppress(MemoryShort):
            best = minima.best
            before_refit()
            progress.record(best if surrogate is None else refit(context, best.blocks, best.border, SETTLING_STEPS))
        context.check_limits()
    except (FitHalted, KeyboardInterrupt, MemoryShort):
        record()
        raise
    finally:
        progress.search_deadline = progress.search_work = float("inf")


def _with_time_for_refit(deadline: float) -> float:
    """A time before the deadline that leaves some for the refit on all points."""
    now = time.perf_counter()
    return now + SURROGATE_TIME_SHARE * max(0.0, deadline - now)


def _search_rounds(
    context: SearchContext, minima: Minima, rng: np.random.Generator, patience: int, record: Callable[[], None]
) -> None:
    """Rounds of trials until ``patience`` rounds in a row find nothing better.

    ``record`` is called where no trial is better, and on a problem with all points after each round.
    """
    here = refit(context, minima.best.blocks, minima.best.border, SETTLING_STEPS)
    minima.visit(here)
    failures = 0
    while failures < patience and not minima.exact:
        before, found = minima.best, _run_trials(context, here)
        if found is None and not is_better(before, here):
            return
        found = found or []
        highest = (1 + NEAR_MINIMUM_EXCESS) * before.cost
        near = [other for other in found if other.cost < highest and not minima.is_visited(other)]
        minima.add(found)
        failures += 1
        climbed = bool(found) and is_better(found[-1], here)
        if not (climbed and context.original):
            record()
        if climbed:
            here = found[-1]
        elif failures < patience:
            go_near = bool(near) and rng.random() < NEAR_MINIMUM_CHANCE
            is_end = partial(leaves_noise, context)
            here = near[rng.integers(len(near))] if go_near else perturbed(context, minima, rng, failures, is_end)
        minima.visit(here)
        if is_better(minima.best, before):
            failures = 0


def _run_trials(context: SearchContext, here: State) -> list[State] | None:
    """States that trials lead to, as far as one is better than ``here``; that one is last. None where nothing is tried,
    since what ``here`` leaves is noise.
    """
    found: list[State] = []
    if not tries_moves(context, here.size):
        return found
    around, at_a_time = Neighbourhood(context, here), n_parallel(context)
    gains = additions(around)
    if may_be_noise(around) and is_noise(around, gains):
        return None
    freed = background_freed(context, here, gains[0].fall) if gains else None
    if freed is not None:
        found.append(freed)
        if is_better(freed, here):
            return found
    queue = trials(around, gains)
    for first in range(0, len(queue), at_a_time):
        context.check_limits()
        starts = [apply_moves(here, moves) for moves in queue[first : first + at_a_time]]
        tasks = [partial(refit, context, blocks, here.border, _trial_steps(here), here.cost) for blocks in starts]
        found += sorted(run_parallel(context, tasks), key=lambda state: -state.cost)
        if found and is_better(found[-1], here):
            break
    return found


def additions(around: Neighbourhood) -> list[Move]:
    """Components more, at peaks and in the place of others, the one that lowers the cost most first."""
    count, few = around.state.size, _few(around)
    splits = around.by_misfit(few)[: min(MAX_SPLITS, max(MIN_SPLITS, count // 2))]
    return around.refit(around.additions(MIN_PEAKS + count // COMPONENTS_PER_PEAK, splits), RANKING_STEPS)


def _few(around: Neighbourhood) -> np.ndarray:
    """All components, or of many those of the least weight."""
    count = around.state.size
    return np.arange(count) if count <= MAX_REMOVALS else around.by_weight()[:MAX_REMOVALS]


def leaves_noise(context: SearchContext, state: State) -> bool:
    """Whether what a state leaves is noise; the additions that say so are tried only where it may be, and not for few
    components, for which nothing else needs their program.
    """
    if not tries_moves(context, state.size):
        return False
    around = Neighbourhood(context, state)
    return may_be_noise(around) and is_noise(around, additions(around))


def may_be_noise(around: Neighbourhood) -> bool:
    """Whether there are points to spare and neighbours share little of their residuals, on a surrogate and on all
    points: averages of few points are met by chance where all are not.

    Residuals that neighbours share are no noise, whatever single additions gain; for scattered points that is not
    known.
    """
    on_grid = around.context.prepared.data.axes is not None
    if not on_grid or _spare_points(around) <= 0 or _share_much(around.residuals):
        return False
    original = around.context.original
    with suppress(MemoryShort):
        return original is None or not _share_much(original.views.residuals(around.state))
    return False


def _share_much(residuals: np.ndarray) -> bool:
    """Whether neighbours along the last axis of a grid share more of their residuals than chance makes."""
    return float(residuals[1:] @ residuals[:-1]) > MAX_NOISE_CORRELATION * float(residuals @ residuals)


def is_noise(around: Neighbourhood, gains: list[Move]) -> bool:
    """Whether no added component would lower the BIC of a state that `may_be_noise`.

    A relocation is an addition and a removal, so that it has nothing to win either.
    """
    size, count = around.context.parameterization.layout.block_size, len(around.residuals)
    worth = size * np.log(count) * around.state.cost / _spare_points(around)
    return RANKED_SHARE * max((move.fall for move in gains), default=0.0) < worth


def _spare_points(around: Neighbourhood) -> int:
    layout = around.context.parameterization.layout
    return len(around.residuals) - layout.block_size * around.state.size - layout.n_border


def trials(around: Neighbourhood, gains: list[Move]) -> list[list[Move]]:
    """The moves of each trial, the most promising trial first, from additions and what removals lose.

    The first ones hold several relocations of different components, the rest one each.
    """
    count = around.state.size
    losses = around.losses(_few(around))
    pairs = promising_pairs(gains, losses, max(MIN_PAIRS, count // COMPONENTS_PER_PAIR))
    moves = around.refit_best([around.relocation(*pair) for pair in pairs])
    moves.sort(key=lambda move: -move.fall)
    winners = disjoint([move for move in moves if move.fall > 0], max(1, round(MOVES_PER_COMPONENT * count)))
    several = [winners[:n] for n in (len(winners), len(winners) // 2) if n > 1]
    return (several + [[move] for move in moves])[:TRIALS]


def _trial_steps(state: State) -> int:
    return TRIAL_STEPS if state.size <= MAX_LONG_TRIAL_COMPONENTS else TRIAL_STEPS // 4


def promising_pairs(gains: list[Move], losses: list[Move], most: int) -> list[tuple[Move, Move]]:
    """Up to ``most`` pairs of an addition and a removal, the largest sum of predicted falls first.

    No addition or removal is in more than `MAX_PAIRS_PER_PART` of them.
    """
    uses: dict[int, int] = {}
    chosen: list[tuple[Move, Move]] = []
    for gain, loss in sorted(product(gains, losses), key=lambda pair: -pair[0].fall - pair[1].fall):
        parts = (id(gain), id(loss))
        same = gain.splits and gain.members[0] == loss.candidate.removed
        if len(chosen) < most and not same and all(uses.get(part, 0) < MAX_PAIRS_PER_PART for part in parts):
            chosen.append((gain, loss))
            uses.update({part: uses.get(part, 0) + 1 for part in parts})
    return chosen
