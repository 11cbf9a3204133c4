"""What is fixed, held by a limit or badly scaled: errors, worth, flags and refits of a fit that has such numbers."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from test_bounds import HEIGHTS, PLACES, START, TO_THE_END, fitted

import surfacefit as sf
from surfacefit import Bounds, ComponentFlag, GaussianSurface
from surfacefit._base.precision import precision
from surfacefit._statistics.linearization import information, linearized_at

LIMITS = {
    "widths": Bounds(widths=(1.7, 2.5)),
    "aspect": Bounds(aspect=1.4),
    "corner": Bounds(widths=(None, 2.237), aspect=1.171),
    "round": Bounds(widths=(None, 1.4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", LIMITS)
@pytest.mark.parametrize("method", ["hessian", "sandwich"])
def test_errors_at_a_limit_are_those_of_a_fit_with_the_shapes_fixed(case, method):
    """Where limits leave no freedom to a shape; elsewhere no error is smaller than if they did."""
    free = fitted(bounds=LIMITS[case])
    fixed = fitted(init=free.surface, fixed="covariances")
    assert fixed.cost == pytest.approx(free.cost, rel=1e-5)
    ratio = free.uncertainty(method).amplitudes / fixed.uncertainty(method).amplitudes
    if case == "round":
        np.testing.assert_allclose(
            ratio, np.sqrt((320 - 7) / (320 - 13)), rtol=1e-3
        )  # there are more free numbers to count
    else:
        assert (ratio > 0.99).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", LIMITS)
def test_a_root_at_a_limit_has_orthonormal_columns_in_the_data(case):
    result = fitted(bounds=LIMITS[case])
    root = result.uncertainty()._covariance.root.root
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        normal = information(prepared, params).normal
    np.testing.assert_allclose(root.T @ normal @ root, np.eye(root.shape[1]), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "kind"), [("aspect", "full"), ("widths", "tied")])
def test_single_precision_ends_near_enough_to_a_limit_to_be_held_there(case, kind):
    errors = [
        fitted(covariance_type=kind, bounds=LIMITS[case], dtype=dtype).uncertainty() for dtype in ("float32", "float64")
    ]
    for name in ("amplitudes", "principal_widths"):
        single, double = (getattr(one, name) for one in errors)
        np.testing.assert_array_equal(np.isinf(single), np.isinf(double))
        np.testing.assert_allclose(single, double, rtol=0.02)


@pytest.mark.parametrize("fixed", ["covariances", ["covariances", "centers"], {"covariances": [True, False]}])
def test_worth_is_what_the_rest_can_make_up_for(fixed):
    """Of linear models exactly: half the square of an amplitude over its variance."""
    result = fitted(init=fitted().surface, fixed=fixed)
    variance = result.uncertainty().amplitudes ** 2 / (2 * result.cost / (result.n_points - result.n_parameters))
    expected = result.surface.amplitudes**2 / (2 * variance)
    if fixed == ["covariances", "centers"]:
        np.testing.assert_allclose(result.worth, expected, rtol=1e-6)
    assert (result.worth >= 0.999 * expected).all()
    assert not result.redundant.any()


def test_worth_of_a_held_amplitude_counts_what_the_bound_holds_back():
    """Half of the way up to the optimum is worth three quarters of the whole, were the model linear."""
    best = fitted().surface
    others = {"centers": True, "covariances": True, "background": True}
    half = dataclasses.replace(best, amplitudes=best.amplitudes / 2)
    free = fitted(init=best, fixed=others)
    bound = fitted(init=half, fixed=others, bounds=Bounds(amplitudes=(None, best.amplitudes / 2)))
    np.testing.assert_allclose(bound.worth, 0.75 * free.worth, rtol=1e-2)
    alone = np.array(
        [0.5 * np.sum((best.component(1 - k)(PLACES) / 2 + best.background.value - HEIGHTS) ** 2) for k in (0, 1)]
    )
    np.testing.assert_allclose(alone - bound.cost, bound.worth, rtol=1e-2)


def test_a_component_of_little_freedom_needs_little_to_be_called_for():
    """Three standard errors are enough for one free number, but not for three."""
    x = np.arange(200.0)
    truth = GaussianSurface([1.0], [[100.0]], [[[25.0]]])
    sigma = np.linalg.norm(truth(x)) / 2.2
    heights = truth(x) + sigma * np.random.default_rng(4).normal(size=200)
    options = {"init": truth, "background": None}
    result = sf.fit(heights, 1, fixed=("centers", "covariances"), **options)
    score = result.surface.amplitudes[0] / result.uncertainty().amplitudes[0]
    assert np.sqrt(np.log(200)) < score < np.sqrt(3 * np.log(200))
    assert not result.redundant[0]


def test_as_many_parameters_as_points_say_nothing_of_noise():
    x = np.arange(4.0)
    result = sf.fit(np.array([0.1, 1.0, 0.9, 0.2]), 1, coords=x, init=GaussianSurface([1.0], [[1.5]], [[[0.6]]], 0.0))
    assert not result.redundant.any()
    with pytest.raises(ValueError, match="got 4 points and 4 parameters"):
        result.bootstrap(10)


def offset_model(parameters, points):
    return parameters[0] * 1e-9 + parameters[1] * points[..., 0]


@pytest.mark.slow
def test_parameters_of_a_background_may_have_any_size():
    x = np.linspace(-3, 3, 90)
    heights = np.exp(-0.5 * x**2) + 0.3 + 0.1 * x + 0.01 * np.random.default_rng(0).normal(size=90)
    start = GaussianSurface([0.9], [[0.1]], [[[1.1]]])
    results = [
        sf.fit(heights, 1, coords=x, init=start, background=(function, begin))
        for function, begin in (
            (lambda q, points: q[0] + q[1] * points[..., 0], [0.2, 0.0]),
            (offset_model, [0.2e9, 0.0]),
        )
    ]
    plain, large = (result.uncertainty() for result in results)
    np.testing.assert_allclose(large.amplitudes, plain.amplitudes, rtol=1e-3)
    np.testing.assert_allclose(large.background.parameters / plain.background.parameters, [1e9, 1], rtol=1e-3)


def test_narrow_bounds_are_not_mistaken_for_being_met():
    x = np.linspace(-3, 3, 90)
    heights = np.exp(-0.5 * x**2) + 1e-9 * x + 1e-11 * np.random.default_rng(0).normal(size=90)
    background = (lambda q, points: q[0] * points[..., 0], [0.0])
    start = GaussianSurface([0.9], [[0.1]], [[[1.1]]])
    result = sf.fit(
        heights,
        1,
        coords=x,
        init=start,
        background=background,
        bounds=Bounds(background=(-5e-9, 5e-9)),
        solver=TO_THE_END,
    )
    assert np.isfinite(result.uncertainty().background.parameters).all()


def test_residuals_of_counts_are_pearsons():
    x = np.arange(400.0)
    truth = GaussianSurface([1000.0], [[200.0]], [[[900.0]]], 5.0)
    result = sf.fit(np.random.default_rng(0).poisson(truth(x)), 1, init=truth, loss="poisson")
    found = result.diagnostics
    assert np.std(found.residuals) == pytest.approx(1, abs=0.1)
    assert found.outliers == 0
    assert np.sum(found.residuals**2) == pytest.approx(result.statistics.chi2)


def test_a_slanting_component_outside_is_judged_by_its_highest_point_inside():
    y, x = np.mgrid[:30, :30].astype(float)
    slanting = GaussianSurface([5.0], [[-6.0, 14.0]], [[[40.0, 38.0], [38.0, 40.0]]])
    heights = slanting(np.stack([y, x], -1)) + 0.01 * np.random.default_rng(0).normal(size=(30, 30))
    result = sf.fit(heights, 1, init=slanting, background=None)
    assert result.flags[0] & ComponentFlag.OUTSIDE
    assert not result.flags[0] & ComponentFlag.NEGLIGIBLE


def test_what_is_fixed_on_a_bound_is_not_held_by_it():
    best = fitted().surface
    low = float(best.amplitudes.min())
    result = fitted(init=best, fixed={"amplitudes": [True, True]}, bounds=Bounds(amplitudes=(low, 9)))
    assert not (result.flags & ComponentFlag.AT_BOUND).any()


def test_functions_may_use_the_names_of_a_surface():
    errors = fitted().uncertainty()
    total = errors.of(lambda surface: surface.volume)
    by_hand = errors.of(lambda surface: jnp.sum(surface.volumes))
    assert total == pytest.approx(float(by_hand))
    np.testing.assert_allclose(errors.of(lambda surface: surface.volumes), errors.volumes, rtol=1e-9)
    np.testing.assert_allclose(errors.of(lambda surface: surface.orientation), errors.orientation, rtol=1e-9)
    np.testing.assert_allclose(errors.of(lambda surface: surface.fwhm), errors.fwhm, rtol=1e-9)


@pytest.mark.slow
def test_refits_to_drawn_residuals_scatter_as_much_as_the_noise():
    """Residuals of few points are smaller than the noise, which the refits are to have."""
    x = np.linspace(-3, 3, 16)
    start = GaussianSurface([1.0], [[0.0]], [[[1.0]]], 0.2)
    heights = start(x) + 0.05 * np.random.default_rng(1).normal(size=16)
    options = {"coords": x, "init": start, "loss": "huber", "f_scale": 10.0}
    result = sf.fit(heights, 1, **options)
    errors = result.bootstrap(400).standard_errors.amplitudes / result.uncertainty().amplitudes
    np.testing.assert_allclose(errors, 1, rtol=0.15)
    assert result.bootstrap(5).converged.all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outlier", [1e9, -1e15])
def test_outliers_do_not_set_the_units_of_a_robust_fit(dtype, outlier):
    heights = np.array(HEIGHTS, dtype)
    heights[3, 3] = outlier
    result = sf.fit(heights, 2, init=START, loss="cauchy", f_scale=0.1, dtype=dtype)
    assert result.status.name != "EXACT"
    without = sf.fit(
        np.where(heights == heights[3, 3], np.nan, heights), 2, init=START, loss="cauchy", f_scale=0.1, dtype=dtype
    )
    np.testing.assert_allclose(result.surface.amplitudes, without.surface.amplitudes, rtol=2e-3)


def test_a_vanishing_f_scale_is_refused():
    with pytest.raises(ValueError, match="`f_scale` must be near the noise, got 1e-25"):
        sf.fit(HEIGHTS, 2, loss="cauchy", f_scale=1e-25)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "foo"}, "`solver.method` must be one of 'cholesky', 'qr'"),
        ({"reach": (None, None)}, "`solver.reach` must be two increasing positive numbers"),
        ({"ftol": None}, "`solver.ftol`"),
        ({"slack": "x"}, "`solver.slack`"),
        ({"gtol": np.nan}, "`solver.gtol`"),
    ],
)
def test_wrong_settings_of_the_solver_are_refused(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fitted(solver=sf.LevenbergMarquardt(**wrong))


def test_at_a_limit_of_widths_other_widths_and_the_angle_keep_their_errors():
    at_width, at_ratio = (
        fitted(bounds=bounds).uncertainty() for bounds in (Bounds(widths=(None, 2.2)), Bounds(aspect=1.4))
    )
    np.testing.assert_array_equal(np.isinf(at_width.principal_widths), [[True, False], [True, False]])
    np.testing.assert_array_equal(np.isinf(at_ratio.principal_widths), np.ones((2, 2), bool))
    for errors in (at_width, at_ratio):
        assert np.isfinite(errors.orientation).all()
        assert (errors.orientation < 0.1).all()
        assert np.isfinite(errors.amplitudes).all()
        assert np.isinf(errors.volumes).all()


def test_a_function_in_numpy_is_refused():
    with pytest.raises(TypeError, match=r"`function` must be written with jax.numpy"):
        fitted().uncertainty().of(lambda surface: np.log(surface.amplitudes))


def test_outliers_do_not_set_the_colours_of_a_robust_fit():
    heights = np.array(HEIGHTS)
    heights[3, 3] = 1e6
    panels = sf.fit(heights, 2, init=START, loss="cauchy", f_scale=0.1).plot().axes
    low, high = panels[0].collections[0].get_clim() if panels[0].collections else panels[0].images[0].get_clim()
    assert low == pytest.approx(HEIGHTS.min())
    assert high < 5
