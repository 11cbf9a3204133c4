"""Priors on centres and on the background: the same as rows that SciPy gets, for every background and engine."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import surfacefit as sf

X = np.arange(40.0)
SIGMA = 0.3
START = sf.GaussianSurface([3.0, 2.0], [[17.0], [22.0]], [[[9.0]], [[9.0]]])
MEANS, DEVIATIONS = np.array([16.5, 21.5]), np.array([0.2, 0.4])


def two_lines():
    truth = sf.GaussianSurface([3.0, 2.0], [[17.0], [22.0]], [[[9.0]], [[9.0]]], 1.0)
    return truth(X[:, None]) + SIGMA * np.random.default_rng(0).normal(size=X.size)


def plane(numbers, x):
    return numbers[0] + numbers[1] * (x - 19.5)


def parabola(numbers, x):
    return numbers[0] + numbers[1] * x**2


# Name of a background: the option, what it is at numbers and places, and means and deviations of its numbers.
BACKGROUNDS = {
    "constant": ("constant", lambda b, x: b[0] + 0 * x, [1.2], [0.05]),
    "plane": ("plane", plane, [1.2, 0.01], [0.05, 0.002]),
    "a function": (
        (lambda q, x: q[0] + q[1] * x[..., 0] ** 2, [1.0, 0.0]),
        lambda b, x: b[0] + b[1] * x**2,
        [1.2, 1e-4],
        1e-4,
    ),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_fit_is_that_of_scipy_with_as_many_more_rows(background):
    option, values, means, deviations = BACKGROUNDS[background]
    heights, n = two_lines(), len(means)

    def rows(p):
        amplitudes, centers, widths, numbers = p[:2], p[2:4], p[4:6], p[6:]
        model = values(numbers, X) + amplitudes @ np.exp(-0.5 * ((X - centers[:, None]) / widths[:, None]) ** 2)
        return np.concatenate(
            [(model - heights) / SIGMA, (centers - MEANS) / DEVIATIONS, (numbers - means) / np.asarray(deviations)]
        )

    best = least_squares(rows, [3, 2, 17, 22, 3, 3, *means], x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    errors = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    prior = sf.SurfacePrior(centers=(MEANS, DEVIATIONS[:, None]), background=(means, deviations))
    options = {"coords": X, "sigma": SIGMA, "absolute_sigma": True, "background": option}
    tight = sf.LevenbergMarquardt(slack=0, ftol=1e-14)
    result = sf.fit(heights, 2, init=START, prior=prior, solver=tight, **options)
    found = result.standard_errors
    np.testing.assert_allclose(result.surface.centers[:, 0], best.x[2:4], rtol=1e-6)
    np.testing.assert_allclose(result.surface.background.vector(), best.x[6:], rtol=1e-4)
    np.testing.assert_allclose(found.centers[:, 0], errors[2:4], rtol=1e-4)
    np.testing.assert_allclose(found.background.vector(), errors[6:], rtol=1e-4)
    np.testing.assert_allclose(result.cost + result.penalty, best.cost, rtol=1e-8)
    assert len(best.x) == 6 + n == result.n_parameters


def test_components_keep_the_order_of_the_prior_also_in_files(tmp_path):
    prior = sf.SurfacePrior(centers=(MEANS, 0.01))
    result = sf.fit(two_lines(), 2, coords=X, sigma=SIGMA, absolute_sigma=True, init=START, prior=prior)
    np.testing.assert_allclose(result.surface.centers[:, 0], MEANS, atol=0.02)
    assert result.surface.volumes[0] < result.surface.volumes[1]
    for name in ("fit.npz", "fit.json"):
        result.save(tmp_path / name)
        back = sf.load(tmp_path / name)
        np.testing.assert_array_equal(back.settings.prior.centers[0][:, 0], MEANS)
        assert back.settings.constraints == result.settings.constraints
        np.testing.assert_array_equal(back.standard_errors.centers, result.standard_errors.centers)


def test_engines_see_the_same_prior():
    points = np.stack(np.meshgrid(np.arange(24.0), np.arange(20.0), indexing="ij"), axis=-1)
    centers = np.array([[6.0, 6.0], [12.0, 9.0], [17.0, 14.0]])
    truth = sf.GaussianSurface([3.0, 2.0, 1.0], centers, [np.diag([6.0, 4.0])] * 3)
    heights = truth(points) + 0.05 * np.random.default_rng(1).normal(size=points.shape[:-1])
    prior = sf.SurfacePrior(centers=(centers + 1, [0.01, np.inf]), background=(0.5, 1e-4))
    dense, tiled = (
        sf.fit(heights, 3, init=truth, prior=prior, sigma=0.05, absolute_sigma=True, engine=engine)
        for engine in ("dense", "tiled")
    )
    np.testing.assert_allclose(dense.surface.centers[:, 0], centers[:, 0] + 1, atol=0.1)
    np.testing.assert_allclose(dense.surface.centers[:, 1], centers[:, 1], atol=0.5)
    np.testing.assert_allclose(dense.surface.background.value, 0.5, atol=0.05)
    np.testing.assert_allclose(dense.surface.centers, tiled.surface.centers, atol=1e-3)
    np.testing.assert_allclose(dense.penalty, tiled.penalty, rtol=1e-3)


def test_along_a_periodic_axis_the_nearest_image_counts():
    angles = np.arange(36) * (2 * np.pi / 36)
    truth = sf.GaussianSurface([2.0], [[6.2]], [[[0.3]]], 0.0, periods=(2 * np.pi,))
    options = {"coords": angles, "sigma": 0.1, "absolute_sigma": True, "periods": (2 * np.pi,), "init": truth}
    heights = np.asarray(truth(angles[:, None]))
    priors = [sf.SurfacePrior(centers=([[mean]], 0.01)) for mean in (6.2 - 2 * np.pi, 6.2)]
    near, far = (sf.fit(heights, 1, prior=prior, **options) for prior in priors)
    begun = sf.fit(heights, 1, prior=priors[0], solver=sf.LevenbergMarquardt(max_steps=0), **options)
    assert begun.penalty == pytest.approx(0, abs=1e-9)
    assert near.penalty == pytest.approx(0, abs=1e-9)
    assert far.penalty == pytest.approx(0, abs=1e-9)


def test_a_known_background_holds_where_components_grow():
    heights = two_lines()
    options = {"coords": X, "sigma": SIGMA, "absolute_sigma": True}
    result = sf.fit(heights, 2, prior=sf.SurfacePrior(background=(0.4, 1e-3)), **options)
    assert result.surface.background.value == pytest.approx(0.4, abs=5e-3)


CENTERS, NUMBERS = (MEANS, 0.2), (1.0, 0.1)
BAD = {
    "no start": ({"centers": CENTERS}, {"init": "auto"}, ValueError, "give init=GaussianSurface"),
    "a search": ({"centers": CENTERS}, {"search": 0.1}, ValueError, "and no `search`"),
    "no pair": ({"centers": MEANS}, {}, TypeError, "means and standard deviations"),
    "other components": ({"centers": (MEANS[:1], 1.0)}, {}, ValueError, r"means of shape \(2, 1\), got \(1, 1\)"),
    "other deviations": ({"centers": (MEANS, np.ones(3))}, {}, ValueError, "deviations that are a number"),
    "no deviation": ({"centers": (MEANS, 0.0)}, {}, ValueError, "must have positive deviations"),
    "NaN deviation": ({"background": (1.0, np.nan)}, {}, ValueError, "must have positive deviations"),
    "NaN mean": ({"background": (np.nan, 1.0)}, {}, ValueError, "`prior.background` must be finite"),
    "no background": ({"background": NUMBERS}, {"background": None}, ValueError, "needs a background"),
    "a plane's numbers": ({"background": NUMBERS}, {"background": "plane"}, ValueError, "must have 2 means"),
    "words": ({"centers": ("left", 1.0)}, {}, (TypeError, ValueError), "prior.centers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_priors_of_places(case):
    said, options, error, message = BAD[case]
    given = {"coords": X, "sigma": SIGMA, "absolute_sigma": True, "init": START} | options
    with pytest.raises(error, match=message):
        sf.fit(two_lines(), 2, prior=sf.SurfacePrior(**said), **given)


def test_a_prior_can_be_read_without_one_component():
    prior = sf.SurfacePrior(centers=(jnp.arange(6.0).reshape(3, 2), np.ones((3, 2))))
    np.testing.assert_array_equal(prior.without(1).centers[0], [[0, 1], [4, 5]])
    assert sf.SurfacePrior(scale=1.0).without(0).centers is None
