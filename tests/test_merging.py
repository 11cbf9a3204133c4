"""Redundant components merged on request, and components at the narrowest width named."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._fit.merging import without

CENTERS = np.array([[12.0, 12.0], [28.0, 36.0], [12.0, 40.0]])
TRUTH = sf.GaussianSurface(np.array([3.0, 2.0, 1.0]), CENTERS, np.tile(np.diag([9.0, 16.0]), (3, 1, 1)))


def noisy(signs=(1, 1, 1)):
    points = np.argwhere(np.ones((40, 52), bool)).astype(float)
    truth = sf.GaussianSurface(TRUTH.amplitudes * signs, TRUTH.centers, TRUTH.covariances)
    return (truth(points) + 0.02 * np.random.default_rng(3).normal(size=len(points))).reshape(40, 52)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("amplitudes", "signs", "options"),
    [
        ("positive", (1, 1, 1), {"covariance_type": "diag", "background": None}),
        pytest.param("positive", (1, 1, 1), {"covariance_type": "tied", "engine": "tiled"}, marks=pytest.mark.slow),
        pytest.param("signed", (1, -1, 1), {}, marks=pytest.mark.slow),
    ],
)
def test_too_many_components_are_merged(amplitudes, signs, options):
    heights = noisy(signs)
    many = sf.fit(heights, 6, amplitudes=amplitudes, init="growth", **options)
    few = many.merged()
    assert many.redundant.any()
    assert few.n_components == 3
    assert not few.redundant.any()
    order = np.argsort(few.surface.centers[:, 0] + 10 * few.surface.centers[:, 1])
    np.testing.assert_allclose(few.surface.centers[order], CENTERS[[0, 1, 2]][np.argsort([132, 388, 412])], atol=0.2)
    assert few.rmse < 1.02 * many.rmse
    assert few.settings.covariance_type == many.settings.covariance_type
    assert few.settings.engine == many.settings.engine
    assert few.steps > many.steps


@pytest.mark.slow
def test_a_fit_without_redundant_components_is_left_alone():
    result = sf.fit(noisy(), 3, init="growth")
    assert result.merged() is result


def test_merging_keeps_volume_mean_and_covariance():
    """The moments of two overlapping components, taken as sums over samples."""
    rng = np.random.default_rng(0)
    surface = sf.GaussianSurface(
        np.array([2.0, 1.0, 3.0]),
        np.array([[0.0, 0.0], [1.0, 0.5], [40.0, 40.0]]),
        np.array([[[2.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [0.0, 1.0]]]),
    )
    joined = without(surface, 1)
    assert joined.n_components == 2
    np.testing.assert_allclose(joined.volumes[0], surface.volumes[:2].sum())
    shares = surface.volumes[:2] / surface.volumes[:2].sum()
    label = rng.choice(2, 200_000, p=shares)
    draws = surface.centers[label] + np.einsum(
        "nij,nj->ni", np.linalg.cholesky(surface.covariances)[label], rng.normal(size=(200_000, 2))
    )
    np.testing.assert_allclose(joined.centers[0], draws.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(joined.covariances[0], np.cov(draws.T), atol=0.04)
    np.testing.assert_array_equal(joined.centers[1], surface.centers[2])
    np.testing.assert_array_equal(without(surface, 2).amplitudes, [2.0, 1.0])  # far from the others: left out


def test_opposite_signs_are_not_merged_but_left_out():
    surface = sf.GaussianSurface(np.array([2.0, -1.0]), np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1)))
    left = without(surface, 1)
    np.testing.assert_array_equal(left.amplitudes, [2.0])
    np.testing.assert_array_equal(left.covariances, [np.eye(2)])


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_components_at_the_narrowest_width_are_named(covariance_type):
    """A single high pixel is narrower than `min_width` allows; a wide bump is not."""
    heights = np.zeros((24, 24))
    heights[12, 12] = 1.0
    spike = sf.fit(heights, 1, covariance_type=covariance_type, background=None, min_width=0.5, init="peaks")
    assert spike.at_floor.tolist() == [True]
    assert "at floor" in spike.summary()
    wide = sf.fit(noisy(), 3, covariance_type=covariance_type, init="peaks")
    assert not wide.at_floor.any()
    assert "at floor" not in wide.summary()


LINE = np.arange(60.0)
TWINS = sf.GaussianSurface(
    np.array([1.0, 1.0, 2.0]), np.array([[18.0], [20.0], [44.0]]), np.array([[[9.0]], [[10.0]], [[16.0]]])
)


def twins(**limits):
    """One Gaussian at 20 and one at 44, fitted from a start with two near the first."""
    truth = sf.GaussianSurface(np.array([2.0, 2.0]), np.array([[20.0], [44.0]]), np.array([[[10.0]], [[16.0]]]))
    heights = truth(LINE) + 0.02 * np.random.default_rng(0).normal(size=60)
    return sf.fit(heights, 3, init=TWINS, background=None, **limits)


@pytest.mark.parametrize("held", ["amplitudes", "centers", "covariances"])
def test_what_is_fixed_of_a_neighbour_stays_where_it_is_joined(held):
    names = ["amplitudes", "centers", "covariances"]
    free, joined = without(TWINS, 0), without(TWINS, 0, {held: np.array([False, True, False])})
    for name in names:
        before, moved, kept = (np.asarray(getattr(surface, name)) for surface in (TWINS, free, joined))
        assert moved[0] != before[1]
        assert (kept[0] == before[1]) == (name == held)
    if held != "amplitudes":
        np.testing.assert_allclose(joined.volumes[0], TWINS.volumes[:2].sum())


@pytest.mark.parametrize("name", ["centers", "covariances"])
def test_a_merged_fit_keeps_what_is_fixed(name):
    few = twins(fixed=name).merged()
    assert few.n_components == 2
    assert np.isin(getattr(few.surface, name).ravel().round(9), getattr(TWINS, name).ravel()).all()


def test_masks_and_limits_go_along_with_their_components():
    low, high = np.array([[10.0], [-5.0], [43.9]]), np.array([[30.0], [70.0], [43.95]])
    many = twins(
        fixed={"centers": [True, False, False], "covariances": [False, False, True]},
        bounds=sf.Bounds(amplitudes=([0, 0, 1.5], [9, 9, 1.9]), centers=(low, high)),
    )
    few = many.merged()
    assert few.n_components == 2
    gone = 0 if few.settings.constraints.fixed["centers"].tolist() == [False, False] else 1
    np.testing.assert_array_equal(few.settings.constraints.fixed["covariances"], [False, True])
    np.testing.assert_array_equal(
        few.settings.constraints.bounds.amplitudes, np.delete([[0, 0, 1.5], [9, 9, 1.9]], gone, axis=1)
    )
    np.testing.assert_array_equal(few.settings.constraints.bounds.centers, np.delete([low, high], gone, axis=1))
    assert few.surface.amplitudes[1] == pytest.approx(1.9)
    assert few.surface.centers[1, 0] <= 43.95
    np.testing.assert_allclose(few.surface.covariances[1], [[16.0]])
