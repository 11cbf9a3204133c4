r"""What heights do to the fit at their own places: leverages, and predictions of blocks that are left out.

With H the second derivatives of the cost, J_j the derivatives of the model at a point, e' and e'' the first and second
derivatives of the cost of that point by the model, and z its height,

    d f_j / d z_j = -J_j H^-1 J_j^T (de'/dz)_j,

and one Newton step without the points of a block S, whose part J_S^T e''_S J_S leaves H, gives at these points

    f_S + G (1 - e''_S G)^-1 e'_S,        G = J_S H^-1 J_S^T.

Both are those of linear least squares (Cook & Weisberg, Residuals and Influence in Regression, 1982, chapter 2), with
the exact H in place of J^T J.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.precision import precision
from .._model.scaling import root_mean_square
from .._problem.problem import SurfaceProblem
from .._results.record import MAX_EXACT_PARAMETERS
from .._statistics.whole_covariance import BAND_POINTS, rows_at
from .fitted_minimum import FittedMinimum
from .hessian import hessian
from .implicit import Implicit, system_at
from .stationarity import point_at

# Share of the largest eigenvalue of the scaled matrix below which its direction is left out: rounding, times hundreds.
LEAST_EIGENVALUE_SHARE = 1e-13
# Largest share of a block's fitted heights that it may decide itself: beyond, nothing is known of it without it.
MOST_SELF_INFLUENCE = 0.999


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions of blocks of points, each by the fit without it; `Sensitivity.left_out` makes it.

    predictions : in the shape of the heights; NaN at points that were in no block or not used, and where a block alone
        decides what is fitted there.
    residuals : heights minus predictions.
    rmse : root mean square of these residuals.
    """

    predictions: np.ndarray
    residuals: np.ndarray
    rmse: float


class PointSlopes(NamedTuple):
    """By point of the problem (N,): model, e', e'', and -de'/dz."""

    model: Any
    scores: Any
    curvatures: Any
    pulls: Any


def leverage(found: FittedMinimum) -> np.ndarray:
    """See `Sensitivity.leverage`."""
    with precision(np.dtype(np.float64)):
        root, each = _inverse_root(found, "leverage"), _by_point(found)
        values = np.concatenate([np.sum(part**2, axis=1) for part in _root_rows(found, root)])
    result = np.zeros(found.result.data.heights.shape)
    result[found.result.data.used] = values * each.pulls
    return found.result.data.turned(result)


def left_out(found: FittedMinimum, blocks: Any) -> LeftOut:
    """See `Sensitivity.left_out`."""
    data, scale = found.result.data, found.prepared.scaling
    labels = _labels(found, blocks)
    with precision(np.dtype(np.float64)):
        root, each = _inverse_root(found, "left_out"), _by_point(found)
        rows = np.concatenate(list(_root_rows(found, root)))
    inner = np.full(data.n_used, np.nan)
    for label in np.unique(labels[labels >= 0]):
        some = np.flatnonzero(labels == label)
        inner[some] = _without(rows[some], each.model[some], each.scores[some], each.curvatures[some])
    predictions = np.full(data.heights.shape, np.nan)
    predictions[data.used] = inner * scale.height_scale + scale.height_shift
    residuals = np.where(data.used, data.heights, np.nan) - predictions
    known = residuals[np.isfinite(residuals)]
    return LeftOut(
        data.turned(predictions), data.turned(residuals), root_mean_square(known) if known.size else float("nan")
    )


def _without(rows: np.ndarray, model: np.ndarray, scores: np.ndarray, curvatures: np.ndarray) -> np.ndarray:
    """Predictions of a block from its rows (s, r) of J times a root of H^-1."""
    own = rows.T @ (curvatures[:, None] * rows)
    if np.linalg.eigvalsh(own).max(initial=0.0) > MOST_SELF_INFLUENCE:
        return np.full(len(rows), np.nan)
    return np.asarray(model + rows @ np.linalg.solve(np.eye(len(own)) - own, rows.T @ scores))


def _labels(found: FittedMinimum, blocks: Any) -> np.ndarray:
    """The block (N_used,) of each used point, negative for none."""
    data = found.result.data
    array = np.asarray(blocks)
    if array.dtype.kind not in "iu" or (array.ndim == 0 and array < 1):
        raise ValueError(
            f"`blocks` must be a positive integer, or integers in the shape of the heights, got {blocks!r}"
        )
    if array.ndim:
        if array.shape != data.heights.shape:
            raise ValueError(f"`blocks` must have the shape of the heights {data.heights.shape}, got {array.shape}")
        return data.turned(array)[data.used]
    points = data.used_points
    cells = np.floor((points - points.min(axis=0)) / (int(array) * data.spacing) + 1e-9).astype(int)
    return np.asarray(np.unique(cells, axis=0, return_inverse=True)[1].reshape(len(points)))


def _by_point(found: FittedMinimum) -> PointSlopes:
    slopes = _point_slopes(found.problem, found.params)
    return PointSlopes(*(found.prepared.by_point(array) for array in slopes))


def _root_rows(found: FittedMinimum, root: np.ndarray) -> Any:
    """J root (n, r), for some of the used points at a time, in the data's order."""
    points = found.prepared.scaling.points(found.result.data.used_points)
    for first in range(0, len(points), BAND_POINTS):
        some = points[first : first + BAND_POINTS]
        spare = BAND_POINTS - len(some) if len(points) > BAND_POINTS else 0
        padded = jnp.asarray(np.pad(some, [(0, spare), (0, 0)], mode="edge"))
        yield np.asarray(rows_at(found.problem, found.params, padded))[: len(some)] @ root


def _inverse_root(found: FittedMinimum, name: str) -> np.ndarray:
    """A root (P, r) of H^-1 over what is free and determined."""
    if found.result.n_parameters > MAX_EXACT_PARAMETERS:
        raise ValueError(
            f"`{name}` needs the whole matrix of {found.result.n_parameters} parameters: the limit is"
            f" {MAX_EXACT_PARAMETERS}"
        )
    matrix, scales, free = (np.asarray(a) for a in _curvature(found.adjoint, found.problem, found.params))
    scale = np.where(free & (scales > 0), 1 / np.sqrt(np.where(scales > 0, scales, 1)), 0)
    values, vectors = np.linalg.eigh(scale[:, None] * (matrix + matrix.T) / 2 * scale)
    known = values > LEAST_EIGENVALUE_SHARE * np.abs(values).max(initial=0.0)
    return np.asarray(scale[:, None] * vectors[:, known] / np.sqrt(values[known]))


def curvature(adjoint: Implicit, problem: SurfaceProblem, params: Array) -> tuple[Array, Array, Array]:
    """H (P, P), the squared scales of the parameters (P,), and what is free (P,)."""
    point = point_at(problem, params)
    system, _ = system_at(adjoint, point, point.gradient())
    return *hessian(point, adjoint.hessian == "exact").matrix(), system.free


def point_slopes(problem: SurfaceProblem, params: Array) -> PointSlopes:
    point, loss = point_at(problem, params), problem.loss
    ones = jnp.ones_like(point.model)
    curvatures = jax.jvp(lambda f: loss.scores(f, problem.heights, problem.weights), (point.model,), (ones,))[1]
    heights = jnp.asarray(problem.heights)
    pulls = jax.jvp(lambda z: loss.scores(point.model, z, problem.weights), (heights,), (ones,))[1]
    return PointSlopes(point.model, point.scores, curvatures, -pulls)


_curvature = quick_jit(curvature, static_argnums=(0,))
_point_slopes = quick_jit(point_slopes)
