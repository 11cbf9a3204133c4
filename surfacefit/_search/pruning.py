"""Removal of the components that the fit needs least, several at once where they stand apart."""

from __future__ import annotations

import numpy as np

from .._model.surface import GaussianSurface
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


def mutually_distant(surface: GaussianSurface, order: np.ndarray, most: int) -> list[int]:
    """Up to ``most`` of the components in an order, all at least `MIN_DISTANCE_WIDTHS` apart."""
    chosen: list[int] = []
    for k in order:
        offsets = surface.centers[chosen] - surface.centers[k]
        total = surface.covariances[chosen] + surface.covariances[k]
        squares = np.einsum("ni,nij,nj->n", offsets, np.linalg.inv(total), offsets)
        if len(chosen) < most and np.all(squares > MIN_DISTANCE_WIDTHS**2):
            chosen.append(int(k))
    return chosen
