"""Cross-validation: errors in points left out are those of a loop over folds with SciPy."""

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of
from scipy.optimize import least_squares

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._search.cross_validation import held_out_error, reweighted, seen_shares

PLACES = np.stack(np.mgrid[:14, :16].astype(float), axis=-1)
POINTS = PLACES.reshape(-1, 2)
TRUTH = sf.GaussianSurface([3.0, 2.0], [[4.0, 4.0], [9.0, 11.0]], [4 * np.eye(2), [[5.0, 1.0], [1.0, 4.0]]])
RNG = np.random.default_rng(0)
SIGMA = RNG.uniform(0.5, 2, PLACES.shape[:2])
HEIGHTS = TRUTH(PLACES) + 0.1 * SIGMA * RNG.normal(size=SIGMA.shape)
FOLD = (np.arange(14)[:, None] // 3 + np.arange(16) // 3).ravel() % 3


def model(numbers):
    """Two Gaussians of six plain numbers each: amplitude, centre, Cholesky factor of the inverse covariance."""
    total = np.zeros(len(POINTS))
    for amplitude, *rest in numbers.reshape(2, 6):
        factor = np.array([[rest[2], 0.0], [rest[3], rest[4]]])
        total += amplitude * np.exp(-0.5 * np.sum(((POINTS - rest[:2]) @ factor) ** 2, axis=1))
    return total


def test_held_out_errors_are_those_of_a_plain_loop():
    start = []
    for amplitude, center, covariance in zip(TRUTH.amplitudes, TRUTH.centers, TRUTH.covariances, strict=True):
        factor = np.linalg.cholesky(np.linalg.inv(covariance))
        start += [amplitude, *center, factor[0, 0], factor[1, 0], factor[1, 1]]
    weights, errors = 1 / SIGMA.ravel(), []
    for n in range(3):
        kept = n != FOLD
        fit = least_squares(lambda p, kept=kept: (weights * (model(p) - HEIGHTS.ravel()))[kept], start)
        squares = (weights * (model(fit.x) - HEIGHTS.ravel()))[~kept] ** 2
        errors.append(np.sqrt(squares.sum() / np.sum(weights[~kept] ** 2)))
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 2, sigma=SIGMA)
        mean, standard_error = held_out_error(context, state_of(context, TRUTH), FOLD)
    assert mean == pytest.approx(np.mean(errors), rel=1e-3)
    assert standard_error == pytest.approx(np.std(errors, ddof=1) / np.sqrt(3), rel=0.02)


def test_seen_shares_are_sums_of_weighted_squares():
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 2, sigma=SIGMA)
        shares = seen_shares(context, state_of(context, TRUTH), FOLD)
    for k in range(2):
        squares = (TRUTH.component(k)(POINTS) / SIGMA.ravel()) ** 2
        for n in range(3):
            assert shares[k, n] == pytest.approx(squares[n != FOLD].sum() / squares.sum(), rel=1e-6)


def test_other_weights_are_those_of_the_residuals_and_share_the_progress():
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 2, sigma=SIGMA)
        state, weights = state_of(context, TRUTH), context.prepared.problem.weights
        halved = reweighted(context, 0.5 * weights)
        np.testing.assert_allclose(halved.views.residuals(state), 0.5 * context.views.residuals(state), rtol=1e-9)
    assert halved.progress is context.progress
