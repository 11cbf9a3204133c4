"""Standard errors against scipy's curve_fit, and where there are none."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

import surfacefit as sf


def flat_model(points, a, y, x, syy, sxy, sxx, b):
    offset = points - [y, x]
    inverse = np.linalg.inv([[syy, sxy], [sxy, sxx]])
    return b + a * np.exp(-0.5 * np.einsum("ni,ij,nj->n", offset, inverse, offset))


@pytest.mark.parametrize("absolute", [False, True])
def test_as_scipy_curve_fit(rng, absolute):
    points = rng.uniform(-3, 3, (400, 2))
    truth = [2.0, 0.3, -0.4, 1.5, 0.4, 0.8, 0.5]
    sigma = rng.uniform(0.02, 0.1, 400)
    heights = flat_model(points, *truth) + sigma * rng.normal(size=400)
    expected, covariance = curve_fit(flat_model, points, heights, p0=truth, sigma=sigma, absolute_sigma=absolute)
    result = sf.fit_points(points, heights, 1, sigma=sigma, absolute_sigma=absolute)
    surface, errors = result.surface, result.standard_errors

    def numbers(s):
        c = s.covariances[0]
        return np.array([s.amplitudes[0], *s.centers[0], c[0, 0], c[0, 1], c[1, 1], s.background.value])

    np.testing.assert_allclose(numbers(surface), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numbers(errors), np.sqrt(np.diag(covariance)), rtol=2e-3)


def test_undetermined_numbers_have_infinite_errors():
    x = np.arange(15.0)
    row = 3 * np.exp(-0.5 * ((x - 7) / 2) ** 2) + 1 + 0.01 * np.sin(9 * x)
    errors = sf.fit(row[None, :], 1, covariance_type="diag").standard_errors
    assert np.isfinite(errors.centers[0, 1])
    assert np.isfinite(errors.covariances[0, 1, 1])
    assert np.isinf(errors.covariances[0, 0, 0])


@pytest.mark.parametrize("background", [None, "constant", "plane"])
def test_errors_have_the_structure_of_the_surface(rng, background):
    y, x = np.mgrid[:12, :12]
    heights = 3 * np.exp(-0.5 * ((y - 5) ** 2 + (x - 6) ** 2) / 4) + rng.normal(size=y.shape) * 0.1
    result = sf.fit(heights, 1, background=background)
    errors = result.standard_errors
    assert type(errors.background) is type(result.surface.background)
    assert errors.amplitudes.shape == (1,)
    assert 0.01 < errors.amplitudes[0] < 0.3
    assert (errors.centers > 0).all()
