"""Ties that are out of the ordinary: beside a beam, with fewer points than parameters, without a derivative."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import curve_fit

import surfacefit as sf
from surfacefit._solvers.base import cosine_optimality
from surfacefit._ties.rules import checked_items

X = np.arange(12.0)
START = sf.GaussianSurface([2.0, 2.0, 2.0, 2.0], [[1.6], [4.6], [7.5], [9.7]], [[[0.8]], [[0.8]], [[0.8]], [[0.8]]])
COMB = {"widths": True, "amplitudes": True, "spacing": [[0, 1, 2, 3]]}


def comb(x, amplitude, first, last, width, level):
    centers = np.linspace(first, last, 4)
    return amplitude * np.exp(-0.5 * ((x[:, None] - centers) / width) ** 2).sum(axis=1) + level


@pytest.mark.slow
def test_there_may_be_fewer_points_than_parameters_but_not_than_free_numbers():
    heights = comb(X, 3.0, 1.4, 9.9, 1.1, 0.5) + 0.02 * np.random.default_rng(0).normal(size=X.size)
    result = sf.fit(heights, 4, coords=X, init=START, tie=COMB)
    expected, covariance = curve_fit(comb, X, heights, [2.0, 1.6, 9.7, 0.9, 0.0])
    found = result.surface
    ends = [found.amplitudes[0], *found.centers[[0, 3], 0], np.sqrt(found.covariances[0, 0, 0])]
    np.testing.assert_allclose(ends, expected[:4], rtol=1e-5)
    errors = result.standard_errors
    np.testing.assert_allclose(
        [errors.amplitudes[0], *errors.centers[[0, 3], 0]], np.sqrt(np.diag(covariance))[:3], rtol=1e-3
    )


def test_fewer_points_than_free_numbers_are_refused():
    with pytest.raises(ValueError, match="means 5 free numbers beside `tie`, more than the 4 points"):
        sf.fit(X[::3], 4, coords=X[::3], init=START, tie=COMB)


ROOTS = {
    "a formula": "1 + sqrt(amplitudes[0] - 2)",
    "a power": "1 + (amplitudes[0] - 2) ** 0.5",
    "a function": lambda surface: 1 + jnp.sqrt(surface.amplitudes[0] - 2),
}


@pytest.mark.parametrize("case", ROOTS)
def test_a_rule_without_a_derivative_at_the_start_is_refused(case):
    with pytest.raises(ValueError, match="must have a derivative at the start"):
        sf.fit(comb(X, 3.0, 1.4, 9.9, 1.1, 0.5), 4, coords=X, init=START, tie={"amplitudes[1]": ROOTS[case]})


@pytest.mark.parametrize("slope", [np.nan, -np.nan])
def test_a_derivative_that_is_none_is_no_convergence(slope):
    gradient, diagonal = np.array([0.0, slope]), np.array([1.0, slope])
    assert np.isnan(cosine_optimality(gradient, diagonal, 2.0))
    assert float(cosine_optimality(np.array([0.0, 1.0]), np.array([1.0, 0.0]), 2.0)) == 0


FUNCTIONS = {
    "nothing": (lambda surface: None, ValueError, "real numbers of shape \\(\\), got object"),
    "no argument": (lambda: 1.0, TypeError, "a function of one argument, the surface"),
    "two arguments": (lambda one, other: 1.0, TypeError, "a function of one argument, the surface"),
    "a branch": (lambda surface: 1.0 if surface.amplitudes[0] > 1 else 2.0, TypeError, "jnp.where in place of `if`"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_what_is_no_function_of_a_surface_is_refused(case):
    function, kind, message = FUNCTIONS[case]
    with pytest.raises(kind, match=message):
        sf.fit(comb(X, 3.0, 1.4, 9.9, 1.1, 0.5), 4, coords=X, init=START, tie={"amplitudes[1]": function})


def test_indices_from_the_end_are_those_of_arrays():
    assert checked_items({"widths": [[-1, 0], [1, 2]]}, 4) == {"widths": ((3, 0), (1, 2))}
    with pytest.raises(ValueError, match="at least 2 different"):
        checked_items({"widths": [[-1, 3]]}, 4)
    with pytest.raises(ValueError, match="components from 0 to 3"):
        checked_items({"widths": [[-5, 3]]}, 4)


@pytest.mark.slow
def test_whole_shapes_are_equal_behind_a_beam():
    rows, columns = np.indices((18, 20), dtype=float)
    points = np.stack([rows, columns], axis=-1)
    shape = np.array([[5.0, 1.0], [1.0, 3.0]])
    truth = sf.GaussianSurface([10.0, 6.0], [[6.0, 6.0], [12.0, 14.0]], [shape, shape], background=1.0)
    start = sf.GaussianSurface([8.0, 5.0], [[6.5, 6.5], [11.5, 13.0]], [np.eye(2) * 4] * 2)
    result = sf.fit(truth(points), 2, init=start, beam=1.2, tie={"covariances": True})
    assert result.n_parameters == 10
    np.testing.assert_allclose(result.surface.covariances, [shape, shape], rtol=1e-5)
    np.testing.assert_allclose(result.deconvolved.covariances[1], shape - 1.44 * np.eye(2), rtol=1e-4)


@pytest.mark.parametrize(
    "tie",
    [{"widths": True}, {"covariances[1]": "4 * covariances[0]"}, {"amplitudes[1]": "widths[0, 0]"}],
    ids=["widths", "a formula", "what is read"],
)
def test_parts_of_shapes_are_refused_behind_a_beam(tie):
    with pytest.raises(ValueError, match="makes whole shapes equal beside `beam`"):
        sf.fit(comb(X, 3.0, 1.4, 9.9, 1.1, 0.5), 4, coords=X, init=START, beam=0.5, tie=tie)


ALONE = np.arange(60.0)
TWO = sf.GaussianSurface([3.0, 0.5], [[20.0], [40.0]], [[[9.0]], [[4.0]]])


def two_lines(second, width=3.0):
    """Heights of a line of amplitude 3 and some width, and of a second of another amplitude and width 0.5."""
    truth = sf.GaussianSurface([3.0, second], [[20.0], [40.0]], [[[width**2]], [[0.25]]])
    return truth(ALONE[:, None]) + 0.02 * np.random.default_rng(0).normal(size=ALONE.size)


NO_ROOM = {
    "a narrow width": ({"widths[1]": "0.5 * widths[0]"}, {"min_width": 2.0}, r"narrower than `min_width` .* 1\.5 wide"),
    "a narrow covariance": (
        {"covariances[1]": "0.1 * covariances[0]"},
        {"min_width": 1.0},
        "narrower than `min_width`",
    ),
    "a centre off the data": ({"centers[1]": "centers[0] + 100"}, {}, r"off the data .* give contained=False"),
    "a number off the data": ({"centers[1]": -3.0}, {}, r"tie\['centers\[1\]'\]. puts a centre off the data"),
    "a negative sum": ({"volume": -300.0}, {}, r"tie\['volume'\]. must be positive .* the rule 'volume': -300"),
}


@pytest.mark.parametrize("case", NO_ROOM)
def test_what_limits_do_not_allow_is_refused(case):
    tie, options, message = NO_ROOM[case]
    with pytest.raises(ValueError, match=message):
        sf.fit(two_lines(0.5), 2, coords=ALONE, init=TWO, tie=tie, **options)


def test_a_centre_may_be_off_the_data_where_that_is_meant():
    tie = {"centers[1]": "centers[0] + 100"}
    result = sf.fit(two_lines(0.5), 2, coords=ALONE, init=TWO, tie=tie, contained=False)
    assert float(np.ptp(result.surface.centers)) == pytest.approx(100)


@pytest.mark.parametrize("function", [lambda s: 3, lambda s: jnp.round(s.amplitudes[0]).astype(int)])
def test_a_function_of_integers_is_refused(function):
    with pytest.raises(TypeError, match="which has no derivative: give a number"):
        sf.fit(two_lines(0.5), 2, coords=ALONE, init=TWO, tie={"amplitudes[1]": function})


def test_a_rule_that_min_width_has_broken_is_told(tmp_path):
    heights = two_lines(3.0, width=2.6)
    result = sf.fit(heights, 2, coords=ALONE, init=TWO, tie={"widths[1]": "widths[0] - 2.7"})
    narrow, wide = np.sort(np.sqrt(np.ravel(result.surface.covariances)))
    assert narrow > wide - 2.7 + 0.01
    assert "The rule 'widths[1]': 'widths[0] - 2.7' of `tie` is not kept" in result.message
    result.save(tmp_path / "fit.npz")
    assert sf.load(tmp_path / "fit.npz").message == result.message


def test_a_rule_that_makes_an_amplitude_negative_is_told():
    tie = {"amplitudes[1]": "amplitudes[0] - 2.9"}
    start = sf.GaussianSurface([3.3, 0.4], TWO.centers, TWO.covariances)
    positive, signed = (
        sf.fit(two_lines(-1.0), 2, coords=ALONE, init=start, tie=tie, amplitudes=sign)
        for sign in ("positive", "signed")
    )
    assert "'amplitudes[0] - 2.9' of `tie` has driven a positive amplitude to nothing" in positive.message
    assert signed.surface.amplitudes.min() < 0
    assert "`tie`" not in signed.message


def test_widths_that_change_places_still_follow_their_rule():
    points = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), indexing="ij"), axis=-1)
    truth = sf.GaussianSurface([3.0], [[10.0, 9.0]], [np.diag([9.0, 4.0])])
    start = sf.GaussianSurface([3.0], [[10.0, 9.0]], [np.diag([4.0, 4.5])])
    result = sf.fit(np.asarray(truth(points)), 1, init=start, tie={"widths[0, 1]": "1.5 * widths[0, 0]"})
    assert np.sqrt(np.linalg.eigvalsh(result.surface.covariances[0])) == pytest.approx([2, 3], rel=1e-4)
    assert "`tie`" not in result.message


def test_data_sets_side_by_side_share_amplitudes_as_in_a_joint_fit():
    gap, rng = 1000.0, np.random.default_rng(3)
    truth = sf.GaussianSurface([3.0, 3.0], [[20.0], [26.0 + gap]], [[[16.0]], [[25.0]]])
    both = np.concatenate([ALONE, ALONE + gap])
    heights = truth(both[:, None]) + 0.7 * (both > gap) + 0.1 * rng.normal(size=both.size)
    start = sf.GaussianSurface([2.0, 2.0], [[22.0], [24.0 + gap]], [[[9.0]], [[9.0]]])
    background = (lambda q, p: jnp.where(p[..., 0] < gap, q[0], q[1]), [0.0, 0.0])
    joint = sf.fit(heights, 2, coords=both, init=start, background=background, tie={"amplitudes": True})

    def model(x, amplitude, first, one, second, other, low, high):
        centers, widths = np.where(x < gap, first, second + gap), np.where(x < gap, one, other)
        return amplitude * np.exp(-0.5 * ((x - centers) / widths) ** 2) + np.where(x < gap, low, high)

    best, covariance = curve_fit(model, both, heights, [3, 20, 4, 26, 5, 0, 0.7], xtol=1e-12, ftol=1e-12)
    np.testing.assert_allclose(joint.surface.amplitudes, best[0], rtol=1e-5)
    np.testing.assert_allclose(joint.surface.centers[:, 0] - [0, gap], best[[1, 3]], rtol=1e-5)
    np.testing.assert_allclose(joint.standard_errors.amplitudes, np.sqrt(covariance[0, 0]), rtol=1e-4)
