r"""How well a number of components foretells blocks of the data that are left out of the fit, fold by fold.

The components of the fit to all data are refitted to what a fold leaves of them. So that they bring nothing along from
where they must foretell, each starts at a_k s_k, its amplitude times the share s_k = sum_kept (w g_k)^2 / sum_all (w
g_k)^2 of it that is seen: what lies in a block left out starts at nothing, and nothing in the data that are kept calls
it back. The error of a fold is the weighted root mean square of the misfit (or of what a loss makes of it) in its
blocks; their mean and its standard error are the answer: Hastie, Tibshirani & Friedman, The Elements of Statistical
Learning (2009), section 7.10.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.precision import precision
from .._model.block_layout import ALPHA
from .._model.gaussian import profile
from .context import SearchContext, State

STEPS = 10
AT_ONCE = 2_000_000  # values of components at points


def held_out_error(context: SearchContext, state: State, fold: np.ndarray) -> tuple[float, float]:
    """Mean over folds of the error in the points left out, in the user's units, and its standard error; ``fold`` (N,)
    from `folds`.
    """
    seen = _seen(context, state, fold)
    errors = [_error(context, _shrunk(context, state, seen[:, n]), fold == n) for n in range(seen.shape[1])]
    return float(np.mean(errors)), float(np.std(errors, ddof=1) / np.sqrt(len(errors)))


def _error(context: SearchContext, start: State, out: np.ndarray) -> float:
    """Weighted root mean square of the misfit at the points left ``out`` (N,), after a refit to the others."""
    refitted = _without(context, out).refit(start.blocks, start.border, STEPS)
    square = float(np.sum(context.residuals(refitted)[out] ** 2)) * context.prepared.cost_unit
    return float(np.sqrt(square / np.sum(context.prepared.data.weights[out] ** 2)))


def _without(context: SearchContext, out: np.ndarray) -> SearchContext:
    """The same context with weights of zero at points (N,), so that nothing is compiled anew."""
    prepared, weights = context.prepared, context.prepared.problem.weights
    at_place = np.zeros(len(weights), bool)
    at_place[prepared.by_point(np.arange(len(weights)))] = out
    return reweighted(context, jnp.where(at_place, 0, weights))


def reweighted(context: SearchContext, weights: Array) -> SearchContext:
    """The same context with other weights, and without the closed form of J^T J, which is for components on
    points that weigh the same.
    """
    prepared = context.prepared
    problem = replace(prepared.problem, weights=weights)
    planner = None if prepared.planner is None else replace(prepared.planner, grid=None)
    return SearchContext(
        replace(prepared, problem=problem, planner=planner), context.request, whole=context.root, solver=context.solver
    )


def _shrunk(context: SearchContext, state: State, share: np.ndarray) -> State:
    """With amplitudes times a share (K,)."""
    if not state.size:
        return state
    parts, blocks = context.parameterization, state.blocks.copy()
    with precision(parts.floor.dtype):
        heights = parts.amplitude.value(jnp.asarray(blocks[:, ALPHA], parts.floor.dtype))
        blocks[:, ALPHA] = np.asarray(parts.amplitude.free(heights * share.astype(parts.floor.dtype)))
    return state._replace(blocks=blocks)


def _seen(context: SearchContext, state: State, fold: np.ndarray) -> np.ndarray:
    """The share (K, folds) of each component that a fold leaves in the data."""
    surface, points = context.surface(state), context.points
    out = (context.weights**2)[:, None] * (fold[:, None] == np.arange(fold.max() + 1))
    inside, step = np.empty((state.size, out.shape[1])), max(1, AT_ONCE // len(points))
    for first in range(0, state.size, step):
        some = slice(first, first + step)
        offsets = points - surface.centers[some, None]
        squares = np.einsum(
            "kni,kij,knj->kn", offsets, np.linalg.inv(surface.covariances[some]), offsets, optimize=True
        )
        inside[some] = profile(2 * squares) @ out
    total = inside.sum(axis=1, keepdims=True)
    return 1 - inside / np.where(total > 0, total, 1)
