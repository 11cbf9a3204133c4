"""Redundant components merged into their neighbours, one at a time, as long as the BIC falls."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.status import Status
from .._constraints.bounds import FIXABLE
from .._engines.engines import engine_choice
from .._model.gaussian import bhattacharyya, integrals
from .._model.surface import COMPONENT_ARRAYS, GaussianSurface
from .._periodic.nearest import nearest_offsets
from .._results.criteria import Deviance
from .._statistics.linearization import model_of
from .._statistics.statistics import effective_parameters
from .fitting import fitted
from .run_spec import RunSpec

if TYPE_CHECKING:
    from .._results.result import FitResult

# Redundant components, the least useful first, that are tried for one to take away. A compromise:
# each costs a refit, and the least useful ones come first.
MOST_CANDIDATES = 4
# Bhattacharyya distance up to which two components count as overlapping, so that one can stand for both: at 1 the
# overlap integral of their normalised profiles has fallen to 1 / e.
LARGEST_OVERLAP_DISTANCE = 1.0


def merged(result: FitResult) -> FitResult:
    """See `FitResult.merged`."""
    while result.n_components > 1 and result.redundant.any():
        fewer = _fewer(result)
        if fewer is None:
            break
        result = fewer
    return result


def _fewer(result: FitResult) -> FitResult | None:
    """A fit with one component less and a lower BIC, or None; the least useful components are tried first."""
    order = np.argsort(result.worth)
    for k in order[result.redundant[order]][:MOST_CANDIDATES]:
        fit = _refitted(result, int(k))
        if fit.status == Status.INTERRUPTED:
            return None
        if _bic(fit) < _bic(result):
            return fit
    return None


def without(surface: GaussianSurface, k: int, fixed: dict[str, Any] | None = None) -> GaussianSurface:
    """The surface with component ``k`` merged into the one that overlaps it most, which gets the volume, mean and
    covariance of both.

    What is ``fixed`` of that one stays. Component ``k`` is left out instead where no other is within a Bhattacharyya
    distance of LARGEST_OVERLAP_DISTANCE, or where the two differ in sign.
    """
    distances = bhattacharyya(
        surface.centers[k], surface.covariances[k], surface.centers, surface.covariances, surface.periods
    )
    distances[k] = np.inf
    other = int(np.argmin(distances))
    arrays = [np.array(getattr(surface, name), float) for name in COMPONENT_ARRAYS]
    if surface.volumes[[k, other]].prod() > 0 and distances[other] < LARGEST_OVERLAP_DISTANCE:
        stays = [bool(np.broadcast_to((fixed or {}).get(name, False), len(distances))[other]) for name in FIXABLE[:3]]
        for array, value in zip(arrays, _merged_component(surface, [other, k], stays), strict=True):
            array[other] = value
    rest: dict[str, Any] = {
        name: np.delete(array, k, axis=0) for name, array in zip(COMPONENT_ARRAYS, arrays, strict=True)
    }
    return replace(surface, **rest)


def _merged_component(
    surface: GaussianSurface, pair: list[int], stays: list[bool]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Amplitude, centre and covariance of one component in place of a pair; what ``stays`` is that of the first."""
    volumes, centers, covariances = surface.volumes[pair], surface.centers[pair], surface.covariances[pair]
    centers = centers[0] + nearest_offsets(centers - centers[0], surface.periods)
    shares = volumes / volumes.sum()
    center = centers[0] if stays[1] else shares @ centers
    offsets = centers - center
    covariance = covariances[0]
    if not stays[2]:
        covariance = np.einsum("n,nij->ij", shares, covariances + offsets[:, :, None] * offsets[:, None, :])
    amplitude = surface.amplitudes[pair[0]] if stays[0] else volumes.sum() / integrals(covariance)
    return float(amplitude), center, covariance


def _refitted(result: FitResult, k: int) -> FitResult:
    settings = result.settings
    start = without(result.surface, k, settings.constraints.fixed)
    prior = None if settings.prior is None else settings.prior.without(k)
    model = replace(model_of(result, start), constraints=settings.constraints.without(k), prior=prior)
    run = RunSpec(
        init=start,
        search=0,
        engine=engine_choice(settings.engine, None),
        dtype=np.dtype(settings.dtype),
        progress=False,
        reset=False,
    )
    fit = fitted(result.data, model, run, begun=time.perf_counter())
    return replace(fit, steps=result.steps + fit.steps)


def _bic(result: FitResult) -> float:
    return (
        Deviance.of(result.data, result.settings.loss == "poisson")
        .entry(result.n_components, effective_parameters(result), 2 * result.cost)
        .bic
    )
