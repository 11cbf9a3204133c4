"""Profiles that are no Gaussians: their mixtures, and fits of them beside scipy's of the profiles themselves."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

import surfacefit as sf
from surfacefit._profiles.mixtures import mixture_of, places

ALL = [sf.Moffat(2.5), sf.Moffat(0.8), sf.Lorentzian(), sf.PseudoVoigt(0.4), sf.Exponential(), sf.Sersic(4.0)]


@pytest.mark.parametrize("profile", ALL, ids=repr)
@pytest.mark.parametrize("error", [1e-3, 1e-5])
def test_a_mixture_is_as_near_as_it_says(profile, error):
    mixture = mixture_of(profile, error)
    r = np.geomspace(places(profile)[0], profile.range[1], 5000)
    heights = profile.height(r)
    misfit = np.abs((mixture.height(r) - heights) / (heights + profile.height(1.0))).max()
    assert misfit <= 1.2 * mixture.error <= 1.2 * error
    assert (mixture.weights > 0).all()
    assert len(mixture) <= (19 if error == 1e-5 else 12)


def test_steep_profiles_have_mixtures():
    profile = sf.Moffat(100.0)
    mixture, r = mixture_of(profile, 1e-5), np.linspace(0, 1, 1000)
    assert len(mixture) <= 8
    np.testing.assert_allclose(mixture.height(r), profile.height(r), atol=3e-5)


def test_numbers_of_any_type_make_the_same_profile():
    assert sf.Moffat(np.array(3.0)) == sf.Moffat(3)
    assert hash(sf.Sersic(np.float32(2.0))) == hash(sf.Sersic(2.0))
    assert type(sf.PseudoVoigt(np.float32(0.5)).eta) is float


@pytest.mark.parametrize("profile", ALL, ids=repr)
def test_half_of_the_height_lies_at_the_half_radius(profile):
    np.testing.assert_allclose(profile.height(profile.half_radius), profile.height(0.0) / 2, rtol=1e-12)


def lines(x, a, c, width, b, profile):
    return a * profile.height(np.abs(x - c) / width) + b


LINES = [sf.Moffat(2.5), pytest.param(sf.Lorentzian(), marks=pytest.mark.slow)]


@pytest.mark.parametrize("profile", LINES, ids=repr)
def test_parameters_and_errors_of_a_line_are_those_of_scipy(profile, rng):
    x = np.linspace(-40, 40, 321)
    noisy = lines(x, 10.0, 1.3, 3.0, 2.0, profile) + rng.normal(0, 0.1, x.size)
    wanted, covariance = curve_fit(lambda x, *p: lines(x, *p, profile), x, noisy, [9, 0, 2.5, 1.5])
    errors = np.sqrt(np.diag(covariance))
    found = sf.fit_profiles(noisy, 1, profile, coords=x)
    told = found.standard_errors
    values = (found.amplitudes[0], found.centers[0, 0], found.scale_lengths[0, 0], found.surface.background.value)
    assert (np.abs(np.array(values, float) - wanted) <= 0.1 * errors).all()
    own = np.array([told.amplitudes[0], told.centers[0, 0], told.scale_lengths[0, 0]])
    np.testing.assert_allclose(own, errors[:3], rtol=0.02)


@pytest.mark.slow
def test_a_volume_is_the_integral():
    x = np.arange(-60.0, 61.0)
    profile = sf.Moffat(3.0)
    found = sf.fit_profiles(7 * profile.height(np.abs(x) / 4), 1, profile, coords=x, background=None)
    fine = np.linspace(-400, 400, 400_001)
    whole = 7 * profile.height(np.abs(fine) / 4).sum() * (fine[1] - fine[0])
    np.testing.assert_allclose(found.volumes, whole, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((1, "moffat"), {}, "`profile` must be a profile"),
        ((1, sf.Lorentzian()), {"search": 1.0}, "`search` is no option"),
        ((1, sf.Lorentzian()), {"n_components": 3}, "`n_components` is no option of fits of profiles"),
        ((1, sf.Lorentzian()), {"beam": 2.0}, "`beam` is no option of fits of profiles"),
        ((1, sf.Lorentzian()), {"periods": 40.0}, "`periods` is no option of fits of profiles"),
        ((1, sf.Lorentzian()), {"fixed": "amplitudes"}, "`fixed` is no option of fits of profiles"),
        ((1, sf.Lorentzian()), {"covariance_type": "tied"}, "must be one of full, diag, spherical, got 'tied'"),
        ((1, sf.Lorentzian()), {"bounds": sf.Bounds(amplitudes=(0, 2))}, "got limits of amplitudes"),
        ((1, sf.Lorentzian()), {"bounds": sf.Bounds(widths=(1, 2))}, "got limits of widths"),
        ((1, sf.Moffat(50.0)), {"error": 1e-15}, "`error` must be at least"),
        ((2, sf.Lorentzian()), {"init": sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]])}, "`init` must have n_sources=2"),
    ],
)
def test_what_cannot_be_is_refused(arguments, options, told):
    with pytest.raises((ValueError, TypeError), match=told):
        sf.fit_profiles(np.ones(40), *arguments, **options)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: sf.Moffat(0.1), "`beta` must be between"),
        (lambda: sf.PseudoVoigt(1.5), "`eta` is a part"),
        (lambda: sf.Sersic(0.3), "`n` must be between"),
        (lambda: sf.Sersic(np.nan), "`n` must be positive"),
    ],
)
def test_a_shape_that_no_sum_of_gaussians_has_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
