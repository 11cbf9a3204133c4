"""From checked data and a model to a problem on the device: units, parameters, what is minimised, and the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._base.memory import check_dense, check_points, dense_need, memory_limit
from .._base.precision import near_device, on_device
from .._constraints.bounds import check_held_background
from .._constraints.box import Box, box, contained, fixed_masks, narrowed
from .._constraints.containment import open_region, region_of
from .._constraints.convolved import Convolved
from .._constraints.penalty import Penalty, penalty
from .._constraints.shape import shape_numbers
from .._constraints.width_limits import WidthLimits, width_limits
from .._data.data import SurfaceData
from .._engines.engines import Dense, EngineChoice
from .._engines.jacobian import PixelEngine, chunk_numbers
from .._engines.pixel_nodes import PixelNodes
from .._losses import ROBUST, Linear, Loss
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import LOW_QUANTILE, MIDDLE_QUANTILE, BackgroundModel, background_start, continued
from .._model.block_layout import BlockLayout
from .._model.covariance import COVARIANCE_TYPES, CovarianceType
from .._model.parameters import Parameterization, n_monomials
from .._model.scaling import Scaling, scaling_of, without_outliers
from .._model.surface import GaussianSurface
from .._ties.tied_map import plan_of_ties
from .capacity import component_capacity
from .internal_data import InternalData, cost_unit, even_grid, internal_data, residual_unit, tiling_of, weight_unit
from .model_spec import ModelOptions, ModelSpec
from .planning import TilePlanner
from .prepared import Prepared
from .problem import SurfaceProblem

# Coordinates up to which points stay NumPy's on a CPU, and are copied for each program that runs: in 1 us, where to
# place them takes 40 us.
MAX_NEAR_NUMBERS = 4096


class TooFewPoints(ValueError):
    """There are more parameters than points."""


class Objective(NamedTuple):
    """What is minimised, whatever the points: the parameters, a prior's rows, the loss, the limits, and the variance of
    a residual where it is known.
    """

    parameterization: Parameterization
    rows: Penalty | None
    loss: Loss
    box: Box | None
    width_limits: WidthLimits | None
    variance: Any = None

    def problem(self, internal: InternalData, dtype: np.dtype) -> SurfaceProblem:
        """The problem on the device for points in the units of the fit."""
        placed = near_device if internal.points.size <= MAX_NEAR_NUMBERS else on_device
        points, heights, weights = (placed(array, dtype) for array in internal)
        return SurfaceProblem(
            points=points,
            heights=heights,
            weights=weights,
            parameterization=self.parameterization,
            penalty=self.rows,
            loss=self.loss,
            box=self.box,
            width_limits=self.width_limits,
            variance=self.variance,
        )


def problem_setup(
    data: SurfaceData, model: ModelSpec, dtype: np.dtype, engine: EngineChoice, init: Any = None
) -> Prepared:
    """The problem of fitting a model to data, beside both. A background may go on from that of a start ``init``.

    Raises `TooFewPoints` where there are more parameters than points, and `MemoryShort` where memory does not suffice.
    """
    limit = memory_limit(engine.max_memory)
    check_points(data.n_used, data.n_dim, dtype, limit)
    background = _background(data, model, init)
    scaling = _scaling(data, model, background)
    parameterization = _parameterization(data, model, scaling, background, dtype)
    _check_enough_points(data, model, parameterization)
    nodes = _nodes(data, model, scaling, dtype)
    picked = engine.picked(data.n_used, parameterization.n_components, parameterization.n_parameters)
    if isinstance(picked, Dense):
        _check_dense(data, parameterization, dtype, limit)
    internal = internal_data(data, scaling, weight_unit(data))
    objective = _objective(data, model, scaling, background, parameterization, dtype)
    if isinstance(picked, Dense):
        problem = _over_pixels(objective.problem(internal.cast(dtype).padded(data), dtype), nodes)
        return Prepared(data, model, scaling, problem, background)
    plain = isinstance(objective.loss, Linear) and picked.normal != "products" and nodes is None
    # Below the smallest normal number a cutoff would mean another thing on the device than here.
    cutoff = picked.cutoff if picked.cutoff >= np.finfo(dtype).tiny else 0.0
    tiling = tiling_of(data, internal, picked.tile_size)
    planner = TilePlanner(
        tiling if nodes is None else tiling.widened(np.abs(nodes.offsets).max(axis=0)),
        even_grid(data, scaling, scaling.periods(model.periods)) if plain else None,
        float(dtype.type(cutoff)),
        limit,
        nodes=nodes,
    )
    problem = objective.problem(internal.cast(dtype).tiled(planner.tiling), dtype)
    return Prepared(data, model, scaling, problem, background, planner)


def _nodes(data: SurfaceData, model: ModelSpec, scaling: Scaling, dtype: np.dtype) -> PixelNodes | None:
    """Nodes of pixels in the units of the fit; None where heights are those at points."""
    nodes = model.nodes(data.spacing)
    if nodes is None:
        return None
    inner: PixelNodes = near_device(nodes._replace(offsets=nodes.offsets / scaling.point_scale), dtype)
    return inner


def _over_pixels(problem: SurfaceProblem, nodes: PixelNodes | None) -> SurfaceProblem:
    """The problem with heights as means over the nodes of pixels, if there are any."""
    return problem if nodes is None else replace(problem, engine=PixelEngine(nodes=nodes))


def objective_setup(
    data: SurfaceData, model: ModelSpec, scaling: Scaling, background: BackgroundModel, dtype: np.dtype
) -> Objective:
    """What is minimised, for data that stand for points which are elsewhere. Raises `TooFewPoints`."""
    parameterization = _parameterization(data, model, scaling, background, dtype)
    _check_enough_points(data, model, parameterization)
    return _objective(data, model, scaling, background, parameterization, dtype)


def resampled(prepared: Prepared, data: SurfaceData, share: float) -> Prepared:
    """The same fit to other data, for the dense engine and in single precision.

    The data stand for a ``share`` of the original ones: a prior counts for as much less beside them.
    """
    problem, dtype = prepared.problem, np.dtype(np.float32)
    internal = internal_data(data, prepared.scaling, weight_unit(prepared.data))
    parameterization, rows = (near_device(part, dtype) for part in (problem.parameterization, problem.penalty))
    if rows is not None:
        rows = replace(rows, unit=rows.unit * dtype.type(np.sqrt(share)))
    limits = near_device((problem.loss, problem.box, problem.width_limits), dtype)
    plain = Objective(parameterization, rows, *limits).problem(internal.cast(dtype).padded(data), dtype)
    nodes = _nodes(data, prepared.model, prepared.scaling, dtype)
    return replace(prepared, data=data, problem=_over_pixels(plain, nodes), planner=None)


def _background(data: SurfaceData, model: ModelSpec, init: Any) -> BackgroundModel:
    """The background at its start, in the user's units."""
    level = MIDDLE_QUANTILE if model.signed else LOW_QUANTILE
    asked = background_start(
        model.background, data.used_points, data.used_heights.astype(np.float64), level, data.weights
    )
    return continued(asked, init.background, data.n_dim) if isinstance(init, GaussianSurface) else asked


def _scaling(data: SurfaceData, model: ModelSpec, background: BackgroundModel) -> Scaling:
    heights = data.used_heights.astype(np.float64)
    return scaling_of(
        data.used_points,
        without_outliers(heights) if model.loss in ROBUST else heights,
        shift_heights=background.shifts_heights,
        isotropic=model.covariance_type == "spherical",
        periods=model.periods,
    )


def _parameterization(
    data: SurfaceData, model: ModelSpec, scaling: Scaling, background: BackgroundModel, dtype: np.dtype
) -> Parameterization:
    floor = model.min_width * data.spacing / scaling.point_scale
    kind = covariance_of(model, scaling)
    if isinstance(kind, Convolved):
        floor = np.ones(data.n_dim)  # the beam: widths are in units of it
    floor, kind, inner, n_active, periods = near_device(
        (floor, kind, background.to_internal(scaling), model.n_components, scaling.periods(model.periods)), dtype
    )
    return Parameterization(
        floor=floor,
        background=inner,
        n_active=n_active,
        covariance=kind,
        n_components=component_capacity(max(1, model.n_components)),  # without any, one idles
        amplitude=AMPLITUDE_TYPES[model.amplitudes],
        periods=periods,
    )


def covariance_of(model: ModelOptions, scaling: Scaling) -> CovarianceType:
    """How covariances are written, behind the beam where there is one; a shape that is held has the beam in it."""
    own = COVARIANCE_TYPES[model.covariance_type]
    if model.beam is None or model.constraints.shape is not None:
        return own
    return Convolved(np.linalg.cholesky(model.beam / np.outer(scaling.point_scale, scaling.point_scale)), own)


def _objective(
    data: SurfaceData,
    model: ModelSpec,
    scaling: Scaling,
    background: BackgroundModel,
    parameterization: Parameterization,
    dtype: np.dtype,
) -> Objective:
    unit = cost_unit(data, scaling)
    rows = penalty(model.prior, scaling, data.n_dim, unit, parameterization)
    loss = model.plain_loss(data).scaled(scaling.height_shift, scaling.height_scale, unit)
    limits = _box(data, model, parameterization, scaling, background)
    widths = width_limits(model.constraints.bounds, model.covariance_type, scaling)
    known = data.absolute_sigma or model.loss == "poisson"
    variance = _known_variance(residual_unit(data, scaling), dtype) if known else None
    return Objective(parameterization, *near_device((rows, loss, limits, widths, variance), dtype))


def _known_variance(unit: float, dtype: np.dtype) -> float:
    """Of a residual of one in the user's units, which ``unit`` of them make one in those of the fit; as near to it as
    numbers of this precision come where the errors are far larger or smaller than the heights.
    """
    with np.errstate(over="ignore", under="ignore"):
        return float(np.clip(np.square(np.float64(1 / unit)), np.finfo(dtype).tiny, np.finfo(dtype).max))


def _box(
    data: SurfaceData,
    model: ModelSpec,
    parameterization: Parameterization,
    scaling: Scaling,
    background: BackgroundModel,
) -> Box | None:
    """The limits, with a shape or a background that is fixed held there; None where nothing is limited or fixed."""
    if not model.constraints and not model.contained and model.periods is None:
        return None
    bounds = model.constraints.bounds
    limits = box(bounds, parameterization, scaling, background)
    if model.contained:
        limits = contained(limits, region_of(data, model.periods), bounds, parameterization, scaling)
    if model.periods is not None:
        limits = narrowed(limits, open_region(model.periods), parameterization, scaling)
    held = _held_border(model, parameterization, scaling, background)
    low, high = (np.where(np.isnan(held), side, held) for side in (limits.border_low, limits.border_high))
    return replace(limits, border_low=low, border_high=high)


def _held_border(
    model: ModelSpec, parameterization: Parameterization, scaling: Scaling, background: BackgroundModel
) -> np.ndarray:
    """What is held of the numbers (s + b,) of the shared shape and of the background, NaN where nothing is."""
    constraints, layout = model.constraints, parameterization.layout
    held = np.full(layout.n_border, np.nan)
    if constraints.shape is not None:
        held[layout.shared_shape] = shape_numbers(constraints.shape, parameterization, scaling)
    if np.any(constraints.fixed.get("background", False)):
        check_held_background(constraints.bounds, background)
        held[layout.background] = np.asarray(parameterization.background.vector(), float)
    return held


def _check_dense(data: SurfaceData, parameterization: Parameterization, dtype: np.dtype, limit: float) -> None:
    layout, n_points, n_dim = parameterization.layout, data.n_used, data.n_dim
    numbers = chunk_numbers(n_points, layout.n_components * n_monomials(n_dim))
    need = dense_need(n_points, n_dim, layout.n_parameters, numbers, dtype.itemsize)
    check_dense(need, n_points, layout.n_parameters, limit)


def _with_fewer_parameters(data: SurfaceData, model: ModelSpec, layout: BlockLayout) -> str:
    """Other ways out where there are too few points for one component, those alone that suffice."""
    round_size = 1 + data.n_dim + COVARIANCE_TYPES["spherical"].n_parameters(data.n_dim)
    spherical, bare = model.covariance_type in ("full", "diag") and data.n_dim > 1, layout.n_background > 0
    if bare and layout.block_size <= data.n_used:
        return ", or background=None"
    if spherical and layout.n_border + round_size <= data.n_used:
        return ", or covariance_type='spherical'"
    if spherical and bare and round_size <= data.n_used:
        return ", or covariance_type='spherical' with background=None"
    return ""


def _check_enough_points(data: SurfaceData, model: ModelSpec, parameterization: Parameterization) -> None:
    layout = replace(parameterization.layout, n_components=model.n_components)
    fixed = fixed_masks(model.constraints.fixed, parameterization)
    plan = plan_of_ties(model.constraints.ties, fixed, model.n_components, parameterization)
    needed = layout.n_parameters if plan is None else len(plan.free)
    if needed <= data.n_used:
        return
    if plan is not None:
        raise TooFewPoints(
            f"`n_components`={model.n_components} means {needed} free numbers beside `tie`, more than the {data.n_used}"
            " points to fit: give fewer, or tie more"
        )
    most = max(0, (data.n_used - layout.n_border) // layout.block_size)
    if not most:
        raise TooFewPoints(
            f"`heights` must hold at least {layout.n_border + layout.block_size} points for one component, got"
            f" {data.n_used}: give more{_with_fewer_parameters(data, model, layout)}"
        )
    way_out = f"at most n_components={most} fit this map"
    if model.covariance_type == "full" and data.n_dim > 1:
        way_out += "; covariance_type='spherical' or 'diag' needs fewer parameters"
    raise TooFewPoints(
        f"`n_components`={model.n_components} means {layout.n_parameters} parameters, more than the {data.n_used}"
        f" points to fit: {way_out}"
    )
