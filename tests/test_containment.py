"""Components stay over the data by default, and a default fit depends on nothing but its data and seed."""

import numpy as np
import pytest
from scipy.optimize import least_squares

import surfacefit as sf
from surfacefit._constraints.containment import WIDEST_EXTENTS, holds, region_of
from surfacefit._data.data import grid_data

Y, X = np.mgrid[:24, :30].astype(float)
SLOPE = 0.5 * X + 0.2 * Y + 3 * np.exp(-((Y - 12) ** 2 + (X - 9) ** 2) / 18)


def rough(seed=0):
    """A map without hills, on which components run away: smoothed noise on a slope."""
    noise = np.random.default_rng(seed).normal(size=X.shape)
    return SLOPE + np.cumsum(np.cumsum(noise, axis=0), axis=1) / 20


@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_no_component_runs_away(kind):
    z = rough()
    result = sf.fit(z, 4, covariance_type=kind, search=0)
    assert result.settings.contained
    assert holds(region_of(result.data), result.surface)
    low, high = -0.5, np.array(z.shape) - 0.5
    assert np.all((result.surface.centers >= low - 1e-9) & (result.surface.centers <= high + 1e-9))
    deviations = np.sqrt(np.diagonal(result.surface.covariances, axis1=1, axis2=2))
    assert np.all(deviations <= np.sqrt(2) * WIDEST_EXTENTS * max(z.shape) * (1 + 1e-9))
    assert not np.any(result.flags & sf.ComponentFlag.OUTSIDE)
    assert np.abs(result.surface.amplitudes).max() < 3 * np.ptp(z)


def test_engines_contain_alike():
    dense, tiled = (
        sf.fit(rough(), 4, init="peaks", engine=engine, solver=sf.LevenbergMarquardt(slack=0.0))
        for engine in ("dense", sf.Tiled(cutoff=1e-12))
    )
    np.testing.assert_allclose(tiled.rmse, dense.rmse, rtol=1e-3)
    assert holds(region_of(tiled.data), tiled.surface)


def test_a_flank_is_fitted_as_scipy_does_under_the_same_limits():
    """A hill centred beyond the data: the centre ends on the edge of the last sample's cell."""
    x = np.arange(30.0)
    z = 4 * np.exp(-0.5 * ((x - 36) / 6) ** 2) + 1

    def misfit(p):
        return p[0] * np.exp(-0.5 * ((x - p[1]) / p[2]) ** 2) + p[3] - z

    bounds = ([0, -0.5, 0.25, -np.inf], [np.inf, 29.5, WIDEST_EXTENTS * 30, np.inf])
    expected = least_squares(misfit, [1, 25, 5, 1], bounds=bounds, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    result = sf.fit(z, 1, solver=sf.LevenbergMarquardt(slack=0.0, max_steps=3000))
    np.testing.assert_allclose(result.cost, expected.cost, rtol=1e-6)
    found = [result.surface.amplitudes[0], result.surface.centers[0, 0], result.surface.covariances[0, 0, 0] ** 0.5]
    np.testing.assert_allclose(found, expected.x[:3], rtol=1e-4)
    assert result.flags[0] & sf.ComponentFlag.AT_BOUND
    assert np.isinf(result.standard_errors.centers[0, 0])
    free = sf.fit(z, 1, contained=False)
    np.testing.assert_allclose(free.surface.centers[0, 0], 36, rtol=1e-4)


def test_a_slope_is_named_as_a_background():
    result = sf.fit(SLOPE, 1)
    assert holds(region_of(result.data), result.surface)
    assert result.flags[0] & sf.ComponentFlag.AT_BOUND
    assert "background='plane'" in result.summary()
    assert sf.fit(SLOPE, 1, background="plane").rmse < 1e-6


def test_a_start_of_ones_own_outside_is_taken_as_it_is():
    start = sf.GaussianSurface([3.0], [[12.0, 36.0]], [np.diag([9.0, 25.0])])
    z = start(np.stack([Y, X], axis=-1))
    result = sf.fit(z, 1, init=start, background=None)
    assert not result.settings.contained
    np.testing.assert_allclose(result.surface.centers, start.centers, rtol=1e-6)
    moved = sf.fit(z, 1, init=start, background=None, contained=True)
    assert moved.surface.centers[0, 1] <= 29.5
    with pytest.raises(ValueError, match="`contained`=True would move fixed"):
        sf.fit(z, 1, init=start, background=None, contained=True, fixed="centers")
    with pytest.raises(TypeError, match="contained"):
        sf.fit(z, 1, contained="yes")


def test_bounds_take_the_place_of_containment():
    start = sf.GaussianSurface([3.0], [[12.0, 33.0]], [np.diag([9.0, 25.0])])
    z = start(np.stack([Y, X], axis=-1))
    result = sf.fit(z, 1, background=None, bounds=sf.Bounds(centers=([0, 0], [24, 40])))
    assert result.settings.contained
    np.testing.assert_allclose(result.surface.centers, start.centers, rtol=1e-5)


def test_round_hills_on_a_strip_stay_round():
    hill = sf.GaussianSurface([3.0], [[2.0, 70.0]], [400 * np.eye(2)], 1.0)
    z = hill(np.stack(np.mgrid[:5, :160].astype(float), axis=-1))
    result = sf.fit(z, 1)
    np.testing.assert_allclose(result.surface.principal_widths, [[20.0, 20.0]], rtol=1e-3)


def test_the_region_is_that_of_the_points_in_use():
    z = rough()
    z[:, :6] = np.nan
    region = region_of(grid_data(z))
    np.testing.assert_allclose(region.low, [-0.5, 5.5])
    np.testing.assert_allclose(region.high, [23.5, 29.5])
    points = np.random.default_rng(0).uniform(size=(200, 2))
    result = sf.fit_points(points, points @ [2.0, 1.0], 2, search=0)
    assert holds(region_of(result.data), result.surface)


def _saved(result, path):
    result.save(path)
    return sf.load(path)


def test_a_result_remembers_whether_it_was_contained(tmp_path):
    for contained in (True, False):
        result = sf.fit(rough(), 1, contained=contained, search=0)
        assert _saved(result, tmp_path / "fit.json").settings.contained is contained


@pytest.mark.parametrize("count", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_default_fit_does_not_depend_on_the_clock(clock, count):
    """As on a machine that is busy, or where everything must be compiled first."""
    reference = sf.fit(rough(), count)
    for clock.tick in (0.003, 0.7):
        result = sf.fit(rough(), count)
        assert result.steps == reference.steps
        np.testing.assert_array_equal(result.surface.centers, reference.surface.centers)
