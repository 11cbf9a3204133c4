"""Removal of the components that the fit needs least, or that are not significant, several at once where they stand
apart.
"""

from __future__ import annotations

import numpy as np

from .._constraints.box import bound_tolerance
from .._data.effective_size import Noise
from .._model.surface import GaussianSurface
from .._periodic.nearest import nearest_offsets
from .._problem.amplitude_errors import LinearizedSurface, local_heights
from .._results.criteria import AutoComponents
from .context import SearchContext
from .moves import Neighbourhood, apply_moves, disjoint, has_inverse, removal_losses
from .states import State

# Components whose removal is tried by local refits, those of the least weight first: a refit takes about 1 ms, so that
# 128 cost about as much as one joint step of a fit that is too large for the inverse of J^T J.
MIN_CANDIDATES = 128
# Candidates for each component to remove, so that the order by weight need be right to within this factor only.
CANDIDATES_PER_REMOVAL = 8
# Widths (Mahalanobis) between components removed at once: nearer ones may stand in for each other, so that the loss of
# both exceeds the sum of the losses.
MIN_DISTANCE_WIDTHS = 3.0
# Width, in sides of the data's box, from which a component counts as flat: the background takes its place, which local
# refits hold and hence do not see.
FLAT_WIDTH_EXTENTS = 3.0


def without_least_useful(context: SearchContext, state: State, count: int) -> np.ndarray:
    """The blocks without up to ``count`` of the components, but at least one.

    The loss of each is predicted by the inverse of J^T J, or for large fits by local refits.
    """
    surface = context.packing.surface(state)
    if has_inverse(context):
        order = np.argsort(removal_losses(context, state))
        return np.delete(state.blocks, mutually_distant(surface, order, count), axis=0)
    extent = np.ptp(context.views.points, axis=0).max()
    flat = np.flatnonzero(surface.principal_widths[:, -1] > FLAT_WIDTH_EXTENTS * extent)
    has_background = len(state.border) > context.parameterization.layout.n_shared
    if len(flat) and has_background:
        return np.delete(state.blocks, flat[:1], axis=0)
    around = Neighbourhood(context, state)
    candidates = around.by_weight()[: max(MIN_CANDIDATES, CANDIDATES_PER_REMOVAL * count)]
    return apply_moves(state, disjoint(around.refit_best(around.removals(candidates)), count))


def insignificant(inner: LinearizedSurface, noise: Noise, auto: AutoComponents) -> tuple[np.ndarray, np.ndarray]:
    """Components to remove since they are not significant, the weakest and others far from it; none if all are. And the
    amplitudes (K,) over their errors.
    """
    significances = inner.significances(noise)
    weak = significances < auto.n_sigma
    if auto.tolerance:
        local = local_heights(inner.surface, inner.surface.centers)
        weak |= np.abs(inner.surface.amplitudes) < auto.tolerance * local
    order = np.argsort(significances)
    order = order[weak[order]]
    return np.array(mutually_distant(inner.surface, order, len(order)), int), significances


def linearized(context: SearchContext, state: State) -> LinearizedSurface:
    """The surface of a state with its derivatives at the data."""
    parts, layout = context.parameterization, context.parameterization.layout
    border = state.border[layout.background]
    return LinearizedSurface(
        surface=context.packing.surface(state),
        background=parts.background.with_vector(border),
        points=context.views.points,
        weights=context.views.secant_weights(state),
        shape=context.prepared.model.covariance_type,
        held=_held_centres(context, state),
    )


def _held_centres(context: SearchContext, state: State) -> np.ndarray:
    """Which coordinates (K, d) of centres stand at a limit."""
    box, columns = context.prepared.problem.box, context.parameterization.layout.centers
    centres = state.blocks[:, columns]
    if box is None:
        return np.zeros(centres.shape, bool)
    low, high = (
        np.broadcast_to(np.asarray(side)[: len(centres), columns], centres.shape) for side in (box.low, box.high)
    )
    near = bound_tolerance(context.parameterization.floor.dtype)
    return np.asarray((centres <= low + near) | (centres >= high - near))


def mutually_distant(surface: GaussianSurface, order: np.ndarray, most: int) -> list[int]:
    """Up to ``most`` of the components in an order, all at least `MIN_DISTANCE_WIDTHS` apart."""
    chosen: list[int] = []
    for k in order:
        if len(chosen) >= most:
            break
        offsets = nearest_offsets(surface.centers[chosen] - surface.centers[k], surface.periods)
        total = surface.covariances[chosen] + surface.covariances[k]
        squares = np.einsum("ni,nij,nj->n", offsets, np.linalg.inv(total), offsets)
        if np.all(squares > MIN_DISTANCE_WIDTHS**2):
            chosen.append(int(k))
    return chosen
