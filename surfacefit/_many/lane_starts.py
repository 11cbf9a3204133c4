"""Where the components of each map start: a surface of the user's, one of the starts of `fit`, or growth and a short
search.

The search goes in rounds that all maps of a chunk share: up to half of the components of each map are taken away at
random and grown anew, and what is lower is kept. In every second round they are not grown at the highest peaks, but at
some drawn from twice as many: else a few components would end where they were again and again. So does the search of
`fit`, with more ways to move.
"""

from __future__ import annotations

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

# Rounds. Of 64 frames of 32 x 32 points with five components that overlap, 20 ended more than 0.1 % above the RMSE of
# `fit` with its own search without any, 8 after four, 4 after eight, the worst then 0.9 % above; `fit` takes five times
# as long as eight.
ROUNDS = 8

# Peaks of which those for a missing component are drawn in every second round. Of 500 waveforms 500 then end at their
# published minimum, with the highest alone 493, after any number of rounds.
PEAKS_PER_MISSING = 2
# Steps of what is left of a map before it is regrown. With 10 instead, 192 of those frames took 185 steps each, not
# 157: five ended more than 0.1 % above `fit` either way, the worst 3.7 % instead of 1.8.
STEPS_WITHOUT = 5
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
    for number in range(ROUNDS if is_searched else 0):
        some = np.flatnonzero((states.sizes > 1) & (states.costs > EXACT_SHARE * nothing))
        if len(some):
            _regrow(peaks, rows, states, some, number)
    stack.params[rows], stack.started[rows] = stack.packed(rows, states), True
    for n in np.flatnonzero(states.sizes < stack.n_components):
        packing = stack.lane(int(rows[n])).context.packing
        whole = packing.padded(states.one(int(n)))
        stack.put_start(int(rows[n]), packing.pack(whole.blocks, whole.border))


def _regrow(peaks: StackPeaks, rows: np.ndarray, states: States, some: np.ndarray, number: int) -> None:
    """One round of the search for some lanes, by their places in ``rows``; their states are changed."""
    stack, before = peaks.stack, states.some(some)
    thinned = refitted(stack, rows[some], _thinned(before, stack.first.run.seed, number), STEPS_WITHOUT)
    missing = before.sizes - thinned.sizes
    if number % 2:
        found = _drawn(
            peaks.blocks(rows[some], thinned, PEAKS_PER_MISSING * missing), missing, stack.first.run.seed, number
        )
    else:
        found = peaks.blocks(rows[some], thinned, missing)
    regrown = with_blocks(thinned, found)
    ended = refitted(stack, rows[some], regrown, SETTLING_STEPS, LEAST_REGROWN_FALL)
    lower = np.flatnonzero((ended.sizes == before.sizes) & (ended.costs < before.costs))
    states.put(some[lower], ended.some(lower))


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
        rng = np.random.default_rng((seed, number))
        removed = rng.choice(size, int(rng.integers(1, max(1, size // 2) + 1)), replace=False)
        kept, having = np.delete(np.arange(size), removed), states.sizes == size
        blocks[having, : len(kept)] = states.blocks[having][:, kept]
        sizes[having] = len(kept)
    return states._replace(sizes=sizes, blocks=blocks)
