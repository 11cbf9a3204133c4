r"""A start for all channels: that of a fit of the one map that stands for them.

With weighted heights x_c (the channel's heights above their mean over sigma), the first principal component v of the
channels is what a common map t explains best, x_c ~ v_c t, and t = sum_c v_c x_c / sum_c v_c^2 is its least-squares
estimate at each point, from the channels that are there. Components are grown on t; their amplitudes in channel c are
v_c a_k sigma_c. Amplitudes that must be positive take v without its negative entries. Source: any text on principal
components, such as Jolliffe (2002), chapter 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._fit.fit import fit, fit_points
from .._model.surface import GaussianSurface
from .._solvers import LevenbergMarquardt
from .maps import ChannelMaps
from .setup import ChannelModel

# Least share of the largest amplitude of a component at which positive amplitudes start in a channel: softplus is flat
# far below, and a component that belongs to one channel alone could not enter the others.
LEAST_START_SHARE = 1e-2


class CommonMap(NamedTuple):
    """A map t (...), NaN where no channel is used, its standard deviations or None where all are alike, what each
    channel has of it (C,), in units (C,) of the user's: the typical sigma of a channel.
    """

    heights: np.ndarray
    sigma: np.ndarray | None
    shares: np.ndarray
    units: np.ndarray


def common_map(maps: ChannelMaps, signed: bool) -> CommonMap:
    """The map that explains all channels best; see the module."""
    used = np.stack([one.used for one in maps.channels])
    weighted, scales = [], []
    for one in maps.channels:
        sigma = np.ones(one.heights.shape) if one.sigma is None else np.where(one.used, one.sigma, 1.0)
        typical = float(np.sqrt(1 / np.mean(one.weights**2)))
        middle = float(np.average(one.used_heights, weights=one.weights**2))
        weighted.append(np.where(one.used, (one.heights - middle) / sigma, 0.0))
        scales.append(sigma / typical)
    x = np.stack(weighted)
    shares = principal_component(x.reshape(len(x), -1), signed)
    direction = shares.reshape(-1, *(1,) * (x.ndim - 1))
    gains = direction / np.stack(scales)  # of t in the weighted heights of a channel
    importance = np.sum(np.where(used, gains**2, 0.0), axis=0)
    seen = importance > 0
    heights = np.where(seen, np.sum(gains * x, axis=0) / np.where(seen, importance, 1.0), np.nan)
    even = np.ptp(importance) <= 1e-9 * importance.max()
    errors = None if even else np.where(seen, 1 / np.sqrt(np.where(seen, importance, 1.0)), np.nan)
    units = np.array([float(np.sqrt(1 / np.mean(one.weights**2))) for one in maps.channels])
    return CommonMap(heights, errors, shares, units)


def principal_component(rows: np.ndarray, signed: bool) -> np.ndarray:
    """The unit vector (C,) of what rows (C, N) have most in common, without negative entries unless ``signed``."""
    vector = np.linalg.eigh(rows @ rows.T)[1][:, -1]
    vector = vector if vector.sum() >= 0 else -vector
    if signed:
        return np.asarray(vector)
    vector = np.maximum(vector, 0)
    return np.asarray(vector / np.linalg.norm(vector))


def grown_start(maps: ChannelMaps, model: ChannelModel, options: dict[str, Any]) -> tuple[np.ndarray, GaussianSurface]:
    """Amplitudes (K, C) in the user's units, and the fit of the common map, whose places and shapes they have."""
    common = common_map(maps, model.signed)
    keywords = {
        "sigma": common.sigma,
        "background": "constant" if model.background is not None else None,
        "covariance_type": model.covariance_type,
        "amplitudes": model.amplitudes,
        "min_width": model.min_width,
        "reset": False,
        "progress": False,
        "solver": LevenbergMarquardt(max_steps=0),  # the joint steps win more, and need no program besides
        **options,
    }
    together = maps.together
    if together.axes is None:
        result = fit_points(together.points, common.heights, model.n_components, **keywords)
    else:
        result = fit(common.heights, model.n_components, coords=together.axes, **keywords)
    surface = result.surface
    return spread(surface, common, model.signed), surface


def spread(surface: GaussianSurface, common: CommonMap, signed: bool) -> np.ndarray:
    """Amplitudes (K, C) of a surface in the user's units, in channels that have shares of it."""
    amplitudes = np.asarray(surface.amplitudes)[:, None] * common.shares
    if not signed:
        amplitudes = np.maximum(amplitudes, LEAST_START_SHARE * np.abs(amplitudes).max(axis=1, keepdims=True))
    return amplitudes * common.units
