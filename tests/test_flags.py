"""Flags of where components stand and of what the data resolve, against plain definitions and known integrals."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal, norm
from test_uncertainty import at

import surfacefit as sf
from surfacefit._data.data import grid_data, point_data
from surfacefit._results.flags import flags

FLAG = sf.ComponentFlag
HILL = sf.GaussianSurface([3.0], [[15.0, 30.0]], [[[25.0, 0.0], [0.0, 64.0]]], sf.ConstantBackground(1.0))
PIXELS = np.stack(np.mgrid[:40, :50], axis=-1).astype(float)


def flagged(result, flag):
    return (flags(result, quick=True) & int(flag)) > 0


def components(centers, covariances):
    return sf.GaussianSurface(np.ones(len(centers)), centers, covariances)


def on_grid(centers, covariances, used=None, steps=None):
    """A result with these components on 40 x 50 (in 1-D 40, in 3-D 12 x 12 x 12) samples."""
    shape = {1: (40,), 2: (40, 50), 3: (12, 12, 12)}[len(centers[0])]
    heights = np.where(np.ones(shape, bool) if used is None else used, 0.0, np.nan)
    axes = None if steps is None else [np.arange(n) * step for n, step in zip(shape, steps, strict=True)]
    return at(components(centers, covariances), grid_data(heights, axes))


@pytest.mark.parametrize("center", [20.0, 39.0, 39.5, 45.0, -70.0])
def test_a_share_in_one_dimension_is_a_difference_of_normal_distributions(center):
    widths = np.array([0.4, 3.0, 30.0, 1e4])
    result = on_grid(np.full((4, 1), center), (widths**2)[:, None, None])
    expected = norm.cdf((39.5 - center) / widths) - norm.cdf((-0.5 - center) / widths)
    np.testing.assert_allclose(result.volume_shares, expected, atol=0.01)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_a_share_of_a_slanted_component_is_the_normal_distribution_of_the_box(rng, n_dim):
    centers, roots = rng.uniform(-3, 14, size=(12, n_dim)), rng.normal(size=(12, n_dim, n_dim)) * 4
    covariances = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(n_dim)
    result = on_grid(centers, covariances)
    high = np.array(result.data.heights.shape) - 0.5
    expected = [
        multivariate_normal(center, covariance).cdf(high, lower_limit=np.full(n_dim, -0.5))
        for center, covariance in zip(centers, covariances, strict=True)
    ]
    np.testing.assert_allclose(result.volume_shares, expected, atol=0.02)


def over_data(places, points, spacing, width):
    """The definition, place by place."""
    places, points = places / spacing, points / spacing
    in_box = ((places >= points.min(axis=0) - 0.5) & (places <= points.max(axis=0) + 0.5)).all(axis=1)
    return in_box & (cdist(places, points).min(axis=1) <= max(1.5, width))


@pytest.mark.parametrize("as_points", [False, True])
@pytest.mark.parametrize("steps", [(1.0, 1.0), (0.01, 300.0)])
def test_a_share_over_data_with_a_hole_is_that_of_its_definition(rng, as_points, steps):
    used = (PIXELS[..., 0] - 15) ** 2 + (PIXELS[..., 1] - 30) ** 2 >= 81
    centers = np.array([[15.0, 30.0], [15.0, 21.0], [3.0, 44.0], [38.0, 10.0]]) * steps
    covariances = np.array([np.diag([4.0, 4.0]), [[9.0, 5.0], [5.0, 16.0]], np.eye(2), np.diag([200.0, 1.0])])
    covariances = covariances * np.outer(steps, steps)
    result = on_grid(centers, covariances, used, steps)
    if as_points:
        data = point_data(result.data.used_points, np.zeros(used.sum()))
        result = at(result.surface, data)
    for k, share in enumerate(result.volume_shares):
        places = rng.multivariate_normal(centers[k], covariances[k], 4000)
        samples = covariances[k] / np.outer(result.data.spacing, result.data.spacing)
        width = np.sqrt(np.linalg.eigvalsh(samples)[0])
        expected = over_data(places, result.data.used_points, result.data.spacing, width).mean()
        assert abs(share - expected) < 0.05  # a place on a grid is taken for the middle of its cell


def test_wide_is_a_component_with_most_of_its_volume_off_the_data():
    result = on_grid([[20.0, 25.0], [20.0, 25.0], [0.0, 25.0], [-0.7, -0.2], [20.0, 25.0]],
                     [np.eye(2), 900 * np.eye(2), 4 * np.eye(2), 4 * np.eye(2), np.diag([1.0, 1e9])])  # fmt: skip
    np.testing.assert_array_equal(flagged(result, FLAG.WIDE), [False, True, False, True, True])
    np.testing.assert_array_equal(flagged(result, FLAG.OUTSIDE), [False, False, False, True, False])


@pytest.mark.parametrize("as_points", [False, True])
def test_unsupported_is_a_centre_in_a_hole_and_not_at_a_missing_pixel(as_points):
    used = np.ones((40, 50), bool)
    used[(PIXELS[..., 0] - 15) ** 2 + (PIXELS[..., 1] - 30) ** 2 < 36] = False
    used[30, 10] = used[29:32, 39:42] = False
    centers = [[15.0, 30.0], [15.0, 30.0], [15.0, 25.0], [30.0, 10.0], [30.0, 40.0], [30.0, 40.0], [-9.0, 3.0]]
    widths = [(5, 8), (20, 20), (5, 8), (1, 1), (1, 1), (3, 3), (1, 1)]
    result = on_grid(centers, [np.diag(np.square(pair)).astype(float) for pair in widths], used)
    if as_points:
        result = at(result.surface, point_data(result.data.used_points, np.zeros(used.sum())))
    np.testing.assert_array_equal(flagged(result, FLAG.UNSUPPORTED), [True, False, False, False, True, False, False])


def test_a_regular_gap_between_samples_is_no_hole():
    """Every fourth row of a map alone, and tracks of points: a component wider than the gap is well supported."""
    rows = np.zeros((40, 50), bool)
    rows[::4] = True
    narrow, broad = [[22.0, 25.0], [22.0, 25.0]], [9 * np.eye(2), 36 * np.eye(2)]
    tracks = PIXELS[::4].reshape(-1, 2) * [1.0, 0.25]
    for data in (grid_data(np.where(rows, 0.0, np.nan)), point_data(tracks, np.zeros(len(tracks)))):
        result = at(components(np.array(narrow) * [1.0, 0.25 if data.axes is None else 1.0], broad), data)
        assert not flagged(result, FLAG.UNSUPPORTED).any()
        assert not flagged(result, FLAG.WIDE).any()


def test_unresolved_is_narrower_than_half_a_sample_or_known_worse_than_its_amplitude():
    x = np.arange(60.0)
    centers, variances = np.array([[20.2], [35.0], [50.0]]), np.array([[[0.45**2]], [[0.6**2]], [[4.0]]])
    truth = sf.GaussianSurface(np.array([2.0, 2.0, 0.02]), centers, variances)
    result = at(truth, grid_data(truth(x) + 0.05 * np.random.default_rng(0).normal(size=60)))
    errors = result.standard_errors.amplitudes
    assert (errors > np.abs(truth.amplitudes)).tolist() == [False, False, True]
    np.testing.assert_array_equal(flagged(result, FLAG.UNRESOLVED), [True, False, False])
    np.testing.assert_array_equal((result.flags & int(FLAG.UNRESOLVED)) > 0, [True, False, True])


def test_an_amplitude_at_a_limit_is_not_unresolved():
    """Its error is infinite by definition, and the flag for it is another one."""
    x = np.arange(40.0)
    truth = sf.GaussianSurface([2.0], [[20.0]], [[[9.0]]])
    bounds = sf.Bounds(amplitudes=(None, 1.5))
    result = sf.fit(truth(x), 1, background=None, init=truth, bounds=bounds)
    assert result.flags.tolist() == [FLAG.AT_BOUND]


def test_two_neighbouring_samples_are_unresolved():
    heights = np.zeros(40)
    heights[20], heights[21] = 10, 7
    result = sf.fit(heights, 1, search=0)
    assert result.flags[0] & FLAG.UNRESOLVED
    assert "unresolved" in result.summary()


def test_a_peak_with_an_error_above_its_height_is_unresolved():
    result = sf.fit_points(3 * np.arange(12), [0, 0, 0, 1, 5, 1, 2, 8, 1, 0, 10, 7], 3, background=None, search=0)
    worse = result.standard_errors.amplitudes > result.surface.amplitudes
    assert worse.any()
    assert ((result.flags & int(FLAG.UNRESOLVED)) > 0)[worse].all()


def test_a_hill_in_a_hole_is_unsupported():
    heights = HILL(PIXELS)
    heights[(PIXELS[..., 0] - 15) ** 2 + (PIXELS[..., 1] - 30) ** 2 < 36] = np.nan
    result = sf.fit(heights, 1, search=0)
    assert result.flags.tolist() == [FLAG.UNSUPPORTED]
    assert "unsupported" in result.summary()


def test_no_component_has_no_flag():
    data = grid_data(np.zeros((6, 7)))
    none = sf.GaussianSurface(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2)), sf.ConstantBackground(0.0))
    result = at(none, data)
    assert flags(result, quick=True).shape == result.volume_shares.shape == (0,)
