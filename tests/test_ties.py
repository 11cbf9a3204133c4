"""Numbers that follow from others: against curve_fit of the model with the fewer numbers, and by what must hold."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import curve_fit

import surfacefit as sf

X = np.linspace(0, 100, 201)
DOUBLET = sf.GaussianSurface([2.0, 1.0], [[38.0], [52.0]], [[[9.0]], [[9.0]]])
RULES = {"widths": True, "amplitudes[1]": "amplitudes[0] / 3", "centers[1]": "centers[0] + 14.4"}
Y2, X2 = np.mgrid[:24, :30].astype(float)


def line(x, a, c, w):
    return a * np.exp(-0.5 * ((x - c) / w) ** 2)


def doublet(x, a, c, w, b):
    return line(x, a, c, w) + line(x, a / 3, c + 14.4, w) + b


def noisy(heights, seed=0, size=0.05):
    return heights + size * np.random.default_rng(seed).normal(size=heights.shape)


def ellipse(amplitude, center, widths, angle):
    axes = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    return sf.GaussianSurface([amplitude], [center], [axes.T @ np.diag(np.square(widths)) @ axes])


def together(*surfaces):
    arrays = (
        np.concatenate([getattr(one, name) for one in surfaces]) for name in ("amplitudes", "centers", "covariances")
    )
    return sf.GaussianSurface(*arrays)


def on_grid(surface):
    return surface(np.stack([Y2, X2], axis=-1))


def test_a_doublet_is_that_of_curve_fit():
    heights = noisy(doublet(X, 3.0, 40.0, 4.0, 0.5))
    result = sf.fit(heights, 2, coords=X, init=DOUBLET, tie=RULES)
    values, covariance = curve_fit(doublet, X, heights, [2, 38, 3, 0.4], ftol=1e-14, xtol=1e-14, gtol=1e-14)
    errors, found, known = np.sqrt(np.diag(covariance)), result.surface, result.standard_errors
    a, c, w, b = values
    np.testing.assert_allclose(found.amplitudes, [a, a / 3], rtol=1e-6)
    np.testing.assert_allclose(found.centers[:, 0], [c, c + 14.4], rtol=1e-6)
    np.testing.assert_allclose(found.principal_widths[:, 0], [w, w], rtol=1e-6)
    np.testing.assert_allclose(float(found.background.value), b, rtol=1e-6)
    np.testing.assert_allclose(known.amplitudes, [errors[0], errors[0] / 3], rtol=1e-6)
    np.testing.assert_allclose(known.centers[:, 0], errors[[1, 1]], rtol=1e-6)
    np.testing.assert_allclose(known.principal_widths[:, 0], errors[[2, 2]], rtol=1e-6)
    np.testing.assert_allclose(float(known.background.value), errors[3], rtol=1e-6)
    assert result.n_parameters == 4
    assert result.statistics.degrees_of_freedom == 197
    ratio = known.of(lambda surface: surface.amplitudes[1] / surface.amplitudes[0])
    assert ratio < 1e-9


def test_a_tied_fit_is_saved_and_read(tmp_path):
    heights = noisy(doublet(X, 3.0, 40.0, 4.0, 0.5))
    result = sf.fit(heights, 2, coords=X, init=DOUBLET, tie=RULES)
    result.save(tmp_path / "fit.json")
    again = sf.load(tmp_path / "fit.json")
    assert again.settings == result.settings
    np.testing.assert_array_equal(again.standard_errors.centers, result.standard_errors.centers)
    for refused in (again.bootstrap, lambda: again.worth, again.sensitivity):
        with pytest.raises(ValueError, match="does not know of `tie`"):
            refused()


BAD = {
    "a circle": (
        {"centers[1]": "centers[0] + 1", "centers[0]": "centers[1] - 1"},
        ValueError,
        "goes round in a circle",
    ),
    "itself": ({"centers[1]": "centers[1] + 1"}, ValueError, "goes round in a circle"),
    "twice": ({"amplitudes[1]": 2.0, "volumes[1]": 3.0}, ValueError, "sets a number twice"),
    "two leaders": ({"widths": True, "widths[0]": 2.0, "widths[1]": 3.0}, ValueError, "equal, which"),
    "a word": ({"centres": [[0, 1]]}, ValueError, "have groups|has groups"),
    "no name": ({"centers[1]": "x + 1"}, ValueError, "`tie` knows amplitudes, centers"),
    "python": ({"centers[1]": "__import__('os').system('true')"}, ValueError, "knows the functions"),
    "syntax": ({"centers[1]": "centers[0] +"}, ValueError, "must be formulas"),
    "an index": ({"centers[2]": "centers[0] + 1"}, ValueError, "there are only"),
    "one member": ({"centers": [[0]]}, ValueError, "at least 2 different"),
    "a member outside": ({"centers": [[0, 2]]}, ValueError, "components from 0 to 1"),
    "NaN": ({"amplitudes[1]": "log(-amplitudes[0])"}, ValueError, "must be finite at the start"),
    "a NaN number": ({"amplitudes[1]": np.nan}, ValueError, "must be finite"),
    "negative": ({"amplitudes[1]": "-amplitudes[0]"}, ValueError, "must be positive at the start"),
    "an angle in 1-D": ({"angles": True}, ValueError, "angles and aspects are those of"),
    "a list": ([["centers", 0, 1]], TypeError, "must be a dict"),
    "a boolean": ({"centers": False}, TypeError, "must be groups"),
    "spacing of two": ({"spacing": [[0, 1]]}, ValueError, "at least 3 different"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_meant_is_refused(case):
    tie, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        sf.fit(line(X, 3, 40, 4), 2, coords=X, init=DOUBLET, tie=tie)


FUNCTIONS = {
    "NaN": (lambda s: jnp.log(-s.amplitudes[0]), ValueError, "must be finite at the start"),
    "NumPy": (lambda s: np.log(s.amplitudes[0]), TypeError, "must be written with jax.numpy"),
    "a shape": (lambda s: s.amplitudes, ValueError, "real numbers of shape"),
    "a circle": (lambda s: s.amplitudes[1] + 1, ValueError, "goes round in a circle"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_that_give_no_value_are_refused(case):
    function, kind, message = FUNCTIONS[case]
    with pytest.raises(kind, match=message):
        sf.fit(line(X, 3, 40, 4), 2, coords=X, init=DOUBLET, tie={"amplitudes[1]": function})


BESIDE = {
    "no start": ({"init": "peaks"}, "give init=GaussianSurface"),
    "a search": ({"search": 1.0}, "no `search`"),
    "a chosen number": ({"n_components": "auto"}, "grows from nothing"),
    "bounds of what follows": ({"bounds": sf.Bounds(centers=(0, 50))}, "`bounds.centers` limit what"),
    "bounds of widths": ({"bounds": sf.Bounds(widths=(1, 5))}, "cannot be followed beside `tie`"),
    "one shape": ({"tied": "covariances"}, "no component has a shape of its own"),
    "EM": ({"solver": "superimposed"}, "must be 'lm', 'dogleg' or 'adam' beside `tie`"),
    "what is fixed": ({"fixed": {"centers": [False, True]}}, "sets a number twice"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_what_does_not_go_with_ties_is_refused(case):
    options, message = BESIDE[case]
    given = {"n_components": 2, "coords": X, "init": DOUBLET, "tie": RULES} | options
    with pytest.raises(ValueError, match=message):
        sf.fit(line(X, 3, 40, 4), **given)


def test_a_batch_has_no_ties():
    with pytest.raises(TypeError, match="no option `tie`"):
        sf.fit_many(np.ones((2, 5)), 1, tie=RULES)
