"""From where the steps of lanes ended to numbers in the user's units, for all lanes of one form at once."""

from __future__ import annotations

import jax
import numpy as np

from .._fit.make_result import make_result
from .._fit.run_starts import RunOutcome
from .._model.background import ConstantBackground, NoBackground
from .._model.block_layout import ALPHA
from .._model.gaussian import volumes
from .._model.parameters import Parameterization
from .._problem.prepared import definite
from .._results.record import Timings
from .._results.result import FitResult
from .._solvers import Record, Solution
from .lane_stacks import LaneStack
from .lanes import Lane
from .map_numbers import MapEnds


def put_ends(ends: MapEnds, stack: LaneStack, solutions: Solution) -> None:
    """Writes where the lanes of a stack ended, ``solutions`` (B, ...), to their places in the ends of their chunk."""
    places, first, costs = stack.places, stack.first.prepared, solutions.cost.astype(float)
    ends.n_components[places], ends.n_parameters[places] = first.model.n_components, first.n_parameters
    ends.status[places], ends.n_used[places] = solutions.status, stack.n_used
    ends.steps[places] = solutions.steps + stack.steps
    ends.cost[places] = costs * stack.cost_units
    known = np.isfinite(costs) if first.model.prior is None else np.zeros(len(costs), bool)
    for row in np.flatnonzero(~known):
        one: Solution = jax.tree.map(lambda column, row=row: column[row], solutions)
        whole = _whole_result(stack.lane(int(row)), one)
        ends.cost[places[row]], ends.penalty[places[row]] = whole.cost, whole.penalty
    _put_surfaces(ends, stack, np.asarray(solutions.params))


def _put_surfaces(ends: MapEnds, stack: LaneStack, params: np.ndarray) -> None:
    """Surfaces of parameters (B, P) in the user's units, components in the order of falling volume unless the start's
    is to be kept.
    """
    model, scaling, places = stack.first.prepared.model, stack.scaling, stack.places
    count = model.n_components
    amplitudes, centers, covariances = components(stack.parts, params, count, stack.floors)
    scale = scaling.point_scale[:, None]
    amplitudes = amplitudes * scaling.height_scale[:, None]
    centers = centers * scale + scaling.point_shift[:, None]
    covariances = covariances * (scale[..., None] * scale[:, :, None])
    if not model.constraints.keep_order:
        order = np.argsort(-np.abs(volumes(amplitudes, covariances)), axis=1, kind="stable")
        amplitudes = np.take_along_axis(amplitudes, order, 1)
        centers = np.take_along_axis(centers, order[..., None], 1)
        covariances = np.take_along_axis(covariances, order[..., None, None], 1)
    ends.surfaces.amplitudes[places, :count], ends.surfaces.centers[places, :count] = amplitudes, centers
    ends.surfaces.covariances[places, :count] = covariances
    ends.surfaces.background[places] = _backgrounds(stack, params)


def _backgrounds(stack: LaneStack, params: np.ndarray) -> np.ndarray:
    """The free numbers (B, m) of the backgrounds in the user's units."""
    layout, scaling = stack.parts.layout, stack.scaling
    inner = params[:, layout.n_own + layout.n_shared :].astype(float)
    if isinstance(stack.parts.background, ConstantBackground | NoBackground):
        return np.asarray(inner * scaling.height_scale[:, None] + scaling.height_shift[:, None])
    vectors = []
    for row, numbers in enumerate(inner):
        prepared = stack.lane(row).prepared
        held = prepared.host.parameterization.background.with_vector(numbers)
        vectors.append(np.atleast_1d(held.to_physical(prepared.scaling).vector()))
    return np.array(vectors)


def components(
    parts: Parameterization, params: np.ndarray, count: int, floors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitudes (B, K), centers (B, K, d) and covariances (B, K, d, d) of parameters (B, P), as `Prepared.surface`
    has them in the units of the fit, with widths above floors (B or 1, d).
    """
    layout, n = parts.layout, len(params)
    blocks = params[:, : layout.n_own].reshape(n, layout.n_components, layout.block_size)[:, :count]
    shapes = blocks[..., layout.shapes]
    if layout.n_shared:
        shared = params[:, None, layout.n_own : layout.n_own + layout.n_shared]
        shapes = np.broadcast_to(shared, (n, count, layout.n_shared))
    factors = parts.covariance.cholesky(shapes, floors[:, None]).astype(float)
    covariances = definite((factors @ factors.swapaxes(-1, -2)).reshape(-1, *factors.shape[2:])).reshape(factors.shape)
    amplitudes = parts.amplitude.value(blocks[..., ALPHA]).astype(float)
    return amplitudes, blocks[..., layout.centers].astype(float), covariances


def _whole_result(lane: Lane, solution: Solution) -> FitResult:
    """The result as `fit` makes it, for what is known of single fits alone."""
    nothing = Record(*(np.zeros(0) for _ in Record._fields))
    none_reset = np.zeros(lane.prepared.model.n_components, int)
    outcome = RunOutcome(solution, nothing, none_reset, [float(solution.cost)])
    return make_result(outcome, lane.prepared, lane.run, Timings(0.0, 0.0, 0.0, 0.0), None)
