"""Some components of a problem by themselves: all others are held, and what they leave of the heights is to be met.

The cost is that of the whole problem, over all its points, so that a step that lowers the one lowers the other. Where
components share a shape, or a prior pulls at them, or a misfit depends on more than the difference from a height,
there is no such problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import plain_jit
from .._base.precision import near_device
from .._losses import Poisson
from .._problem.capacity import component_capacity
from .._problem.planning import TilePlanner
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem


@dataclass(frozen=True, eq=False)
class PartialProblems:
    """Makes problems of up to ``room`` components out of one of many; ``planner`` makes the plans of all of them."""

    planner: TilePlanner
    room: int
    whole_planner: TilePlanner

    @classmethod
    def of(cls, prepared: Prepared, share: float) -> PartialProblems | None:
        """Problems of up to such a share of the components; None where the rest cannot be held."""
        problem, planner = prepared.problem, prepared.planner
        parts = problem.parameterization
        if planner is None or parts.layout.n_shared or problem.penalty is not None or parts.periods is not None:
            return None
        if isinstance(problem.loss, Poisson):
            return None
        own = TilePlanner(planner.tiling, planner.grid, planner.cutoff, planner.memory)
        return cls(own, component_capacity(max(1, int(share * int(parts.n_active)))), planner)

    def problem(self, whole: SurfaceProblem, params: Array, members: np.ndarray) -> tuple[SurfaceProblem, Array]:
        """The problem of some components (m,), given by their numbers, and its parameters; ``whole`` has a plan that
        serves at the parameters (P,).
        """
        self._reserve(whole)
        parts, chosen = whole.parameterization, np.pad(members, (0, self.room - len(members)))  # idle ones as the first
        mine = replace(parts, n_components=self.room, n_active=near_device(len(members), np.dtype(parts.floor.dtype)))
        heights = _without_others(whole, params, _is_among(members, parts.n_components))
        box = None if whole.box is None else whole.box.some(chosen)
        return replace(whole, heights=heights, parameterization=mine, box=box), self._taken(whole, params, members)

    def merged(self, whole: SurfaceProblem, params: Any, members: np.ndarray, moved: Any) -> np.ndarray:
        """The parameters (P,) of the whole with those of a partial problem put in their places."""
        layout, n_own = whole.parameterization.layout, self.room * whole.parameterization.layout.block_size
        new, moved = np.array(params), np.asarray(moved)
        layout.blocks(new)[members] = moved[:n_own].reshape(self.room, -1)[: len(members)]
        new[layout.n_own :] = moved[n_own:]
        return new

    def _reserve(self, whole: SurfaceProblem) -> None:
        """Makes room for as large a part of the whole's lists as of its components: parts that grow compile nothing."""
        share = self.room / whole.parameterization.n_components
        for name, unit in (("chunks", 1), ("rows", self.whole_planner.capacities.get("rows at once", 1))):
            units = int(np.ceil(share * self.whole_planner.capacities.get(name, 0) / unit))
            self.planner.capacities.setdefault(name, units * unit)

    def _taken(self, whole: SurfaceProblem, params: Array, members: np.ndarray) -> Any:
        layout, values = whole.parameterization.layout, np.asarray(params)
        blocks = np.zeros((self.room, layout.block_size), values.dtype)
        blocks[: len(members)] = layout.blocks(values)[members]
        return jnp.asarray(np.concatenate([blocks.ravel(), values[layout.n_own :]]))


def _is_among(members: np.ndarray, count: int) -> np.ndarray:
    among = np.zeros(count, bool)
    among[members] = True
    return among


def without_others(whole: SurfaceProblem, params: Array, is_mine: Array) -> Array:
    """The heights (N,) less the sum of all components that are not ``is_mine`` (K,)."""
    components = whole.parameterization.components(params)
    others = components._replace(amplitudes=jnp.where(is_mine, 0, components.amplitudes))
    model = whole.engine.model(whole.points, others) - components.background(whole.points)
    return whole.heights - model


_without_others = plain_jit(without_others)
