r"""Standard errors of a fit of several channels: from the inverse of J^T J of all of them.

The covariance of the parameters is s^2 (J^T J)^-1, with s^2 the weighted sum of squares over its degrees of freedom, or
1 where the errors of the heights are known. Numbers follow by their slopes, dSigma = D (dL L^T + L dL^T) D with the
units D of the coordinates. An amplitude shares its places and shapes with all channels, so that these are known better
than from any channel alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.compile import pass_jit
from .._base.precision import precision
from .._engines.engines import EngineChoice
from .._engines.jacobian import TiledEngine
from .._lists.clusters import Arrangement
from .._model.background import background_model
from .._model.parameters import factor_slopes
from .._problem.planning import lists_of_tiles, tile_plan
from .._statistics.covariance_root import CovarianceRoot, inverse_root
from .._statistics.linearization import Information
from .setup import PreparedChannels, channel_setup

if TYPE_CHECKING:
    from .result import ChannelResult

# Parameters up to which J^T J is inverted whole: 0.5 GB a copy, and some minutes.
MOST_INVERTED = 8192


@dataclass(frozen=True, eq=False)
class ChannelErrors:
    """Standard errors in the user's units, infinite where the data do not determine a number.

    amplitudes (K, C), centers (K, d), covariances (K, d, d), background (C, b).
    """

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: np.ndarray


def channel_errors(result: ChannelResult) -> ChannelErrors:
    """The errors of a result, in double precision."""
    if result.n_parameters > MOST_INVERTED:
        raise ValueError(
            f"errors of {result.n_parameters} parameters need the inverse of a matrix of as many rows, more than"
            f" {MOST_INVERTED}: fit fewer components, or ask for `table(errors=False)`"
        )
    with precision(np.dtype(np.float64)):
        backgrounds = tuple(background_model(one) for one in result.backgrounds)
        prepared = channel_setup(result.maps, result.model, np.dtype(np.float64), EngineChoice(None), backgrounds)
        params = prepared.packed(result.amplitudes, result.centers, result.covariances, backgrounds)
        problem = _with_exact_blocks(prepared, params)
        cost, normal, slopes = (np.asarray(array) for array in _derivatives(problem, params))
    nothing = np.zeros((len(params), 0))
    information = Information(float(cost), normal, np.zeros(len(params)), normal, slopes)
    root = inverse_root(information, nothing, np.ones(len(params), bool), nothing)
    return _errors(prepared, np.asarray(params), root, slopes, _deviation(prepared, float(cost)))


def _deviation(prepared: PreparedChannels, cost: float) -> float:
    """s in the units of the problem."""
    if prepared.maps.absolute_sigma:
        return 1 / prepared.unit
    spare = prepared.maps.n_used - prepared.parts.n_parameters
    return float(np.sqrt(2 * cost / spare)) if spare > 0 else float("inf")


@pass_jit
def _derivatives(problem: Any, params: Any) -> tuple[Any, Any, Any]:
    residuals, jacobian = problem.linearize(params)
    normal = jacobian.restored(jacobian.normal(residuals)[0]).as_matrix()
    return 0.5 * (residuals @ residuals), normal, factor_slopes(problem.parameterization, params)


def _with_exact_blocks(prepared: PreparedChannels, params: Any) -> Any:
    """The problem with a plan whose blocks are in double precision, however many they are."""
    planner, problem, dtype = prepared.planner, prepared.problem, np.dtype(np.float64)
    if planner is None:
        return problem
    lists, there, room = planner.listed(problem, params, params)
    parts = problem.parameterization
    tiled = lists_of_tiles(planner.tiling, lists.pairs, planner.n_active, parts.n_components, planner.cpu)
    capacity = planner.capacity("chunks", len(tiled.offsets))
    plan = tile_plan(planner.tiling, tiled, room, planner.cutoff, capacity, dtype)
    curvature = None
    if planner.grid is not None:
        curvature = planner.curvature(lists.overlaps, tiled, Arrangement.of(there, planner.n_active, 0), dtype)
    return replace(problem, engine=TiledEngine(plan, curvature))


def _errors(
    prepared: PreparedChannels, params: np.ndarray, root: CovarianceRoot, slopes: np.ndarray, deviation: float
) -> ChannelErrors:
    host, layout = prepared.host, prepared.host.layout
    n_components, n_channels, n_dim = layout.n_components, layout.n_channels, layout.n_dim
    scale = np.asarray(prepared.scalings[0].point_scale)
    block = np.arange(n_components)[:, None] * layout.block_size
    alpha = layout.blocks(params)[:, :n_channels]
    units = np.asarray(host.amplitude.slope(alpha)) * prepared.height_scales
    amplitudes = deviation * units * _of(root, block + np.arange(n_channels))
    centers = deviation * scale * _of(root, block + np.arange(n_dim) + n_channels)
    covariances = deviation * _of_shapes(host, params, root, slopes) * (scale[:, None] * scale[None, :])
    return ChannelErrors(amplitudes, centers, covariances, deviation * _of_backgrounds(prepared, params, root))


def _of(root: CovarianceRoot, places: np.ndarray) -> np.ndarray:
    """Errors of single parameters at some places."""
    one = np.zeros((places.size, len(root.root)))
    one[np.arange(places.size), places.ravel()] = 1.0
    return root.errors(one).reshape(places.shape)


def _of_shapes(host: Any, params: np.ndarray, root: CovarianceRoot, slopes: np.ndarray) -> np.ndarray:
    """Of covariances (K, d, d) in the units of the fit."""
    layout, n_dim = host.layout, host.n_dim
    factors = np.asarray(host.components(params).factors)
    lower = np.zeros((len(factors), n_dim, n_dim, slopes.shape[2]))
    lower[(slice(None), *np.tril_indices(n_dim))] = slopes
    changes = np.einsum("kims,kjm->kijs", lower, factors)
    changes = changes + changes.swapaxes(1, 2)
    result = np.empty((len(factors), n_dim, n_dim))
    for k, change in enumerate(changes):
        rows = np.zeros((n_dim * n_dim, len(params)))
        first = k * layout.block_size
        rows[:, first + layout.shapes.start : first + layout.block_size] = change.reshape(n_dim * n_dim, -1)
        result[k] = root.errors(rows).reshape(n_dim, n_dim)
    return result


def _of_backgrounds(prepared: PreparedChannels, params: np.ndarray, root: CovarianceRoot) -> np.ndarray:
    """Of the backgrounds' numbers (C, b): in the user's units they are affine in those of the fit."""
    host, place, result = prepared.host, prepared.host.layout.n_own, []
    for model, scaling in zip(host.channel_backgrounds(params), prepared.scalings, strict=True):
        size = int(model.n_parameters)
        at = [
            np.asarray(model.with_vector(v).to_physical(scaling).vector(), float)
            for v in [*np.eye(size), np.zeros(size)]
        ]
        rows = np.zeros((size, len(params)))
        if size:
            rows[:, place : place + size] = (np.array(at[:-1]) - at[-1]).T
        result.append(root.errors(rows))
        place += size
    return np.array(result)
