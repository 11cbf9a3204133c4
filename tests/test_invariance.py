"""Surface, covariances and errors do not depend on units, on the origin, on the order of axes or of components."""

import numpy as np
import pytest
from oracles import same_surfaces

import surfacefit as sf

Y, X = np.mgrid[:30, :34].astype(float)
TRUTH = sf.GaussianSurface(
    np.array([3.0, 2.0]),
    np.array([[10.0, 9.0], [18.0, 23.0]]),
    np.array([[[9.0, 3.0], [3.0, 16.0]], [[16.0, -4.0], [-4.0, 6.0]]]),
    1.0,
)
HEIGHTS = TRUTH(np.stack([Y, X], axis=-1)) + np.random.default_rng(3).normal(size=Y.shape) * 0.05
START = sf.GaussianSurface(
    np.array([2.5, 2.5]), np.array([[11.0, 10.0], [17.0, 21.0]]), np.array([np.diag([8.0, 12.0])] * 2)
)
TIGHT = sf.LevenbergMarquardt(ftol=1e-14, xtol=1e-12, gtol=1e-12)


@pytest.fixture(scope="module")
def plain():
    return sf.fit(HEIGHTS, 2, init=START, solver=TIGHT)


def check(found, expected, rtol=1e-5):
    same_surfaces(found.surface, expected.surface, rtol)
    same_surfaces(found.standard_errors, expected.standard_errors, 100 * rtol)
    np.testing.assert_allclose(found.rmse, expected.rmse, rtol=1e-9)


def scaled(surface, heights=1.0, points=1.0, shift=0.0):
    return sf.GaussianSurface(
        np.asarray(surface.amplitudes) * heights,
        np.asarray(surface.centers) * points + shift,
        np.asarray(surface.covariances) * points**2,
    )


class View:
    """A result seen in other units."""

    def __init__(self, result, heights=1.0, points=1.0, shift=0.0):
        self.surface = scaled(result.surface, heights, points, shift)
        self.standard_errors = scaled(result.standard_errors, heights, points)
        self.rmse = result.rmse * heights


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_heights_scaled(plain, factor):
    result = sf.fit(HEIGHTS * factor, 2, init=scaled(START, heights=factor), solver=TIGHT)
    check(View(result, heights=1 / factor), plain)


def test_heights_shifted(plain):
    result = sf.fit(HEIGHTS + 1e4, 2, init=START, solver=TIGHT)
    check(result, plain)
    np.testing.assert_allclose(result.surface.background.value - 1e4, plain.surface.background.value, rtol=1e-6)


def test_coordinates_shifted_and_scaled(plain):
    coords = (5e6 + 10 * np.arange(30), 5e6 + 10 * np.arange(34))
    result = sf.fit(HEIGHTS, 2, coords=coords, init=scaled(START, points=10, shift=5e6), solver=TIGHT)
    check(View(result, points=0.1, shift=-5e5), plain)


def test_axes_swapped(plain):
    swap = np.array([1, 0])

    def swapped(surface):
        return sf.GaussianSurface(
            surface.amplitudes,
            np.asarray(surface.centers)[:, swap],
            np.asarray(surface.covariances)[:, swap][:, :, swap],
        )

    result = sf.fit(HEIGHTS.T, 2, init=swapped(START), solver=TIGHT)
    back = View(result)
    back.surface, back.standard_errors = swapped(result.surface), swapped(result.standard_errors)
    check(back, plain)


def test_components_permuted(plain):
    result = sf.fit(HEIGHTS, 2, init=START.component([1, 0]), solver=TIGHT)
    check(result, plain)
    np.testing.assert_allclose(result.surface.volumes, plain.surface.volumes, rtol=1e-5)


def test_grid_is_its_points(plain):
    result = sf.fit_points(np.column_stack([Y.ravel(), X.ravel()]), HEIGHTS.ravel(), 2, init=START, solver=TIGHT)
    check(result, plain)


def test_single_precision_agrees_to_its_digits(plain):
    result = sf.fit(HEIGHTS, 2, init=START, dtype="float32")
    same_surfaces(result.surface, plain.surface, 2e-3)
    np.testing.assert_allclose(result.rmse, plain.rmse, rtol=1e-5)
