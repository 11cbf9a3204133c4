"""Redundant components merged into their neighbours, one at a time, as long as the data call for fewer."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ._criteria import Deviance
from ._engines import engine_choice
from ._fitting import Running, fitted
from ._prepare import Model
from ._solvers import LevenbergMarquardt
from ._status import Status
from ._surface import GaussianSurface

if TYPE_CHECKING:
    from ._result import FitResult

CANDIDATES = 4
CLOSE = 1.0


def merged(result: FitResult) -> FitResult:
    """See `FitResult.merged`."""
    if result.settings.constraints.by_component:
        raise ValueError("`merged` cannot tell which limits and fixed values go with a merged component: fit fewer, with their own")
    while result.n_components > 1 and result.redundant.any():
        fewer = _fewer(result)
        if fewer is None:
            break
        result = fewer
    return result


def _fewer(result: FitResult) -> FitResult | None:
    """A fit of one component less and a lower BIC, the least useful ones tried first."""
    order = np.argsort(result.worth)
    for k in order[result.redundant[order]][:CANDIDATES]:
        fit = _refitted(result, without(result.surface, int(k)))
        if fit.status == Status.INTERRUPTED:
            return None
        if _bic(fit) < _bic(result):
            return fit
    return None


def without(surface: GaussianSurface, k: int) -> GaussianSurface:
    """Component ``k`` merged with the one that overlaps it most into one of the same volume, mean and covariance.

    Where no other is within a Bhattacharyya distance of CLOSE, or the two differ in sign, it is left out instead.
    """
    distances = _distances(surface, k)
    other = int(np.argmin(distances))
    volumes = surface.volumes[[k, other]]
    arrays = [np.array(array, float) for array in (surface.amplitudes, surface.centers, surface.covariances)]
    if volumes.prod() > 0 and distances[other] < CLOSE:
        for array, value in zip(arrays, _joined(surface, volumes, [k, other]), strict=True):
            array[other] = value
    amplitudes, centers, covariances = (np.delete(array, k, axis=0) for array in arrays)
    return GaussianSurface(amplitudes, centers, covariances, surface.background)


def _joined(surface: GaussianSurface, volumes: np.ndarray, pair: list[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """Amplitude, centre and covariance of one component in place of two."""
    shares = volumes / volumes.sum()
    centers, covariances = surface.centers[pair], surface.covariances[pair]
    center = shares @ centers
    offsets = centers - center
    covariance = np.einsum("n,nij->ij", shares, covariances + offsets[:, :, None] * offsets[:, None, :])
    return float(volumes.sum() / np.sqrt(np.linalg.det(2 * np.pi * covariance))), center, covariance


def _distances(surface: GaussianSurface, k: int) -> np.ndarray:
    """Bhattacharyya distances (K,) from component ``k``, infinite from itself."""
    offsets, means = surface.centers - surface.centers[k], (surface.covariances + surface.covariances[k]) / 2
    squares = np.einsum("ki,ki->k", offsets, np.linalg.solve(means, offsets[:, :, None])[:, :, 0])
    logs = np.linalg.slogdet(surface.covariances)[1]
    distances = squares / 8 + np.linalg.slogdet(means)[1] / 2 - (logs + logs[k]) / 4
    distances[k] = np.inf
    return distances


def _refitted(result: FitResult, start: GaussianSurface) -> FitResult:
    settings = result.settings
    engine, dtype = engine_choice(settings.engine, None), np.dtype(settings.dtype)
    running = Running(start, 0, 0, LevenbergMarquardt(), engine, dtype, False, None, None)
    fit = fitted(result.data, Model.of(result, start), None, running, time.perf_counter())
    return replace(fit, steps=result.steps + fit.steps)


def _bic(result: FitResult) -> float:
    return Deviance.of(result.data, result.settings.loss == "poisson").entry(result.n_components, result.n_parameters, 2 * result.cost).bic
