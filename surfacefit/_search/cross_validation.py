r"""How well a number of components predicts blocks of the data that are left out of the fit, fold by fold.

For each fold the components of the fit to all data are refitted to the data of the other folds. They must bring nothing
along from the blocks left out, so each starts at a_k s_k, its amplitude times the share that the refit sees,

.. math:: s_k = \sum_{kept} (w g_k)^2 / \sum_{all} (w g_k)^2 .

A component within a block left out starts at nothing, and no residual of the data kept brings it back. The error of a
fold is the weighted root mean square of the residuals in its blocks, transformed by the loss. Returned are their mean
and its standard error: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), section 7.10.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.precision import precision
from .._model.block_layout import ALPHA
from .._model.gaussian import profile
from .._periodic.nearest import nearest_offsets
from .context import SearchContext
from .refits import refit
from .states import State

# Joint steps of a fold's refit, which begins next to its minimum: the components were fitted to all data.
FOLD_STEPS = 10
# Values of components at points that are held at a time: 16 MB in double precision.
MAX_VALUES = 2_000_000


def held_out_error(context: SearchContext, state: State, fold: np.ndarray) -> tuple[float, float]:
    """The mean over folds of the error in the points left out, in the user's units, and its standard error.

    ``fold`` (N,) is the number of the fold that leaves each point out.
    """
    seen = seen_shares(context, state, fold)
    errors = [_error(context, _shrunk(context, state, seen[:, n]), fold == n) for n in range(seen.shape[1])]
    return float(np.mean(errors)), float(np.std(errors, ddof=1) / np.sqrt(len(errors)))


def _error(context: SearchContext, start: State, out: np.ndarray) -> float:
    """Weighted root mean square of the misfit at the points left ``out`` (N,), after a refit to the others."""
    refitted = refit(_without(context, out), start.blocks, start.border, FOLD_STEPS)
    square = float(np.sum(context.views.residuals(refitted)[out] ** 2)) * context.prepared.cost_unit
    return float(np.sqrt(square / np.sum(context.prepared.data.weights[out] ** 2)))


def _without(context: SearchContext, out: np.ndarray) -> SearchContext:
    """The context with weights of zero at the points ``out`` (N,), so that nothing is compiled anew."""
    prepared, weights = context.prepared, context.prepared.problem.weights
    zeroed = np.zeros(len(weights), bool)
    zeroed[prepared.by_point(np.arange(len(weights)))] = out
    return reweighted(context, jnp.where(zeroed, 0, weights))


def reweighted(context: SearchContext, weights: Array) -> SearchContext:
    """The context with other weights, in the problem's order.

    The tiled engine's closed form of J^T J goes, which holds where all points of a grid weigh the same.
    """
    prepared = context.prepared
    problem = replace(prepared.problem, weights=weights)
    planner = None if prepared.planner is None else replace(prepared.planner, grid=None)
    return SearchContext(
        replace(prepared, problem=problem, planner=planner),
        context.request,
        context.progress,
        original=context.original or context,
        solver=context.solver,
    )


def _shrunk(context: SearchContext, state: State, share: np.ndarray) -> State:
    """The state with amplitudes times a share (K,)."""
    if not state.size:
        return state
    parts, blocks = context.parameterization, state.blocks.copy()
    with precision(parts.floor.dtype):
        heights = parts.amplitude.value(jnp.asarray(blocks[:, ALPHA], parts.floor.dtype))
        blocks[:, ALPHA] = np.asarray(parts.amplitude.free(heights * share.astype(parts.floor.dtype)))
    return state._replace(blocks=blocks)


def seen_shares(context: SearchContext, state: State, fold: np.ndarray) -> np.ndarray:
    """The share (K, folds) of the square of each component that is in the data kept by a fold."""
    surface, points = context.packing.surface(state), context.views.points
    out = (context.views.weights**2)[:, None] * (fold[:, None] == np.arange(fold.max() + 1))
    inside, step = np.empty((state.size, out.shape[1])), max(1, MAX_VALUES // len(points))
    for first in range(0, state.size, step):
        some = slice(first, first + step)
        offsets = nearest_offsets(points - surface.centers[some, None], surface.periods)
        squares = np.einsum(
            "kni,kij,knj->kn", offsets, np.linalg.inv(surface.covariances[some]), offsets, optimize=True
        )
        inside[some] = profile(2 * squares) @ out
    total = inside.sum(axis=1, keepdims=True)
    return 1 - inside / np.where(total > 0, total, 1)
