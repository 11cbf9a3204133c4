"""Local refits: what SciPy finds on the same windows, with all other components held."""

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of
from scipy.optimize import least_squares

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._constraints.bounds import Constraints
from surfacefit._search.local_refits import MEMBERS, LocalProblems, local_refits
from surfacefit._search.moves import Candidate, Neighbourhood

PLACES = np.stack(np.mgrid[:18, :20].astype(float), axis=-1)
TRUTH = sf.GaussianSurface([3.0, 2.0], [[6.0, 6.0], [11.0, 14.0]], [4 * np.eye(2), [[5.0, 2.0], [2.0, 4.0]]])
START = sf.GaussianSurface([2.5, 1.5], [[6.4, 5.8], [10.5, 14.3]], [5 * np.eye(2), 4 * np.eye(2)])
HEIGHTS = TRUTH(PLACES) + 0.05 * np.random.default_rng(0).normal(size=PLACES.shape[:2])


def gaussian(numbers, points):
    """Amplitude, centre and Cholesky factor of the inverse covariance, as six plain numbers."""
    factor = np.array([[numbers[3], 0.0], [numbers[4], numbers[5]]])
    return numbers[0] * np.exp(-0.5 * np.sum(((points - numbers[1:3]) @ factor) ** 2, axis=1))


def numbers_of(surface, k):
    factor = np.linalg.cholesky(np.linalg.inv(np.asarray(surface.covariances)[k]))
    return np.array([surface.amplitudes[k], *surface.centers[k], factor[0, 0], factor[1, 0], factor[1, 1]])


LIMITS = np.array([[6.2, 5.5], [10.8, 14.4]])  # rows of centres: both components end at one


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("k", [0, 1])
def test_the_fall_is_that_of_scipy_with_the_others_held(k, limited):
    low, high = np.full(6, -np.inf), np.full(6, np.inf)
    if limited:
        low[1:3], high[1:3] = LIMITS
    constraints = Constraints(sf.Bounds(centers=(low[1:3], high[1:3])))
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 2, model={"constraints": constraints})
        around = Neighbourhood(context, state_of(context, START))
        (move,) = around.refit([Candidate(np.array([k]), around.state.blocks[[k]])], 60)
        index, _ = around._window(move.candidate)
        unit = context.prepared.cost_unit
    points, heights = PLACES.reshape(-1, 2)[index], HEIGHTS.ravel()[index]
    other = gaussian(numbers_of(START, 1 - k), points)
    start = numbers_of(START, k)
    expected = least_squares(
        lambda numbers: gaussian(numbers, points) + other - heights, start, bounds=(low, high), xtol=1e-12
    )
    before = 0.5 * np.sum((gaussian(start, points) + other - heights) ** 2)
    assert move.fall * unit == pytest.approx(before - expected.cost, rel=0.03)
    scaling = context.prepared.scaling
    center = scaling.point_shift + scaling.point_scale * move.blocks[0, 1:3]
    np.testing.assert_allclose(center, expected.x[1:3], atol=0.02)
    assert bool(np.any(np.abs(center[0] - LIMITS[:, 0]) < 1e-5)) == limited


def test_many_at_once_are_as_one_by_one_and_one_that_fails_falls_by_minus_infinity():
    with precision(DOUBLE):
        context = search_context(HEIGHTS, 2)
        around = Neighbourhood(context, state_of(context, START))
        problems, _ = around._problems([around._removal(k) for k in (0, 1, 0, 1, 0)])
        arguments = context.parameterization, around.state.border
        together = local_refits(*arguments, problems, 5)
        first = local_refits(*arguments, LocalProblems(*(column[:1] for column in problems)), 5)
        problems.residuals[3] = np.nan
        spoiled = local_refits(*arguments, problems, 5)
    assert together.blocks.shape == (5, MEMBERS, 6)
    np.testing.assert_array_equal(together.fall[[0, 2, 4]], first.fall[0])
    np.testing.assert_array_equal(together.blocks[[0, 2, 4]], first.blocks[[0, 0, 0]])
    assert np.isneginf(spoiled.fall[3])
    np.testing.assert_array_equal(np.delete(spoiled.fall, 3), np.delete(together.fall, 3))
