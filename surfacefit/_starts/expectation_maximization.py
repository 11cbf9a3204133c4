r"""Expectation-maximisation: the heights, read as a density, are fitted as a mixture for a few steps.

Each point weighs as much as it is high above the background (nothing below it). From the peaks, EM moves, widens and
tilts the components together, and the mixture's density times the volume under the heights is the surface: for sampling
cells of volume V

.. math:: a_k = V \sum_n \max(z_n, 0) \; w_k / \sqrt{(2\pi)^d |\Sigma_k|} .

Components are kept at least as wide as half a sampling distance.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from .._base.compile import quick_jit
from .._constraints.mixture_regularization import MixtureRegularization
from .._mixture.expectation_maximization import StopRules, begin, expectation_maximization
from .._mixture.mixture_data import mixture_of, point_chunks
from .._model.gaussian import integrals
from .._model.surface import GaussianSurface
from .grid import MIN_WIDTH_SAMPLES
from .peaks import peaks_start
from .request import StartRequest

# EM steps: a compromise, since EM creeps where components overlap and the solver takes over from there anyway.
MAX_EM_STEPS = 30
# Rise of the log-likelihood a point below which EM ends; far above what the solver would notice.
EM_TOLERANCE = 1e-4
# Points a component up to which all points are used; above, a sample fixes means and covariances well enough.
MAX_POINTS_PER_COMPONENT = 256
# Points up to which all are used, however few the components are: they take no time.
MIN_SAMPLE_POINTS = 4096
# Smallest amplitude per largest: a component without points must not start at zero, where its gradient vanishes.
MIN_AMPLITUDE_SHARE = 1e-4


def em_start(request: StartRequest) -> GaussianSurface:
    """K components after a few weighted EM steps from the peaks; the peaks themselves where no height is positive."""
    peaks = peaks_start(request)
    masses = np.maximum(request.heights, 0).astype(float)
    if not masses.sum() > 0:
        return peaks
    volume = masses.sum() * float(np.prod(request.spacing))
    points, weights = _sample(request, masses)
    weights, means, covariances = _fitted(points / request.spacing, weights, _scaled(peaks, 1 / request.spacing))
    surface = _scaled(GaussianSurface(weights, means, covariances), request.spacing)
    amplitudes = volume * weights / integrals(surface.covariances)
    amplitudes = np.maximum(amplitudes, MIN_AMPLITUDE_SHARE * amplitudes.max())
    return replace(surface, amplitudes=amplitudes)


def _sample(request: StartRequest, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and weights (n,): all of positive mass, or where these are many, a systematic sample in proportion
    to mass, of equal weights.
    """
    points, used = request.points.astype(float), masses > 0
    most = max(MIN_SAMPLE_POINTS, MAX_POINTS_PER_COMPONENT * request.n_components)
    if np.count_nonzero(used) <= most:
        return points[used], masses[used]
    reached = np.cumsum(masses)
    marks = (np.arange(most) + request.rng.uniform()) / most * reached[-1]
    drawn = np.minimum(np.searchsorted(reached, marks), len(points) - 1)
    return points[drawn], np.ones(most)


def _scaled(surface: GaussianSurface, factors: np.ndarray) -> GaussianSurface:
    covariances = surface.covariances * np.outer(factors, factors)
    return replace(surface, centers=surface.centers * factors, covariances=covariances)


def _fitted(
    points: np.ndarray, weights: np.ndarray, start: GaussianSurface
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K,), means (K, d) and covariances (K, d, d) after the EM steps, for points in sampling distances."""
    with jax.enable_x64(True):
        zero, n_dim = np.asarray(0.0), points.shape[1]
        none = np.zeros((n_dim, n_dim))
        regularization = MixtureRegularization(np.asarray(MIN_WIDTH_SAMPLES**2), none, none, zero, zero, "full")
        off = np.zeros(start.n_components, bool)
        rules = StopRules(np.asarray(EM_TOLERANCE), zero, zero, off, off)
        mixture = mixture_of(start.volumes / start.volume, start.centers, start.covariances, np.float64)
        chunks = point_chunks(points, weights, start.n_components, np.float64)
        carry, _ = _run(chunks, begin(mixture), rules, regularization, 1 + MAX_EM_STEPS)
        shares, means, factors = (np.asarray(array) for array in carry.state.mixture)
    return shares, means, factors @ factors.swapaxes(1, 2)


_run = quick_jit(expectation_maximization)
