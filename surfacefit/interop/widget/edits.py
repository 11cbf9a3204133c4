"""Components added, moved and removed by hand: the new surface is a start for the next fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..._data.data import SurfaceData
from ..._model.surface import COMPONENT_ARRAYS, GaussianSurface

# Of the data's extent: the width of a first component, when there is none to take a width from.
FIRST_WIDTH_SHARE = 1 / 15

# Samples: a narrower new component would see one of them alone.
LEAST_NEW_WIDTH = 1.5

# Widths around a new centre within which its height is looked for, and samples there that are enough to tell it.
HEIGHT_WIDTHS, MOST_HEIGHT_SAMPLES = 0.5, 500


def without_components(n_dim: int, background: object) -> GaussianSurface:
    """The background alone."""
    return GaussianSurface(np.zeros(0), np.zeros((0, n_dim)), np.zeros((0, n_dim, n_dim)), background)


def added(surface: GaussianSurface, data: SurfaceData, at: np.ndarray, kind: str, signed: bool) -> GaussianSurface:
    """The surface with one component more, centred at (d,): as wide as the others, as high as the residual there."""
    covariance = _typical_covariance(surface, data, kind)
    amplitude = _height(surface, data, at, covariance, signed)
    new = (np.array([amplitude]), np.asarray(at, float)[None], covariance[None])
    arrays = (
        np.concatenate([np.asarray(getattr(surface, name), float), one])
        for name, one in zip(COMPONENT_ARRAYS, new, strict=True)
    )
    named: dict[str, Any] = dict(zip(COMPONENT_ARRAYS, arrays, strict=True))
    return replace(surface, **named)


def moved(surface: GaussianSurface, k: int, by: np.ndarray) -> GaussianSurface:
    """The surface with the centre of component ``k`` shifted."""
    centers = np.array(surface.centers, float)
    centers[k] += by
    return replace(surface, centers=centers)


def removed(surface: GaussianSurface, k: int) -> GaussianSurface:
    """The surface without component ``k``."""
    arrays: dict[str, Any] = {
        name: np.delete(np.asarray(getattr(surface, name)), k, axis=0) for name in COMPONENT_ARRAYS
    }
    return replace(surface, **arrays)


def _typical_covariance(surface: GaussianSurface, data: SurfaceData, kind: str) -> np.ndarray:
    """(d, d), along the axes: the median of the components; of what they share, where they share it."""
    if surface.n_components and kind == "tied":
        return np.array(surface.covariances[0], float)
    if surface.n_components:
        variances = np.median(np.diagonal(np.asarray(surface.covariances, float), axis1=1, axis2=2), axis=0)
    else:
        variances = (FIRST_WIDTH_SHARE * np.ptp(data.used_points, axis=0)) ** 2
    variances = np.maximum(variances, (LEAST_NEW_WIDTH * data.spacing) ** 2)
    return np.diag(np.full(data.n_dim, variances.min()) if kind == "spherical" else variances)


def _height(surface: GaussianSurface, data: SurfaceData, at: np.ndarray, covariance: np.ndarray, signed: bool) -> float:
    """The mean residual around a place; where that is no height for a component, the spread of the heights."""
    offsets = (data.used_points - at) / np.sqrt(np.diagonal(covariance))
    squares = (offsets**2).sum(axis=1)
    near = np.flatnonzero(squares <= HEIGHT_WIDTHS**2)[:MOST_HEIGHT_SAMPLES]
    near = near if len(near) else squares.argmin()[None]
    height = float(np.mean(data.used_heights[near] - surface(data.used_points[near])))
    spread = float(np.std(data.used_heights.astype(float))) or 1.0
    return height if height > 0 or (signed and height) else spread
