"""Lanes whose problems have one form, as arrays over them: what their growth, search and steps need of all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from .._losses import Linear
from .._model.background import ConstantBackground, NoBackground
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._problem.problem import SurfaceProblem
from .._search.states import State
from .lanes import Lane


class States(NamedTuple):
    """States of n lanes: costs and numbers of components (n,), blocks (n, K, p) with room, borders (n, s + b)."""

    costs: np.ndarray
    sizes: np.ndarray
    blocks: np.ndarray
    borders: np.ndarray

    def some(self, rows: np.ndarray) -> States:
        return States(*(column[rows] for column in self))

    def put(self, rows: np.ndarray, others: States) -> None:
        """Writes the states of some lanes to their rows."""
        for column, other in zip(self, others, strict=True):
            column[rows] = other

    def one(self, row: int) -> State:
        """That of one lane."""
        return State(float(self.costs[row]), self.blocks[row, : self.sizes[row]], self.borders[row])


@dataclass(eq=False)
class LaneArrays:
    """B lanes of one form: the maps' numbers ``flats`` (B,) and ``places`` (B,) in their chunk; ``n_used`` and
    ``cost_units`` (B,); leaves of ``problem`` and ``scaling`` have a leading axis of B, or of 1 where all are alike.

    ``inits`` (B,) are names of starts, "" for a surface; ``make`` gives a lane by its row.
    """

    flats: np.ndarray
    places: np.ndarray
    problem: SurfaceProblem
    scaling: Scaling
    n_used: np.ndarray
    cost_units: np.ndarray
    inits: np.ndarray
    first: Lane
    make: Callable[[int], Lane]
    _made: dict[int, Lane] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.flats)

    def lane(self, row: int) -> Lane:
        """One lane, for what is done lane by lane."""
        if row not in self._made:
            self._made[row] = self.make(row)
        return self._made[row]

    @property
    def n_components(self) -> int:
        return self.first.prepared.model.n_components

    @property
    def parts(self) -> Parameterization:
        """The parameterisation of the first lane; floors and backgrounds of the others may differ."""
        return self.first.prepared.host.parameterization

    @property
    def floors(self) -> np.ndarray:
        """Least widths (B or 1, d)."""
        return np.asarray(self.problem.parameterization.floor)

    @cached_property
    def is_plain(self) -> bool:
        """Whether all of growth is written for arrays: least squares over a constant or nothing, components with
        shapes of their own, no prior and no limits of principal widths.
        """
        plain = isinstance(self.problem.loss, Linear) and self.problem.penalty is None
        plain = plain and self.problem.width_limits is None and not self.parts.covariance.shared
        return plain and isinstance(self.parts.background, ConstantBackground | NoBackground)

    def rows_of(self, array: Any, rows: np.ndarray) -> np.ndarray:
        """Those of some lanes of an array (B or 1, ...)."""
        if len(array) == len(self):
            return np.asarray(array[rows])
        return np.broadcast_to(array[0], (len(rows), *np.shape(array)[1:]))


@dataclass(eq=False)
class LaneStack(LaneArrays):
    """Lanes on their way: ``params`` (B, P) are where the steps begin, in the rows that have ``started`` (B,), and
    ``steps`` (B,) those taken before.
    """

    params: np.ndarray = field(init=False)
    started: np.ndarray = field(init=False)
    steps: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.params = np.zeros((len(self), self.parts.n_parameters), self.parts.floor.dtype)
        self.started, self.steps = np.zeros(len(self), bool), np.zeros(len(self), int)

    def put_start(self, row: int, params: Any) -> None:
        """Says where the steps of a lane begin."""
        self.params[row], self.started[row] = params, True

    def problems(self, rows: np.ndarray, sizes: np.ndarray | None = None) -> SurfaceProblem:
        """The problems of some lanes, with ``sizes`` (n,) components in use."""
        some: SurfaceProblem = jax.tree.map(lambda leaf: self.rows_of(leaf, rows), self.problem)
        if sizes is None:
            return some
        parts = some.parameterization
        return replace(some, parameterization=replace(parts, n_active=sizes.astype(parts.floor.dtype)))

    def packed(self, rows: np.ndarray, states: States) -> np.ndarray:
        """Parameters (n, P) of states of some lanes, within their limits."""
        free = [states.blocks.reshape(len(rows), -1), states.borders]
        return self.projected(rows, np.concatenate(free, axis=1).astype(self.params.dtype))

    def projected(self, rows: np.ndarray, params: np.ndarray) -> np.ndarray:
        """Parameters (n, P) of some lanes, moved onto the limits that they exceed."""
        if self.problem.width_limits is not None:
            lanes = (self.lane(int(row)) for row in rows)
            both = zip(lanes, params, strict=True)
            return np.array([lane.prepared.host.projected(one) for lane, one in both], params.dtype)
        if self._sides is None:
            return params
        low, high = (self.rows_of(side, rows) for side in self._sides)
        return np.clip(params, low, high)

    @cached_property
    def _sides(self) -> list[np.ndarray] | None:
        """Least and largest values (B or 1, P) of the parameters."""
        box = self.problem.box
        if box is None:
            return None
        shape = self.parts.n_components, self.parts.layout.block_size
        sides = []
        for own, border in ((box.low, box.border_low), (box.high, box.border_high)):
            blocks = np.broadcast_to(own, (len(own), *shape)).reshape(len(own), -1)
            sides.append(np.concatenate([blocks, border], axis=1))
        return sides

    def states(self, costs: np.ndarray, params: np.ndarray, sizes: np.ndarray) -> States:
        """The states of parameters (n, P) with so many components (n,)."""
        layout, flat = self.parts.layout, np.asarray(params, float)
        blocks = flat[:, : layout.n_own].reshape(len(flat), layout.n_components, layout.block_size)
        blocks = np.where(np.arange(layout.n_components)[:, None] < sizes[:, None, None], blocks, 0)
        return States(np.where(np.isfinite(costs), costs, np.inf), sizes, blocks, flat[:, layout.n_own :].copy())

    def backgrounds_only(self) -> States:
        """The states of all lanes without components."""
        layout = self.parts.layout
        if self.is_plain:
            borders = self.levels if layout.n_background else np.zeros((len(self), 0))
            misfits = self.problem.weights * (
                np.broadcast_to(borders.sum(axis=1)[:, None], self.heights.shape) - self.heights
            )
            costs = 0.5 * np.square(np.asarray(misfits, float)).sum(axis=1)
        else:
            each = [self.lane(row).context.views.background_only() for row in range(len(self))]
            costs, borders = np.array([one.cost for one in each]), np.stack([one.border for one in each])
        blocks = np.zeros((len(self), layout.n_components, layout.block_size))
        return States(costs, np.zeros(len(self), int), blocks, borders)

    @property
    def heights(self) -> np.ndarray:
        """Heights (B, N) in the units of the fit, those of points without weight among them."""
        return np.asarray(self.problem.heights, float)

    @property
    def levels(self) -> np.ndarray:
        """Constant backgrounds (B, 1) at their start, in the units of the fit."""
        value = np.asarray(self.problem.parameterization.background.value, float)
        return np.broadcast_to(value, (len(self),))[:, None].copy()


def init_name(lane: Lane) -> str:
    """The name of how a lane's start is made, "" where it is given."""
    return lane.run.init if isinstance(lane.run.init, str) else ""


def stacked(lanes: Sequence[Lane], places: Sequence[int]) -> list[LaneStack]:
    """Lanes in stacks of one form each."""
    forms: dict[Any, list[int]] = {}
    flat = [jax.tree.flatten(lane.prepared.problem) for lane in lanes]
    for n, (lane, (leaves, structure)) in enumerate(zip(lanes, flat, strict=True)):
        model = lane.prepared.model
        kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)
        forms.setdefault((structure, kinds, model.n_components, model.constraints.keep_order), []).append(n)
    return [
        _stacked([lanes[n] for n in members], [flat[n] for n in members], [places[n] for n in members])
        for members in forms.values()
    ]


def _stacked(lanes: list[Lane], flat: list[tuple[list[Any], Any]], places: list[int]) -> LaneStack:
    columns = [np.stack(column) for column in zip(*(leaves for leaves, _ in flat), strict=True)]
    prepared = [lane.prepared for lane in lanes]
    scaling = jax.tree.map(lambda *leaves: np.stack(leaves), *(one.scaling for one in prepared))
    return LaneStack(
        flats=np.array([lane.flat for lane in lanes]),
        places=np.array(places),
        problem=jax.tree.unflatten(flat[0][1], columns),
        scaling=scaling,
        n_used=np.array([one.data.n_used for one in prepared]),
        cost_units=np.array([one.cost_unit for one in prepared]),
        inits=np.array([init_name(lane) for lane in lanes]),
        first=lanes[0],
        make=lanes.__getitem__,
    )
