"""Where the components of each map start: a surface of the user's, one of the starts of `fit`, or growth and a short
search.

The search goes in rounds that all maps of a chunk share: up to half of the components of each map are taken away at
random, none alike twice, and grown anew, and what is lower is kept. In every second round they are not grown at the
highest peaks, but at some drawn from twice as many: else a few components would end where they were again and again. In
every third round instead one of the least components goes, and two halves take the place of one over much misfit. A map
leaves when it has gained nothing for some rounds. So does the search of `fit`, with more ways to move.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from .._fit.start_request import start_plan
from .._model.surface import GaussianSurface
from .._search.initialization import GROWN
from .._search.perturbations import SETTLING_STEPS
from .._search.search import EXACT_SHARE
from .._starts import STARTS
from .._starts.peaks import ROUNDS_PER_START
from .lane_growth import grow_all, refitted, with_blocks
from .lane_peaks import Blocks, StackPeaks
from .lane_stacks import LaneStack, States
from .lanes import Lane

# Most rounds: of maps that gain in one of rounds 5 to 8 a
# quarter gains later, of the others one in sixty. Of 640 frames of 32 x 32 points with five components that overlap, 11
# ended more than 0.1 % above the RMSE of `fit` after eight rounds for all (148 steps each), 5 so (152 steps).
ROUNDS = 24
# Rounds in a row without a gain after which a map leaves: by the same frames.
PATIENCE_OF_MAPS = 8
# Fall of the cost that counts as a gain: far less is the same minimum.
LEAST_GAIN = 1e-3
# Rounds of which one splits a component.
ROUNDS_A_SPLIT = 3

# Peaks of which those for a missing component are drawn in every second round. Of 500 waveforms 500 then end at their
# published minimum, with the highest alone 493, after any number of rounds.
PEAKS_PER_MISSING = 2
# Ways to take so many components away, up to which they are listed, so that no round repeats another: with more no two
# rounds are likely to be alike.
MOST_LISTED = 1024
# Steps of what is left of a map before it is regrown. With 5 instead, 640 frames took 171 steps each, not 152, and
# seven ended more than 0.1 % above `fit`, not five; with 2 nine.
STEPS_WITHOUT = 3
# Relative fall of the cost below which a regrown map has settled: 143 steps a frame, with 1e-3 157, and the same five
# frames above `fit`.
LEAST_REGROWN_FALL = 1e-2


def start_all(stack: LaneStack) -> None:
    """Gives each lane of a stack the parameters at which its steps begin, unless it has them."""
    if not stack.n_components:
        stack.params[:], stack.started[:] = _backgrounds(stack), True
    for name in GROWN:
        rows = np.flatnonzero(~stack.started & (stack.inits == name))
        if len(rows):
            _grow(stack, rows, name == "auto")
    if stack.is_plain:
        _put_at_peaks(stack, np.flatnonzero(~stack.started & (stack.inits == "peaks")))
    for row in np.flatnonzero(~stack.started):
        stack.put_start(int(row), _started_alone(stack.lane(int(row))))


def _backgrounds(stack: LaneStack) -> np.ndarray:
    """The parameters (B, P) of the backgrounds alone."""
    rows = np.arange(len(stack))
    if stack.is_plain:
        return stack.packed(rows, stack.backgrounds_only())
    d = stack.parts.n_dim
    each = (stack.lane(int(row)).prepared.host.parameterization for row in rows)
    nothing = np.zeros(0), np.zeros((0, d)), np.zeros((0, d, d))
    return stack.projected(rows, np.stack([one.pack(GaussianSurface(*nothing, one.background)) for one in each]))


def _started_alone(lane: Lane) -> np.ndarray:
    """The parameters of a start that needs no steps."""
    init = start_plan(lane.prepared, lane.run).init
    surface = init if isinstance(init, GaussianSurface) else STARTS[str(init)](lane.context.request)
    return np.asarray(lane.context.packing.params(surface))


def _put_at_peaks(stack: LaneStack, rows: np.ndarray) -> None:
    """Starts lanes at their peaks, as far as these are as many as components."""
    if not len(rows):
        return
    states, counts = stack.backgrounds_only().some(rows), np.full(len(rows), stack.n_components)
    states = with_blocks(states, StackPeaks(stack).blocks(rows, states, counts, ROUNDS_PER_START))
    whole = np.flatnonzero(states.sizes == counts)
    stack.params[rows[whole]] = stack.packed(rows[whole], states.some(whole))
    stack.started[rows[whole]] = True


def _grow(stack: LaneStack, rows: np.ndarray, is_searched: bool) -> None:
    peaks = StackPeaks(stack)
    nothing = stack.backgrounds_only().costs[rows]
    states = grow_all(peaks, rows)
    if is_searched:
        _search(peaks, rows, states, EXACT_SHARE * nothing)
    stack.params[rows], stack.started[rows] = stack.packed(rows, states), True
    for n in np.flatnonzero(states.sizes < stack.n_components):
        packing = stack.lane(int(rows[n])).context.packing
        whole = packing.padded(states.one(int(n)))
        stack.put_start(int(rows[n]), packing.pack(whole.blocks, whole.border))


def _search(peaks: StackPeaks, rows: np.ndarray, states: States, exact: np.ndarray) -> None:
    """Rounds of the search for lanes by their ``rows``, whose states are changed; of a cost below ``exact`` (n,) none
    is left to gain.
    """
    last_gain, known = np.full(len(rows), -1), states.costs.copy()
    for number in range(ROUNDS):
        searched = (states.sizes > 1) & (states.costs > exact) & (number - last_gain <= PATIENCE_OF_MAPS)
        some = np.flatnonzero(searched)
        if not len(some):
            break
        before = states.some(some)
        splits = number % ROUNDS_A_SPLIT == ROUNDS_A_SPLIT - 1 and peaks.stack.is_plain
        moved = _split if splits else _regrown
        ended = refitted(
            peaks.stack,
            rows[some],
            moved(peaks, rows[some], before, number),
            SETTLING_STEPS,
            LEAST_REGROWN_FALL,
        )
        lower = np.flatnonzero((ended.sizes == before.sizes) & (ended.costs < before.costs))
        states.put(some[lower], ended.some(lower))
        gained = states.costs < (1 - LEAST_GAIN) * known
        last_gain[gained], known[gained] = number, states.costs[gained]


def _regrown(peaks: StackPeaks, rows: np.ndarray, before: States, number: int) -> States:
    """States of lanes without some of their components, and with as many at other places."""
    stack = peaks.stack
    thinned = refitted(stack, rows, _thinned(before, stack.first.run.seed, number), STEPS_WITHOUT)
    missing = before.sizes - thinned.sizes
    if number % 2:
        found = _drawn(peaks.blocks(rows, thinned, PEAKS_PER_MISSING * missing), missing, stack.first.run.seed, number)
    else:
        found = peaks.blocks(rows, thinned, missing)
    return with_blocks(thinned, found)


def _split(peaks: StackPeaks, rows: np.ndarray, before: States, number: int) -> States:
    """States of lanes without one of their least components, and with two halves in the place of one over much misfit:
    of either the first or the next, in turns.
    """
    turn, lanes = number // ROUNDS_A_SPLIT, np.arange(len(rows))
    least = np.minimum(turn // 2 % 2, before.sizes - 1)
    gone = np.argsort(peaks.energies(rows, before), axis=1)[lanes, least]
    places = np.arange(before.blocks.shape[1])
    order = np.argsort(places == gone[:, None], axis=1, kind="stable")
    blocks = before.blocks[lanes[:, None], order]
    sizes = before.sizes - 1
    blocks = np.where((places < sizes[:, None])[..., None], blocks, 0)
    thinned = refitted(peaks.stack, rows, before._replace(sizes=sizes, blocks=blocks), STEPS_WITHOUT)
    worst = np.argsort(-peaks.misfits_beneath(rows, thinned), axis=1)[lanes, np.minimum(turn % 2, sizes - 1)]
    return peaks.halved(rows, thinned, worst)


def _drawn(found: Blocks, counts: np.ndarray, seed: int, number: int) -> Blocks:
    """Up to ``counts`` (n,) of the blocks of each lane, drawn for each round alike whatever the other maps are."""
    there = np.bincount(found.owners, minlength=len(counts))
    rank = np.arange(len(found.owners)) - np.searchsorted(found.owners, found.owners)
    kept = np.zeros(len(rank), bool)
    for n_there, count in np.unique(np.stack([there, np.minimum(counts, there)], axis=1), axis=0):
        drawn = np.random.default_rng((seed, number, 1)).choice(n_there, count, replace=False)
        alike = (there == n_there) & (np.minimum(counts, there) == count)
        kept |= alike[found.owners] & np.isin(rank, drawn)
    return Blocks(found.owners[kept], found.blocks[kept])


def _thinned(states: States, seed: int, number: int) -> States:
    """States without some of their components, drawn for each round alike whatever the other maps are."""
    sizes, blocks = states.sizes.copy(), np.zeros_like(states.blocks)
    for size in np.unique(states.sizes):
        removed = removed_in(int(size), seed, number)
        kept, having = np.delete(np.arange(size), removed), states.sizes == size
        blocks[having, : len(kept)] = states.blocks[having][:, kept]
        sizes[having] = len(kept)
    return states._replace(sizes=sizes, blocks=blocks)


def removed_in(size: int, seed: int, number: int) -> np.ndarray:
    """Which of so many components a round takes away: up to half of them, and as long as others are left none twice."""
    rng = np.random.default_rng((seed, size))
    counts = rng.integers(1, max(1, size // 2) + 1, number + 1)
    count = int(counts[number])
    if comb(size, count) > MOST_LISTED:
        return np.random.default_rng((seed, number)).choice(size, count, replace=False)
    before = int(np.count_nonzero(counts[:number] == count))
    listed = np.array(list(combinations(range(size), count)))
    order = np.random.default_rng((seed, size, count, before // len(listed))).permutation(len(listed))
    return np.asarray(listed[order[before % len(listed)]])
