"""The surrogate of a problem: a smaller one much like it, in single precision, on which a search makes its trials.

A grid is averaged over blocks. A sample of the points is taken instead where the blocks would be too few, where points
are scattered, or for a loss other than squares, under which a mean does not represent its points.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from .._data.coarsening import block_averages
from .._data.data import SurfaceData
from .._engines.jacobian import DenseEngine
from .._losses import Linear
from .._model.gaussian import profile
from .._periodic.nearest import nearest_offsets
from .._problem.capacity import component_capacity
from .._problem.prepared import Prepared
from .._problem.problem_setup import resampled
from .context import SearchContext, wider
from .states import State

# Points a parameter in a sample. With 12 instead of 20 volcano K = 32 ended at 0.894 to 0.903 instead of 0.888 m: the
# search follows the sample's own noise.
POINTS_PER_PARAMETER = 20
# Parameters of a sample's size at least, as few points would make samples of few components too unlike the whole.
MIN_SAMPLED_PARAMETERS = 80
# Blocks a parameter at least. Blocks of 2 x 2 on the volcano leave six a parameter at K = 32, where they end lower than
# a sample does (median 0.884 instead of 0.891 m); fewer were not tried.
MIN_BLOCKS_PER_PARAMETER = 6
# Times as many points as a sample has must be there: else it would save too little to be worth its noise.
MIN_SAVING = 1.2
# Share of the points that an equal weighting would need for the same sum of squares (Kish): below it weights are too
# uneven for J^T J from some of the points. With twelve points of a hundred times the weight refits of four components
# took 80 steps instead of 12.
MIN_EVENNESS = 0.9
# Mean square of what averages miss between a block's middle and its points, per mean square of the residuals, up to
# which components span their blocks; the cost then differs by a tenth at most.
MAX_ALIASING = 0.1
# Times the gain of the highest peak above averages that the highest above all points may have, where components that
# were grown on averages are kept: a peak a block wide loses half of its gain.
MAX_HIDDEN_RATIO = 2.0
# Points a window of a local refit on a surrogate. With 512 instead of 1,024 volcano K = 32 ended at 0.8848 instead of
# 0.8873 m: more trials in the same time.
SURROGATE_WINDOW_POINTS = 512
# Points a parameter that J^T J is computed from at least: with fewer, its eigenvalues were up to ten times too small
# (one point in four at K = 16), with 3.5 within a factor of two.
MIN_CURVATURE_POINTS = 3.5
# One point in so many at most for J^T J: with one in three a step took 1.0 ms instead of 1.5, mostly for other work.
MAX_THINNING = 3


# Components up to which a surrogate has room for a quarter more from the start: its steps take hardly longer, and one
# program serves where two would take 3 s longer to compile.
MAX_ROOMY_COMPONENTS = 16


# Points x parameters^2 of J^T J up to which a large problem has a surrogate: P = 292, K = 48 in two dimensions. Not
# tuned since dense steps are chosen by what they cost.
MAX_SURROGATE_PRODUCTS = 5e8


def surrogate(context: SearchContext) -> SearchContext | None:
    """The surrogate of a context; None where it would save little, or would still be one for the tiled engine."""
    cost_of_dense = POINTS_PER_PARAMETER * context.parameterization.n_parameters**3
    if context.prepared.planner is not None and cost_of_dense > MAX_SURROGATE_PRODUCTS:
        return None
    return averaged(context) or _sampled(context)


def suitable_surrogate(context: SearchContext, small: SearchContext | None, state: State) -> SearchContext | None:
    """The surrogate for a search around a state: a sample where the state has components too narrow for averages."""
    if small is None or small.block is None or blocks_resolve(context, small, state):
        return small
    return _sampled(context)


def blocks_resolve(context: SearchContext, averages: SearchContext, state: State) -> bool:
    """Whether the residuals of averages at a state are about the averages of the residuals at the points."""
    assert averages.block is not None
    weights = context.views.weights
    values = (context.views.residuals(state), weights)
    sums, squares = (np.bincount(averages.block, weights * column) for column in values)
    means = sums / np.sqrt(squares)
    missed = averages.views.residuals(state) - means
    return bool(missed @ missed <= MAX_ALIASING * (means @ means))


def averages_suffice(context: SearchContext, averages: SearchContext, state: State) -> bool:
    """Whether what has grown on averages is what would have grown on all points: they resolve the state, and hide no
    peak above it that is worth more than what they show.
    """
    if not blocks_resolve(context, averages, state):
        return False
    layout, n_points = context.parameterization.layout, len(context.views.points)
    negligible = layout.block_size * np.log(n_points) * state.cost / n_points  # the BIC's price of a component
    shown = max(negligible, highest_gain(averages, state))
    return highest_gain(context, state) <= MAX_HIDDEN_RATIO * shown


def highest_gain(context: SearchContext, state: State) -> float:
    """The fall in cost by a component at the highest peak above a state, as it is found there; for plain squares."""
    views = context.views
    peaks = views.peaks(state, 1)
    if not peaks:
        return 0.0
    amplitude, center, covariance = peaks[0]
    away = nearest_offsets(views.points - center, context.request.periods)
    offsets = np.linalg.solve(np.linalg.cholesky(covariance), away.T)
    added = amplitude * views.weights * profile(np.einsum("in,in->n", offsets, offsets))
    return float(-added @ views.residuals(state) - 0.5 * added @ added)


def averaged(context: SearchContext) -> SearchContext | None:
    prepared, request = context.prepared, context.request
    data, n_parameters = prepared.data, context.parameterization.n_parameters
    if data.axes is None or not isinstance(prepared.problem.loss, Linear):
        return None
    n_dim = max(1, sum(n > 1 for n in data.heights.shape))
    side = max(2, int((data.n_used / (POINTS_PER_PARAMETER * n_parameters)) ** (1 / n_dim)))
    if data.n_used < MIN_BLOCKS_PER_PARAMETER * n_parameters * side**n_dim:
        return None
    blocks = block_averages(data, side)
    small = resampled(prepared, blocks.data, 1.0)
    engine = DenseEngine(_curvature_thinning(blocks.data, n_parameters))
    small = replace(small, problem=replace(small.problem, engine=engine))
    return replace(_context_of(context, small, blocks.averaged(request.heights)), block=blocks.block)


def _curvature_thinning(data: SurfaceData, n_parameters: int) -> int:
    """One point in how many for J^T J, 1 unless all weigh about the same.

    It has no divisor in common with the length of the grid's rows, so that points of all columns are used.
    """
    squares = data.weights**2
    if not data.used.all() or squares.sum() ** 2 < MIN_EVENNESS * squares.size * (squares @ squares):
        return 1
    most = min(MAX_THINNING, int(data.n_used / (MIN_CURVATURE_POINTS * n_parameters)))
    rows = data.heights.shape[-1] if data.heights.ndim > 1 else 1
    return max((n for n in range(1, most + 1) if gcd(n, rows) == 1), default=1)


def _sampled(context: SearchContext) -> SearchContext | None:
    prepared, request, n_points = context.prepared, context.request, len(context.views.points)
    size = POINTS_PER_PARAMETER * max(context.parameterization.n_parameters, MIN_SAMPLED_PARAMETERS)
    if MIN_SAVING * size > n_points:
        return None
    kept = np.zeros(n_points, bool)
    kept[np.random.default_rng(0).permutation(n_points)[:size]] = True
    data = prepared.data
    used = data.used.copy()
    used[data.used] = kept
    small = resampled(prepared, replace(data, used=used), size / n_points)
    return _context_of(context, small, request.heights[kept])


def _context_of(context: SearchContext, small: Prepared, heights: np.ndarray) -> SearchContext:
    """The context of a surrogate with heights (n,) above the background at its start."""
    data, scaling, count = small.data, small.scaling, context.request.n_components
    if count <= MAX_ROOMY_COMPONENTS:
        parts = replace(small.problem.parameterization, n_components=component_capacity(wider(count)))
        small = replace(small, problem=replace(small.problem, parameterization=parts))
    request = replace(
        context.request,
        scattered=scaling.points(data.used_points) if data.axes is None else None,
        heights=heights,
        weights=small.by_point(small.problem.weights).astype(float),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        spacing=data.spacing / scaling.point_scale,
    )
    return SearchContext(
        small,
        request,
        context.progress,
        original=context,
        window_points=SURROGATE_WINDOW_POINTS,
        pace=context.pace._replace(chunk=0),
    )
