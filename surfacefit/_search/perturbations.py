"""Perturbations: ways to leave a minimum that no single move improves, each to another minimum not too far away.

- Crossover: the components of one minimum on one side of a line, those of another on the other side, which keeps what
  is good in either (Deaven & Ho, Phys. Rev. Lett. 75 (1995) 288).
- Remove and regrow: some components are taken away, and as many grown anew.
- Grow and prune: some components are added, then as many of the least useful taken away.
- Split and merge: the same with halves of some components, which change how many stand where (Ueda, Nakano, Ghahramani
  & Hinton, Neural Computation 12 (2000) 2109).
- Random restart: for few components, or where little else helps; most restarts are given up after some steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from .._model.background import ConstantBackground, PlaneBackground
from .._model.surface import values_on_host
from .._periodic.nearest import wrapped
from .._starts import STARTS
from .context import SearchContext
from .growth import grow_from
from .moves import halves
from .pruning import without_least_useful
from .refits import n_parallel, refit, run_parallel
from .residual_views import surface_of
from .states import State

# Relative fall of the cost below which a state is not better but the same: five times the fall at which a refit
# settles, so that refits to one minimum that stop at different points count as one.
BETTER_FALL = 1e-3
# Joint steps to settle a perturbed state. With 24 instead of 40 volcano K = 32 ended at 0.8946 instead of 0.8887 m.
SETTLING_STEPS = 40
# Joint steps between additions or removals: the state is perturbed again after them, so need not have settled.
INTERIM_STEPS = SETTLING_STEPS // 4
# Perturbations a round. Eight instead of four changed nothing at K = 32 (0.8876 against 0.8887 m, within the scatter).
MIN_PERTURBATIONS = 4
# The same at most where splits are drawn, on a surrogate: from minima of volcano K = 32 one in four ended lower.
MAX_SPLIT_PERTURBATIONS = 12
# Perturbations a round for each component, up to that: with 12 instead of 6 volcano K = 16 ended at 1.3634 instead of
# 1.3596 m (within the scatter).
SPLIT_PERTURBATIONS_PER_COMPONENT = 0.375
# Perturbations a round, of few components: so many over K^3, as a step costs about K^2 to K^3. The short search of
# eight components and fewer then makes some 300, which take 1 to 5 s, and ended lower on each of six maps.
PERTURBATIONS_TIMES_CUBE = 12288.0
# The same of up to three components, for which no moves are tried: with 60 instead of 20 one more of 90 windows of real
# maps ended lower.
FEW_PERTURBATIONS = 20
# Components up to which no moves are tried: random restarts and regrowths found the same minima as trials of moves on
# 29 or 30 of 30 windows of real maps, and need no programs of their own, which are 3 s of a first fit.
MAX_FEW_COMPONENTS = 3
# Perturbations a round at most, so that trials are made in between, however few the components are.
MAX_PERTURBATIONS = 100
# Rounds without a better state, in one or two dimensions, that perturb as often as above. Later ones begin a walk:
# moves are tried from one perturbation, or from the best of those that few components get in any case. Volcano K = 32
# was the same within the scatter (0.8821 and 0.8827 m, 24 seeds).
SETTLED_ROUNDS = 1
# The same in three dimensions and more: of a hundred splits of EMD-3197, K = 25 signed, none led to a lower minimum,
# walks often.
SETTLED_ROUNDS_OF_VOLUMES = 0
# What begins a walk, if no crossover, is `remove_and_regrow`, which leads far away, with a chance of so many over K.
WALK_REGROWTHS_TIMES_COMPONENTS = 25.6
# The same at most, so that the others are drawn, too.
MAX_WALK_REGROWTH_CHANCE = 0.8
# Rounds without a better state before restarts and, on the whole problem, `grow_and_prune` are drawn, too: the latter
# compiles for more components.
PATIENT_ROUNDS = 2
# A random restart is drawn with a chance of so many over K. On the volcano at K = 8 restarts reached the best minimum
# in 0.4 s of one core each, none of 300 regrowths did; from K = 12 on nearly none of a hundred restarts came near it.
RESTARTS_TIMES_COMPONENTS = 4.0
# Chance of a random restart at most, so that the others are drawn, too.
MAX_RESTART_CHANCE = 0.5
# Joint steps of a restart, which begins far from any minimum; most are given up long before.
RESTART_STEPS = 160
# Components up to which `remove_and_regrow` is drawn; of more, with a chance of the square of this over K: from eight
# minima of volcano K = 32 one of 192 tries ended lower.
MOSTLY_REGROWN_COMPONENTS = 8.0
# Chance of a crossover. With 0.6 instead of 0.3 volcano K = 32 was the same within the scatter (0.8907 m).
CROSSOVER_CHANCE = 0.3
# The same where splits are drawn, which lead on more often than minima that are near one another.
CROSSOVER_BESIDE_SPLITS = 0.15
# Share of the components that `grow_and_prune` removes at once: one by one would take a refit each.
PRUNED_SHARE = 0.1
# The same for `split_and_merge`. From eight minima of volcano K = 32 with one at a time 27 of 128 tries ended lower, in
# 95 steps each; with 0.1 of them at once 7 of 128 in 56 steps.
MERGED_SHARE = 0.03
# Joint steps to settle what was split and merged, given up where the best cost is out of reach: as those of a trial.
MERGED_STEPS = 80
# Chance of `split_and_merge` where it and `grow_and_prune` may be drawn: from the same minima the latter came back to
# where it began in 151 of 192 tries, splits in 20 of 128; it stays for places that no component is near.
SPLIT_CHANCE = 0.9
# Points at which components are compared with the background: those that are wide enough are smooth.
STAND_IN_POINTS = 512
# Share of its largest value that a component has at all points, if the background may stand in for it; half an extent
# wide it has a third, and what is narrower the loss excludes.
LEAST_STAND_IN_HEIGHT = 0.1
# Minima kept as partners of a crossover: enough to differ, few enough to be good.
MAX_MINIMA = 8
# Relative excess in cost of a minimum that is kept: worse ones have little that is good.
MAX_COST_EXCESS = 0.06

Perturbation = Callable[[SearchContext, State, np.random.Generator], State]


def tries_moves(context: SearchContext, size: int) -> bool:
    """Whether a search tries moves of a state of that size, whose local refits need a program of their own."""
    return size > MAX_FEW_COMPONENTS and not context.pace.hurried


def is_better(a: State, b: State) -> bool:
    return a.cost < (1 - BETTER_FALL) * b.cost


@dataclass(eq=False)
class Minima:
    """The best state found, others nearly as good, and the states that the search has gone on from.

    States of nearly the same cost count as the same. A best cost of no more than ``negligible_cost`` is exact.
    """

    best: State
    negligible_cost: float = 0.0
    others: dict[int, State] = field(default_factory=dict)
    _visited: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.visit(self.best)

    def add(self, states: Iterable[State]) -> None:
        for state in states:
            self.best = min(self.best, state, key=lambda one: one.cost)
            level = _cost_level(state)
            if level not in self.others or state.cost < self.others[level].cost:
                self.others[level] = state
        highest = (1 + MAX_COST_EXCESS) * self.best.cost
        near = [level for level in sorted(self.others) if self.others[level].cost < highest]
        self.others = {level: self.others[level] for level in near[:MAX_MINIMA]}

    def visit(self, state: State) -> None:
        """Adds the state from which the search goes on."""
        self.add([state])
        self._visited.add(_cost_level(state))

    def is_visited(self, state: State) -> bool:
        return _cost_level(state) in self._visited

    @property
    def exact(self) -> bool:
        return self.best.cost <= self.negligible_cost

    def partner(self, rng: np.random.Generator) -> State | None:
        """A random one of the others, None if there is none."""
        levels = [level for level in self.others if level != _cost_level(self.best)]
        return self.others[levels[rng.integers(len(levels))]] if levels else None


def perturbed(
    context: SearchContext,
    minima: Minima,
    rng: np.random.Generator,
    failures: int,
    is_end: Callable[[State], bool],
) -> State:
    """The best state that perturbations of the best one lead to, after ``failures`` rounds without a better state.

    Where a perturbation finds a better state, the next ones begin from there, unless it ``is_end``.
    """
    first, states, fresh = minima.best, list[State](), list[State]()
    wanted = _wanted(context, first.size, failures)
    most = max(wanted, MIN_PERTURBATIONS)  # some come back to a state that has been visited
    while len(fresh) < wanted and len(states) < most and not minima.exact:
        context.check_limits()
        before = minima.best
        generators = rng.spawn(min(n_parallel(context), wanted - len(fresh), most - len(states)))
        made = run_parallel(
            context, [partial(_perturb, context, before, minima.partner(rng), failures, own) for own in generators]
        )
        minima.add(made)
        if not is_better(minima.best, before):
            states += made or [before]
        elif is_end(minima.best):
            break
        else:
            states = []
        fresh = [state for state in states if np.isfinite(state.cost) and not minima.is_visited(state)]
    if minima.exact or is_better(minima.best, first):
        return minima.best
    return min(fresh or states, key=lambda state: state.cost)


def _wanted(context: SearchContext, size: int, failures: int) -> int:
    """Perturbations a round that lead to states not visited yet, after ``failures`` rounds without a better state."""
    if size <= MAX_FEW_COMPONENTS:
        return FEW_PERTURBATIONS
    draws_splits = context.original is not None and size > MOSTLY_REGROWN_COMPONENTS
    splits = min(MAX_SPLIT_PERTURBATIONS, round(SPLIT_PERTURBATIONS_PER_COMPONENT * size)) if draws_splits else 0
    least = 1 if _walks(context, size, failures) else max(MIN_PERTURBATIONS, splits)
    return min(MAX_PERTURBATIONS, max(least, round(PERTURBATIONS_TIMES_CUBE / size**3)))


def _walks(context: SearchContext, size: int, failures: int) -> bool:
    """Whether a round begins a walk by moves, from a perturbation however bad, rather than looks for a good one."""
    settled = SETTLED_ROUNDS if context.views.points.shape[1] <= 2 else SETTLED_ROUNDS_OF_VOLUMES
    return size > MOSTLY_REGROWN_COMPONENTS and failures > settled and tries_moves(context, size)


def _perturb(
    context: SearchContext, best: State, partner: State | None, failures: int, rng: np.random.Generator
) -> State:
    kind = _draw_kind(context, best.size, failures, rng)
    chance = CROSSOVER_BESIDE_SPLITS if kind is split_and_merge else CROSSOVER_CHANCE
    if kind is not random_restart and partner is not None and rng.random() < chance:
        return crossover(context, best, partner, rng)
    return kind(context, best, rng)


def _draw_kind(context: SearchContext, size: int, failures: int, rng: np.random.Generator) -> Perturbation:
    restart_chance = min(MAX_RESTART_CHANCE, RESTARTS_TIMES_COMPONENTS / size)
    few = size <= RESTARTS_TIMES_COMPONENTS / MAX_RESTART_CHANCE
    walk_chance = min(MAX_WALK_REGROWTH_CHANCE, WALK_REGROWTHS_TIMES_COMPONENTS / size)
    if _walks(context, size, failures) and rng.random() < walk_chance:
        return remove_and_regrow
    if (few or failures > PATIENT_ROUNDS) and rng.random() < restart_chance:
        return random_restart
    early = context.pace.hurried or (context.original is None and failures <= PATIENT_ROUNDS)
    if early or rng.random() < (MOSTLY_REGROWN_COMPONENTS / size) ** 2:
        return remove_and_regrow
    return split_and_merge if rng.random() < SPLIT_CHANCE else grow_and_prune


def crossover(context: SearchContext, one: State, other: State, rng: np.random.Generator) -> State:
    """The components of one state on one side of a random line, those of the other on the other side, refitted.

    The line is one of those that keep the number of components; ``one`` itself if there is none.
    """
    periods, low = context.request.periods, context.views.points.min(axis=0)
    mine, theirs = (wrapped(context.packing.surface(state).centers, low, periods) for state in (one, other))
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
    blocks = np.concatenate([one.blocks[mine < line], other.blocks[theirs >= line]])
    return refit(context, blocks, one.border, SETTLING_STEPS)


def random_restart(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """The refit of a random start, given up where the best cost is out of reach."""
    surface = STARTS["random"](replace(context.request, rng=rng))
    return refit(context, context.packing.blocks(surface), best.border, RESTART_STEPS, best.cost)


def grow_and_prune(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """The best state with some components added at random peaks, then as many of the least useful removed."""
    wide = context.with_more_room
    spare = wide.request.n_components - best.size
    added = int(rng.integers(1, spare + 1)) if spare > 0 else 0
    peaks = context.views.peaks(best, 2 * added) if added else []
    if not peaks:
        return best
    drawn = rng.choice(len(peaks), min(added, len(peaks)), replace=False)
    blocks = context.packing.blocks(surface_of([peaks[n] for n in drawn]))
    state = refit(wide, np.concatenate([best.blocks, blocks]), best.border, INTERIM_STEPS)
    while state.size > best.size:
        count = max(1, min(state.size - best.size, round(PRUNED_SHARE * state.size)))
        state = refit(wide, without_least_useful(wide, state, count), state.border, INTERIM_STEPS)
    return refit(context, state.blocks, state.border, SETTLING_STEPS)


def split_and_merge(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """The best state with random components split in two, up to a quarter, then as many of the least useful removed.

    The halves stay where they have found a use, and what is missed least goes, wherever it stands: components are moved
    from where there is one too many to where there is one too few, with joint steps after each.
    """
    wide = context.with_more_room
    spare = min(best.size, wide.request.n_components - best.size)
    if spare < 1:
        return best
    which = rng.choice(best.size, int(rng.integers(1, spare + 1)), replace=False)
    surface, blocks = context.packing.surface(best), np.delete(best.blocks, which, axis=0)
    parts = context.packing.blocks(surface_of([half for k in which for half in halves(surface, int(k))]))
    blocks, border = np.concatenate([blocks, parts]), best.border
    while len(blocks) > best.size:
        state = refit(wide, blocks, border, INTERIM_STEPS)
        count = max(1, min(state.size - best.size, round(MERGED_SHARE * state.size)))
        blocks, border = without_least_useful(wide, state, count), state.border
    return refit(context, blocks, border, MERGED_STEPS, best.cost)


def remove_and_regrow(context: SearchContext, best: State, rng: np.random.Generator) -> State:
    """The best state with up to half of its components removed at random, and as many grown anew."""
    removed = rng.choice(best.size, int(rng.integers(1, max(1, best.size // 2) + 1)), replace=False)
    return _regrown(context, best._replace(blocks=np.delete(best.blocks, removed, axis=0)), best.size)


def _regrown(context: SearchContext, left: State, count: int) -> State:
    """What is left of a state, grown to so many components again."""
    if left.size:
        left = refit(context, left.blocks, left.border, INTERIM_STEPS)
    grown = grow_from(context, left, count)
    return refit(context, grown.blocks, grown.border, SETTLING_STEPS)


def background_freed(context: SearchContext, state: State, gain: float) -> State | None:
    """The state with those components grown anew that the background can stand in for at a loss below a ``gain``.

    None if there are none. Growth begins with few components, of which one may become as wide as the map; no move of a
    few neighbours takes it away, as they hold the background.
    """
    parts = context.prepared.host.parameterization
    if not isinstance(parts.background, ConstantBackground | PlaneBackground):
        return None
    which, losses, changes = _background_stand_ins(context, state)
    order = np.argsort(losses)
    freed = order[np.cumsum(losses[order]) < gain]
    if not len(freed):
        return None
    border, left = state.border.copy(), np.delete(state.blocks, which[freed], axis=0)
    border[parts.layout.background] += changes[freed].sum(axis=0)
    return _regrown(context, State(np.inf, left, border), state.size)


def _background_stand_ins(context: SearchContext, state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The components (n,) that are felt everywhere, the rise in cost (n,) without each of them once the background has
    adapted, and the change (n, b) of its numbers then; by least squares on some of the points.
    """
    parts, views = context.prepared.host.parameterization, context.views
    stride = -(-len(views.points) // STAND_IN_POINTS)
    points, weights = views.points[::stride], views.secant_weights(state)[::stride]
    surface, ends = context.packing.surface(state), np.concatenate([points.argmin(axis=0), points.argmax(axis=0)])
    which = np.flatnonzero(_felt_everywhere(values_on_host(surface, points[ends])))  # few of many components
    heights = values_on_host(surface.component(which), points)
    felt = _felt_everywhere(heights)
    which, heights = which[felt], heights[felt]
    columns = [parts.background.with_vector(one)(points) for one in np.eye(parts.background.n_parameters)]
    basis, triangle = np.linalg.qr((weights * np.stack(columns)).T)
    values = weights * heights
    shares = values @ basis
    losses = np.sum(values**2, axis=1) - np.sum(shares**2, axis=1)
    changes = np.linalg.lstsq(triangle, shares.T, rcond=None)[0].T
    return which, 0.5 * len(views.points) / len(points) * losses, changes


def _felt_everywhere(heights: np.ndarray) -> np.ndarray:
    """Which components, of heights (K, N) at points, have a good part of their height at each of them."""
    sizes = np.abs(heights)
    return np.asarray(sizes.min(axis=1) > LEAST_STAND_IN_HEIGHT * sizes.max(axis=1))


def _cost_level(state: State) -> int:
    """The same for costs within about `BETTER_FALL`."""
    return round(math.log(min(max(state.cost, 1e-300), 1e300)) / (2 * BETTER_FALL))
