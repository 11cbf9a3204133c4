"""Components away: those first that the fit needs least, several at once where they stand apart."""

from __future__ import annotations

import numpy as np

from .._model.surface import GaussianSurface
from .context import SearchContext, State
from .moves import Neighbourhood, apart, applied, invertible, removal_losses

LEAST = 128
FAR = 3.0
WIDE = 3.0


def without_least(context: SearchContext, state: State, some: int) -> np.ndarray:
    """The blocks without ``some`` of the components, or one at least: by the inverse of J^T J, or of large fits by
    local refits.
    """
    if invertible(context):
        order = np.argsort(removal_losses(context, state))
        return np.delete(state.blocks, far_apart(context.surface(state), order, some), axis=0)
    flat = np.flatnonzero(context.surface(state).principal_widths[:, -1] > WIDE * np.ptp(context.points, axis=0).max())
    if (
        len(flat) and len(state.border) > context.parameterization.layout.n_shared
    ):  # local refits hold the background that takes its place
        return np.delete(state.blocks, flat[:1], axis=0)
    around = Neighbourhood(context, state)
    moves = around.raced(around.removals(around.by_weight()[: max(LEAST, 8 * some)]))
    return applied(state, apart(moves, some))


def far_apart(surface: GaussianSurface, order: np.ndarray, most: int) -> list[int]:
    """Up to ``most`` of the components in an order, none within FAR widths of one before it: two may stand in for each
    other.
    """
    chosen: list[int] = []
    for k in order:
        offsets = surface.centers[chosen] - surface.centers[k]
        mean = surface.covariances[chosen] + surface.covariances[k]
        if len(chosen) < most and np.all(np.einsum("ni,nij,nj->n", offsets, np.linalg.inv(mean), offsets) > FAR**2):
            chosen.append(int(k))
    return chosen
