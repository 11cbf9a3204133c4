"""A problem on the device beside the data and units it was made from, and the ways back to the user's units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from .._base.precision import in_precision, near_device, on_host
from .._constraints.box import fixed_masks, n_fixed
from .._constraints.containment import region_of
from .._constraints.periods import coordinate_ends
from .._data.data import SurfaceData
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._model.background import NoBackground
from .._model.block_layout import BlockLayout
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface
from .._model.units import to_physical
from .._periodic.nearest import wrapped
from .._ties.limits import limited
from .._ties.tied_map import TiedMap, TiePlan, plan_of_ties, tied_map
from .internal_data import cost_unit, residual_unit
from .model_spec import ModelSpec
from .planning import TilePlanner
from .problem import SurfaceProblem

# Least eigenvalue of a covariance in units of rounding of its largest: what d x d products may lose.
LEAST_EIGENVALUE_ROUNDINGS = 8
# Of `min_width`: least principal width that is a free number of its own, a little more than what is given to widths at
# their floor, so that the way to a Cholesky factor meets no corner.
LEAST_WIDTH = 1.0001
# Of `min_width`: least upper limit of such a width, on data that are hardly wider than it.
WIDEST_FLOORS = 2.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data and problem side by side. ``background`` is the start of the background, in the user's units."""

    data: SurfaceData
    model: ModelSpec
    scaling: Scaling
    problem: SurfaceProblem
    background: Any
    planner: TilePlanner | None = None

    @property
    def n_parameters(self) -> int:
        """Free numbers of the model; the problem may have room for more."""
        return self.free_numbers(self.model.n_components)

    def free_numbers(self, count: int) -> int:
        """Free numbers of the model with so many components."""
        parts = self.problem.parameterization
        if count == self.model.n_components and (plan := tie_plan(self)) is not None:
            return len(plan.free)
        used = replace(parts.layout, n_components=count).n_parameters - (0 if count else parts.layout.n_shared)
        return used - n_fixed(self.model.constraints.fixed, parts, count)

    @cached_property
    def host(self) -> SurfaceProblem:
        """The problem's parameters and limits as NumPy arrays, without its data: what it says of some parameters is
        then computed on the host, where nothing has to be compiled.
        """
        problem = self.problem
        none: Any = np.zeros(0)
        parts, limits = on_host((problem.parameterization, (problem.box, problem.width_limits)))
        box, width_limits = limits
        return SurfaceProblem(none, none, none, parts, box=box, width_limits=width_limits)

    @cached_property
    def cost_unit(self) -> float:
        """Cost in the user's units for a cost of one in the problem's."""
        return cost_unit(self.data, self.scaling)

    @cached_property
    def residual_unit(self) -> float:
        """A weighted residual in the user's units for one of one in the problem's: the root of ``cost_unit``."""
        return residual_unit(self.data, self.scaling)

    def fixing(self, params: Any) -> SurfaceProblem:
        """The problem, with what is fixed held at parameters (P,)."""
        if not self.model.constraints.fixed or self.problem.box is None:
            return self.problem
        return replace(self.problem, box=near_device(self.host_fixing(params).box, params.dtype))

    def host_fixing(self, params: Any) -> SurfaceProblem:
        """`host`, with what is fixed held at parameters (P,)."""
        host, fixed = self.host, self.model.constraints.fixed
        if not fixed or host.box is None:
            return host
        return replace(host, box=host.box.fixing(host.parameterization, np.asarray(params), fixed))

    def by_point(self, values: Any) -> np.ndarray:
        """Values (N or more,) at the problem's places, in the order of the data's points (N,)."""
        return np.asarray(values)[self._places]

    @cached_property
    def _places(self) -> np.ndarray | slice:
        if self.planner is None:
            return slice(self.data.n_used)
        tiling, places = self.planner.tiling, np.empty(self.data.n_used, int)
        filled = np.flatnonzero(tiling.filled)
        places[tiling.order.ravel()[filled]] = filled
        return places

    def surface(self, params: Any) -> GaussianSurface:
        """The surface in the user's units, as NumPy arrays in float64; along periodic axes with centres in the period
        that begins at the lowest coordinate.
        """
        parts = self.host.parameterization.components(np.asarray(params))
        *arrays, model, _ = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parts)
        amplitudes, centers, factors, _ = (array[: self.model.n_components] for array in arrays)
        internal = GaussianSurface(amplitudes, centers, definite(factors @ factors.swapaxes(1, 2)), model)
        physical = replace(to_physical(internal, self.scaling), periods=self.model.periods)
        centers = wrapped(physical.centers, coordinate_ends(self.data)[:, 0], self.model.periods)
        background = physical.background
        return replace(
            physical, centers=centers, background=None if isinstance(background, NoBackground) else background
        )


def used_parameters(prepared: Prepared) -> np.ndarray:
    """Which parameters (P,) belong to the model; the others are room for more components."""
    return used_places(prepared.problem.parameterization.layout, prepared.model.n_components)


def used_places(layout: BlockLayout, count: int) -> np.ndarray:
    """Which places (P,) of a vector belong to so many components, or to the border."""
    used = np.ones(layout.n_parameters, bool)
    used[count * layout.block_size : layout.n_own + (0 if count else layout.n_shared)] = False
    return used


def fixed_parameters(prepared: Prepared) -> np.ndarray:
    """Which parameters (P,) are fixed."""
    return fixed_places(prepared.model, prepared.problem.parameterization)


def fixed_places(model: ModelSpec, parts: Parameterization) -> np.ndarray:
    """Which places (P,) of a vector are fixed."""
    own, border = fixed_masks(model.constraints.fixed, parts)
    return np.concatenate([np.broadcast_to(own, (parts.n_components, parts.layout.block_size)).ravel(), border])


def tie_plan(prepared: Prepared) -> TiePlan | None:
    """What numbers follow from others by; None where all are free."""
    model, parts = prepared.model, prepared.problem.parameterization
    return plan_of_ties(model.constraints.ties, fixed_masks(model.constraints.fixed, parts), model.n_components, parts)


def tied_at(prepared: Prepared, plan: TiePlan, params: Any, *, has_ended: bool = False) -> TiedMap:
    """The free numbers, as they are at parameters (P,), to all parameters, with the limits of the free numbers; a fit
    under these rules may have ended there.
    """
    parts, host, scaling, values = (
        prepared.problem.parameterization,
        prepared.host,
        prepared.scaling,
        np.asarray(params),
    )
    tied = tied_map(
        plan, parts, in_precision(scaling, values.dtype), values, prepared.surface(values), has_ended=has_ended
    )
    sides = [np.full(parts.layout.n_parameters, end) for end in (-np.inf, np.inf)]
    sides = sides if host.box is None else host.box.sides(host.parameterization)
    least = float((np.asarray(host.parameterization.floor, float) * scaling.point_scale).max())
    widest = float(region_of(prepared.data).widest.max()) if prepared.model.contained else np.inf
    return limited(tied, sides, (LEAST_WIDTH * least, max(widest, WIDEST_FLOORS * least)))


def definite(covariances: np.ndarray) -> np.ndarray:
    """Covariances (K, d, d) with eigenvalues above rounding: a component that runs away may be 1e8 times as long as it
    is wide.
    """
    values = np.linalg.eigvalsh(covariances)
    least = LEAST_EIGENVALUE_ROUNDINGS * values.shape[1] * np.finfo(float).eps * values[:, -1]
    return np.asarray(covariances + np.maximum(least - values[:, 0], 0)[:, None, None] * np.eye(values.shape[1]))


def factorised_rows(prepared: Prepared) -> int:
    """Rows of the largest matrix that a step factorises, at most: those of all parameters, unless the engine goes by a
    plan and conjugate gradients solve, which are given inverses of small clusters.
    """
    n_parameters = prepared.problem.parameterization.n_parameters
    return n_parameters if prepared.planner is None else min(n_parameters, DIRECT_SOLVE_PARAMETERS)
