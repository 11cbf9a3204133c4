"""Heights that are means over pixels, against error functions and photutils, and what is refused."""

import numpy as np
import pytest
from scipy.special import erf

import surfacefit as sf
from surfacefit._engines.pixel_nodes import PIXEL_ERROR, nodes_an_axis, pixel_nodes

Y, X = np.arange(13.0), np.arange(15.0)
CENTER, WIDTHS, AMPLITUDE = (6.3, 7.2), (0.4, 0.6), 5.0
FLUX = AMPLITUDE * 2 * np.pi * WIDTHS[0] * WIDTHS[1]


def means(axis, center, width):
    """Means of a Gaussian of height one over the pixels of an axis, in closed form."""
    ends = [erf((axis + side - center) / (np.sqrt(2) * width)) for side in (-0.5, 0.5)]
    return np.sqrt(np.pi / 2) * width * (ends[1] - ends[0])


STAR = AMPLITUDE * np.outer(means(Y, CENTER[0], WIDTHS[0]), means(X, CENTER[1], WIDTHS[1])) + 1
START = sf.GaussianSurface([4.0], [[6.2, 7.0]], [0.25 * np.eye(2)], background=1.0)


@pytest.mark.parametrize("kind", ["diag", "full"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_star_narrower_than_a_pixel_keeps_its_flux(kind, dtype):
    fits = {
        sampling: sf.fit(STAR, 1, init=START, covariance_type=kind, sampling=sampling, dtype=dtype)
        for sampling in ("points", "integrated")
    }
    found = fits["integrated"].surface
    np.testing.assert_allclose(found.volumes, FLUX, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariances[0])), WIDTHS, rtol=1e-3)
    assert abs(fits["points"].surface.volumes[0] - FLUX) > 5e-3 * FLUX
    np.testing.assert_allclose(fits["integrated"].predict(), STAR, atol=2e-4 * AMPLITUDE)
    assert fits["integrated"].rmse < 1e-4


def test_aslant_stars_are_means_over_pixels():
    """Against a sum over 40 x 40 points of each pixel."""
    surface = sf.GaussianSurface([5.0], [CENTER], [[[0.3, 0.15], [0.15, 0.4]]], background=1.0)
    fine = (np.arange(40) + 0.5) / 40 - 0.5
    points = np.stack(np.meshgrid(Y, X, indexing="ij"), axis=-1)
    heights = sum(surface(points + np.array([a, b])) for a in fine for b in fine) / 1600
    result = sf.fit(heights, 1, init=START, sampling="integrated")
    np.testing.assert_allclose(result.surface.covariances, surface.covariances, atol=2e-3)
    np.testing.assert_allclose(result.surface.volumes, surface.volumes, rtol=1e-3)


def test_errors_are_those_of_simulated_stars():
    rng, noise = np.random.default_rng(3), 0.05
    options = {"init": START, "covariance_type": "diag", "sampling": "integrated", "min_width": 0.3}
    fits = [sf.fit(STAR + noise * rng.normal(size=STAR.shape), 1, **options) for _ in range(60)]
    pulls = np.array([(fit.surface.volumes[0] - FLUX) / fit.standard_errors.volumes[0] for fit in fits])
    assert abs(pulls.mean()) < 0.45
    assert 0.7 < pulls.std() < 1.3


def test_coordinates_may_have_any_step():
    options = {"covariance_type": "diag", "sampling": "integrated", "background": None}
    start = sf.GaussianSurface([4.0], [[6.2 * 3, 7.0 * 0.2]], [0.25 * np.diag([9.0, 0.04])])
    result = sf.fit(STAR - 1, 1, coords=(3 * Y, 0.2 * X), init=start, **options)
    np.testing.assert_allclose(np.sqrt(np.diagonal(result.surface.covariances[0])), [1.2, 0.12], rtol=1e-3)


@pytest.mark.parametrize("width", [0.1, 0.25, 0.5, 1.0, 2.0])
def test_nodes_keep_to_their_error(width):
    centers = np.linspace(-3, 3, 401)
    places, shares = np.polynomial.legendre.leggauss(nodes_an_axis(width))
    found = shares / 2 @ np.exp(-(((places[:, None] / 2 - centers) / width) ** 2) / 2)
    assert np.abs(found - means(np.zeros(1), centers, width)).max() <= (1.1 if width > 0.1 else 20) * PIXEL_ERROR


def test_nodes_of_a_pixel():
    offsets, shares = pixel_nodes(np.array([2.0, 0.5]), 0.5)
    np.testing.assert_allclose(shares.sum(), 1)
    np.testing.assert_allclose(shares @ offsets, 0, atol=1e-15)
    np.testing.assert_allclose(shares @ offsets**2, [4 / 12, 0.25 / 12])  # the variance of a box


def test_a_model_of_photutils_is_met():
    psf = pytest.importorskip("photutils.psf")
    y, x = np.meshgrid(Y, X, indexing="ij")
    model = psf.CircularGaussianPRF(flux=20.0, x_0=7.2, y_0=6.3, fwhm=1.0)
    result = sf.fit(model(x, y), 1, init=START, covariance_type="spherical", sampling="integrated", background=None)
    np.testing.assert_allclose(result.surface.volumes, 20.0, rtol=1e-3)
    np.testing.assert_allclose(result.surface.fwhm[0], 1.0, rtol=1e-3)


def test_files_keep_the_sampling(tmp_path):
    result = sf.fit(STAR, 1, init=START, covariance_type="diag", sampling="integrated")
    result.save(tmp_path / "fit.json")
    np.testing.assert_array_equal(sf.load(tmp_path / "fit.json").predict(), result.predict())


REFUSED = {
    "another word": ({"sampling": "mean"}, "`sampling` must be one of"),
    "uneven": ({"sampling": "integrated", "coords": (Y**2, X)}, "needs pixels of one size: .* got uneven ones"),
    "devices": ({"sampling": "integrated", "engine": sf.Dense(devices=1)}, "is for an engine on one device"),
    "devices of tiles": ({"sampling": "integrated", "engine": sf.Tiled(devices=1)}, "is for an engine on one device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        sf.fit(STAR, 1, **options)


def test_scattered_points_have_no_pixels():
    points = np.random.default_rng(0).uniform(0, 9, size=(50, 2))
    with pytest.raises(ValueError, match=r"needs pixels of one size: .* got scattered points"):
        sf.fit_points(points, points.sum(axis=1), 1, sampling="integrated")
