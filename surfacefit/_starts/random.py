"""Random components: centres drawn from the data, widths about half a cell of an even lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._model.surface import GaussianSurface
from .grid import MIN_WIDTH_SAMPLES, WIDTH_PER_CELL, heights_around
from .request import StartRequest

# Standard deviation of the centres around the points they are drawn from, in sampling distances.
CENTER_JITTER_SAMPLES = 0.1
# Typical factor between a width and half a cell of an even lattice (standard deviation of the log).
WIDTH_FACTOR = 1.5
# Chance of the lowest point to be drawn, per range of the heights: no point is out of the question.
MIN_CHANCE = 1e-3
# Amplitude per height around the centre: neighbouring components overlap and share the height.
AMPLITUDE_SHARE = 0.5


@dataclass(frozen=True)
class RandomStarts:
    """The best of ``n`` random starts, each stepped to its end: ``init=sf.RandomStarts(10)``.

    The honest baseline: growth and search (``init="auto"``) end lower in less time on every map that was tried. The
    first start is that of ``init="random"``; ``result.starts`` holds the costs that all ended at.

    >>> import surfacefit as sf
    >>> sf.RandomStarts().n
    10
    """

    n: int = 10


def random_start(request: StartRequest) -> GaussianSurface:
    """Centres drawn with a chance in proportion to the height above the lowest (signed: with its size), widths
    log-normal (factor 1.5).
    """
    points = request.points
    rng, (n_points, n_dim) = request.rng, points.shape
    above = np.abs(request.heights) if request.signed else request.heights - request.heights.min()
    chances = above + MIN_CHANCE * (np.ptp(request.heights) or 1.0)
    replace = request.n_components > n_points
    drawn = rng.choice(n_points, request.n_components, replace=replace, p=chances / chances.sum())
    centers = points[drawn] + rng.normal(size=(request.n_components, n_dim)) * CENTER_JITTER_SAMPLES * request.spacing
    cell = request.extent / request.n_components ** (1 / n_dim)
    widths = WIDTH_PER_CELL * cell * np.exp(rng.normal(scale=np.log(WIDTH_FACTOR), size=(request.n_components, n_dim)))
    widths = np.maximum(widths, MIN_WIDTH_SAMPLES * request.spacing)
    amplitudes = AMPLITUDE_SHARE * heights_around(request, centers)
    return GaussianSurface(amplitudes, centers, np.apply_along_axis(np.diag, 1, widths**2))
