"""From where the steps of lanes ended to numbers in the user's units, for all lanes of one form at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from .._fit.make_result import make_result
from .._fit.run_starts import RunOutcome
from .._model.block_layout import ALPHA
from .._model.gaussian import volumes
from .._model.parameters import Parameterization
from .._problem.prepared import definite
from .._results.record import Timings
from .._results.result import FitResult
from .._solvers import Record, Solution
from .lanes import Lane
from .map_numbers import MapEnds


def put_ends(ends: MapEnds, places: Sequence[int], lanes: Sequence[Lane], solutions: Sequence[Solution]) -> None:
    """Writes where lanes ended to places of the ends of their chunk."""
    for place, lane, solution in zip(places, lanes, solutions, strict=True):
        prepared, cost = lane.prepared, float(solution.cost)
        ends.n_components[place] = prepared.model.n_components
        ends.status[place] = int(solution.status)
        ends.steps[place] = int(solution.steps) + lane.steps
        ends.n_parameters[place] = prepared.n_parameters
        ends.n_used[place] = prepared.data.n_used
        ends.cost[place] = cost * prepared.cost_unit
        if prepared.model.prior is not None or not np.isfinite(cost):
            whole = _whole_result(lane, solution)
            ends.cost[place], ends.penalty[place] = whole.cost, whole.penalty
    groups: dict[Any, list[int]] = {}
    for n, lane in enumerate(lanes):
        groups.setdefault(_form(lane), []).append(n)
    for members in groups.values():
        params = np.stack([np.asarray(solutions[n].params) for n in members])
        _put_surfaces(ends, [places[n] for n in members], [lanes[n] for n in members], params)


def _form(lane: Lane) -> Any:
    """What lanes must have in common for their parameters to be read at once."""
    parts, model = lane.prepared.host.parameterization, lane.prepared.model
    structure = jax.tree.structure(parts)
    return structure, parts.floor.tobytes(), model.n_components, model.constraints.keep_order


def _put_surfaces(ends: MapEnds, places: Sequence[int], lanes: Sequence[Lane], params: np.ndarray) -> None:
    """Surfaces of parameters (B, P) in the user's units, components in the order of falling volume unless the start's
    is to be kept.
    """
    model, parts = lanes[0].prepared.model, lanes[0].prepared.host.parameterization
    amplitudes, centers, covariances = components(parts, params, model.n_components)
    scalings = [lane.prepared.scaling for lane in lanes]
    point_scale, point_shift = (
        np.stack([getattr(one, f"point_{name}") for one in scalings]) for name in ("scale", "shift")
    )
    height_scale = np.array([one.height_scale for one in scalings])
    amplitudes = amplitudes * height_scale[:, None]
    centers = centers * point_scale[:, None] + point_shift[:, None]
    covariances = covariances * (point_scale[:, None, :, None] * point_scale[:, None, None, :])
    if not model.constraints.keep_order:
        order = np.argsort(-np.abs(volumes(amplitudes, covariances)), axis=1, kind="stable")
        amplitudes = np.take_along_axis(amplitudes, order, 1)
        centers = np.take_along_axis(centers, order[..., None], 1)
        covariances = np.take_along_axis(covariances, order[..., None, None], 1)
    count = model.n_components
    ends.surfaces.amplitudes[places, :count], ends.surfaces.centers[places, :count] = amplitudes, centers
    ends.surfaces.covariances[places, :count] = covariances
    for place, lane, numbers in zip(places, lanes, params, strict=True):
        _, _, inner = parts.layout.split(numbers.astype(float))
        held = lane.prepared.host.parameterization.background.with_vector(inner)
        ends.surfaces.background[place] = np.atleast_1d(held.to_physical(lane.prepared.scaling).vector())


def components(parts: Parameterization, params: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amplitudes (B, K), centers (B, K, d) and covariances (B, K, d, d) of parameters (B, P), as `Prepared.surface`
    has them in the units of the fit.
    """
    layout, n = parts.layout, len(params)
    blocks = params[:, : layout.n_own].reshape(n, layout.n_components, layout.block_size)[:, :count]
    shapes = blocks[..., layout.shapes]
    if layout.n_shared:
        shared = params[:, None, layout.n_own : layout.n_own + layout.n_shared]
        shapes = np.broadcast_to(shared, (n, count, layout.n_shared))
    factors = parts.covariance.cholesky(shapes, parts.floor).astype(float)
    covariances = definite((factors @ factors.swapaxes(-1, -2)).reshape(-1, *factors.shape[2:])).reshape(factors.shape)
    amplitudes = parts.amplitude.value(blocks[..., ALPHA]).astype(float)
    return amplitudes, blocks[..., layout.centers].astype(float), covariances


def _whole_result(lane: Lane, solution: Solution) -> FitResult:
    """The result as `fit` makes it, for what is known of single fits alone."""
    nothing = Record(*(np.zeros(0) for _ in Record._fields))
    none_reset = np.zeros(lane.prepared.model.n_components, int)
    outcome = RunOutcome(solution, nothing, none_reset, [float(solution.cost)])
    return make_result(outcome, lane.prepared, lane.run, Timings(0.0, 0.0, 0.0, 0.0), None)
