"""Refits to simulated data: they scatter as the linearised errors say, whatever the noise, and only where they may."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from test_uncertainty import at

import surfacefit as sf
from surfacefit._constraints.bounds import Constraints, checked_bounds
from surfacefit._data.data import grid_data

X = np.arange(160.0)
PAIR = sf.GaussianSurface(
    np.array([2.0, 1.5]),
    np.array([[50.0], [110.0]]),
    np.array([[[100.0]], [[144.0]]]),
    sf.ConstantBackground(np.array(0.5)),
)
COUNTS = replace(PAIR, amplitudes=100 * PAIR.amplitudes, background=sf.ConstantBackground(50.0))


def numbers(surface):
    """Free numbers of a surface, or of many (n, ...)."""
    leaves = jax.tree.leaves(surface)
    return np.concatenate([np.reshape(leaf, (*np.shape(surface.amplitudes)[:-1], -1)) for leaf in leaves], axis=-1)


def noise(seed=0):
    return np.random.default_rng(seed).normal(size=160)


@cache
def plain():
    return at(PAIR, grid_data(PAIR(X) + 0.1 * noise()))


@cache
def refitted():
    return plain().bootstrap(200)


def uneven():
    """Sigma in other units, by a factor of ten."""
    sigma = np.where(X < 80, 0.02, 0.2)
    return at(PAIR, grid_data(PAIR(X) + sigma * noise(), None, None, 10 * sigma))


def known():
    """Sigmas that are said to be known are believed, though they are three times too large."""
    return at(PAIR, grid_data(PAIR(X) + 0.1 * noise(), None, None, 0.3, True))


def masked():
    return at(PAIR, grid_data(np.where(np.arange(160) % 6, PAIR(X) + 0.1 * noise(), np.nan)))


def counted():
    return sf.fit(np.random.default_rng(1).poisson(COUNTS(X)), 2, init=COUNTS, loss="poisson")


def robust():
    return at(
        PAIR, grid_data(PAIR(X) + 0.1 * np.random.default_rng(3).standard_t(3, 160)), loss="soft_l1", f_scale=0.15
    )


def prior():
    return at(PAIR, grid_data(PAIR(X) + 0.1 * noise(), None, None, 0.1, True), prior=sf.SurfacePrior(amplitude=1e3))


def fixed():
    held = {"centers": np.array([True, False]), "background": True}
    return at(PAIR, grid_data(PAIR(X) + 0.1 * noise()), constraints=Constraints(fixed=held))


CASES = [
    plain,
    uneven,
    known,
    masked,
    counted,
    *(pytest.param(case, marks=pytest.mark.slow) for case in (prior, fixed)),
]


@pytest.mark.slow
@pytest.mark.parametrize("make", CASES)
def test_refits_scatter_as_the_linear_errors_say(make):
    result = make()
    found, expected = result.bootstrap(200), numbers(result.standard_errors.surface)
    assert found.surfaces.amplitudes.shape == (200, 2)
    assert found.surfaces.covariances.shape == (200, 2, 1, 1)
    np.testing.assert_allclose(numbers(found.standard_errors), expected, rtol=0.15)
    np.testing.assert_allclose(numbers(found.surfaces).std(axis=0, ddof=1), numbers(found.standard_errors), rtol=1e-12)
    middle = (numbers(found.surfaces).mean(axis=0) - numbers(result.surface)) / np.where(expected > 0, expected, 1)
    assert np.abs(middle).max() < 0.3


def test_refits_of_a_robust_fit_scatter_as_the_sandwich_says():
    result = robust()
    found, expected = numbers(result.bootstrap(200).standard_errors), numbers(result.uncertainty("sandwich").surface)
    np.testing.assert_allclose(found, expected, rtol=0.25)
    np.testing.assert_allclose(np.mean(found / expected), 1, atol=0.1)
    squares = at(PAIR, result.data)  # which feel the outliers
    assert (found < 0.9 * numbers(squares.standard_errors.surface)).all()


@pytest.mark.slow
def test_derived_errors_are_the_scatter_of_refits():
    """In two dimensions, of what the delta method makes of widths, angles, volumes and the surface itself."""
    points = np.stack(np.mgrid[:24, :26], axis=-1).astype(float)
    covariances = np.array([[[6.0, 2.0], [2.0, 9.0]], [[8.0, -3.0], [-3.0, 4.0]]])
    pair = sf.GaussianSurface(
        np.array([2.0, 1.5]), np.array([[8.0, 8.0], [15.0, 17.0]]), covariances, sf.ConstantBackground(np.array(0.3))
    )
    result = at(pair, grid_data(pair(points) + 0.05 * np.random.default_rng(0).normal(size=(24, 26))))
    errors, refits = result.uncertainty(), result.bootstrap(200).surfaces
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], refits) for n in range(200)]
    for name in ("principal_widths", "fwhm", "orientation", "volumes"):
        scatter = np.std([getattr(surface, name) for surface in each], axis=0)
        np.testing.assert_allclose(getattr(errors, name), scatter, rtol=0.15)
    places = np.array([[8.0, 8.0], [12.0, 12.0], [15.0, 19.0], [2.0, 22.0]])
    np.testing.assert_allclose(errors.band(places), np.std([surface(places) for surface in each], axis=0), rtol=0.15)
    ratio = errors.of(lambda surface: surface.amplitudes[0] / surface.amplitudes[1])
    np.testing.assert_allclose(ratio, np.std(refits.amplitudes[:, 0] / refits.amplitudes[:, 1]), rtol=0.15)


def test_an_interval_holds_its_share_of_the_refits():
    found = refitted()
    all_numbers = numbers(found.surfaces)
    for level in (0.683, 0.95):
        low, high = (numbers(side) for side in found.interval(level))
        inside = np.mean((all_numbers >= low) & (all_numbers <= high), axis=0)
        np.testing.assert_allclose(inside, level, atol=0.01)
        np.testing.assert_allclose(np.mean(all_numbers < low, axis=0), (1 - level) / 2, atol=0.01)
    np.testing.assert_array_equal(numbers(found.interval()[0]), numbers(found.interval(0.683)[0]))


def test_the_seed_decides_and_samples_are_as_many_as_asked_for():
    result = plain()
    first, again, other = (numbers(result.bootstrap(n, seed=seed).surfaces) for n, seed in ((17, 1), (17, 1), (17, 2)))
    assert len(first) == 17
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()
    assert len(np.unique(first, axis=0)) == 17


def test_components_keep_their_order():
    """Also where two are so alike that refits would be sorted otherwise."""
    alike = replace(PAIR, amplitudes=np.array([2.0, 2.0]), covariances=np.full((2, 1, 1), 100.0))
    refits = at(alike, grid_data(alike(X) + 0.1 * noise())).bootstrap(32).surfaces
    volumes = refits.amplitudes * np.sqrt(refits.covariances[:, :, 0, 0])
    assert 0 < np.mean(volumes[:, 0] > volumes[:, 1]) < 1
    assert np.ptp(refits.centers, axis=0).max() < 5


def test_what_is_fixed_stays_and_bounds_are_kept():
    bounds = checked_bounds(sf.Bounds(amplitudes=(None, 2.0)), 2, 1, False, "full")
    constraints = Constraints(bounds, {"centers": np.array([True, False])})
    refits = at(PAIR, grid_data(PAIR(X) + 0.1 * noise()), constraints=constraints).bootstrap(32).surfaces
    np.testing.assert_allclose(refits.centers[:, 0], 50, rtol=1e-12)
    assert np.ptp(refits.centers[:, 1]) > 0.01
    assert (refits.amplitudes <= 2 + 1e-9).all()
    assert 0.2 < np.mean(refits.amplitudes[:, 0] > 2 - 1e-9) < 0.9


WRONG = {
    "one sample": (lambda result: result.bootstrap(1), ValueError, "`n_samples` must be at least 2, got 1"),
    "half a sample": (lambda result: result.bootstrap(2.5), TypeError, "`n_samples` must be an integer, got 2.5"),
    "seed": (lambda result: result.bootstrap(2, seed=-1), ValueError, "`seed` must be at least 0, got -1"),
    "level": (lambda _: refitted().interval(1), ValueError, "`level` must be between 0 and 1, got 1"),
    "level in per cent": (
        lambda _: refitted().interval(95),
        ValueError,
        "`level` must be between 0 and 1, got 95",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case):
    ask, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        ask(plain())


def test_too_many_parameters_are_refused(monkeypatch):
    monkeypatch.setattr("surfacefit._statistics.bootstrap.MAX_EXACT_PARAMETERS", 6)
    with pytest.raises(ValueError, match="`bootstrap` refits 7 parameters 9 times: the limit is 6"):
        plain().bootstrap(9)
