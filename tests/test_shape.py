"""One shape for all components, held while their number, places and amplitudes are fitted."""

import numpy as np
import pytest

import surfacefit as sf

SHAPE = sf.covariance_from_fwhm(9.0, 5.0, 30.0)
PLACES = np.array([[8.0, 9.0], [20.0, 18.0], [23.5, 22.0]])
HEIGHTS = np.array([2.0, 4.0, 3.0])
SIZE, COUNT = (32, 34), len(HEIGHTS)
NOISE = 0.05


def field(shape=SHAPE, background=0.3):
    points = np.stack(np.indices(SIZE), axis=-1)
    truth = sf.GaussianSurface(HEIGHTS, PLACES, np.array([shape] * COUNT), background)
    return truth(points) + NOISE * np.random.default_rng(1).normal(size=points.shape[:2])


def matched(result):
    return np.linalg.norm(result.surface.centers[:, None] - PLACES, axis=2).argmin(axis=0)


@pytest.fixture(scope="module")
def chosen():
    return sf.fit(field(), shape=SHAPE, init="growth")


def test_the_number_of_components_is_chosen_with_their_shape_held(chosen):
    assert chosen.n_components == COUNT
    np.testing.assert_allclose(chosen.surface.covariances, np.array([SHAPE] * COUNT), rtol=1e-9)
    order = matched(chosen)
    assert sorted(order) == list(range(COUNT))
    pulls = (chosen.surface.centers[order] - PLACES) / chosen.standard_errors.centers[order]
    assert np.abs(pulls).max() < 4.5


def test_what_is_held_counts_as_no_parameter_and_has_no_error(chosen):
    assert chosen.n_parameters == 3 * COUNT + 1
    assert not chosen.standard_errors.covariances.any()
    assert not chosen.standard_errors.principal_widths.any()
    volumes = chosen.standard_errors.volumes / chosen.surface.volumes
    np.testing.assert_allclose(volumes, chosen.standard_errors.amplitudes / chosen.surface.amplitudes, rtol=1e-6)
    assert "fixed" in chosen.summary()
    volumes = chosen.surface.volumes
    assert (np.diff(volumes) <= 0).all(), "by falling volume: a shape for all is no reason to keep a start's order"


@pytest.mark.slow
def test_noise_has_no_component_and_no_held_shape_counts_for_it(tmp_path):
    result = sf.fit(np.random.default_rng(0).normal(size=SIZE), shape=SHAPE)
    assert (result.n_components, result.n_parameters) == (0, 1)
    result.save(tmp_path / "none.json")
    assert sf.load(tmp_path / "none.json").n_parameters == 1


def test_the_minimum_is_that_of_curve_fit():
    from scipy.optimize import least_squares

    heights, start = field(), sf.GaussianSurface(HEIGHTS, PLACES + 0.3, np.array([np.eye(2)] * COUNT))
    result = sf.fit(heights, COUNT, shape=SHAPE, init=start)
    points, inverse = np.stack(np.indices(SIZE), axis=-1).reshape(-1, 2), np.linalg.inv(SHAPE)

    def misfit(numbers):
        components = numbers[:-1].reshape(COUNT, 3)
        model = np.full(len(points), numbers[-1])
        for amplitude, *center in components:
            u = points - center
            model += amplitude * np.exp(-0.5 * np.einsum("ni,ij,nj->n", u, inverse, u))
        return model - heights.ravel()

    oracle = least_squares(misfit, np.append(np.column_stack([HEIGHTS, PLACES]).ravel(), 0.3), xtol=1e-12, ftol=1e-12)
    np.testing.assert_allclose(result.cost, oracle.cost, rtol=1e-9)
    order = matched(result)
    found = np.column_stack([result.surface.amplitudes, result.surface.centers])[order]
    np.testing.assert_allclose(found.ravel(), oracle.x[:-1], atol=1e-5)


@pytest.mark.parametrize("shape", [2.0, [2.0, 3.0], np.diag([4.0, 9.0])], ids=["number", "one an axis", "matrix"])
@pytest.mark.parametrize("engine", ["dense", pytest.param("tiled", marks=pytest.mark.slow)])
def test_a_shape_is_a_number_deviations_or_a_covariance(shape, engine):
    whole = np.diag(np.broadcast_to(shape, 2) ** 2) if np.ndim(shape) < 2 else shape
    result = sf.fit(field(whole), COUNT, shape=shape, init="peaks", engine=engine)
    np.testing.assert_allclose(result.surface.covariances, np.array([whole] * COUNT), rtol=1e-9)
    assert result.rmse < 1.1 * NOISE


def test_a_shape_is_kept_in_files_and_by_merging(chosen, tmp_path):
    chosen.save(tmp_path / "fit.json")
    again = sf.load(tmp_path / "fit.json")
    assert again.settings == chosen.settings
    np.testing.assert_array_equal(again.standard_errors.centers, chosen.standard_errors.centers)
    split = sf.fit(field(), COUNT + 1, shape=SHAPE, init="peaks").merged()
    np.testing.assert_allclose(split.surface.covariances, np.array([SHAPE] * split.n_components), rtol=1e-9)


def test_many_maps_have_one_shape():
    maps = np.stack([field(), field()[::-1, ::-1]])
    batch = sf.fit_many(maps, COUNT, shape=SHAPE, init="peaks")
    alone = sf.fit(maps[1], COUNT, shape=SHAPE, init="peaks")
    np.testing.assert_allclose(batch.covariances, np.broadcast_to(SHAPE, (2, COUNT, 2, 2)), rtol=1e-9)
    np.testing.assert_allclose(batch.rmse[1], alone.rmse, rtol=1e-6)


@pytest.mark.slow
def test_heights_of_one_and_three_dimensions():
    x = np.arange(60.0)
    curve = sf.fit(2 * np.exp(-0.5 * ((x - 20) / 3) ** 2) + np.exp(-0.5 * ((x - 27) / 3) ** 2), 2, shape=3.0)
    np.testing.assert_allclose(sorted(curve.surface.centers[:, 0]), [20, 27], atol=1e-4)
    z, y, x = np.mgrid[:10, :12, :14]
    volume = sf.fit(2 * np.exp(-0.5 * ((z - 5) ** 2 + ((y - 6) / 2) ** 2 + ((x - 7) / 3) ** 2)), 1, shape=[1, 2, 3])
    np.testing.assert_allclose(volume.surface.centers, [[5, 6, 7]], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": -1.0}, "`shape` must be positive standard deviations"),
        ({"shape": [1.0, 2.0, 3.0]}, "`shape` must be a standard deviation, one for each axis"),
        ({"shape": [[1.0, 2.0], [2.0, 1.0]]}, "`shape` must be a symmetric, positive definite covariance"),
        ({"shape": [[1.0, 0.5], [0.0, 1.0]]}, "`shape` must be a symmetric"),
        ({"shape": np.nan}, "`shape` must be positive"),
        ({"shape": 0.01}, "`shape` must be wider than `min_width` allows"),
        ({"shape": 500.0}, "`shape` must not be wider than the data"),
        ({"shape": 2.0, "covariance_type": "diag"}, "`shape` is one covariance for all components"),
        ({"shape": 2.0, "bounds": sf.Bounds(widths=(1, 3))}, "have no width to bound beside `shape`"),
        ({"shape": 2.0, "bounds": sf.Bounds(aspect=2.0)}, "have no width to bound beside `shape`"),
        ({"shape": 2.0, "fixed": "covariances", "init": "peaks"}, "`fixed` names 'covariances', which `shape` holds"),
    ],
)
def test_shapes_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sf.fit(np.ones((20, 30)), 1, **options)


def test_maps_cannot_have_shapes_of_their_own():
    with pytest.raises(
        ValueError, match=r"`shape` is one covariance \(2, 2\) for all components of all maps, got \(3,"
    ):
        sf.fit_many(np.ones((3, 20, 30)), 1, shape=np.tile(np.eye(2), (3, 1, 1)))


def test_a_shape_is_no_truth_value():
    with pytest.raises(TypeError, match="`shape` must be a standard deviation or a covariance, got True"):
        sf.fit(np.ones((20, 30)), 1, shape=True)


def test_a_shape_beside_fixed_centres_keeps_their_order():
    start = sf.GaussianSurface(np.ones(COUNT), PLACES[::-1], np.array([SHAPE] * COUNT))
    result = sf.fit(field(), COUNT, shape=SHAPE, init=start, fixed="centers")
    np.testing.assert_allclose(result.surface.centers, PLACES[::-1])
    np.testing.assert_allclose(result.surface.amplitudes, HEIGHTS[::-1], atol=0.15)


@pytest.mark.parametrize("angle", [0.0, 20.0, 135.0])
def test_a_covariance_from_widths_and_an_angle_has_them(angle):
    one = sf.GaussianSurface([1.0], [[0.0, 0.0]], [sf.covariance_from_fwhm(8.0, 4.0, angle)])
    np.testing.assert_allclose(one.fwhm, [[8.0, 4.0]])
    np.testing.assert_allclose(np.rad2deg(one.orientation), [angle], atol=1e-9)
    turn = np.deg2rad(angle)
    np.testing.assert_allclose(one(4.0 * np.array([np.sin(turn), np.cos(turn)])), 0.5)


def test_widths_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="`minor` must not exceed `major`"):
        sf.covariance_from_fwhm(1.0, 2.0)
    with pytest.raises(ValueError, match="`angle` must be finite"):
        sf.covariance_from_fwhm(2.0, 1.0, np.inf)
