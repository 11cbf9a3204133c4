r"""Moves: one component more, one less, or one relocated, each tried on its neighbourhood first.

An addition puts a component at a peak of the residual, or two halves in the place of one component; a removal takes a
component away; a relocation is a removal with an addition. In each, the nearest components are refitted
(`_search/local_refits`) on the points around, which predicts how far the cost of the whole map would fall. The falls of
an addition and a removal add up only where they are far apart, so relocations are refitted as pairs.

After Ueda, Nakano, Ghahramani & Hinton, SMEM algorithm for mixture models, Neural Computation 12 (2000) 2109, who split
and merge components of mixtures by criteria of overlap; here the fall of each move is computed by a refit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._model.gaussian import bhattacharyya, profile
from .._model.surface import GaussianSurface
from .._periodic.nearest import nearest_offsets
from .._problem.removal_cost import removal_costs
from .._solvers.work import local_seconds, removal_seconds
from .._starts import Peak
from .context import SearchContext
from .local_refits import MEMBERS, LocalProblems, local_refits
from .residual_views import surface_of
from .states import State

# Components, nearest by their centres, among which those of the most overlap are found: wide components overlap from
# afar, and six times MEMBERS leaves room for them.
MAX_OVERLAP_CANDIDATES = 48
# Local steps in which candidates are compared. Additions ranked after 4 steps instead of 24 let the volcano at K = 32
# end at 0.8887 instead of 0.8943 m in the same time.
RANKING_STEPS = 4
# Local steps for the best of them, after which most have settled.
REFINING_STEPS = 20
# Share of the candidates that is refined after the ranking: most of the rest never come first; not tuned closely.
REFINED_SHARE = 0.3
# Candidates refined at least. Eight instead of four let a search at K = 8 take 1.7 instead of 1.2 s.
MIN_REFINED = 4
# Parameters up to which J^T J is inverted: a search asks once a round, and the inverse of a larger matrix takes longer
# than the local refits that say nearly the same.
MAX_INVERTED_PARAMETERS = 1500
# Halves of a component: their amplitude in units of its own. These three are chosen by hand, so that both start clearly
# apart and over the same ground; the local refit that follows decides.
HALF_AMPLITUDE = 0.6
# The distance of their centres from its centre along its major axis, in its widths.
HALF_OFFSET_WIDTHS = 0.7
# The share of its variance along that axis that they lack.
HALF_LOST_VARIANCE = 0.675


def has_inverse(context: SearchContext) -> bool:
    """Whether J^T J is at hand, and small enough to be inverted."""
    return context.prepared.planner is None and context.parameterization.n_parameters <= MAX_INVERTED_PARAMETERS


def removal_losses(context: SearchContext, state: State) -> np.ndarray:
    """The rise in cost (K,) for the loss of each component of a state, where `has_inverse`."""
    packing = context.packing
    params = packing.pack(state.blocks, state.border)
    context.progress.count(0, removal_seconds(context.prepared))
    return removal_costs(context.prepared.host.parameterization, packing.problem(state.size), params, state.size)


class Candidate(NamedTuple):
    """A move before its refit.

    The components ``members`` (m,) start from ``start`` (m or m + 1, p), whose last row is the added component if there
    is one more; ``removed`` is the component taken away, or -1; ``place`` is the centre and covariance of a new one. A
    candidate that ``splits`` puts two halves in the place of its first member.
    """

    members: np.ndarray
    start: np.ndarray
    removed: int = -1
    place: tuple[np.ndarray, np.ndarray] | None = None
    splits: bool = False


class Move(NamedTuple):
    """A candidate after its refit: the predicted fall in cost, and the refitted blocks (m or m + 1, p)."""

    candidate: Candidate
    fall: float
    blocks: np.ndarray

    @property
    def members(self) -> np.ndarray:
        return self.candidate.members

    @property
    def splits(self) -> bool:
        return self.candidate.splits

    @property
    def touched(self) -> set[int]:
        """The components that this move changes or removes."""
        return {*self.members.tolist(), self.candidate.removed} - {-1}


class Neighbourhood:
    """A state with what its moves need: the components, the residuals, and which components overlap."""

    def __init__(self, context: SearchContext, state: State):
        self.context, self.state = context, state
        self.surface, self.points = context.packing.surface(state), context.views.points
        self.residuals, self.weights = context.views.residuals(state), context.views.secant_weights(state)
        self._levels = [context.windows.level(covariance) for covariance in self.surface.covariances]
        self._near: dict[int, np.ndarray] = {}
        self._inside: dict[tuple[int, int], np.ndarray] = {}

    def additions(self, count: int, splits: Sequence[int] | np.ndarray = ()) -> list[Candidate]:
        """Components that the residual calls for: at up to ``count`` peaks, and two for each one in ``splits``."""
        return [*self._at_peaks(self.context.views.peaks(self.state, count)), *self._splits(splits)]

    def removals(self, which: Sequence[int] | np.ndarray) -> list[Candidate]:
        """The removal of each of these components, to which its neighbours adapt."""
        return [self._removal(k) for k in which]

    def losses(self, which: np.ndarray) -> list[Move]:
        """Removals of these components, the least loss first.

        Losses are predicted by the inverse of J^T J, or for large fits by local refits.
        """
        removals = self.removals(which)
        if not has_inverse(self.context):
            return self.refit_best(removals)
        loss = removal_losses(self.context, self.state)
        return sorted(
            (Move(one, -float(loss[one.removed]), one.start) for one in removals), key=lambda move: -move.fall
        )

    def relocation(self, gain: Move, loss: Move) -> Candidate:
        """An addition and a removal in one, which starts from the refits of both."""
        removed = loss.candidate.removed
        gain_start = gain.candidate.start if removed in gain.members else gain.blocks
        kept = gain.members != removed
        mine, added = gain_start[: len(kept)][kept], gain_start[len(kept) :]
        others = ~np.isin(loss.members, gain.members)
        members = np.concatenate([gain.members[kept], loss.members[others]])[: MEMBERS - 1]
        start = np.concatenate([mine, loss.blocks[: len(others)][others]])[: MEMBERS - 1]
        return gain.candidate._replace(members=members, start=np.concatenate([start, added]), removed=removed)

    def by_misfit(self, which: np.ndarray) -> np.ndarray:
        """These components, ordered by the misfit under them, the largest first."""
        return which[np.argsort(-np.array([self._misfit(k) for k in which]))]

    def by_weight(self) -> np.ndarray:
        """All components, ordered by their integral of squares, the smallest first."""
        return np.argsort(self.surface.amplitudes**2 * np.sqrt(np.linalg.det(self.surface.covariances)))

    def _misfit(self, k: int) -> float:
        center, covariance = self.surface.centers[k], self.surface.covariances[k]
        index, scale = self.context.windows.sample(self._levels[k], [self._ranks(self._levels[k], k)])
        offset = nearest_offsets(self.points[index] - center, self.surface.periods)
        share = profile(np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset))
        return scale * float(share @ self.residuals[index] ** 2)

    def refit_best(self, candidates: list[Candidate]) -> list[Move]:
        """Moves from those candidates that lower the cost most in a few steps, refitted further."""
        self.context.check_limits()
        ranked = self.refit(candidates, RANKING_STEPS)
        refined = ranked[: max(MIN_REFINED, round(REFINED_SHARE * len(ranked)))]
        return self.refit([move.candidate for move in refined], REFINING_STEPS)

    def refit(self, candidates: list[Candidate], steps: int) -> list[Move]:
        """Moves from candidates, the largest predicted fall first."""
        if not candidates:
            return []
        problems, scales = self._problems(candidates)
        shared = self.state.border[self.context.parameterization.layout.shared_shape]
        fits = local_refits(self.context.parameterization, shared, problems, steps)
        self.context.progress.count(0, local_seconds(len(candidates), self.context.windows.size, steps))
        falls = scales * fits.fall - _overfit(problems, candidates, scales)
        moves = [
            Move(candidate, float(fall), blocks[: len(candidate.start)])
            for candidate, fall, blocks in zip(candidates, falls, fits.blocks, strict=True)
        ]
        return sorted(moves, key=lambda move: -move.fall)

    def _at_peaks(self, peaks: list[Peak]) -> list[Candidate]:
        if not peaks:
            return []
        added = self.context.packing.blocks(surface_of(peaks))
        candidates = []
        for peak, block in zip(peaks, added, strict=True):
            members = self._nearest(peak.center, peak.covariance, MEMBERS - 1)
            start = np.concatenate([self.state.blocks[members], block[None]])
            candidates.append(Candidate(members, start, place=(peak.center, peak.covariance)))
        return candidates

    def _splits(self, which: Sequence[int] | np.ndarray) -> list[Candidate]:
        if not len(which):
            return []
        parts = [half for k in which for half in halves(self.surface, k)]
        blocks = self.context.packing.blocks(surface_of(parts))
        candidates = []
        for n, k in enumerate(which):
            members = np.append(k, self._neighbours(k)[: MEMBERS - 2])
            start = np.concatenate(
                [blocks[2 * n : 2 * n + 1], self.state.blocks[members[1:]], blocks[2 * n + 1 : 2 * n + 2]]
            )
            candidates.append(Candidate(members, start, place=parts[2 * n + 1][1:], splits=True))
        return candidates

    def _removal(self, k: int) -> Candidate:
        members = self._neighbours(k)[:MEMBERS]
        return Candidate(members, self.state.blocks[members], removed=k)

    def _neighbours(self, k: int) -> np.ndarray:
        if k not in self._near:
            near = self._nearest(self.surface.centers[k], self.surface.covariances[k], MEMBERS + 1)
            self._near[k] = near[near != k]
        return self._near[k]

    def _nearest(self, center: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
        """The ``count`` components of least Bhattacharyya distance from a Gaussian, the nearest first."""
        centers, covariances = self.surface.centers, self.surface.covariances
        if not len(centers):
            return np.zeros(0, int)
        offset = nearest_offsets(centers - center, self.surface.periods)
        pool = np.argsort(np.einsum("ki,ki->k", offset, offset))[:MAX_OVERLAP_CANDIDATES]
        distances = bhattacharyya(center, covariance, centers[pool], covariances[pool], self.surface.periods)
        return pool[np.argsort(distances)[:count]]

    def _problems(self, candidates: list[Candidate]) -> tuple[LocalProblems, np.ndarray]:
        """The candidates' local problems, and how many points of the map each of their points represents (C,)."""
        count, size, width = len(candidates), self.state.blocks.shape[1], self.context.windows.size
        points = np.zeros((count, width, self.points.shape[1]))
        residuals, weights = np.zeros((count, width)), np.zeros((count, width))
        held, start = np.zeros((count, MEMBERS + 1, size)), np.zeros((count, MEMBERS, size))
        n_held, n_start = np.zeros(count), np.zeros(count)
        (low, high), scales = component_limits(self.context), np.ones(count)
        for c, candidate in enumerate(candidates):
            index, scales[c] = self._window(candidate)
            n = len(index)
            points[c, :n], residuals[c, :n] = self.points[index], self.residuals[index]
            weights[c, :n] = self.weights[index]
            points[c, n:] = self.points[index[-1]] if n else self.points[0]
            replaced = self._replaced(candidate)
            held[c, : len(replaced)] = self.state.blocks[replaced]
            start[c, : len(candidate.start)] = np.clip(candidate.start, low, high)
            n_held[c], n_start[c] = len(replaced), len(candidate.start)
        sides = (np.tile(side, (count, 1)) for side in (low, high))
        return LocalProblems(points, residuals, weights, held, start, n_held, n_start, *sides), scales

    def _window(self, candidate: Candidate) -> tuple[np.ndarray, float]:
        windows, replaced = self.context.windows, self._replaced(candidate)
        places = [] if candidate.place is None else [candidate.place]
        level = max([self._levels[k] for k in replaced] + [windows.level(covariance) for _, covariance in places])
        ranks = [self._ranks(level, int(k)) for k in replaced] + [windows.ranks(level, *place) for place in places]
        return windows.sample(level, ranks)

    def _ranks(self, level: int, k: int) -> np.ndarray:
        if (level, k) not in self._inside:
            self._inside[level, k] = self.context.windows.ranks(
                level, self.surface.centers[k], self.surface.covariances[k]
            )
        return self._inside[level, k]

    def _replaced(self, candidate: Candidate) -> np.ndarray:
        """The components whose part of the surface is replaced by a candidate's own."""
        return candidate.members if candidate.removed < 0 else np.append(candidate.members, candidate.removed)


def halves(surface: GaussianSurface, k: int) -> list[Peak]:
    """Two components along the major axis of component ``k`` whose sum is much like it."""
    amplitude, center, covariance = (array[k] for array in (surface.amplitudes, surface.centers, surface.covariances))
    values, vectors = np.linalg.eigh(covariance)
    offset = HALF_OFFSET_WIDTHS * np.sqrt(values[-1]) * vectors[:, -1]
    shape = covariance - HALF_LOST_VARIANCE * values[-1] * np.outer(vectors[:, -1], vectors[:, -1])
    return [Peak(HALF_AMPLITUDE * amplitude, center + side * offset, shape) for side in (1, -1)]


def component_limits(context: SearchContext) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest numbers (p,) that any component may have, infinite where there is no limit."""
    box, size = context.prepared.host.box, context.parameterization.layout.block_size
    if box is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    return np.min(box.low, axis=0), np.max(box.high, axis=0)


def warm_up(context: SearchContext) -> None:
    """Compiles the local refits on a problem of zeros."""
    parts, layout, width = context.parameterization, context.parameterization.layout, context.windows.size
    idle = np.zeros((1, MEMBERS + 1, layout.block_size))
    nothing, none = np.zeros((1, width)), np.zeros(1)
    sides = (side[None] for side in component_limits(context))
    zeros = LocalProblems(np.zeros((1, width, parts.n_dim)), nothing, nothing, idle, idle[:, 1:], none, none, *sides)
    local_refits(parts, np.zeros(layout.n_shared), zeros, 1)


def _overfit(problems: LocalProblems, candidates: list[Candidate], scales: np.ndarray) -> np.ndarray:
    """The part of the falls (C,) that is due to noise, which a fit to a sample of the points gains on the sample alone.

    P parameters take P s^2 / 2 off the cost of W independent residuals of variance s^2, and add as much on any W other
    points. Without this correction, moves that change nothing promised 3 to 6 % of the cost.
    """
    squares = np.sum(problems.residuals**2, axis=1) / np.maximum(np.count_nonzero(problems.weights, axis=1), 1)
    free = np.array([candidate.start.size for candidate in candidates])
    return (scales - 1) * free * squares


def disjoint(moves: Sequence[Move], most: int) -> list[Move]:
    """Up to ``most`` of the moves, in their order, that touch different components."""
    chosen: list[Move] = []
    touched: set[int] = set()
    for move in moves:
        if len(chosen) < most and not move.touched & touched:
            chosen.append(move)
            touched |= move.touched
    return chosen


def apply_moves(state: State, moves: Sequence[Move]) -> np.ndarray:
    """The blocks (K, p) after moves that touch different components."""
    blocks, added = state.blocks.copy(), []
    gone = sorted({move.candidate.removed for move in moves} - {-1})
    for move in moves:
        blocks[move.members] = move.blocks[: len(move.members)]
        added.append(move.blocks[len(move.members) :])
    return np.concatenate([np.delete(blocks, gone, axis=0), *added])
