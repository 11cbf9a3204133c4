"""The peaks of many maps at once: what `find_peaks` finds in each, by array programs over all of them.

Each map has the peaks that it would have alone, bit for bit: all sums run over the cells of one map in an order that
other maps do not change. To rounding they are those of `find_peaks`, the plain version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .apart import strongest_apart
from .patches import Patches, amplitudes, gaussians, moments, moved, totals, without_window
from .peaks import CANDIDATES_PER_PEAK, MIN_PEAK_DISTANCE, greatest_around
from .rasters import Rasters
from .scales import KERNEL_RADIUS, SCALES, correlated, pyramid


class Places(NamedTuple):
    """Where components may stand: of which map (M,), at which cell (M, d), at which scale and of which sign (M,)."""

    maps: np.ndarray
    cells: np.ndarray
    scales: np.ndarray
    signs: np.ndarray

    def some(self, which: np.ndarray) -> Places:
        return Places(*(column[which] for column in self))


class Peaks(NamedTuple):
    """Components: of which map (M,), amplitudes (M,), centres (M, d), covariances (M, d, d); those of a map in the
    order in which they were found.
    """

    maps: np.ndarray
    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray

    def some(self, which: np.ndarray) -> Peaks:
        return Peaks(*(column[which] for column in self))


def in_coordinates(rasters: Rasters, peaks: Peaks) -> Peaks:
    """Peaks in the cells of rasters in the units of the fit."""
    centers, steps = rasters.located(peaks.maps, peaks.centers)
    return peaks._replace(centers=centers, covariances=peaks.covariances * (steps[:, :, None] * steps[:, None, :]))


def peaks_of_maps(rasters: Rasters, sums: np.ndarray, counts: np.ndarray, at_once: Any, signed: bool) -> Peaks:
    """Up to ``counts`` (B,) peaks of B maps, and pits where signed, in cells, of residuals given by their weighted
    ``sums`` (B, ...) in the cells of rasters.

    Up to ``at_once`` (B,) are found in a round.
    """
    residuals = np.array(sums, float)
    left, active = np.array(counts), np.flatnonzero(np.asarray(counts) > 0)
    found: list[Peaks] = []
    while len(active):
        places = _strongest(residuals, rasters, active, np.minimum(left, at_once), signed)
        here = np.bincount(places.maps, minlength=len(left))
        for rank in _ranks(places.maps):
            peaks = _moment_peaks(residuals, rasters, places.some(rank))
            _subtract(residuals, rasters, peaks)
            found.append(peaks)
        left -= here
        active = active[(here[active] > 0) & (left[active] > 0)]
    return _in_order(found, sums.ndim - 1)


def _ranks(maps: np.ndarray) -> list[np.ndarray]:
    """Of places in the order of their maps (M,): the first ones of each map, then the second ones, and so on."""
    rank = np.arange(len(maps)) - np.searchsorted(maps, maps)
    return [np.flatnonzero(rank == n) for n in range(rank.max(initial=-1) + 1)]


def _in_order(found: list[Peaks], n_dim: int) -> Peaks:
    if not found:
        return Peaks(np.zeros(0, int), np.zeros(0), np.zeros((0, n_dim)), np.zeros((0, n_dim, n_dim)))
    peaks = Peaks(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    return peaks.some(np.argsort(peaks.maps, kind="stable"))


def _strongest(residuals: np.ndarray, rasters: Rasters, maps: np.ndarray, counts: np.ndarray, signed: bool) -> Places:
    """Up to ``counts`` (B,) places of each of some maps that lower its cost most, none within reach of a stronger one;
    in the order of the maps, the strongest first.

    A place takes (sum w r g)^2 / (2 sum w g^2) off the cost, nothing where the amplitude may not have that sign.
    """
    whole = len(maps) == len(residuals)
    n_axes, rows = residuals.ndim - 1, rasters.rows(maps)
    best = np.zeros(len(maps))
    strongest = Places(maps, np.zeros((len(maps), n_axes)), np.zeros(len(maps)), np.ones(len(maps)))
    several, found = counts[maps] > 1, []
    levels = pyramid(residuals if whole else residuals[maps], n_axes)
    for level, (sums, norms) in enumerate(zip(levels, rasters.norms, strict=True)):
        for scale, norm in zip(SCALES, norms.swapaxes(0, 1), strict=True):
            overlap = correlated(sums, scale, n_axes)
            gain = np.square(overlap) if signed else np.maximum(overlap, 0) ** 2
            gain /= norm if whole or len(norm) == 1 else norm[rows]
            if several.any():
                found.append(_maxima(overlap[several], gain[several], scale, level))
            if not several.all():
                _take_strongest(strongest, best, overlap, gain, scale, level)
    chosen = [strongest.some(~several & (best > 0))]
    if found:
        gains, places = zip(*found, strict=True)
        every = Places(*(np.concatenate(columns) for columns in zip(*places, strict=True)))
        chosen.append(_apart(every._replace(maps=maps[several][every.maps]), np.concatenate(gains), counts))
    both = Places(*(np.concatenate(columns) for columns in zip(*chosen, strict=True)))
    both = both.some(np.argsort(both.maps, kind="stable"))
    return both._replace(cells=np.minimum(both.cells, rasters.sizes[rasters.rows(both.maps)] - 1))


def _take_strongest(
    strongest: Places, best: np.ndarray, overlap: np.ndarray, gain: np.ndarray, scale: float, level: int
) -> None:
    """Writes the strongest place of each map at a scale (b, ...) where its gain exceeds the best (b,) so far."""
    flat, each = gain.reshape(len(gain), -1), np.arange(len(gain))
    at = flat.argmax(axis=1)
    most = flat[each, at]
    higher = np.flatnonzero(most > best)
    if len(higher):
        best[higher], at = most[higher], at[higher]
        strongest.cells[higher] = _middle(np.stack(np.unravel_index(at, gain.shape[1:]), axis=1), level)
        strongest.scales[higher] = scale * 2**level
        strongest.signs[higher] = np.copysign(1.0, overlap.reshape(flat.shape)[higher, at])


def _maxima(overlap: np.ndarray, gain: np.ndarray, scale: float, level: int) -> tuple[np.ndarray, Places]:
    """The local maxima of the gain (b, ...) at a scale, and where they are; their ``maps`` count from zero."""
    which = np.nonzero((gain == greatest_around(gain, gain.ndim - 1)) & (gain > 0))
    cells = _middle(np.stack(which[1:], axis=1), level)
    return gain[which], Places(which[0], cells, np.full(len(cells), scale * 2**level), np.copysign(1.0, overlap[which]))


def _middle(cells: np.ndarray, level: int) -> np.ndarray:
    """The middle of a level's cells, in cells of the finest one."""
    return (cells + 0.5) * 2**level - 0.5


def _apart(places: Places, gains: np.ndarray, counts: np.ndarray) -> Places:
    """Up to ``counts`` of the places of each map, strongest first, that stand apart."""
    order = np.lexsort((-gains, places.maps))
    chosen = []
    for some in np.split(order, np.flatnonzero(np.diff(places.maps[order])) + 1):
        if len(some):
            count = counts[places.maps[some[0]]]
            few = some[: CANDIDATES_PER_PEAK * count]
            taken = strongest_apart(places.cells[few], places.scales[few], int(count), MIN_PEAK_DISTANCE)
            chosen.append(few[taken])
    return places.some(np.concatenate([np.zeros(0, int), *chosen]))


def _moment_peaks(residuals: np.ndarray, rasters: Rasters, places: Places) -> Peaks:
    """Components at places, at most one a map: each with the shape of the residual heights under a Gaussian window, or
    the round shape where that lowers the cost more. A pit has sign -1.
    """
    found = []
    for scale in np.unique(places.scales):
        some = np.flatnonzero(places.scales == scale)
        found.append((some, _moment_peaks_of_scale(residuals, rasters, places.some(some))))
    order = np.argsort(np.concatenate([some for some, _ in found]))
    return Peaks(*(np.concatenate(columns)[order] for columns in zip(*(peaks for _, peaks in found), strict=True)))


def _moment_peaks_of_scale(residuals: np.ndarray, rasters: Rasters, places: Places) -> Peaks:
    maps, centers, scales, signs = places
    rows, n_dim = rasters.rows(maps), centers.shape[1]
    patches = Patches.around(residuals.shape[1:], centers, KERNEL_RADIUS * scales, KERNEL_RADIUS * scales[0])
    spread = (-1, *(1,) * n_dim)
    r, w = signs.reshape(spread) * patches.of(residuals, maps), patches.of(rasters.weights, rows)
    shapes, shifts = np.eye(n_dim) * scales[:, None, None] ** 2, np.zeros_like(centers)
    view = gaussians(patches.offsets, shapes)
    found, gains = amplitudes(view, r, w)
    mass = np.maximum(r, 0) * rasters.points_per_weight[patches.index(rows)] * view
    total = totals(mass)
    there = total > 0
    density = mass / np.where(there, total, 1).reshape(spread)
    own_shifts, spreads = moments(density, patches.offsets)
    own_shapes = without_window(np.where(there[:, None, None], spreads, shapes), scales)
    own, own_gains = amplitudes(gaussians(moved(patches.offsets, own_shifts), own_shapes), r, w)
    better = there & (own_gains > gains)
    found = np.where(better, own, found)
    shifts = np.where(better[:, None], own_shifts, shifts)
    return Peaks(maps, signs * found, centers + shifts, np.where(better[:, None, None], own_shapes, shapes))


def _subtract(residuals: np.ndarray, rasters: Rasters, peaks: Peaks) -> None:
    """Takes components, at most one a map, off the residuals; those of about one width together."""
    radii = KERNEL_RADIUS * np.sqrt(np.einsum("mii->mi", peaks.covariances).max(axis=1))
    octave = np.ceil(np.log2(np.maximum(radii, 1)))
    for one in np.unique(octave):
        some = np.flatnonzero(octave == one)
        few = peaks.some(some)
        patches = Patches.around(residuals.shape[1:], few.centers, radii[some], float(radii[some].max()))
        heights = few.amplitudes.reshape(-1, *(1,) * few.centers.shape[1]) * gaussians(patches.offsets, few.covariances)
        weights = patches.of(rasters.weights, rasters.rows(few.maps))
        residuals[patches.index(few.maps)] -= heights * weights
