"""A smaller problem much like a context's own, in single precision, on which a search makes its trials.

A grid is averaged over blocks. Where these would be too few, where points are scattered, or for a loss other than
squares, in which a mean does not stand for its points, a fair sample of the points is taken instead.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from .._data.coarsening import block_averages
from .._data.data import SurfaceData
from .._engines.engines import DENSE_PRODUCTS
from .._engines.jacobian import DenseEngine
from .._losses import Linear
from .._problem.prepared import Prepared
from .._problem.problem_setup import resampled
from .context import SearchContext, State

FEWEST_BLOCKS = 6  # a parameter
ENOUGH = 20  # points a parameter
SAMPLED = 80  # parameters, for fewer of which samples are as large
SAVED = 1.2
EVEN = 0.9
ALIASED = 0.1
WINDOW = 512
FEWEST_POINTS, THINNEST = 3.5, 3  # points a parameter for J^T J, and one point in at most so many


def surrogate(context: SearchContext) -> SearchContext | None:
    """None where little is saved: where the smaller problem would still be one for the tiled engine."""
    if context.prepared.planner is not None and ENOUGH * context.parameterization.n_parameters**3 > DENSE_PRODUCTS:
        return None
    return _averaged(context) or _sampled(context)


def suitable_surrogate(context: SearchContext, small: SearchContext | None, state: State) -> SearchContext | None:
    """The smaller problem for a search around a state: the averages unless it has components too narrow for their
    blocks, else a sample.
    """
    if small is None or small.block is None or blocks_resolve(small, small.block, state):
        return small
    return _sampled(context)


def blocks_resolve(small: SearchContext, block: np.ndarray, state: State) -> bool:
    """Whether misfits at the blocks' middles are about the means of those at their points."""
    whole = small.root
    sums, squares = (np.bincount(block, whole.weights * values) for values in (whole.residuals(state), whole.weights))
    means = sums / np.sqrt(squares)
    off = small.residuals(state) - means
    return bool(off @ off <= ALIASED * (means @ means))


def _averaged(context: SearchContext) -> SearchContext | None:
    prepared, request = context.prepared, context.request
    data, n_parameters = prepared.data, context.parameterization.n_parameters
    if data.axes is None or not isinstance(prepared.problem.loss, Linear):
        return None
    n_dim = max(1, sum(n > 1 for n in data.heights.shape))
    side = max(2, int((data.n_used / (ENOUGH * n_parameters)) ** (1 / n_dim)))
    if data.n_used < FEWEST_BLOCKS * n_parameters * side**n_dim:
        return None
    blocks = block_averages(data, side)
    some = resampled(prepared, blocks.data, 1.0)
    thin = DenseEngine(_thinning(blocks.data, n_parameters))
    some = replace(some, problem=replace(some.problem, engine=thin))
    return replace(_on(context, some, blocks.averaged(request.heights)), block=blocks.block)


def _thinning(data: SurfaceData, n_parameters: int) -> int:
    """One point in how many for J^T J: where all weigh about the same; no divisor of the grid's rows, so that all
    columns are met.
    """
    squares = data.weights**2
    if not data.used.all() or squares.sum() ** 2 < EVEN * squares.size * (squares @ squares):
        return 1
    most = min(THINNEST, int(data.n_used / (FEWEST_POINTS * n_parameters)))
    rows = data.heights.shape[-1] if data.heights.ndim > 1 else 1
    return max((n for n in range(1, most + 1) if gcd(n, rows) == 1), default=1)


def _sampled(context: SearchContext) -> SearchContext | None:
    prepared, request, n_points = context.prepared, context.request, len(context.points)
    n_parameters = context.parameterization.n_parameters
    size = ENOUGH * max(n_parameters, SAMPLED)
    if SAVED * size > n_points:
        return None
    kept = np.zeros(n_points, bool)
    kept[np.random.default_rng(0).permutation(n_points)[:size]] = True
    data = prepared.data
    used = data.used.copy()
    used[data.used] = kept
    some = resampled(prepared, replace(data, used=used), size / n_points)
    return _on(context, some, request.heights[kept])


def _on(context: SearchContext, some: Prepared, heights: np.ndarray) -> SearchContext:
    """The context of a smaller problem, whose heights (n,) above the background at its start are given."""
    data, scaling = some.data, some.scaling
    request = replace(
        context.request,
        points=scaling.points(data.used_points),
        heights=heights,
        weights=some.by_point(some.problem.weights).astype(float),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        spacing=data.spacing / scaling.point_scale,
    )
    return SearchContext(some, request, whole=context, window=WINDOW)
