"""From checked data and a model to a problem on the device, with the units between them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._base.compile import quick_jit, rounded_up
from .._base.memory import check_dense, memory_limit
from .._constraints.bounds import Constraints
from .._constraints.box import Box, box, fixed_masks, n_fixed
from .._constraints.prior import Penalty, SurfacePrior, penalty
from .._constraints.width_limits import WidthLimits, width_limits
from .._data.data import SurfaceData
from .._engines.engines import Dense, EngineChoice
from .._engines.overlaps import EvenGrid
from .._engines.tiles import Tiling, grid_tiles, scattered_tiles
from .._losses import ROBUST, Linear, Loss, loss_of
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import LOW, MIDDLE, NoBackground, background_start, continued
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import Parameterization
from .._model.scaling import Scaling, scaling_of, without_outliers
from .._model.surface import GaussianSurface
from .._model.units import to_physical
from .planning import TilePlanner
from .problem import SurfaceProblem


@dataclass(frozen=True)
class Model:
    """What is fitted. ``background`` is the option as the user gave it, or a background itself."""

    n_components: int
    background: Any
    covariance_type: str
    min_width: float
    amplitudes: str = "positive"
    prior: SurfacePrior | None = None
    loss: str = "linear"
    f_scale: float = 1.0
    constraints: Constraints = field(default_factory=Constraints)

    def plain_loss(self, data: SurfaceData) -> Loss:
        """The loss in the user's units."""
        return loss_of(self.loss, self.f_scale, float(data.used_heights.mean(dtype=float)))

    @property
    def signed(self) -> bool:
        return AMPLITUDE_TYPES[self.amplitudes].signed


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data and problem side by side. ``background`` is the start of the background, in the user's units."""

    data: SurfaceData
    model: Model
    scaling: Scaling
    problem: SurfaceProblem
    background: Any
    planner: TilePlanner | None = None

    @property
    def n_parameters(self) -> int:
        """Free numbers of the model; the problem may have room for more."""
        parts, count = self.problem.parameterization, self.model.n_components
        used = replace(parts.layout, n_components=count).n_parameters
        return used - n_fixed(self.model.constraints.fixed, parts, count)

    @cached_property
    def cost_unit(self) -> float:
        """Cost in the user's units for a cost of one in the problem's."""
        return _cost_unit(self.data, self.scaling)

    def fixing(self, params: Any) -> SurfaceProblem:
        """The problem, with what is fixed held at parameters (P,)."""
        problem, fixed = self.problem, self.model.constraints.fixed
        if not fixed or problem.box is None:
            return problem
        limits = problem.box.fixing(problem.parameterization, params, fixed)
        return replace(problem, box=_on_device(limits, params.dtype))

    def by_point(self, values: Any) -> np.ndarray:
        """What stands at the problem's places (N or more,), in the order of the data's points (N,)."""
        return np.asarray(values)[self._places]

    @cached_property
    def _places(self) -> np.ndarray:
        if self.planner is None:
            return np.arange(self.data.n_used)
        tiling, places = self.planner.tiling, np.empty(self.data.n_used, int)
        filled = np.flatnonzero(tiling.filled)
        places[tiling.order.ravel()[filled]] = filled
        return places

    def surface(self, params: Any) -> GaussianSurface:
        """The surface in the user's units, as NumPy arrays in float64."""
        with precision(np.dtype(params.dtype)):
            parts = components(self.problem.parameterization, params)
        *arrays, model = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parts)
        amplitudes, centers, factors, _ = (array[: self.model.n_components] for array in arrays)
        internal = GaussianSurface(amplitudes, centers, _definite(factors @ factors.swapaxes(1, 2)), model)
        physical = to_physical(internal, self.scaling)
        background = physical.background
        return replace(physical, background=None if isinstance(background, NoBackground) else background)


def _definite(covariances: np.ndarray) -> np.ndarray:
    """Covariances (K, d, d) with eigenvalues above rounding: a component that runs away may be 1e8 times as long as it
    is wide.
    """
    values = np.linalg.eigvalsh(covariances)
    least = 8 * values.shape[1] * np.finfo(float).eps * values[:, -1]
    return np.asarray(covariances + np.maximum(least - values[:, 0], 0)[:, None, None] * np.eye(values.shape[1]))


components = quick_jit(Parameterization.components)


def prepare(data: SurfaceData, model: Model, dtype: np.dtype, engine: EngineChoice, init: Any = None) -> Prepared:
    """Checks that need data and model together, units of order one, and the arrays on the device."""
    heights = data.used_heights.astype(np.float64)
    background = background_start(model.background, data.used_points, heights, MIDDLE if model.signed else LOW)
    if isinstance(init, GaussianSurface):
        background = continued(background, init.background)
    seen = without_outliers(heights) if model.loss in ROBUST else heights
    scaling = scaling_of(
        data.used_points, seen, shift_heights=background.shifts_heights, isotropic=model.covariance_type == "spherical"
    )
    parameterization = Parameterization(
        floor=jnp.asarray(model.min_width * data.spacing / scaling.point_scale, dtype),
        background=_on_device(background.to_internal(scaling), dtype),
        n_active=jnp.asarray(model.n_components, dtype),
        covariance=COVARIANCE_TYPES[model.covariance_type],
        n_components=component_capacity(model.n_components),
        amplitude=AMPLITUDE_TYPES[model.amplitudes],
    )
    _check_enough_points(data, model, parameterization)
    internal = Internal(scaling.points(data.used_points), scaling.heights(heights), data.weights / _weight_unit(data))
    unit = _cost_unit(data, scaling)
    plain = model.plain_loss(data)
    rows, loss = (
        penalty(model.prior, scaling, data.n_dim, unit),
        plain.scaled(scaling.height_shift, scaling.height_scale, unit),
    )
    limits = box(model.constraints.bounds, parameterization, scaling, background) if model.constraints else None
    if limits is not None and np.any(model.constraints.fixed.get("background", False)):
        held = np.concatenate(
            [np.full(parameterization.layout.n_shared, np.nan), np.asarray(parameterization.background.vector(), float)]
        )
        sides = (np.where(np.isnan(held), side, held) for side in (limits.border_low, limits.border_high))
        limits = Box(limits.low, limits.high, *sides)
    widths = width_limits(model.constraints.bounds, model.covariance_type, scaling)
    objective = Objective(parameterization, *_on_device((rows, loss, limits, widths), dtype))
    picked, limit = engine.picked(data.n_used, parameterization.n_parameters), memory_limit(engine.max_memory)
    if isinstance(picked, Dense):
        check_dense(parameterization.n_parameters, dtype, limit)
        return Prepared(data, model, scaling, objective.problem(internal.padded(), dtype), background)
    grid = None if picked.normal == "products" or not isinstance(loss, Linear) else _even_grid(data, scaling)
    # Below the smallest normal number a cutoff would mean another thing on the device than here.
    cutoff = picked.cutoff if picked.cutoff >= np.finfo(dtype).tiny else 0.0
    planner = TilePlanner(_tiling(data, internal, picked.tile_size), grid, float(dtype.type(cutoff)), limit)
    problem = objective.problem(internal.tiled(planner.tiling), dtype)
    return Prepared(data, model, scaling, problem, background, planner)


def resampled(prepared: Prepared, data: SurfaceData, share: float) -> Prepared:
    """The same fit to other data that stand for a ``share`` of its own, for the dense engine and in single
    precision.
    """
    scaling, problem, dtype = prepared.scaling, prepared.problem, np.dtype(np.float32)
    internal = Internal(
        scaling.points(data.used_points),
        scaling.heights(data.used_heights.astype(np.float64)),
        data.weights / _weight_unit(prepared.data),
    )
    parameterization, rows = (_on_device(part, dtype) for part in (problem.parameterization, problem.penalty))
    if rows is not None:  # fewer points have less to say against a prior
        rows = replace(rows, unit=rows.unit * dtype.type(np.sqrt(share)))
    objective = Objective(parameterization, rows, *_on_device((problem.loss, problem.box, problem.width_limits), dtype))
    return replace(prepared, data=data, problem=objective.problem(internal.padded(), dtype), planner=None)


class Internal(NamedTuple):
    """The used points (N, d), heights (N,) and weights (N,) in the units of the fit."""

    points: np.ndarray
    heights: np.ndarray
    weights: np.ndarray

    def padded(self) -> Internal:
        """With points of weight zero up to the next capacity, which repeat the last one: as finite as the data."""
        spare = capacity(len(self.heights)) - len(self.heights)
        return Internal(_padded(self.points, spare), _padded(self.heights, spare), np.pad(self.weights, (0, spare)))

    def tiled(self, tiling: Tiling) -> Internal:
        """In the order of the tiles, with weight zero at places that hold no point."""
        weights = np.where(tiling.filled.ravel(), tiling.spread(self.weights), 0.0)
        return Internal(tiling.spread(self.points), tiling.spread(self.heights), weights)


class Objective(NamedTuple):
    """What is minimised, whatever the points: the parameters, a prior's rows, the loss, the limits."""

    parameterization: Parameterization
    rows: Penalty | None
    loss: Loss
    box: Box | None
    width_limits: WidthLimits | None

    def problem(self, internal: Internal, dtype: np.dtype) -> SurfaceProblem:
        points, heights, weights = (_on_device(array, dtype) for array in internal)
        parts, rows, loss, limits, widths = self
        return SurfaceProblem(points, heights, weights, parts, penalty=rows, loss=loss, box=limits, width_limits=widths)


def _tiling(data: SurfaceData, internal: Internal, size: int) -> Tiling:
    if data.axes is None:
        return scattered_tiles(internal.points, size)
    return grid_tiles(internal.points, np.argwhere(data.used), data.used.shape, size)


def _even_grid(data: SurfaceData, scaling: Scaling) -> EvenGrid | None:
    """The grid of the data in the units of the fit, if it is even, complete and evenly weighted."""
    if data.axes is None or not data.used.all() or np.ptp(data.weights) > 1e-9 * data.weights.max():
        return None
    axes = scaling.axes(data.axes)
    steps = np.array([(axis[-1] - axis[0]) / (len(axis) - 1) if len(axis) > 1 else 1.0 for axis in axes])
    even = all(np.allclose(np.diff(axis), step, rtol=1e-6, atol=0) for axis, step in zip(axes, steps, strict=True))
    return EvenGrid(np.array([axis[0] for axis in axes]), steps, data.used.shape) if even else None


def used_parameters(prepared: Prepared) -> np.ndarray:
    """Which parameters (P,) are no mere room."""
    layout = prepared.problem.parameterization.layout
    used = np.ones(layout.n_parameters, bool)
    used[prepared.model.n_components * layout.block_size : layout.n_own] = False
    return used


def fixed_parameters(prepared: Prepared) -> np.ndarray:
    """Which parameters (P,) are fixed."""
    parts = prepared.problem.parameterization
    own, border = fixed_masks(prepared.model.constraints.fixed, parts)
    return np.concatenate([np.broadcast_to(own, (parts.n_components, parts.layout.block_size)).ravel(), border])


def component_capacity(n_components: int) -> int:
    """Components to make room for: four sizes an octave above 8, so that the next number often compiles nothing."""
    unit = max(1, 1 << max(0, (n_components - 1).bit_length() - 3))
    return -(-n_components // unit) * unit


def precision(dtype: np.dtype) -> AbstractContextManager[Any]:
    """64-bit JAX for the block if float64 is asked for; the global setting stays as it is."""
    return jax.enable_x64(True) if dtype == np.float64 else nullcontext()


def _weight_unit(data: SurfaceData) -> float:
    """Root mean square of the weights 1 / sigma, which the problem's weights are divided by."""
    return float(np.sqrt(np.mean(data.weights**2)))


def capacity(n_points: int) -> int:
    """Points to make room for: a few sizes for small maps, so that the next one of about this size compiles nothing.

    Above 8192, running outweighs compiling.
    """
    return n_points if n_points > 8192 else rounded_up(n_points)


def _cost_unit(data: SurfaceData, scaling: Scaling) -> float:
    return float((scaling.height_scale * _weight_unit(data)) ** 2)


def _padded(array: np.ndarray, spare: int) -> np.ndarray:
    """With the last entry repeated, so that whatever is evaluated there is as finite as at the data."""
    return np.pad(array, [(0, spare)] + [(0, 0)] * (array.ndim - 1), mode="edge")


def _on_device(tree: Any, dtype: np.dtype) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def _check_enough_points(data: SurfaceData, model: Model, parameterization: Parameterization) -> None:
    layout = replace(parameterization.layout, n_components=model.n_components)
    n_parameters = layout.n_parameters
    if n_parameters <= data.n_used:
        return
    most = max(0, (data.n_used - layout.n_border) // layout.block_size)
    way_out = f"at most n_components={most} fit this map" if most else "no component fits so few points"
    if model.covariance_type == "full" and data.n_dim > 1:
        way_out += "; covariance_type='spherical' or 'diag' needs fewer parameters"
    raise ValueError(
        f"`n_components`={model.n_components} means {n_parameters} parameters, more than the {data.n_used} points to"
        f" fit: {way_out}"
    )
