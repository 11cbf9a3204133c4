r"""Peaks: matching pursuit over scales, with shapes from local moments.

A Gaussian of width s at x takes (sum w r g)^2 / (2 sum w g^2) off the cost of the residual r. Both sums are
convolutions, taken at two scales an octave on a pyramid of block sums, so that all scales cost about as much as
the finest. Each round places components at the best places that do not overlap, gives each the covariance of the
residual's second moments under its window (with the window divided out), subtracts them, and looks again.
The work grows in proportion to the number of peaks, and to the cells of the map.

After Lindeberg, Feature detection with automatic scale selection, IJCV 30 (1998) 79; Mallat & Zhang, Matching
pursuits with time-frequency dictionaries, IEEE Trans. Signal Process. 41 (1993) 3397.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._model.gaussian import profile
from .._model.surface import GaussianSurface
from .apart import strongest_apart
from .grid import grid_start
from .rasters import Raster
from .request import StartRequest
from .scales import KERNEL_RADIUS, SCALES, Norms, correlated, pyramid
from .torus import Places, TorusRaster

# Rounds in which the peaks of a start are found, each on what the rounds before leave. A compromise: more rounds find
# smaller peaks near large ones, and each costs a filter over all scales.
ROUNDS_PER_START = 24
# Sums of their scales that two peaks of one round are apart: nearer ones would take the same heights twice.
MIN_PEAK_DISTANCE = 2.0
# Candidates of a round for each peak that is wanted, the highest gains first: bounds the loop over them; others are
# found in the next round.
CANDIDATES_PER_PEAK = 50
# Factor by which the width of a peak may differ from the scale at which it was found.
MAX_WIDTH_RATIO = 2.5
# Amplitude of a lattice component, which stands in for a missing peak, per height around it.
LATTICE_AMPLITUDE_SHARE = 0.1


class Peak(NamedTuple):
    """A component: amplitude, centre (d,), covariance (d, d)."""

    amplitude: float
    center: np.ndarray
    covariance: np.ndarray


def peaks_start(request: StartRequest) -> GaussianSurface:
    """K components at the peaks of the data over all scales; an even lattice supplies what peaks do not."""
    count = request.n_components
    return _completed(
        find_peaks(request.raster, request.raster.sums, count, max(1, count // ROUNDS_PER_START), request.signed),
        request,
    )


def find_peaks(raster: Raster, sums: np.ndarray, count: int, at_once: int, signed: bool) -> list[Peak]:
    """Up to ``count`` peaks, and pits where signed, of residuals given by their weighted sums in a raster's cells.

    Up to ``at_once`` are found in a round.
    """
    residual = sums.copy()
    peaks: list[Peak] = []
    while len(peaks) < count:
        found = _strongest(residual, raster, min(count - len(peaks), at_once), signed)
        if not found:
            break
        for index, scale, sign in found:
            peak = _moment_peak(residual, raster, index, scale, sign)
            _subtract(residual, raster, peak)
            peaks.append(_in_coordinates(raster, peak))
    return peaks


def _strongest(residual: np.ndarray, raster: Raster, count: int, signed: bool) -> list[tuple[np.ndarray, float, float]]:
    """Up to ``count`` places (index, scale, sign) that lower the cost most, none within reach of a stronger one.

    A place takes (sum w r g)^2 / (2 sum w g^2) off the cost, nothing where the amplitude may not have that sign.
    """
    if isinstance(raster, TorusRaster):
        (gain, place, width, sign), lengths = raster.candidates(residual, signed), raster.lengths
    else:
        (gain, place, width, sign), lengths = _candidates(residual, raster.norms, signed), None
    order = np.argsort(-gain)[: CANDIDATES_PER_PEAK * count]
    chosen = order[strongest_apart(place[order], width[order], count, MIN_PEAK_DISTANCE, lengths)]
    return [(np.minimum(place[i], np.array(residual.shape) - 1), float(width[i]), float(sign[i])) for i in chosen]


def _candidates(residual: np.ndarray, norms: Norms, signed: bool) -> Places:
    """Places that take more off the cost than their neighbours do, at each scale."""
    gains, places, scales, signs = [], [], [], []
    for level, (sums, norm) in enumerate(zip(pyramid(residual, residual.ndim), norms, strict=True)):
        overlap = np.stack([correlated(sums, scale, sums.ndim) for scale in SCALES])
        gain = np.square(overlap if signed else np.maximum(overlap, 0)) / norm
        which = np.nonzero((gain == greatest_around(gain, sums.ndim)) & (gain > 0))
        gains.append(gain[which])
        places.append((np.stack(which[1:], axis=1) + 0.5) * 2**level - 0.5)
        scales.append(np.array(SCALES)[which[0]] * 2**level)
        signs.append(np.copysign(1.0, overlap[which]))
    return Places(*(np.concatenate(columns) for columns in (gains, places, scales, signs)))


def greatest_around(gain: np.ndarray, n_axes: int) -> np.ndarray:
    """The greatest value in the 3^d cells around each, along the last ``n_axes`` axes."""
    for axis in range(gain.ndim - n_axes, gain.ndim):
        before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        greatest = gain.copy()
        np.maximum(greatest[after], gain[before], out=greatest[after])
        np.maximum(greatest[before], gain[after], out=greatest[before])
        gain = greatest
    return gain


def _moment_peak(residual: np.ndarray, raster: Raster, index: np.ndarray, scale: float, sign: float) -> Peak:
    """Shape of the residual heights under a Gaussian window; the round shape where that lowers the cost more. A pit has
    sign -1.
    """
    window = raster.window(index, KERNEL_RADIUS * scale)
    offsets, r, w = raster.offsets(index, KERNEL_RADIUS * scale), sign * residual[window], raster.weights[window]
    at_rest, round_shape = np.zeros(len(index)), np.eye(len(index)) * scale**2
    view = _gaussian(offsets, round_shape)
    candidates = [(*_amplitude(view, r, w), at_rest, round_shape)]
    mass = np.maximum(r, 0) * raster.points_per_weight[window] * view
    total = float(mass.sum())
    if total > 0:
        shift, spread = _moments(mass / total, offsets)
        shape = _without_window(spread, scale)
        moved = [axis - by for axis, by in zip(offsets, shift, strict=True)]
        candidates.append((*_amplitude(_gaussian(moved, shape), r, w), shift, shape))
    amplitude, _, shift, shape = max(candidates, key=lambda candidate: candidate[1])
    return Peak(sign * amplitude, index + shift, shape)


def _moments(density: np.ndarray, offsets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of a density on a patch."""
    shift = np.array([float((density * axis).sum()) for axis in offsets])
    spread, moved = np.empty((len(offsets),) * 2), [axis - by for axis, by in zip(offsets, shift, strict=True)]
    for i, one in enumerate(moved):
        pulled = density * one
        for j, other in enumerate(moved[: i + 1]):
            spread[i, j] = spread[j, i] = float((pulled * other).sum())
    return shift, spread


def _without_window(spread: np.ndarray, scale: float) -> np.ndarray:
    """Covariance S with S^-1 = spread^-1 - window^-1, its widths kept within a factor of the scale."""
    values, vectors = np.linalg.eigh(spread)
    inverse = 1 / np.maximum(values, 1e-6 * scale**2) - 1 / scale**2
    widths = np.clip(
        1 / np.maximum(inverse, 1e-9 / scale**2), (scale / MAX_WIDTH_RATIO) ** 2, (MAX_WIDTH_RATIO * scale) ** 2
    )
    return (vectors * widths) @ vectors.T


def _amplitude(g: np.ndarray, r: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Best amplitude of a Gaussian g on a patch, and what it takes off the cost."""
    overlap, norm = float((r * g).sum()), float((w * g * g).sum())
    amplitude = overlap / norm if norm > 0 else 0.0
    return amplitude, amplitude * max(overlap, 0.0)


def _gaussian(offsets: list[np.ndarray], shape: np.ndarray) -> np.ndarray:
    """exp(-x^T S^-1 x / 2) on a patch, x given along each axis: the terms of one axis are computed on that axis."""
    precision = np.linalg.inv(shape)
    squares: Any = 0.0
    for i, axis in enumerate(offsets):
        slope = precision[i, i] * axis
        for j in range(i):
            slope = slope + 2 * precision[i, j] * offsets[j]
        squares = squares + axis * slope
    return np.asarray(profile(squares))


def _subtract(residual: np.ndarray, raster: Raster, peak: Peak) -> None:
    radius = KERNEL_RADIUS * float(np.sqrt(np.diag(peak.covariance).max()))
    window = raster.window(peak.center, radius)
    values = _gaussian(raster.offsets(peak.center, radius), peak.covariance)
    residual[window] -= peak.amplitude * values * raster.weights[window]


def _in_coordinates(raster: Raster, peak: Peak) -> Peak:
    """A peak in the units of the fit."""
    steps = raster.steps(peak.center)
    return Peak(peak.amplitude, raster.coordinates(peak.center), peak.covariance * np.outer(steps, steps))


def _completed(peaks: list[Peak], request: StartRequest) -> GaussianSurface:
    """The peaks as a surface, with lattice components of small amplitude where there are too few."""
    missing = request.n_components - len(peaks)
    if missing:
        lattice = grid_start(request)
        peaks = peaks + [
            Peak(LATTICE_AMPLITUDE_SHARE * float(a), c, s)
            for a, c, s in zip(
                lattice.amplitudes[:missing], lattice.centers[:missing], lattice.covariances[:missing], strict=True
            )
        ]
    amplitudes, centers, covariances = (np.array(column) for column in zip(*peaks, strict=True))
    return GaussianSurface(amplitudes, centers, covariances)
