"""`FitResult.sensitivity`: derivatives by the heights in the user's units, against refits and linear least squares."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf

ROWS, COLUMNS = np.meshgrid(np.arange(14.0), np.arange(16.0), indexing="ij")
START = sf.GaussianSurface([30, 20], [[5, 4], [9, 11]], [np.diag([5, 7]), np.diag([8, 4])], 900.0)
MASK = np.zeros(ROWS.shape, bool)
MASK[:2, :3] = True
HEIGHTS = START(np.stack([ROWS, COLUMNS], axis=-1)) + 2 * np.random.default_rng(0).normal(size=ROWS.shape)
HEIGHTS[12, 9] = np.nan
TO_THE_END = sf.LevenbergMarquardt(slack=0.0, ftol=1e-15, xtol=1e-15, gtol=1e-15)


def refit(heights, mask=MASK, **options):
    return sf.fit(heights, 2, mask=mask, init=START, search=0, solver=TO_THE_END, **options)


def moved(place, change):
    heights = HEIGHTS.copy()
    heights[place] += change
    return heights


@pytest.fixture(scope="module")
def result():
    return sf.fit(HEIGHTS, 2, mask=MASK, init=START, search=0)


@pytest.fixture(scope="module")
def sensitivity(result):
    return result.sensitivity()


def first_width(surface):
    return surface.principal_widths[0, 0]


@pytest.mark.parametrize("place", [(5, 4), (8, 9), (13, 0)])
def test_a_width_follows_each_height_as_in_refits(sensitivity, place):
    slopes = sensitivity.of(first_width)
    widths = [first_width(refit(moved(place, change)).surface) for change in (0.02, -0.02)]
    assert slopes[place] == pytest.approx((widths[0] - widths[1]) / 0.04, rel=1e-4, abs=1e-8)
    assert slopes.shape == HEIGHTS.shape
    assert not slopes[MASK].any()
    assert slopes[12, 9] == 0


def test_changes_of_heights_and_slopes_of_numbers_are_one_derivative(sensitivity):
    """Forwards and backwards agree, for a structure of numbers as well, and with the background."""
    change = np.random.default_rng(1).normal(size=HEIGHTS.shape)
    surface = sensitivity.jvp(change)
    slopes = sensitivity.of(lambda s: {"a": s.amplitudes, "b": s.background.value, "c": s.covariances[1, 0, 1]})
    assert slopes["a"].shape == (2, *HEIGHTS.shape)
    expected = {"a": surface.amplitudes, "b": surface.background.value, "c": surface.covariances[1, 0, 1]}
    for name, one in slopes.items():
        np.testing.assert_allclose((one * change).sum(axis=(-2, -1)), expected[name], rtol=1e-8)
    unit = sf.GaussianSurface(np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2, 2)), sf.ConstantBackground(1.0))
    np.testing.assert_allclose(sensitivity.vjp(unit), slopes["b"], rtol=1e-8, atol=1e-12)


def test_leverage_is_the_answer_of_the_fit_to_its_own_height(sensitivity):
    place, found = (5, 4), sensitivity.leverage()
    fitted = [refit(moved(place, change)).predict()[place] for change in (0.02, -0.02)]
    assert found[place] == pytest.approx((fitted[0] - fitted[1]) / 0.04, rel=1e-4)
    assert not found[MASK].any()
    gauss_newton = sensitivity._at.result.sensitivity("gauss-newton").leverage()
    assert gauss_newton.sum() == pytest.approx(sensitivity._at.result.n_parameters, rel=1e-9)


def test_a_block_left_out_is_predicted_as_by_a_refit(sensitivity):
    labels = np.full(HEIGHTS.shape, -1)
    labels[4:7, 4:7], labels[8:10, 9:11] = 0, 1
    found = sensitivity.left_out(labels)
    whole = sensitivity._at.result.predict()
    for label in (0, 1):
        block = labels == label
        expected = refit(HEIGHTS, MASK | block).predict()[block]
        assert np.abs(found.predictions[block] - expected).max() < 0.1 * np.abs(whole[block] - expected).max()
    assert np.isnan(found.predictions[labels < 0]).all()
    some = np.isfinite(found.residuals)
    assert found.rmse == pytest.approx(np.sqrt(np.mean((HEIGHTS - found.predictions)[some] ** 2)))
    assert sensitivity.left_out(4).rmse > sensitivity._at.result.rmse


def test_linear_least_squares_have_their_hat_matrix_and_exact_leaving_out():
    """Only amplitudes and background are free: the fit is linear, and NumPy knows its answers."""
    result = sf.fit(HEIGHTS, 2, init=START, search=0, fixed=["centers", "covariances"], amplitudes="signed")
    sensitivity, used = result.sensitivity(), result.data.used
    unit = replace(START, amplitudes=np.ones(2))
    columns = [unit.component(k)(np.stack([ROWS, COLUMNS], axis=-1))[used] for k in range(2)]
    matrix = np.stack([*columns, np.ones(used.sum())], axis=1)
    hat = matrix @ np.linalg.pinv(matrix)
    np.testing.assert_allclose(sensitivity.leverage()[used], np.diag(hat), rtol=1e-8)
    labels = np.arange(HEIGHTS.size).reshape(HEIGHTS.shape)
    residuals = HEIGHTS[used] - hat @ HEIGHTS[used]
    found = sensitivity.left_out(labels)
    np.testing.assert_allclose(found.residuals[used], residuals / (1 - np.diag(hat)), rtol=1e-7)
    amplitudes = sensitivity.of(lambda surface: surface.amplitudes)
    np.testing.assert_allclose(amplitudes[:, used], np.linalg.pinv(matrix)[:2], rtol=1e-7, atol=1e-12)
    assert not sensitivity.of(first_width).any()


def test_what_the_data_do_not_determine_is_nan_and_flagged():
    """Two components in one place: their amplitudes are not determined, but their sum is, and all others are."""
    start = sf.GaussianSurface([15, 15, 20], [[5, 4], [5, 4], [9, 11]], [np.diag([5, 7])] * 2 + [np.diag([8, 4])], 900)
    held = ["centers", "covariances"]
    result = sf.fit(HEIGHTS, 3, init=start, search=0, reset=False, fixed=held, amplitudes="signed")
    sensitivity = result.sensitivity()
    twins = np.isin(np.arange(3), sorted(np.argsort(np.abs(result.surface.centers[:, 0] - 5))[:2]))
    np.testing.assert_array_equal(sensitivity.undetermined, twins)
    index = jnp.flatnonzero(jnp.asarray(twins))
    each, both = sensitivity.of(lambda surface: (surface.amplitudes, surface.amplitudes[index].sum()))
    assert np.isnan(each[twins][:, result.data.used]).all()
    assert np.isfinite(each[~twins]).all()
    assert np.isfinite(both).all()
    assert "2 undetermined" in repr(sensitivity)


def test_of_components_on_heights_that_are_alike_nothing_is_said():
    result = sf.fit(np.full(41, 3.0), 1, init="growth")
    found = result.sensitivity()
    np.testing.assert_array_equal(found.undetermined, [True])
    assert np.isnan(found.of(lambda surface: surface.centers[0, 0])).all()
    level = found.of(lambda surface: surface.background.value)
    np.testing.assert_allclose(level, np.full(41, 1 / 41), rtol=1e-6)


@pytest.mark.parametrize("amplitudes", [pytest.param("positive", marks=pytest.mark.slow), "signed"])
def test_of_a_component_next_to_none_is_said_only_what_the_data_say(amplitudes):
    """At 1e-9 of the heights a centre would move by 1e9 a height: it counts as undetermined, and nothing else does."""
    start = replace(START, amplitudes=[30, 3e-8])
    heights, options = start(np.stack([ROWS, COLUMNS], axis=-1)), {"search": 0, "reset": False}
    if amplitudes == "positive":
        heights += 2 * np.random.default_rng(0).normal(size=ROWS.shape)
    result = sf.fit(heights, 2, init=start, amplitudes=amplitudes, **options)
    assert abs(result.surface.amplitudes[1]) < 1e-7
    sensitivity = result.sensitivity()
    assert list(sensitivity.undetermined) == [False, True]
    assert np.isnan(sensitivity.of(lambda surface: surface.centers[1, 0])).all()
    moved = sensitivity.jvp(np.ones(ROWS.shape))
    assert np.isnan(moved.centers[1]).all()
    assert np.isnan(moved.covariances[1]).all()
    found = sensitivity.of(lambda surface: jnp.append(surface.centers[0], surface.covariances[0, 0, 1]))
    if amplitudes == "positive":
        alone = sf.fit(heights, 1, init=sf.GaussianSurface([30], [[5, 4]], [np.diag([5, 7])], 900.0), **options)
        expected = alone.sensitivity().of(lambda s: jnp.append(s.centers[0], s.covariances[0, 0, 1]))
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    else:
        amplitude = sensitivity.of(lambda surface: surface.amplitudes[1])
        profile = start.component(1)(np.stack([ROWS, COLUMNS], axis=-1)) / 3e-8
        assert np.sum(amplitude * profile) == pytest.approx(1)
        assert np.abs(np.sum(found * profile, axis=(1, 2))).max() < 1e-8


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.jvp(np.zeros(3)), "`changes` must have the shape of the heights"),
        (lambda s: s.jvp(np.full(HEIGHTS.shape, np.nan)), "`changes` must be finite"),
        (lambda s: s.of(3), "`function` must be a function"),
        (lambda s: s.of(lambda surface: 3), "`function` must return real floating-point numbers, got int"),
        (lambda s: s.of(lambda surface: surface.amplitudes > 0), "floating-point numbers, got bool"),
        (lambda s: s.vjp(np.ones(3)), "`slopes` must be a `GaussianSurface`"),
        (lambda s: s.left_out(0), "`blocks` must be a positive integer"),
        (lambda s: s.left_out(np.zeros((2, 2), int)), "`blocks` must have the shape of the heights"),
        (lambda s: s.left_out(2.5), "`blocks` must be a positive integer"),
        (
            lambda s: s.vjp(sf.GaussianSurface(np.zeros(3), np.zeros((2, 2)), np.zeros((2, 2, 2)))),
            "`slopes.amplitudes`",
        ),
        (lambda s: s.plot(lambda surface: surface.amplitudes), "one number"),
        (lambda s: s._at.result.sensitivity("newton"), "`hessian` must be"),
    ],
)
def test_refused(sensitivity, call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(sensitivity)


def test_numpy_in_a_function_is_refused(sensitivity):
    with pytest.raises(TypeError, match=r"jax\.numpy"):
        sensitivity.of(lambda surface: np.linalg.eigvalsh(surface.covariances)[0, 0])


def test_pictures(sensitivity):
    assert len(sensitivity.plot(first_width).axes) == 2
    assert sensitivity.plot().axes[0].get_title() == "leverage"
    line = sf.fit(np.exp(-0.5 * np.linspace(-3, 3, 40) ** 2), 1, background=None, search=0).sensitivity()
    assert line.plot().axes[0].get_ylabel() == "leverage"
