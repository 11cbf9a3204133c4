"""Effective numbers of points, errors of amplitudes under correlated noise, and choices that use them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import surfacefit as sf
from surfacefit._data.data import grid_data, point_data
from surfacefit._data.effective_size import Noise, noise_of
from surfacefit._model.background import background_model
from surfacefit._problem.amplitude_errors import LinearizedSurface
from surfacefit._results.criteria import ComponentPath, decided_by


@pytest.mark.parametrize("shape", [(400,), (40, 50)])
def test_white_noise_counts_point_by_point(shape):
    noise = np.random.default_rng(0).normal(size=shape)
    found = noise_of(grid_data(noise), noise.ravel())
    assert (found.volume, found.length) == (1, 0)
    scattered = point_data(np.random.default_rng(1).uniform(size=(noise.size, 2)), noise.ravel())
    assert noise_of(scattered, noise.ravel()).volume < 1.3


@pytest.mark.parametrize(("shape", "points"), [((4000,), 3), ((90, 80), 9)])
def test_samples_under_a_running_mean_count_as_one(shape, points):
    """A running mean over m samples has an autocorrelation whose sum is m."""
    noise = uniform_filter(np.random.default_rng(0).normal(size=shape), 3, mode="wrap")
    found = noise_of(grid_data(noise), noise.ravel())
    assert found.volume == pytest.approx(points, rel=0.2)
    assert found.length >= 2
    positions = np.argwhere(np.ones(shape, bool)).astype(float)
    scattered = noise_of(point_data(positions, noise.ravel()), noise.ravel())
    assert scattered.volume == pytest.approx(points, rel=0.35)


def test_what_a_fit_has_taken_from_the_noise_is_given_back():
    """Residuals of a polynomial of degree 14 are correlated less than the noise was."""
    volumes = []
    for seed in range(20):
        noise = uniform_filter(np.random.default_rng(seed).normal(size=200), 3, mode="wrap")
        basis = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, 200), 14))[0]
        left = noise - basis @ (basis.T @ noise)
        volumes.append([noise_of(grid_data(noise), left, some).volume for some in (basis[:, :0], basis)])
    plain, corrected = np.mean(volumes, axis=0)
    assert plain < corrected
    assert corrected == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("shape", "background"), [("full", "plane"), ("diag", None), ("spherical", "constant"), ("tied", "constant")]
)
def test_errors_of_amplitudes_are_those_of_the_fit(shape, background):
    """Beside the errors from JAX's derivatives of the free numbers: by white and by correlated noise."""
    rows, columns = np.mgrid[:30, :34].astype(float)
    heights = 9 * np.exp(-((rows - 12) ** 2 + (columns - 10) ** 2) / 18) + 7 * np.exp(
        -((rows - 14) ** 2 + (columns - 17) ** 2) / 18
    )
    heights += uniform_filter(np.random.default_rng(0).normal(size=heights.shape), 3)
    start = sf.GaussianSurface([9.0, 7.0], [[12.0, 10.0], [14.0, 17.0]], np.tile(9 * np.eye(2), (2, 1, 1)))
    result = sf.fit(heights, 2, covariance_type=shape, background=background, init=start)
    surface = result.surface
    inner = LinearizedSurface(
        surface, background_model(surface.background), result.data.used_points, result.data.weights, shape,
        np.zeros((2, 2), bool),
    )  # fmt: skip
    white = Noise(2 * result.cost / (result.n_points - result.n_parameters), 1.0, 0.0)
    expected = surface.amplitudes / result.standard_errors.amplitudes
    np.testing.assert_allclose(inner.significances(white), expected, rtol=1e-3)
    noise = noise_of(result.data, result.residuals.ravel(), inner.basis)
    expected = surface.amplitudes / result.uncertainty("correlated").amplitudes
    np.testing.assert_allclose(inner.significances(noise), expected, rtol=1e-2)


def test_an_amplitude_that_the_data_do_not_determine_is_not_significant():
    """The second component stands where there are no points."""
    surface = sf.GaussianSurface([3.0, 5.0], [[20.0], [80.0]], [[[9.0]], [[1.0]]])
    points = np.arange(40.0)[:, None]
    inner = LinearizedSurface(surface, background_model(None), points, np.ones(40), "full", np.zeros((2, 1), bool))
    significances = inner.significances(Noise(0.01, 1.0, 0.0))
    assert significances[0] > 20
    assert significances[1] < 1


def pulses(seed):
    """Three pulses with noise of 5 under a running mean over three samples."""
    x = np.arange(120.0)
    heights = sum(a * np.exp(-0.5 * ((x - c) / w) ** 2) for a, c, w in ((300, 30, 8), (120, 52, 6), (90, 85, 12)))
    return heights + np.convolve(np.random.default_rng(seed).normal(size=122) * 5, np.ones(3) / 3, "valid")


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(6), marks=pytest.mark.slow)])
def test_pulses_under_correlated_noise_are_counted(seeds):
    results = [sf.fit(pulses(seed), background=None) for seed in seeds]
    assert [result.n_components for result in results] == [3] * len(seeds)
    for result in results:
        assert result.path.criterion == "effective_bic"
        here = result.path.n_components == 3
        assert result.path.significance[here] >= 5
        volume, n = result.path.correlation_volume, 120
        deviance, p = n * np.log(result.path.rmse**2), result.path.n_parameters + 1  # and the variance
        expected = deviance / volume + p * np.log(n / volume)
        np.testing.assert_allclose(result.path.effective_bic, expected, rtol=1e-9)
    volumes = [result.path.correlation_volume for result in results]
    assert max(volumes) > 1.5
    assert len(seeds) < 6 or np.median(volumes) > 1.8
    assert sf.fit(pulses(seeds[-1]), sf.AutoComponents("bic"), background=None).n_components > 3


def test_no_component_stays_that_is_not_significant():
    """A fourth hill of three errors, which the BIC alone may keep and five errors do not."""
    heights = pulses(0)
    result = sf.fit(heights, sf.AutoComponents("significance", n_sigma=5), background=None)
    assert result.n_components == 3
    assert (result.surface.amplitudes > 5 * result.uncertainty("correlated").amplitudes).all()
    some = sf.fit(heights, sf.AutoComponents("significance", n_sigma=100), background=None)
    assert some.n_components < 3


def test_what_the_model_cannot_do_counts_as_no_misfit():
    """A pulse that falls slower than it rises, with a true second pulse of a fifth of its height."""
    x = np.arange(160.0)
    skewed = 300 * np.exp(-0.5 * ((x - 50) / np.where(x < 50, 8, 11)) ** 2)
    heights = skewed + 60 * np.exp(-0.5 * ((x - 110) / 7) ** 2) + np.random.default_rng(0).normal(size=160)
    many = sf.fit(heights, background=None).n_components
    few = sf.fit(heights, sf.AutoComponents(tolerance=0.1), background=None)
    assert many > 2
    assert few.n_components == 2
    np.testing.assert_allclose(np.sort(few.surface.centers.ravel())[1], 110, atol=1)


NO_COMPONENT = np.random.default_rng(0).normal(size=(24, 30))


@pytest.mark.parametrize(
    "options", [{}, {"background": None}, {"background": "plane", "covariance_type": "tied"}], ids=str
)
def test_a_result_without_components_works(tmp_path, options):
    result = sf.fit(NO_COMPONENT, **options)
    assert (result.n_components, result.success) == (0, True)
    assert result.surface.centers.shape == (0, 2)
    assert "0 Gaussians" in result.summary()
    assert all(
        len(part) == 0 for part in (result.flags, result.worth, result.redundant, result.at_floor, result.resets)
    )
    size = {"plane": 3}.get(options.get("background", "constant"), 0 if options else 1)
    assert result.n_parameters == result.statistics.n_parameters == size
    for method in ("hessian", "sandwich", "correlated"):
        errors = result.uncertainty(method)
        assert errors.amplitudes.shape == (0,)
        assert errors.covariances.shape == (0, 2, 2)
        assert errors.matrix.shape == (size, size)
    assert result.bootstrap(3).surfaces.amplitudes.shape == (3, 0)
    assert result.merged().n_components == 0
    assert result.predict().shape == NO_COMPONENT.shape
    result.plot()
    result.path.plot()
    result.diagnostics.plot()
    for name in ("fit.json", "fit.npz"):
        result.save(tmp_path / name)
        loaded = sf.load(tmp_path / name)
        assert loaded.surface.covariances.shape == (0, 2, 2)
        assert loaded.summary() == result.summary()
        np.testing.assert_array_equal(loaded.predict(), result.predict())


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 8), marks=pytest.mark.slow)])
def test_frames_of_noise_have_no_component(seeds):
    """Noise that is white, and noise under a running mean of 3 x 3 samples."""
    for seed in seeds:
        white = np.random.default_rng(seed).normal(size=(20, 20))
        assert sf.fit(white[1:-1, 1:-1]).n_components == 0
        assert sf.fit(uniform_filter(white, 3)[1:-1, 1:-1]).n_components == 0


def test_a_path_says_which_criterion_decided():
    path = ComponentPath(
        n_components=np.arange(4),
        **{name: np.array([4.0, 3.0, 2.0, 1.0]) for name in ("rmse", "r2", "bic", "aicc", "effective_bic")},
        **{name: np.full(4, np.nan) for name in ("held_out", "held_out_se")},
        n_parameters=np.arange(1, 5),
        significance=np.array([np.nan, 7.0, 3.0, np.nan]),
        criterion="effective_bic",
        chosen=1,
    )
    assert decided_by(path) == "significance"
    assert decided_by(replace(path, chosen=3)) == "effective_bic"
    assert decided_by(replace(path, significance=np.full(4, np.nan))) == "effective_bic"
    assert decided_by(replace(path, criterion="bic")) == "bic"
    labels = [panel.get_ylabel() for panel in path.plot().axes]
    assert labels[-1] == "least amplitude / its error"
