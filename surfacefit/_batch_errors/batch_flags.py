"""The flags of a batch: of all components of maps alike at once, of those of other maps fit by fit.

Most flags depend on a component, on the points and on the options alone, which maps alike share: their components are
looked at as if all belonged to one fit. What a component is worth follows from its block of the covariance, as in
`_statistics/redundancy.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from .._base.precision import precision
from .._base.threads import single_threaded_blas
from .._constraints.box import bound_tolerance
from .._many.batch_record import Results
from .._many.map_numbers import BatchErrors, MapEnds
from .._many.stack import shifts_of
from .._model.block_layout import ALPHA
from .._model.surface import GaussianSurface
from .._problem.removal_cost import change_to_zero, quadratic_rise
from .._results.flags import ComponentFlag, flags_of_errors, quick_flags
from .._results.record import MAX_EXACT_PARAMETERS
from .._results.result import FitResult
from .._statistics.redundancy import MIN_BLOCK_EIGENVALUE
from .._system.container import cores
from .batch_errors import LEAST_LANES, deviations
from .error_lanes import ErrorLanes, chunks_of, columns_of, error_lanes
from .lane_covariances import LaneCovariances, lane_covariances
from .precise_covariances import with_ridge


def flags_of_all(results: Results, errors: BatchErrors, rmse: np.ndarray) -> np.ndarray:
    """`ComponentFlag` bits (n, K) of n results with these errors (n, K, ...) and RMSE (n,), 0 for what is not there."""
    ends, (flats, first, rows) = results.ends, np.unique(results.numbers, return_index=True, return_inverse=True)
    found, left = np.zeros((len(flats), ends.surfaces.most), int), ends.fitted[flats]
    fitted = np.flatnonzero(left)
    if len(fitted) >= LEAST_LANES and int(ends.n_parameters[flats].max()) <= MAX_EXACT_PARAMETERS:
        like: FitResult = results[int(first[fitted[0]])]

        def put(some: np.ndarray) -> None:
            with precision(np.dtype(np.float64)), single_threaded_blas(1):
                for lanes in error_lanes(results.source.stack, ends, some, alike_alone=True):
                    places = np.searchsorted(flats, lanes.flats)
                    known, bits = _lane_flags(lanes, results, like, (errors, rmse), first[places])
                    found[places[known][:, None], columns_of(ends, lanes.flats)[known]] = bits[known]
                    left[places[known]] = False

        with ThreadPoolExecutor(cores()) as pool:
            for done in [pool.submit(put, some) for some in chunks_of(results.source.stack, ends, flats[fitted])]:
                done.result()
    for row in np.flatnonzero(left):
        there = ~np.isnan(ends.surfaces.amplitudes[flats[row]])
        found[row, there] = results[int(first[row])].flags
    return found[rows]


def _lane_flags(
    lanes: ErrorLanes, results: Results, like: FitResult, numbers: tuple[BatchErrors, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which lanes (B,) are known, and the flags (B, K) of all; ``numbers`` are errors and RMSE, by ``rows`` (B,)."""
    (errors, rmse), shape = numbers, (len(rows), lanes.count)
    found = lane_covariances(
        lanes.problems, lanes.params, lanes.masks, lanes.count, bound_tolerance(like.settings.dtype)
    )
    found = with_ridge(lanes, found)
    together = _together(lanes, results, like)
    place = rows[:, None], columns_of(results.ends, lanes.flats)
    names = ("amplitudes", "centers", "covariances", "volumes")
    flat = {name: getattr(errors, name)[place].reshape(-1, *getattr(errors, name).shape[2:]) for name in names}
    own = BatchErrors(**flat, background=errors.background[rows])
    bits = np.zeros(shape, int)
    sets = [*quick_flags(together, np.repeat(rmse[rows], lanes.count)).items(), *flags_of_errors(together, own).items()]
    for flag, which in sets:
        bits |= np.where(which.reshape(shape), int(flag), 0)
    redundant = _worth(lanes, found) < _needed(lanes, results.ends, found)
    return found.known, bits | np.where(redundant, int(ComponentFlag.REDUNDANT), 0)


def _together(lanes: ErrorLanes, results: Results, like: FitResult) -> FitResult:
    """All components of maps alike, as if they belonged to one fit at the place of the first map."""
    ends, shifts = results.ends, shifts_of(results.source.stack)
    place = lanes.flats[:, None], columns_of(ends, lanes.flats)
    amplitudes, centers, covariances = (one[place] for one in ends.surfaces[:3])
    if shifts is not None:
        centers = centers - (shifts[lanes.flats] - shifts[lanes.flats[0]])[:, None]
    n, d = amplitudes.size, centers.shape[-1]
    surface = GaussianSurface(amplitudes.ravel(), centers.reshape(n, d), covariances.reshape(n, d, d), None)
    none: Any = None
    return replace(like, surface=surface, data=lanes.first.data, resets=none, path=None)


def _worth(lanes: ErrorLanes, found: LaneCovariances) -> np.ndarray:
    """The rise in cost (B, K), in the units of the fit, if each component were removed."""
    parts = lanes.first.host.parameterization
    layout, n = parts.layout, len(lanes.flats)
    alphas = lanes.params[:, : layout.n_own].reshape(n, layout.n_components, layout.block_size)[:, : lanes.count, ALPHA]
    sizes = np.sqrt(np.diagonal(found.blocks, axis1=-2, axis2=-1))
    sizes = np.where(sizes > 0, sizes, 1)
    unit = np.where(found.known[:, None, None, None], found.blocks, 0) / (sizes[..., None] * sizes[..., None, :])
    values, vectors = np.linalg.eigh(np.where(np.isfinite(unit), unit, 0))
    inverse = np.where(values > MIN_BLOCK_EIGENVALUE, 1 / np.maximum(values, MIN_BLOCK_EIGENVALUE), 0.0)
    curvatures = (vectors[..., ALPHA, :] ** 2 * inverse).sum(axis=-1) / sizes[..., ALPHA] ** 2
    rise = quadratic_rise(change_to_zero(parts, alphas), curvatures)
    return np.where(np.isfinite(rise), np.maximum(rise, 0), 0.0)


def _needed(lanes: ErrorLanes, ends: MapEnds, found: LaneCovariances) -> np.ndarray:
    """The rise in cost (B, 1), in the units of the fit, that keeps a component by the BIC; 0 where it is not known."""
    numbers = lanes.first.problem.parameterization.layout.block_size
    variances = deviations(lanes, ends, found.costs) ** 2
    needed = 0.5 * numbers * np.log(ends.n_used[lanes.flats]) * variances
    return np.where(np.isfinite(needed), needed, 0)[:, None]
