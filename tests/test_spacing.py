"""How far apart scattered points are: lattices, clouds, tracks and rows, and fits to points along a track."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._data.data import grid_data, point_data
from surfacefit._data.spacing import scattered_spacing

CIRCLE = 10 * np.stack([np.cos(np.arange(400) * np.pi / 200), np.sin(np.arange(400) * np.pi / 200)], axis=1)


def lattice(*axes):
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(float)


@pytest.mark.parametrize(
    "axes",
    [
        (np.arange(30),),
        (np.arange(10) * 0.5, np.arange(10)),
        (np.arange(100), 7.0 * np.arange(9)),
        (np.arange(5), np.arange(6), np.arange(7) * 1e-6),
        (np.arange(9), [3.0]),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_points_on_a_lattice_are_as_far_apart_as_on_a_grid(rng, axes, share):
    points = lattice(*axes)
    kept = rng.permutation(len(points))[: max(6, int(share * len(points)))]
    grid = grid_data(np.zeros(tuple(len(axis) for axis in axes)), [np.asarray(axis, float) for axis in axes])
    twice = np.concatenate([points[kept], points[kept]])
    np.testing.assert_allclose(point_data(twice, np.zeros(len(twice))).spacing, grid.spacing, rtol=1e-12)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_a_cloud_is_as_far_apart_as_if_spread_evenly(rng, n_dim):
    extent = np.array([1.0, 1e5, 1e-3])[:n_dim]
    points = rng.uniform(size=(3000, n_dim)) * extent
    np.testing.assert_allclose(scattered_spacing(points), np.ptp(points, axis=0) / 3000 ** (1 / n_dim), rtol=0.05)


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (1e-4, 300.0)])
def test_points_along_a_track_are_as_far_apart_as_their_second_neighbours(stretch):
    step = 20 * np.sin(np.pi / 200)  # of the second neighbour on either side
    np.testing.assert_allclose(scattered_spacing(CIRCLE * stretch), step * np.array(stretch), rtol=1e-9)


def test_rows_are_as_far_apart_as_they_are(rng):
    points = np.concatenate([np.stack([rng.uniform(0, 50, 300), np.full(300, 4.0 * row)], axis=1) for row in range(6)])
    along, across = scattered_spacing(points)
    assert across == 4.0
    assert along < 1.0  # 50 / sqrt(1800) = 1.2 in a box that is filled


@pytest.mark.parametrize(
    "points", [[[1.0, 2.0]], [[1.0, 2.0]] * 5, [[1.0, 2.0], [1.0, 3.0]], [[0.0, 0.0], [5e-324, 1.0], [1.0, 2.0]]]
)
def test_few_points_have_a_spacing(points):
    spacing = point_data(points, np.zeros(len(points))).spacing
    assert np.isfinite(spacing).all()
    assert (spacing > 0).all()


def test_a_peak_narrower_than_a_filled_box_would_allow_is_fitted_along_a_track():
    """400 points on a circle, 0.157 apart: 1.0 apart if spread over its square, which would keep widths above 0.25."""
    centers = np.array([[10.0, 0.0], [0.0, 10.0], [-7.1, -7.1]])
    truth = sf.GaussianSurface(
        np.array([3.0, 2.0, 1.0]), centers, np.array([0.04, 0.02, 0.03])[:, None, None] * np.eye(2)
    )
    start = sf.GaussianSurface(truth.amplitudes * 1.1, centers + 0.02, truth.covariances * 1.1)
    result = sf.fit_points(
        CIRCLE, truth(CIRCLE), 3, background=None, covariance_type="spherical", init=start,
        solver=sf.LevenbergMarquardt(slack=0),
    )  # fmt: skip
    assert result.rmse < 1e-9
