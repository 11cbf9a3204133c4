r"""No fit that ends early is worse than its background alone: amplitudes and background by linear least squares.

With centres and shapes as they are, and the background linearised in its numbers b (a constant or a plane is linear),
those and the amplitudes a are the solution of

    min over a, b of   sum_j w_j^2 ((sum_k a_k g_k(x_j) + b(x_j) - z_j)^2 + |AMPLITUDE_RIDGE a|^2)

within the limits of both. Amplitudes of zero give the background alone, so that the minimum is no worse than that.
Under other losses the weights w are those that iteratively reweighted least squares gives the background (Holland &
Welsch, Commun. Stat. A 6 (1977) 813), and what has the lowest cost is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import lsq_linear

from .._base.memory import MemoryShort
from .._base.status import STATUS, Status
from .._losses import Linear
from .._model.block_layout import ALPHA
from .._search.context import SearchContext
from .._search.states import State
from .run_starts import RunOutcome

# Amplitudes solved for one by one, which takes a fraction of a second; more share one factor.
MOST_AMPLITUDES_SOLVED = 256
# Numbers in the columns of amplitudes solved for one by one, 32 MB; where there were more, all share one factor.
MOST_COLUMN_NUMBERS = 4_000_000
# Misfit, in the spread of the heights, that an amplitude of one spread costs: it keeps components that hardly meet a
# point, or differ little, from enormous amplitudes, and costs a millionth of the spread's square.
AMPLITUDE_RIDGE = 1e-3
# Rounds of reweighting: the cost of a background under outliers then falls no more in its third digit.
REWEIGHTINGS = 10
# Change of a number of the background, relative to it and to one, by which its column is taken: between rounding and
# the bend of a function.
DIFFERENCE = 1e-6


def no_worse_than_background(context: SearchContext, ended: RunOutcome) -> RunOutcome:
    """The end of a fit; where it ended early and above the best background alone, with amplitudes and background that
    are no worse than that, as far as their limits allow.
    """
    if STATUS[Status(int(ended.solution.status))].success:
        return ended
    try:
        return _no_worse(LinearPart(context, ended))
    except (KeyboardInterrupt, MemoryShort):
        return ended


def _no_worse(part: LinearPart) -> RunOutcome:
    ended, state, views = part.ended, part.state, part.context.views
    level, weights = part.best_level()
    if state.cost <= level.cost:
        return ended
    low = part.with_amplitudes(np.zeros(state.size))._replace(border=level.border)
    tried = [views.with_cost(one) for one in (low, part.solved(weights))]
    best = min([state, *tried], key=lambda one: one.cost if np.isfinite(one.cost) else np.inf)
    return ended if best is state else part.ended_at(best)


class Columns(NamedTuple):
    """Columns (N, m) of unknown numbers, with the limits (m,) between which each may be."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class LinearPart:
    """The amplitudes and the background of a fit that has ended, in its units."""

    context: SearchContext
    ended: RunOutcome

    @cached_property
    def state(self) -> State:
        solution, packing = self.ended.solution, self.context.packing
        return packing.unpack(float(solution.cost), np.asarray(solution.params), packing.request.n_components)

    @cached_property
    def _host(self) -> Any:
        return self.context.prepared.host_fixing(self.ended.solution.params)

    @cached_property
    def _limits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Least and largest amplitudes (K,), and numbers of the background (b,)."""
        parts, size = self._host.parameterization, self.state.size
        sides = [np.full(parts.n_parameters, end) for end in (-np.inf, np.inf)]
        if self._host.box is not None:
            sides = [np.asarray(side, float) for side in self._host.box.sides(parts)]
        split = [parts.layout.split(side) for side in sides]
        return [(parts.amplitude.value(blocks[:size, ALPHA]), background) for blocks, _, background in split]

    def best_level(self) -> tuple[State, np.ndarray]:
        """The best background alone, and the weights (N,) by which it is that of least squares."""
        views = self.context.views
        level = views.with_cost(self.state._replace(blocks=self.state.blocks[:0]))
        weights = views.descent_weights(level)
        for _ in range(1 if isinstance(self.context.prepared.problem.loss, Linear) else REWEIGHTINGS):
            change = _bounded(self._background_columns, self._misfit, weights)
            moved = views.with_cost(level._replace(border=self._moved_border(change)))
            level = moved if not moved.cost >= level.cost else level
            weights = views.descent_weights(moved)
        return level, weights

    def solved(self, weights: np.ndarray) -> State:
        """The state with amplitudes and background by linear least squares with weights (N,)."""
        own, background = self._amplitude_columns, self._background_columns
        columns = Columns(*(np.concatenate(pair, axis=-1) for pair in zip(own, background, strict=True)))
        solution = _bounded(columns, self._misfit, weights, len(own.low))
        amplitudes, change = np.split(solution, [len(own.low)])
        shared = len(amplitudes) == 1 and self.state.size > 1
        found = amplitudes * self._components.amplitudes if shared else amplitudes
        return self.with_amplitudes(found)._replace(border=self._moved_border(change))

    def with_amplitudes(self, amplitudes: np.ndarray) -> State:
        """The state with these amplitudes (K,), as near as their limits allow."""
        blocks, ((low, _), (high, _)) = self.state.blocks.copy(), self._limits
        moves = low < high
        blocks[moves, ALPHA] = self._host.parameterization.amplitude.free(np.clip(amplitudes, low, high))[moves]
        return self.state._replace(blocks=blocks)

    def ended_at(self, state: State) -> RunOutcome:
        """The end with the amplitudes and the background of a state."""
        solution, layout = self.ended.solution, self._host.parameterization.layout
        params: Any = np.array(solution.params)
        layout.blocks(params)[: state.size, ALPHA] = state.blocks[:, ALPHA]
        params[layout.n_own :] = state.border
        cost: Any = np.asarray(state.cost, np.asarray(solution.cost).dtype)
        return self.ended._replace(solution=solution._replace(params=params, cost=cost))

    @cached_property
    def _components(self) -> Any:
        return self.context.packing.surface(self.state)

    @cached_property
    def _amplitude_columns(self) -> Columns:
        """A column for each component, of amplitude one; or one for all, of the amplitudes that they have."""
        all_of_them, points, size = self._components, self.context.views.points, self.state.size
        (low, _), (high, _) = self._limits
        if size <= MOST_AMPLITUDES_SOLVED and size * len(points) <= MOST_COLUMN_NUMBERS:
            each = [replace(all_of_them.component(k), amplitudes=np.ones(1))(points) for k in range(size)]
            return Columns(np.column_stack(each), low, high)
        amplitudes = all_of_them.amplitudes
        some = amplitudes != 0
        ends = np.sort([side[some] / amplitudes[some] for side in (low, high)], axis=0)
        least, most = ends[0].max(initial=-np.inf), ends[1].min(initial=np.inf)
        return Columns(all_of_them(points)[:, None], np.array([min(least, 1.0)]), np.array([max(most, 1.0)]))

    @cached_property
    def _background_columns(self) -> Columns:
        """Of changes of the background's numbers."""
        vector, ((_, low), (_, high)) = self._vector, self._limits
        steps = DIFFERENCE * np.maximum(1.0, np.abs(vector))
        moved = [self._level(vector + step) for step in np.diag(steps)]
        rows = [(one - self._level(vector)) / step for one, step in zip(moved, steps, strict=True)]
        values = np.reshape(rows, (len(vector), len(self.context.views.points))).T
        return Columns(np.nan_to_num(values, posinf=0.0, neginf=0.0), low - vector, high - vector)

    @cached_property
    def _vector(self) -> np.ndarray:
        """The background's numbers (b,)."""
        return np.asarray(self.state.border[self._host.parameterization.layout.background])

    @cached_property
    def _misfit(self) -> np.ndarray:
        """The heights (N,) above the background."""
        return self.context.views.heights - self._level(self._vector)

    def _level(self, vector: np.ndarray) -> np.ndarray:
        return np.asarray(self._host.parameterization.background.with_vector(vector)(self.context.views.points))

    def _moved_border(self, change: np.ndarray) -> np.ndarray:
        border = self.state.border.copy()
        border[self._host.parameterization.layout.background] += change
        return border


def _bounded(columns: Columns, heights: np.ndarray, weights: np.ndarray, n_ridged: int = 0) -> np.ndarray:
    """The numbers (m,) within their limits that meet heights (N,) best by least squares with weights (N,), a ridge on
    the first ``n_ridged`` of them.
    """
    solution = np.clip(0.0, columns.low, columns.high)
    moves = columns.low < columns.high
    if not moves.any():
        return solution
    rest = heights - columns.values[:, ~moves] @ solution[~moves]
    system = weights[:, None] * np.column_stack([columns.values[:, moves], rest])
    ridge = AMPLITUDE_RIDGE * np.linalg.norm(weights) * (np.arange(len(moves)) < n_ridged)[moves]
    rows = np.column_stack([np.diag(ridge), np.zeros(len(ridge))])
    triangle: Any = np.linalg.qr(np.concatenate([system, rows]), "r")
    limits = columns.low[moves], columns.high[moves]
    solution[moves] = lsq_linear(triangle[:, :-1], triangle[:, -1], limits, method="bvls").x
    return np.asarray(solution)
