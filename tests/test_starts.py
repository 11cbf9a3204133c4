"""Starts: even lattices, peaks that are there, and what a start must keep."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import surfacefit as sf
from surfacefit._model.background import background_start
from surfacefit._starts import (
    STARTS,
    Rasters,
    StartRequest,
    find_peaks,
    in_coordinates,
    padded,
    padded_shape,
    peaks_of_maps,
)
from surfacefit._starts.apart import strongest_apart
from surfacefit._starts.grid import even_lattice
from surfacefit._starts.peaks import _gaussian, greatest_around
from surfacefit._starts.scales import MAX_MATRIX_CELLS, correlated


def request_of(heights, count, seed=0):
    axes = tuple(np.linspace(-1, 1, n) for n in heights.shape)
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    used = np.isfinite(heights)
    spacing = np.array([a[1] - a[0] for a in axes])
    rng = np.random.default_rng(seed)
    return StartRequest(points[used.ravel()], heights[used], count, spacing, rng, axes, used)


def scattered(request):
    return StartRequest(request.points, request.heights, request.n_components, request.spacing, request.rng)


@pytest.mark.parametrize("shape", [(40,), (20, 31), (9, 8, 10)])
@pytest.mark.parametrize("left_out", [False, True])
def test_a_grid_without_its_points_has_the_same_points_box_and_raster(rng, shape, left_out):
    heights = rng.normal(size=shape)
    if left_out:
        heights[np.indices(shape).sum(axis=0) % 3 == 0] = np.nan
        heights[0] = heights[..., -1] = np.nan
    given = request_of(heights, 7)
    request = replace(given, scattered=None)
    assert request.points.shape == (np.isfinite(heights).sum(), len(shape))
    for name in ("points", "low", "extent"):
        np.testing.assert_array_equal(getattr(request, name), getattr(given, name), name)
    np.testing.assert_array_equal(request.low, given.points.min(axis=0))
    np.testing.assert_array_equal(request.extent, given.points.max(axis=0) - given.points.min(axis=0))
    kept = heights[np.isfinite(heights)]
    assert np.sort(request.raster.sums[request.raster.counts > 0]).tolist() == np.sort(kept).tolist()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("shape", [(40,), (20, 31), (9, 8, 10)])
@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("as_points", [False, True])
def test_every_start_is_a_possible_surface(rng, start, shape, count, as_points):
    request = request_of(rng.normal(size=shape), count)
    surface = STARTS[start](scattered(request) if as_points else request)
    d = len(shape)
    assert (surface.amplitudes.shape, surface.centers.shape, surface.covariances.shape) == (
        (count,),
        (count, d),
        (count, d, d),
    )
    assert (surface.amplitudes > 0).all()
    assert (np.linalg.eigvalsh(surface.covariances) > 0).all()
    assert (np.abs(surface.centers) <= 1.3).all()


@pytest.mark.parametrize("as_points", [False, True])
def test_peaks_are_found_where_they_are(as_points):
    axes = [np.linspace(-1, 1, 61), np.linspace(-1, 1, 81)]
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    truth = sf.GaussianSurface(
        np.array([3.0, 2.0, 1.0]),
        np.array([[-0.5, -0.5], [0.5, 0.4], [-0.4, 0.6]]),
        np.array([np.diag([0.02, 0.02]), [[0.02, 0.012], [0.012, 0.03]], np.diag([0.004, 0.004])]),
    )
    request = request_of(truth(points).reshape(61, 81), 3)
    found = STARTS["peaks"](scattered(request) if as_points else request)
    for amplitude, center, covariance in zip(truth.amplitudes, truth.centers, truth.covariances, strict=True):
        nearest = np.argmin(np.linalg.norm(found.centers - center, axis=1))
        assert np.linalg.norm(found.centers[nearest] - center) < 0.06
        np.testing.assert_allclose(found.amplitudes[nearest], amplitude, rtol=0.35)
        ratio = np.linalg.det(found.covariances[nearest]) / np.linalg.det(covariance)
        assert 0.3 < ratio < 3


def test_peaks_of_a_tilted_ellipse_point_its_way():
    y, x = np.mgrid[-20:21, -20:21]
    covariance = np.array([[20.0, 15.0], [15.0, 20.0]])
    heights = sf.GaussianSurface([1.0], [[0, 0]], [covariance])(np.stack([y, x], axis=-1))
    found = sf.fit(heights, 1, background=None, init="peaks", solver=sf.LevenbergMarquardt(max_steps=0)).surface
    assert np.degrees(found.orientation[0]) == pytest.approx(45, abs=3)


@pytest.mark.slow
@pytest.mark.parametrize("as_points", [False, True])
def test_em_is_nearer_to_overlapping_components_than_the_peaks_it_starts_from(as_points):
    axes = [np.linspace(-1, 1, 61), np.linspace(-1, 1, 81)]
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    truth = sf.GaussianSurface(
        np.array([3.0, 2.0]),
        np.array([[-0.2, -0.1], [0.2, 0.2]]),
        np.array([[[0.02, 0.012], [0.012, 0.03]], np.diag([0.01, 0.03])]),
    )
    request = request_of(truth(points).reshape(61, 81), 2)
    request = scattered(request) if as_points else request
    found, peaks = (STARTS[name](request)(points) - truth(points) for name in ("em", "peaks"))
    assert np.linalg.norm(found) < 0.8 * np.linalg.norm(peaks)


@pytest.mark.parametrize("name", ["peaks", "em"])
def test_no_peak_in_a_flat_map_is_no_failure(name):
    found = STARTS[name](request_of(np.zeros((12, 13)), 4))
    assert (found.amplitudes > 0).all()


@pytest.mark.parametrize("count", [1, 2, 5, 12, 32, 33])
@pytest.mark.parametrize("samples", [(50,), (87, 61), (10, 300), (20, 20, 20), (1, 40)])
def test_lattice_is_even_and_complete(count, samples):
    positions, cells = even_lattice(count, np.array(samples, float))
    assert positions.shape == (count, len(samples))
    assert ((positions > 0) & (positions < 1)).all()
    assert len(np.unique(positions.round(9), axis=0)) == count
    np.testing.assert_allclose(np.prod(cells, axis=1).sum(), 1, rtol=0.35)


def test_random_starts_follow_their_seed():
    heights = np.random.default_rng(0).normal(size=(20, 20))
    none = sf.LevenbergMarquardt(max_steps=0)
    one, same, other = (sf.fit(heights, 3, init="random", seed=s, solver=none).surface.centers for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_auto_is_no_worse_than_each_of_its_starts_early_on():
    y, x = np.mgrid[:30, :30]
    heights = np.exp(-0.5 * ((y - 8) ** 2 + (x - 20) ** 2) / 9) + np.exp(-0.5 * ((y - 20) ** 2 + (x - 9) ** 2) / 16)
    forty = sf.LevenbergMarquardt(max_steps=40)
    best = min(sf.fit(heights, 3, init=name, solver=forty).cost for name in STARTS)
    assert sf.fit(heights, 3, search=0.2, solver=forty).cost <= best * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("shape", [(1,), (40,), (1, 12), (MAX_MATRIX_CELLS + 3, 20), (7, 9, 11)])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_sums_under_windows_are_those_of_a_filter(rng, shape, scale):
    cells = rng.normal(size=shape)
    reach = int(4 * scale + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / scale) ** 2)
    expected = cells
    for axis in (axis for axis, length in enumerate(shape) if length > 1):
        expected = ndimage.convolve1d(expected, kernel, axis, mode="constant")
    np.testing.assert_allclose(correlated(cells, scale, len(shape)), expected, atol=1e-12)
    both = np.stack([cells, -cells])  # two scales
    filtered = np.stack([ndimage.maximum_filter(one, size=3) for one in both])
    np.testing.assert_array_equal(greatest_around(both, len(shape)), filtered)


@pytest.mark.parametrize("n_dim", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 5, 1000])
def test_places_apart_are_those_of_a_plain_loop(rng, n_dim, count):
    """Places on half integers, as cells of a pyramid are: many distances equal the least one exactly."""
    places = rng.integers(0, 2 * int(700 ** (1 / n_dim)), size=(900, n_dim)) / 2
    widths = 2.0 ** (rng.integers(0, 5, size=900) / 2)
    expected: list[int] = []
    for i in range(900):
        if len(expected) < count and all(
            np.linalg.norm(places[i] - places[j]) > 1.5 * (widths[i] + widths[j]) for j in expected
        ):
            expected.append(i)
    assert strongest_apart(places, widths, count, 1.5).tolist() == expected


def test_no_places_are_no_failure():
    assert len(strongest_apart(np.zeros((0, 2)), np.zeros(0), 3, 2.0)) == 0


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_a_gaussian_on_a_patch_is_that_at_its_points(rng, n_dim):
    axes = [rng.normal(size=4 + i) for i in range(n_dim)]
    root = rng.normal(size=(n_dim, n_dim))
    shape = root @ root.T + np.eye(n_dim)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    expected = sf.GaussianSurface(np.ones(1), np.zeros((1, n_dim)), shape[None])(points)
    np.testing.assert_allclose(_gaussian(list(np.ix_(*axes)), shape), expected, rtol=1e-12)


def counts_map(width, noisy, floor=0.0):
    """A peak of 100 at (15, 30), and the standard deviations of counts: the square root down to tails of 1e-78."""
    y, x = np.mgrid[:40, :50]
    heights = 100 * np.exp(-((y - 15) ** 2 + (x - 30) ** 2) / (2 * width**2))
    sigma = np.sqrt(heights + floor)
    return heights + noisy * sigma * np.random.default_rng(0).normal(size=heights.shape), sigma


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("noisy", [False, True])
def test_peaks_are_found_where_weights_span_many_decades(width, noisy):
    heights, sigma = counts_map(width, noisy)
    axes = tuple(np.arange(float(n)) for n in heights.shape)
    points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    request = StartRequest(
        points, heights.ravel(), 1, np.ones(2), np.random.default_rng(0), axes, np.ones(heights.shape, bool),
        weights=(sigma.min() / sigma).ravel(),
    )  # fmt: skip
    found = STARTS["peaks"](request)
    assert np.abs(found.centers - [15, 30]).max() < 1
    np.testing.assert_allclose(found.amplitudes, 100, rtol=0.1)
    np.testing.assert_allclose(found.principal_widths, width, rtol=0.1)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("init", ["peaks", "growth"])
@pytest.mark.parametrize("background", [None, "constant"])
def test_a_peak_is_found_where_few_points_carry_all_the_weight_and_the_message_says_so(noisy, init, background):
    heights, sigma = counts_map(3, noisy)
    result = sf.fit(heights, 1, sigma=sigma, init=init, background=background, search=0)
    assert np.abs(result.surface.centers - [15, 30]).max() < 0.1
    assert "6 of 2000 points carry 99.9% of the weight" in result.message


@pytest.mark.parametrize("case", ["equal", "none", "a floor", "two kinds", "large instead of masked"])
def test_weights_of_many_points_raise_no_alarm(case):
    heights, sigma = counts_map(3, noisy=True, floor=1.0)
    sigmas = {
        "equal": 0.3,
        "none": None,
        "a floor": sigma,
        "two kinds": np.where(np.arange(50) < 5, 1.0, 1e3) * sigma,
        "large instead of masked": np.where(np.arange(50) < 10, 1e9, 1.0) * sigma,
    }
    result = sf.fit(heights, 1, sigma=sigmas[case], init="peaks")
    assert "weight" not in result.message


def test_equal_weights_and_none_start_alike(rng):
    heights = rng.normal(size=(20, 31))
    plain = request_of(heights, 7)
    weighted = replace(plain, weights=np.full(heights.size, 0.5))
    for one, other in zip(*(vars(STARTS["peaks"](request)).values() for request in (plain, weighted)), strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("kind", ["constant", "plane"])
def test_a_background_starts_where_the_heavy_points_are(rng, kind):
    """Each height counts as often as the square of its weight says: 9 times as a copy of it would."""
    points, heavy = rng.uniform(size=(400, 2)), rng.random(400) < 0.3
    heights = np.where(heavy, rng.normal(5, 0.1, 400), rng.normal(0, 1, 400))
    weights = np.where(heavy, 9.0, 1.0)
    copies = np.repeat(np.arange(400), weights.astype(int) ** 2)
    middle = points.mean(axis=0)
    weighted = background_start(kind, points, heights, 0.1, weights)(middle)
    if kind == "constant":
        np.testing.assert_allclose(weighted, np.quantile(heights[copies], 0.1), atol=0.02)
    assert abs(float(weighted) - 5) < 0.6
    assert float(background_start(kind, points, heights, 0.1, np.full(400, 3.0))(middle)) < 0.6


# Shape of the largest map, what it is found in, components, how many of them a round, whether pits count, with weights.
MANY = {
    "curves": ((70,), 3, 1, False, False),
    "longer than a matrix": ((MAX_MATRIX_CELLS + 9,), 4, 1, True, True),
    "frames": ((20, 23), 5, 1, False, False),
    "several a round": ((30, 26), 8, 3, True, False),
    "weights": ((24, 21), 6, 2, False, True),
    "volumes": ((8, 9, 10), 4, 2, False, True),
}


def noisy_requests(shape, count, weighted):
    """Maps of nearly one size, some with gaps and edges that are not used."""
    rng, requests = np.random.default_rng(1), []
    for n in range(4):
        own = tuple(length - n * (n < 3) for length in shape)
        points = np.stack(np.indices(own), axis=-1)
        heights = 0.1 * rng.normal(size=own)
        for _ in range(count):
            away = ((points - rng.uniform(0, 1, len(shape)) * own) ** 2).sum(axis=-1)
            heights += rng.uniform(-1, 3) * np.exp(-0.5 * away / rng.uniform(1, 3) ** 2)
        if n == 2:
            heights[rng.random(own) < 0.2] = np.nan
        if n == 3:
            heights[: own[0] // 3] = np.nan
        request = request_of(heights, count)
        weights = rng.uniform(0.5, 2, len(request.heights)) if weighted else None
        requests.append(replace(request, weights=weights))
    return requests


@pytest.mark.parametrize("case", MANY)
def test_peaks_of_many_maps_are_those_of_each_and_no_map_changes_another(case):
    shape, count, at_once, signed, weighted = MANY[case]
    requests = noisy_requests(shape, count, weighted)
    maps = [one.raster for one in requests]
    room = padded_shape(shape)
    counts = np.array([count, count - 1, count, count])

    def found(some):
        rasters = Rasters.of([maps[n] for n in some], room)
        sums = padded([maps[n].sums for n in some], room)
        return in_coordinates(rasters, peaks_of_maps(rasters, sums, counts[some], at_once, signed))

    whole = found([0, 1, 2, 3])
    for n in range(4):
        alone, of_map = found([n]), whole.some(whole.maps == n)
        for one, other in zip(alone[1:], of_map[1:], strict=True):
            np.testing.assert_array_equal(one, other)
        plain = find_peaks(maps[n], maps[n].sums, int(counts[n]), at_once, signed)
        assert len(plain) == len(of_map.maps)
        for one, peak in zip(zip(*of_map[1:], strict=True), plain, strict=True):
            for number, expected in zip(one, peak, strict=True):
                np.testing.assert_allclose(number, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("init", ["peaks", "growth"])
def test_what_lies_beyond_the_used_points_changes_no_start(init):
    heights = counts_map(2, True)[0][10:25, 20:40]
    wide = np.full((40, 60), np.nan)
    wide[7:22, 30:50] = heights
    none = sf.LevenbergMarquardt(max_steps=0)
    alone, padded_fit = (sf.fit(z, 2, init=init, search=0, solver=none).surface for z in (heights, wide))
    np.testing.assert_allclose(padded_fit.centers - alone.centers, [[7, 30]] * 2, atol=1e-6)
    np.testing.assert_allclose(padded_fit.covariances, alone.covariances, rtol=1e-6)
    np.testing.assert_allclose(padded_fit.amplitudes, alone.amplitudes, rtol=1e-6)
