"""The standard errors of a batch: of all fits of one form at once, and of those left over fit by fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from .._base.precision import precision
from .._base.threads import single_threaded_blas
from .._constraints.box import bound_tolerance
from .._many.batch_record import Results
from .._many.map_numbers import BatchErrors, MapEnds
from .._model.background import background_model
from .._results.record import MAX_EXACT_PARAMETERS
from .._results.result import FitResult
from .._statistics.component_errors import ComponentErrors, errors_of
from .._system.container import cores
from .error_lanes import ErrorLanes, chunks_of, columns_of, error_lanes
from .lane_covariances import LaneCovariances, component_places, lane_covariances
from .lane_slopes import slopes_of_backgrounds, slopes_of_components
from .precise_covariances import with_precise

# Fits from which their program is compiled, in a second or two; each alone takes a few milliseconds.
LEAST_LANES = 64


def errors_of_all(results: Results) -> BatchErrors:
    """The errors (n, ...) of n results, NaN where there is no fit or no such component."""
    ends, (flats, first, rows) = results.ends, np.unique(results.numbers, return_index=True, return_inverse=True)
    shapes = [one.shape[1:] for one in (*ends.surfaces, ends.surfaces.amplitudes)]
    errors = BatchErrors(*(np.full((len(flats), *shape), np.nan) for shape in shapes))
    fitted = np.flatnonzero(ends.fitted[flats])
    is_large = len(fitted) >= LEAST_LANES and int(ends.n_parameters[flats].max()) <= MAX_EXACT_PARAMETERS
    for row in _left_by_arrays(errors, results, flats, fitted) if is_large else fitted:
        put_errors_of(errors, int(row), ~np.isnan(ends.surfaces.amplitudes[flats[row]]), results[int(first[row])])
    return BatchErrors(*(one[rows] for one in errors))


def _left_by_arrays(errors: BatchErrors, results: Results, flats: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Writes the errors of those fits that arrays tell to rows of ``errors`` (n, ...) of the maps ``flats`` (n,), and
    gives the rows of the others.
    """
    stack, ends, left = results.source.stack, results.ends, np.zeros(len(flats), bool)
    left[fitted] = True
    near = bound_tolerance(results[int(np.flatnonzero(results.numbers == flats[fitted[0]])[0])].settings.dtype)

    def put(some: np.ndarray) -> None:
        with precision(np.dtype(np.float64)), single_threaded_blas(1):
            for lanes in error_lanes(stack, ends, some):
                known, found = _lane_errors(lanes, ends, near)
                rows, columns = np.searchsorted(flats, lanes.flats[known]), columns_of(ends, lanes.flats)[known]
                for name, part in found._asdict().items():
                    getattr(errors, name)[rows if name == "background" else (rows[:, None], columns)] = part[known]
                left[rows] = False

    with ThreadPoolExecutor(cores()) as pool:
        for done in [pool.submit(put, some) for some in chunks_of(stack, ends, flats[fitted])]:
            done.result()
    return np.flatnonzero(left)


def put_errors_of(errors: BatchErrors, row: int, there: np.ndarray, result: FitResult) -> None:
    """Writes the errors of one fit to a row of ``errors``, at the components that it has."""
    found = result.standard_errors
    errors.amplitudes[row, there], errors.centers[row, there] = found.amplitudes, found.centers
    errors.covariances[row, there], errors.volumes[row, there] = found.covariances, found.volumes
    errors.background[row] = np.atleast_1d(background_model(found.background).vector())


def _lane_errors(lanes: ErrorLanes, ends: MapEnds, near: float) -> tuple[np.ndarray, BatchErrors]:
    """Which lanes (B,) are known, and the errors (B, K, ...) of all."""
    found = lane_covariances(lanes.problems, lanes.params, lanes.masks, lanes.count, near)
    found, unknown = with_precise(lanes, found)
    spread = deviations(lanes, ends, found.costs)
    to_spare = np.isfinite(spread)  # else there are as many parameters as points
    variances = np.where(to_spare, spread, 0)[:, None, None] ** 2
    nothing = np.where(lanes.masks.used & ~lanes.masks.fixed, 1.0, 0.0)
    held = np.where(to_spare[:, None], found.held, nothing)
    components, n, d = _component_errors(lanes, ends, found, (held, unknown)), len(spread), lanes.first.data.n_dim
    with np.errstate(over="ignore", invalid="ignore"):
        slopes = components.slopes
        scaled = replace(components, blocks=components.blocks * variances.repeat(lanes.count, axis=0))
        return found.known, BatchErrors(
            amplitudes=scaled.by_component(slopes.amplitudes).reshape(n, lanes.count),
            centers=scaled.by_component(slopes.centers).reshape(n, lanes.count, d),
            covariances=scaled.by_component(slopes.covariances).reshape(n, lanes.count, d, d),
            background=_background_errors(lanes, found.border * variances, (held, unknown)),
            volumes=scaled.by_component(slopes.volumes).reshape(n, lanes.count),
        )


def deviations(lanes: ErrorLanes, ends: MapEnds, costs: np.ndarray) -> np.ndarray:
    """Deviations (B,) of a residual, as `residual_deviation` gives them."""
    data, model = lanes.first.data, lanes.first.model
    if data.absolute_sigma or model.loss == "poisson":
        return np.asarray(1 / lanes.residual_units)
    spare = ends.n_used[lanes.flats] - ends.n_parameters[lanes.flats]
    return np.where(spare > 0, np.sqrt(2 * costs / np.maximum(spare, 1)), np.inf)


def _component_errors(
    lanes: ErrorLanes, ends: MapEnds, found: LaneCovariances, undetermined: tuple[np.ndarray, np.ndarray]
) -> ComponentErrors:
    """The components of all lanes, one after another, for a variance of one of a residual; ``undetermined`` are the
    lengths (B, P) of what limits hold, and directions (B, P, P) that the data do not determine.
    """
    parts, count, n = lanes.first.host.parameterization, lanes.count, len(lanes.flats)
    places = component_places(parts, count)
    (held, unknown), m = undetermined, places.shape[1]
    own = held[:, places].reshape(n * count, m, 1) * np.eye(m)
    directions = np.concatenate([own, unknown[:, places].reshape(n * count, m, -1)], axis=2)
    return ComponentErrors(
        slopes=slopes_of_components(lanes, ends, found.factor_slopes),
        blocks=found.blocks.reshape(n * count, m, m),
        undetermined=directions,
        background=np.zeros((0, 0)),
        background_undetermined=np.zeros((0, 0)),
    )


def _background_errors(
    lanes: ErrorLanes, covariances: np.ndarray, undetermined: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Errors (B, b) of the backgrounds' numbers of these covariances (B, b, b)."""
    n, size = covariances.shape[:2]
    if not size:
        return np.zeros((n, 0))
    held, unknown = (one[:, -size:] for one in undetermined)
    directions = np.concatenate([held[:, :, None] * np.eye(size), unknown], axis=2)
    return errors_of(slopes_of_backgrounds(lanes, size), covariances, directions)
