"""Components behind a beam: own sizes, their errors and limits, point sources, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._constraints.convolved import Convolved, OwnVariances
from surfacefit._instrument.map_beam import beam_of_map
from surfacefit._instrument.upper_limits import most_variances
from surfacefit._model.covariance import COVARIANCE_TYPES

BEAM = sf.covariance_from_fwhm(6.0, 4.0, 30.0)
Y, X = np.mgrid[:24, :30]
OWN = {
    "full": np.array([[5.0, 2.0], [2.0, 3.0]]),
    "diag": np.diag([1.0, 6.0]),
    "spherical": 3.0 * np.eye(2),
    "tied": np.array([[5.0, -2.0], [-2.0, 3.0]]),
}


def seen(own, center=(11.0, 14.0), amplitude=5.0):
    """A component behind the beam, by SciPy's formula of a Gaussian."""
    inverse = np.linalg.inv(np.asarray(own) + BEAM)
    offsets = np.stack([Y - center[0], X - center[1]], axis=-1)
    return amplitude * np.exp(-0.5 * np.einsum("...i,ij,...j->...", offsets, inverse, offsets))


def noise(seed=0, deviation=0.05):
    return deviation * np.random.default_rng(seed).normal(size=Y.shape)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_own_covariances_are_found(kind, dtype):
    start = sf.GaussianSurface([4.0], [[12.0, 13.0]], [BEAM + 2 * np.eye(2)])
    result = sf.fit(seen(OWN[kind]), 1, beam=BEAM, covariance_type=kind, init=start, background=None, dtype=dtype)
    close = 1e-6 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(result.deconvolved.covariances[0], OWN[kind], atol=close)
    np.testing.assert_allclose(result.surface.covariances[0], OWN[kind] + BEAM, atol=close)


def test_a_start_narrower_than_the_beam_grows():
    start = sf.GaussianSurface([4.0], [[12.0, 13.0]], [0.3 * BEAM])
    result = sf.fit(seen(OWN["full"]), 1, beam=BEAM, init=start, background=None)
    np.testing.assert_allclose(result.deconvolved.covariances[0], OWN["full"], atol=1e-5)


def test_errors_of_own_covariances_are_those_of_what_is_seen():
    """The beam is a constant: a free fit of what is seen has the same errors, and its widths those of the delta
    method.
    """
    heights = seen(OWN["full"]) + noise()
    result = sf.fit(heights, 1, beam=BEAM)
    free, sizes = sf.fit(heights, 1), result.deconvolved
    np.testing.assert_allclose(sizes.covariance_errors, free.standard_errors.covariances, rtol=1e-3)
    assert sizes.resolved.all()
    changes = np.random.default_rng(1).multivariate_normal(np.zeros(3), free.standard_errors.matrix[3:6, 3:6], 4000)
    moved = sizes.covariances[0] + changes[:, [[0, 1], [1, 2]]]
    scatter = np.sqrt(np.linalg.eigvalsh(moved)[:, ::-1]).std(axis=0)
    np.testing.assert_allclose(sizes.width_errors[0], scatter, rtol=0.1)
    assert (sizes.upper_limits > sizes.principal_widths).all()


def test_a_point_has_upper_limits_and_a_flag():
    result = sf.fit(seen(np.zeros((2, 2))) + noise(2), 1, beam=BEAM)
    sizes = result.deconvolved
    assert sizes.unresolved.tolist() == [True]
    assert np.isinf(sizes.width_errors).all()
    assert np.isfinite(sizes.covariance_errors).all()
    assert ((sizes.upper_limits > 0.1) & (sizes.upper_limits < 2.0)).all()
    assert sf.ComponentFlag.AT_FLOOR in result.flags[0]
    assert (np.linalg.eigvalsh(result.surface.covariances[0] - BEAM) > -1e-9).all()


def test_points_are_counted():
    heights = seen(0 * BEAM, (8.0, 7.0)) + seen(0 * BEAM, (14.0, 20.0), 2.0) + noise(3)
    result = sf.fit(heights, beam=BEAM, covariance_type="beam")
    assert result.n_components == 2
    np.testing.assert_allclose(result.surface.covariances, [BEAM, BEAM])
    assert result.n_parameters == 2 * 3 + 1
    assert not result.at_floor.any()
    assert result.deconvolved.upper_limits.tolist() == [[0.0, 0.0]] * 2


def test_engines_agree():
    start = sf.GaussianSurface([4.0], [[12.0, 13.0]], [BEAM + 2 * np.eye(2)])
    heights = seen(OWN["full"]) + noise()
    dense, tiled = (sf.fit(heights, 1, beam=BEAM, init=start, engine=e) for e in ("dense", sf.Tiled(cutoff=1e-12)))
    np.testing.assert_allclose(dense.surface.covariances, tiled.surface.covariances, rtol=1e-5)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize("n_dim", [1, 2, 3])
@pytest.mark.parametrize("form", [Convolved, OwnVariances])
def test_numbers_and_factors(form, kind, n_dim):
    """Numbers of a covariance give it back, also at the beam itself."""
    rng = np.random.default_rng(n_dim)
    root = rng.normal(size=(n_dim, n_dim)) + 3 * np.eye(n_dim)
    beam, own = np.linalg.cholesky(root @ root.T), {"spherical": np.eye(n_dim), "diag": np.diag(1.0 + np.arange(n_dim))}
    other = rng.normal(size=(n_dim, n_dim))
    covariances = np.array([beam @ beam.T + scale * own.get(kind, other @ other.T) for scale in (1.0, 1e-9, 40.0)])
    model, floor = form(beam, COVARIANCE_TYPES[kind]), np.ones(n_dim)
    factors = model.cholesky(model.parameters(covariances, floor), floor)
    assert (np.triu(factors, 1) == 0).all()
    np.testing.assert_allclose(factors @ factors.swapaxes(1, 2), covariances, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((factors @ factors.swapaxes(1, 2))[[0, 2]], covariances[[0, 2]], rtol=1e-9, atol=1e-9)


def test_files_keep_the_beam(tmp_path):
    result = sf.fit(seen(OWN["full"]) + noise(), 1, beam=BEAM)
    result.save(tmp_path / "fit.npz")
    again = sf.load(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.settings.beam, BEAM)
    np.testing.assert_array_equal(again.deconvolved.covariance_errors, result.deconvolved.covariance_errors)


def test_the_beam_of_a_map_is_turned_to_its_pixels():
    """A map of 2 x 1 arc seconds a pixel (rows x columns) with north up and east to the left."""
    pytest.importorskip("astropy")
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 40.0, "CRVAL2": 10.0, "CRPIX1": 15.5, "CRPIX2": 12.5}
    from astropy.io.fits import Header

    header = Header({**cards, "CDELT1": -1 / 3600, "CDELT2": 2 / 3600, "CUNIT1": "deg", "CUNIT2": "deg"})
    labels = SimpleNamespace(wcs=header.tostring(), beam=(6 / 3600, 4 / 3600, 90.0))
    data = SimpleNamespace(n_dim=2, axes=(np.arange(24.0), np.arange(30.0)))
    per_width = 2 * np.sqrt(2 * np.log(2))
    np.testing.assert_allclose(beam_of_map(labels, data), np.diag([2.0, 6.0]) ** 2 / per_width**2, atol=1e-5)


REFUSED = {
    "a word": ({"beam": "narrow"}, "`beam` must be a covariance, deviations or 'map'"),
    "of no map": ({"beam": "map"}, "`beam`='map' needs a map whose header has BMAJ"),
    "not definite": ({"beam": np.ones((2, 2))}, "`beam` must be a symmetric, positive definite covariance"),
    "NaN": ({"beam": np.nan}, "`beam` must be positive standard deviations"),
    "wider than the data": ({"beam": 100.0}, "`beam` must not be wider than the data"),
    "a shape too": ({"beam": 2.0, "shape": 3.0}, "`beam` and `shape` both say how wide"),
    "limits of widths": ({"beam": 2.0, "bounds": sf.Bounds(widths=(1, 5))}, "`bounds.widths` limits what is seen"),
    "points of no beam": ({"covariance_type": "beam"}, "`covariance_type`='beam' means point sources"),
    "tied points": ({"beam": 2.0, "covariance_type": "beam", "tied": "covariances"}, "`tied` has no shape to tie"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        sf.fit(seen(OWN["full"]), 1, **options)


def test_without_a_beam_nothing_is_deconvolved():
    with pytest.raises(ValueError, match="`deconvolved` needs a fit with a `beam`"):
        sf.fit(seen(OWN["full"]), 1).deconvolved  # noqa: B018


@pytest.mark.parametrize("together", [1, 2])
def test_limits_are_where_the_sum_of_squares_has_risen_by_their_squared_errors(together):
    """Of a Gaussian on a grid with known noise, against one that is as much wider, its amplitude fitted anew."""
    rows, columns = np.mgrid[-60:61, -60:61]
    z, noise, variance = 2.0, 0.7, 25.0

    def shape(v):
        return np.exp(-(rows**2) / (2 * v) - columns**2 / (2 * (v if together == 2 else variance)))

    star = 5 * shape(variance)
    slope = (shape(variance + 1e-4) - shape(variance - 1e-4)) * 5 / 2e-4
    orthogonal = slope - shape(variance) * (slope * shape(variance)).sum() / (shape(variance) ** 2).sum()
    error = noise / np.sqrt((orthogonal**2).sum())
    limit = float(most_variances(np.array(variance), np.array(error), z, together))
    wider = shape(limit)
    left = star - wider * (wider * star).sum() / (wider**2).sum()
    np.testing.assert_allclose((left**2).sum() / noise**2, z**2, rtol=1e-3)
    assert limit > variance + z * error


def test_what_is_lost_in_noise_may_have_any_width():
    assert np.isinf(most_variances(np.array([1.0]), np.array([2.0]), 2.0, 1)).all()
    np.testing.assert_allclose(most_variances(np.array([1.0]), np.array([0.0]), 2.0, 1), 1.0)


def test_a_source_at_its_upper_limit_costs_four_more():
    """Held at the limit, all else fitted anew: two errors are a rise of the sum of squares by four."""
    star = 5 * np.exp(-((Y - 11.2) ** 2 + (X - 14.3) ** 2) / (2 * (4.0 + 1.0)))
    heights = star + 0.5 * np.random.default_rng(4).normal(size=star.shape)
    options = {"sigma": 0.5, "absolute_sigma": True, "background": None}
    result = sf.fit(heights, 1, beam=2.0, covariance_type="spherical", **options)
    limit = result.deconvolved.upper_limits[0, 0]
    held = sf.fit(heights, 1, shape=float(np.sqrt(4.0 + limit**2)), init=result.surface, **options)
    np.testing.assert_allclose(2 * (held.cost - result.cost), 4.0, rtol=0.2)


def test_a_beam_on_axes_of_very_different_units():
    """The same fit, in units of which one is 1e10 of the other, on an axis that falls."""
    rows, columns = np.mgrid[:16, :18]
    beam, step = sf.covariance_from_fwhm(4.0, 3.0, 30.0), np.array([-2e-6, 3e4])
    truth = sf.GaussianSurface([5.0], [[7.2, 8.9]], [beam + np.diag([1.0, 2.0])])
    image = truth(np.stack([rows, columns], axis=-1)) + 0.01 * np.random.default_rng(0).normal(size=rows.shape)
    axes = (step[0] * rows[:, 0] + 5, step[1] * columns[0] - 1e5)
    stretch = np.outer(step, step)
    start = sf.GaussianSurface([4.0], [[7.0, 9.0]], [beam + np.eye(2)])
    there = sf.GaussianSurface([4.0], start.centers * step + [5, -1e5], start.covariances * stretch)
    plain = sf.fit(image, 1, beam=beam, init=start).deconvolved
    scaled = sf.fit(image, 1, coords=axes, beam=beam * stretch, init=there).deconvolved
    np.testing.assert_allclose(scaled.covariances / stretch, plain.covariances, rtol=1e-4, atol=1e-4)


def test_a_beam_that_widens_nothing_is_refused():
    with pytest.raises(ValueError, match="`beam` must not be narrower than 1e-06 sampling distances, got 1e-08"):
        sf.fit(np.ones((9, 9)), 1, beam=1e-8)
