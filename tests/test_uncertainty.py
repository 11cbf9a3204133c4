"""Errors of a fit against scipy's curve_fit, formulas in NumPy, differences and refits, and where there are none."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences
from scipy.ndimage import uniform_filter
from scipy.optimize import curve_fit

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._constraints.bounds import Bounds, Constraints, checked_bounds
from surfacefit._constraints.containment import holds, region_of
from surfacefit._data.data import grid_data, point_data
from surfacefit._results.record import Settings, Timings
from surfacefit._results.result import FitResult
from surfacefit._statistics.linearization import linearized_at

X = np.linspace(-3, 12, 80)
LINE = [2.0, 1.0, 4.5, 0.5]
SCALE = 0.1
RHO = {
    "linear": lambda s: (s, np.ones_like(s), np.ones_like(s)),
    "huber": lambda s: (np.where(s <= 1, s, 2 * np.sqrt(s) - 1), 1 / np.sqrt(np.maximum(s, 1)), (s <= 1) * 1.0),
    "soft_l1": lambda s: (2 * (np.sqrt(1 + s) - 1), (1 + s) ** -0.5, (1 + s) ** -1.5),
    "cauchy": lambda s: (np.log1p(s), 1 / (1 + s), np.maximum((1 - s) / (1 + s) ** 2, np.finfo(float).eps)),
}  # rho, rho' and rho' + 2 s rho''


def at(surface, data, kind="full", *, loss="linear", f_scale=1.0, prior=None, constraints=None):
    """A result as a fit that ended here would give it, without the fit."""
    misfits = (surface(data.used_points) - data.used_heights) * data.weights
    cost = 0.5 * f_scale**2 * RHO[loss]((misfits / f_scale) ** 2)[0].sum()
    constraints = constraints or Constraints()
    settings = Settings(
        solver="LevenbergMarquardt",
        dtype="float64",
        n_parameters=0,
        engine="dense",
        covariance_type=kind,
        prior=prior,
        loss=loss,
        f_scale=f_scale,
        constraints=constraints,
        contained=holds(region_of(data), surface),
    )
    result = FitResult(surface, data, float(cost), sf.Status.CONVERGED_COST, 1, {}, Timings(0, 0, 0, 0), settings)
    with precision(np.dtype(np.float64)):
        return replace(result, settings=replace(settings, n_parameters=linearized_at(result)[0].n_parameters))


def surface_of(numbers, k, n_dim):
    """A surface over a constant from its numbers in the order of `Uncertainty.names`."""
    rows, columns = np.tril_indices(n_dim)
    amplitudes, centers, triangles, background = np.split(numbers, [k, k + k * n_dim, k + k * n_dim + k * len(rows)])
    covariances = np.empty((k, n_dim, n_dim))
    covariances[:, rows, columns] = covariances[:, columns, rows] = triangles.reshape(k, -1)
    return sf.GaussianSurface(amplitudes, centers.reshape(k, n_dim), covariances, sf.ConstantBackground(background[0]))


def numbers_of(surface):
    rows, columns = np.tril_indices(surface.n_dim)
    parts = (surface.amplitudes, surface.centers, surface.covariances[:, rows, columns], surface.background.value)
    return np.concatenate([np.ravel(part) for part in parts])


def flat_model(points, a, y, x, syy, sxy, sxx, b):
    offset = points - [y, x]
    inverse = np.linalg.inv([[syy, sxy], [sxy, sxx]])
    return b + a * np.exp(-0.5 * np.einsum("ni,ij,nj->n", offset, inverse, offset))


def line_model(x, a, c, s, b):
    return b + a * np.exp(-0.5 * (x - c) ** 2 / s)


def same_matrix(found, expected, rtol):
    """As errors and correlations."""
    sizes = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(np.sqrt(np.diag(found)), sizes, rtol=rtol)
    np.testing.assert_allclose(found / np.outer(sizes, sizes), expected / np.outer(sizes, sizes), atol=2 * rtol)


@pytest.fixture(scope="module")
def pair():
    """Two components that overlap, of unlike shapes, under noise of known and uneven sigma."""
    points = np.stack(np.mgrid[:22, :26], axis=-1).astype(float)
    covariances = np.array([[[6.0, 2.0], [2.0, 9.0]], [[8.0, -3.0], [-3.0, 4.0]]])
    surface = sf.GaussianSurface(
        np.array([2.0, 1.5]), np.array([[9.0, 9.0], [13.0, 15.0]]), covariances, sf.ConstantBackground(0.3)
    )
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.05, 0.15, points.shape[:2])
    return at(surface, grid_data(surface(points) + sigma * rng.normal(size=sigma.shape), None, None, sigma, True))


@pytest.mark.parametrize("absolute", [False, True])
def test_as_scipy_curve_fit(rng, absolute):
    points = rng.uniform(-3, 3, (400, 2))
    truth = [2.0, 0.3, -0.4, 1.5, 0.4, 0.8, 0.5]
    sigma = rng.uniform(0.02, 0.1, 400)
    heights = flat_model(points, *truth) + sigma * rng.normal(size=400)
    expected, covariance = curve_fit(flat_model, points, heights, p0=truth, sigma=sigma, absolute_sigma=absolute)
    start = sf.GaussianSurface([2.0], [[0.3, -0.4]], [[[1.5, 0.4], [0.4, 0.8]]])
    result = sf.fit_points(points, heights, 1, init=start, sigma=sigma, absolute_sigma=absolute)
    np.testing.assert_allclose(numbers_of(result.surface), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numbers_of(result.standard_errors.surface), np.sqrt(np.diag(covariance)), rtol=2e-3)
    errors = result.uncertainty()
    same_matrix(errors.matrix, covariance, rtol=2e-3)
    sizes = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(errors.correlation, covariance / np.outer(sizes, sizes), atol=4e-3)
    lower = ["covariances[0, 0, 0]", "covariances[0, 1, 0]", "covariances[0, 1, 1]"]
    assert errors.names == ["amplitudes[0]", "centers[0, 0]", "centers[0, 1]", *lower, "background[0]"]
    assert (errors.method, errors.exact, errors.correlation_length) == ("hessian", True, 0)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("loss", RHO)
def test_every_loss_has_the_covariance_of_scipy(loss, absolute):
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.5, 1.5, len(X))
    heights = line_model(X, *LINE) + SCALE * sigma * rng.standard_t(2, len(X))
    options = {
        "p0": LINE,
        "sigma": sigma,
        "absolute_sigma": absolute,
        "method": "trf",
        "jac": "3-point",
        "xtol": 1e-12,
        "ftol": 1e-12,
    }
    best, covariance = curve_fit(line_model, X, heights, **options, loss=loss, f_scale=SCALE)
    result = at(surface_of(best, 1, 1), grid_data(heights, X, None, sigma, absolute), loss=loss, f_scale=SCALE)
    same_matrix(result.uncertainty().matrix, covariance, rtol=1e-5)


@pytest.mark.parametrize("name", ["principal_widths", "fwhm", "orientation", "volumes"])
def test_derived_errors_are_those_of_the_delta_method(pair, name):
    found = getattr(pair.uncertainty(), name)
    expected = by_differences(pair, lambda surface: getattr(surface, name).ravel())
    assert found.shape == getattr(pair.surface, name).shape
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


def test_the_band_is_that_of_the_delta_method(pair):
    points = np.random.default_rng(0).uniform(-2, 26, (3, 5, 2))
    found = pair.uncertainty().band(points)
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found.ravel(), by_differences(pair, lambda surface: surface(points).ravel()), rtol=1e-5)


def test_a_band_of_many_points_in_one_dimension():
    truth = surface_of(np.array(LINE), 1, 1)
    result = at(truth, grid_data(truth(X) + 0.1 * np.random.default_rng(0).normal(size=80), X))
    many = np.linspace(-3, 12, 4100)
    band, few = result.uncertainty().band(many), slice(None, None, 273)
    np.testing.assert_allclose(band[few], by_differences(result, lambda surface: surface(many[few])), rtol=1e-5)


def test_any_function_has_its_error_in_its_own_structure(pair):
    def numbers(surface):
        return {
            "ratio": surface.amplitudes[0] / surface.amplitudes[1],
            "moved": surface.centers - surface.background.value,
        }

    errors = pair.uncertainty().of(numbers)
    expected = by_differences(pair, lambda surface: np.append(*numbers(surface).values()))
    assert errors["moved"].shape == (2, 2)
    np.testing.assert_allclose(np.append(errors["ratio"], errors["moved"]), expected, rtol=1e-6)


def by_differences(result, function):
    """Errors of a NumPy function of the surface from the matrix of its numbers."""
    k, n_dim = result.surface.centers.shape
    slopes = central_differences(lambda p: function(surface_of(p, k, n_dim)), numbers_of(result.surface), 1e-5)
    return np.sqrt(np.diag(slopes @ result.uncertainty().matrix @ slopes.T))


@pytest.mark.parametrize("loss", RHO)
def test_the_sandwich_is_its_formula(loss):
    rng = np.random.default_rng(2)
    sigma = rng.uniform(0.5, 1.5, len(X))
    truth = surface_of(np.array(LINE), 1, 1)
    heights = truth(X) + SCALE * (1 + (X > 4)) * rng.standard_t(3, len(X))
    result = at(truth, grid_data(heights, X, None, sigma), loss=loss, f_scale=SCALE)
    slopes = central_differences(lambda p: surface_of(p, 1, 1)(X), np.array(LINE)) / sigma[:, None]
    misfits = (truth(X) - heights) / sigma
    _, slope, bend = RHO[loss]((misfits / SCALE) ** 2)
    bread = np.linalg.inv(slopes.T @ (bend[:, None] * slopes))
    middle = slopes.T @ (((misfits * slope) ** 2)[:, None] * slopes)
    same_matrix(result.uncertainty("sandwich").matrix, bread @ middle @ bread * 80 / 76, rtol=1e-6)


def test_the_sandwich_knows_errors_that_nobody_told_it():
    """In the mean over noise it is the hessian's where errors are alike, and the true covariance where they are not."""
    truth, rng = surface_of(np.array(LINE), 1, 1), np.random.default_rng(4)
    slopes = central_differences(lambda p: surface_of(p, 1, 1)(X), np.array(LINE))
    inverse = np.linalg.inv(slopes.T @ slopes)
    for deviations in (np.full(80, 0.1), np.where(np.abs(X - 1) < 2, 0.3, 0.05)):
        true = np.sqrt(np.diag(inverse @ (slopes.T * deviations**2) @ slopes @ inverse))
        noise = deviations * rng.normal(size=(40, 80))
        results = [at(truth, grid_data(truth(X) + one - slopes @ (inverse @ (slopes.T @ one)), X)) for one in noise]
        ratios = {
            m: root_mean_square([np.sqrt(np.diag(r.uncertainty(m).matrix)) / true for r in results])
            for m in ("hessian", "sandwich")
        }
        np.testing.assert_allclose(ratios["sandwich"], 1, atol=0.12)
        even = np.ptp(deviations) == 0
        assert (np.abs(ratios["hessian"] - 1).max() < 0.05) == even


def root_mean_square(rows):
    return np.sqrt(np.mean(np.square(rows), axis=0))


HILLS = sf.GaussianSurface(
    np.array([2.0, 1.5]),
    np.array([[10.0, 12.0], [24.0, 22.0]]),
    np.array([[[9.0, 2.0], [2.0, 6.0]], [[6.0, -2.0], [-2.0, 9.0]]]),
    sf.ConstantBackground(0.0),
)


def smoothed_fits(count, seed):
    """Fits to a map under noise that is smoothed over 3 x 3 pixels."""
    points, rng = np.stack(np.mgrid[:34, :36], axis=-1).astype(float), np.random.default_rng(seed)
    for _ in range(count):
        noise = uniform_filter(rng.normal(size=(42, 44)), 3)[4:-4, 4:-4]
        yield sf.fit(HILLS(points) + 0.3 * noise, 2, init=HILLS)


@pytest.mark.slow
def test_errors_under_smooth_noise_are_the_scatter_of_refits():
    fits = list(smoothed_fits(40, 5))
    scatter = np.std([fit.surface.centers for fit in fits], axis=0)
    found = [fit.uncertainty("correlated") for fit in fits[:15]]
    assert 2 < np.median([errors.correlation_length for errors in found]) < 5
    ratios = root_mean_square([errors.centers for errors in found]) / scatter
    np.testing.assert_allclose(root_mean_square(ratios.ravel()), 1, atol=0.15)
    np.testing.assert_allclose(ratios, 1, atol=0.25)
    assert (fits[0].uncertainty().centers < 0.6 * scatter).all()


def test_errors_under_white_noise_are_the_plain_ones(rng):
    """With so few points to a parameter that what the fit has followed of the noise counts for more than the
    tolerance.
    """
    points = np.stack(np.mgrid[:16, :18], axis=-1).astype(float)
    surface = replace(HILLS, centers=0.6 * HILLS.centers)
    result = at(surface, grid_data(surface(points) + 0.1 * rng.normal(size=(16, 18))))
    errors = result.uncertainty("correlated")
    assert errors.correlation_length < 1
    np.testing.assert_allclose(np.diag(errors.matrix) ** 0.5, np.diag(result.uncertainty().matrix) ** 0.5, rtol=0.01)


def test_correlated_errors_count_gaps_and_sigma_right():
    """Smooth noise times an uneven sigma, a third of the grid missing: the formula with the true covariance, in the
    mean over noise.
    """
    points, rng = np.stack(np.mgrid[:34, :36], axis=-1).astype(float), np.random.default_rng(5)
    sigma, mask = rng.uniform(0.5, 1.5, (34, 36)), rng.uniform(size=(34, 36)) < 0.33
    used = points[~mask]
    slopes = central_differences(lambda p: surface_of(p, 2, 2)(used), numbers_of(HILLS)) / sigma[~mask][:, None]
    kernel = np.maximum(3 - np.abs(used[:, None] - used[None]), 0).prod(axis=2) / 81
    inverse = np.linalg.inv(slopes.T @ slopes)
    true = np.sqrt(np.diag(inverse @ slopes.T @ kernel @ slopes @ inverse))
    found, heights = [], HILLS(points)
    for _ in range(6):
        noise = uniform_filter(rng.normal(size=(42, 44)), 3)[4:-4, 4:-4][~mask]
        heights[~mask] = HILLS(used) + 0.1 * sigma[~mask] * (noise - slopes @ (inverse @ (slopes.T @ noise)))
        found.append(numbers_of(at(HILLS, grid_data(heights, None, mask, sigma)).uncertainty("correlated").surface))
    np.testing.assert_allclose(root_mean_square(found) / (0.1 * true), 1, atol=0.15)


def test_what_is_fixed_has_no_error_and_lends_none(pair):
    """The others have the covariance of the block of N that is left."""
    names = pair.uncertainty().names
    held = np.array([name.startswith("centers[0") or name == "amplitudes[1]" for name in names])
    fixed = {"centers": np.array([True, False]), "amplitudes": np.array([False, True])}
    errors = at(pair.surface, pair.data, constraints=Constraints(fixed=fixed)).uncertainty()
    assert (errors.matrix[held] == 0).all()
    assert (errors.centers[0] == 0).all()
    assert errors.amplitudes[1] == 0
    expected = np.linalg.inv(np.linalg.inv(pair.uncertainty().matrix)[np.ix_(~held, ~held)])
    same_matrix(errors.matrix[np.ix_(~held, ~held)], expected, rtol=1e-6)
    np.testing.assert_array_equal(errors.correlation[held], np.eye(len(held))[held])
    assert (errors.of(lambda surface: surface.centers)[0] == 0).all()


def test_all_of_one_kind_and_some_of_another_may_be_fixed(pair):
    constraints = Constraints(fixed={"centers": True, "amplitudes": np.array([False, True])})
    result = at(pair.surface, pair.data, constraints=constraints)
    assert result.n_parameters == 8
    assert (result.uncertainty().centers == 0).all()


LATTICE = np.stack(np.meshgrid([6.0, 18.0, 30.0], [6.0, 18.0, 30.0], indexing="ij"), axis=-1).reshape(9, 2)


@pytest.mark.parametrize(
    "constraints", [Constraints(fixed={"covariances": True}), Constraints(Bounds(amplitudes=(0.9, np.inf)))]
)
def test_room_for_more_components_changes_no_error(constraints):
    """Nine components have room for ten."""
    points = np.stack(np.mgrid[:37, :37], axis=-1).astype(float)
    surface = sf.GaussianSurface(np.linspace(1, 2, 9), LATTICE, np.tile(4 * np.eye(2), (9, 1, 1)))
    data = grid_data(surface(points) + 0.1 * np.random.default_rng(0).normal(size=(37, 37)))
    errors = at(surface, data, constraints=constraints).uncertainty()
    assert np.isfinite(errors.amplitudes).all()
    np.testing.assert_allclose(errors.centers, at(surface, data).uncertainty().centers, rtol=0.05)


def test_what_a_bound_holds_is_unknown_and_the_others_are_as_if_it_were_fixed(pair):
    low = replace(pair.surface, amplitudes=np.array([1.7, 1.5]))
    held, fixed = (
        at(low, pair.data, constraints=constraints).uncertainty()
        for constraints in (
            Constraints(Bounds(amplitudes=(0.0, np.array([1.7, 9.0])))),
            Constraints(fixed={"amplitudes": np.array([True, False])}),
        )
    )
    assert np.isinf(held.amplitudes[0])
    assert np.isinf(held.volumes[0])
    assert np.isinf(held.matrix[0, 0])
    assert (held.matrix[0, 1:] == 0).all()
    np.testing.assert_allclose(held.matrix[1:, 1:], fixed.matrix[1:, 1:], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(held.correlation[0], np.eye(len(held.names))[0])


WIDTH_LIMITS = {
    "largest width": ({"widths": (None, 3.0)}, (3.0, 2.0)),
    "smallest width": ({"widths": (2.6, None)}, (4.0, 2.6)),
    "aspect": ({"aspect": 1.2}, (3.0, 2.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("off", [0.0, 1e-9])
@pytest.mark.parametrize("case", WIDTH_LIMITS)
def test_a_width_that_a_bound_holds_has_no_error(case, off):
    limits, (larger, smaller) = WIDTH_LIMITS[case]
    points = np.stack(np.mgrid[:22, :26], axis=-1).astype(float)
    for angle in (0.0, 0.4, 2.0):
        free, held = turned(angle, (4.0, 2.0)), turned(angle, (larger * (1 - off), smaller * (1 + off)))
        bounds = checked_bounds(Bounds(**limits), 1, 2, False, "full")
        errors = at(held, grid_data(free(points) + 0.1), constraints=Constraints(bounds)).uncertainty()
        assert np.isfinite(errors.centers).all()
        assert np.isinf(errors.principal_widths).any()


def turned(angle, widths):
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return sf.GaussianSurface(
        np.array([2.0]), np.array([[10.0, 12.0]]), (axes @ np.diag(np.square(widths)) @ axes.T)[None]
    )


def twins(amplitudes):
    """Components of one place and shape, and the one component that they are together, under the same data."""
    k, rng = len(amplitudes), np.random.default_rng(0)
    one = surface_of(np.array([2.0, 1.0, 4.5, 0.5]), 1, 1)
    data = grid_data(one(X) + 0.1 * rng.normal(size=80), X, None, 0.1, True)
    parts = surface_of(np.array([*amplitudes, *[1.0] * k, *[4.5] * k, 0.5]), k, 1)
    return at(parts, data).uncertainty(), at(one, data).uncertainty()


@pytest.mark.parametrize("amplitudes", [(1.0, 1.0), (1.7, 0.3)])
def test_of_twins_only_what_they_are_together_is_known(amplitudes):
    errors, together = twins(amplitudes)
    assert np.isinf(errors.amplitudes).all()
    assert np.isinf(errors.centers).all()
    assert np.isinf(np.diag(errors.matrix)[:6]).all()
    assert np.isfinite(np.diag(errors.matrix)[6])
    np.testing.assert_allclose(errors.of(lambda s: s.amplitudes.sum()), together.amplitudes[0], rtol=1e-3)
    np.testing.assert_allclose(
        errors.of(lambda s: s.amplitudes @ s.centers[:, 0] / s.amplitudes.sum()), together.centers[0, 0], rtol=1e-3
    )
    np.testing.assert_allclose(errors.band(X), together.band(X), rtol=1e-3)


def test_undetermined_numbers_have_infinite_errors():
    x = np.arange(15.0)
    surface = sf.GaussianSurface(
        np.array([3.0]), np.array([[0.0, 7.0]]), np.diag([1.0, 4.0])[None], sf.ConstantBackground(1.0)
    )
    row = surface(np.stack([0 * x, x], axis=1)) + 0.01 * np.sin(9 * x)
    errors = at(surface, grid_data(row[None, :]), "diag").standard_errors
    assert np.isfinite(errors.centers[0, 1])
    assert np.isfinite(errors.covariances[0, 1, 1])
    assert np.isinf(errors.covariances[0, 0, 0])


def test_without_points_to_spare_every_error_is_infinite():
    surface = surface_of(np.array(LINE), 1, 1)
    errors = at(surface, grid_data(surface(X[::20]) + 0.1 * np.array([1, -1, 1, 1]), X[::20])).uncertainty()
    assert np.isinf(errors.amplitudes).all()
    assert np.isinf(np.diag(errors.matrix)).all()


@pytest.mark.parametrize(
    "background",
    [
        None,
        sf.ConstantBackground(0.5),
        sf.PlaneBackground(0.5, np.array([0.1]), np.array([4.0])),
    ],
    ids=["none", "constant", "plane"],
)
def test_the_matrix_holds_the_free_numbers_and_the_errors_have_the_structure_of_the_surface(background):
    surface = replace(surface_of(np.array(LINE), 1, 1), background=background)
    result = at(surface, grid_data(surface(X) + 0.1 * np.random.default_rng(0).normal(size=80), X))
    errors = result.uncertainty()
    assert type(errors.background) is type(background)
    assert (errors.centers.shape, errors.covariances.shape) == ((1, 1), (1, 1, 1))
    assert 0.01 < errors.amplitudes[0] < 0.3
    assert errors.matrix.shape == (len(errors.names), len(errors.names))
    assert len(errors.names) == result.n_parameters
    assert np.linalg.matrix_rank(errors.correlation) == result.n_parameters


def test_derived_numbers_have_errors_of_their_own(pair):
    """Those of a volume are not the volume of errors, and errors are no surface to be evaluated."""
    errors, volumes = pair.standard_errors, lambda surface: surface.volumes
    np.testing.assert_allclose(errors.volumes, by_differences(pair, volumes), rtol=1e-4)
    with pytest.raises(TypeError, match="not callable"):
        errors(pair.surface.centers)
    assert not hasattr(pair.bootstrap(2).standard_errors, "volumes")


def test_a_band_counts_as_known_what_a_limit_holds(pair):
    """The same as with that number fixed; of the number itself there is no error."""
    heights, low = pair.data.heights, 1.2 * float(pair.surface.amplitudes[1])
    held = sf.fit(heights, 2, init=pair.surface, bounds=sf.Bounds(amplitudes=(low, 100.0)), search=0)
    which = np.isinf(held.standard_errors.amplitudes)
    assert which.any()
    fixed = sf.fit(heights, 2, init=held.surface, fixed={"amplitudes": which}, search=0)
    places = np.array([[9.0, 9.0], [13.0, 15.0], [2.5, 20.0]])
    np.testing.assert_allclose(held.standard_errors.band(places), fixed.standard_errors.band(places), rtol=5e-3)


def test_errors_are_made_once(pair):
    assert pair.uncertainty() is pair.uncertainty("hessian")
    assert pair.uncertainty("sandwich") is not pair.uncertainty()
    assert pair.standard_errors is pair.uncertainty()
    told = "<Uncertainty: hessian, exact, 2 components, 2.8 errors from the minimum>"  # as the truth is
    assert repr(pair.uncertainty()) == told


def scattered():
    truth = surface_of(np.array(LINE), 1, 1)
    return at(truth, point_data(X, truth(X)))


def robust():
    truth = surface_of(np.array(LINE), 1, 1)
    return at(truth, grid_data(truth(X), X), loss="huber")


REFUSED = {
    "unknown": (
        scattered,
        "hesian",
        r"`method` must be one of 'hessian', 'sandwich', 'correlated', 'auto', got 'hesian'; did you mean 'hessian'\?",
    ),
    "scattered": (
        scattered,
        "correlated",
        r"`method`='correlated' needs the lags of a grid: for scattered points use 'sandwich'",
    ),
    "robust": (
        robust,
        "correlated",
        r"`method`='correlated' is for loss='linear', this fit has 'huber': use 'sandwich'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_methods_that_do_not_apply_are_refused(case):
    make, method, message = REFUSED[case]
    result = make()
    with pytest.raises(ValueError, match=message):
        result.uncertainty(method)
    for ask in (result.summary, result.table):
        with pytest.raises(ValueError, match=message.replace("`method`", "`errors`")):
            ask(errors=method)


def test_a_method_that_there_is_not_is_refused_where_no_errors_are_shown(monkeypatch):
    monkeypatch.setattr("surfacefit._results.report.MAX_SHOWN_PARAMETERS", 1)
    with pytest.raises(ValueError, match="`errors` must be one of"):
        scattered().summary(errors="x")


def test_the_whole_jacobian_of_much_data_is_refused(pair, monkeypatch):
    monkeypatch.setattr("surfacefit._statistics.covariance_methods.MAX_JACOBIAN_ENTRIES", 1000)
    with pytest.raises(ValueError, match=r"'correlated' takes the whole Jacobian, 572 x 13: fit a part of the data"):
        at(pair.surface, pair.data).uncertainty("correlated")


@pytest.mark.parametrize("n_dim", [1, 3])
def test_only_2d_has_an_orientation(n_dim):
    surface = sf.GaussianSurface(np.array([2.0]), np.full((1, n_dim), 4.0), 2 * np.eye(n_dim)[None])
    points = np.stack(np.meshgrid(*[np.arange(9.0)] * n_dim, indexing="ij"), axis=-1)
    errors = at(
        surface, grid_data(surface(points) + 0.1 * np.random.default_rng(0).normal(size=points.shape[:-1]))
    ).uncertainty()
    with pytest.raises(ValueError, match="orientation"):
        _ = errors.orientation


def test_the_orientation_of_a_round_component_is_unknown():
    surface = sf.GaussianSurface(np.array([2.0]), np.full((1, 2), 5.0), 4 * np.eye(2)[None])
    points = np.stack(np.mgrid[:11, :11], axis=-1).astype(float)
    data = grid_data(surface(points) + 0.1 * np.random.default_rng(0).normal(size=(11, 11)))
    for kind in ("full", "spherical"):
        assert at(surface, data, kind).uncertainty().orientation[0] > 1


def test_jax_functions_may_use_jax(pair):
    found = pair.uncertainty().of(lambda surface: jnp.log(surface.amplitudes))
    np.testing.assert_allclose(found, pair.uncertainty().amplitudes / pair.surface.amplitudes, rtol=1e-9)


# --- Numbers that squares would lose ----------------------------------------------------------------------------------


def nearly_level(step):
    """A straight line as q_0 + q_1 (1 + step x): the smaller the step, the more alike both columns."""

    def line(q, x):
        return q[0] + q[1] * (1 + step * x[..., 0])

    return line


def errors_on_a_line(background):
    hill = sf.GaussianSurface(np.array([2.0]), np.array([[1.0]]), np.array([[[4.5]]]), background)
    data = grid_data(line_model(X, *LINE) + SCALE * np.random.default_rng(5).normal(size=len(X)), X)
    return at(hill, data).uncertainty()


@pytest.mark.parametrize(("step", "rtol"), [(1e-3, 1e-9), (1e-7, 1e-6), (1e-10, 1e-3)])
def test_columns_that_differ_in_a_few_digits_are_told_apart(step, rtol):
    """The slope q_1 step has the error that it has where the line is a plane's, as long as rounding leaves digits."""
    plane = errors_on_a_line(sf.PlaneBackground(0.5, np.array([0.0]), np.array([0.0])))
    found = errors_on_a_line(sf.FunctionBackground(nearly_level(step), np.array([0.5, 0.0])))
    np.testing.assert_allclose(found.background.parameters[1] * step, plane.background.slopes[0], rtol=rtol)
    for name in ("amplitudes", "fwhm", "volumes"):
        np.testing.assert_allclose(getattr(found, name), getattr(plane, name), rtol=10 * rtol)


def test_columns_that_differ_by_rounding_are_not_determined():
    level = errors_on_a_line(sf.ConstantBackground(0.5))
    found = errors_on_a_line(sf.FunctionBackground(nearly_level(1e-17), np.array([0.5, 0.0])))
    assert np.isinf(found.background.parameters).all()
    np.testing.assert_allclose(found.amplitudes, level.amplitudes, rtol=0.02)  # the hill knows their sum


def test_a_jacobian_too_large_to_be_held_gives_the_same_errors(pair, monkeypatch):
    held = [pair.uncertainty(method) for method in ("hessian", "sandwich", "correlated")]
    monkeypatch.setattr("surfacefit._statistics.linearization.MAX_HELD_ENTRIES", 0)
    again = at(pair.surface, pair.data)
    for errors in held:
        same_matrix(again.uncertainty(errors.method).matrix, errors.matrix, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-138, 1e138])
def test_errors_of_tiny_and_of_huge_heights_are_those_of_heights_of_one(size):
    heights = line_model(X, *LINE) + SCALE * np.random.default_rng(5).normal(size=len(X))
    plain = at(surface_of(np.array(LINE), 1, 1), grid_data(heights, X))
    surface = surface_of(np.array(LINE) * [size, 1, 1, size], 1, 1)
    found = at(surface, grid_data(heights * size, X))
    for method in ("hessian", "sandwich", "correlated"):
        ours, expected = found.uncertainty(method), plain.uncertainty(method)
        for name in ("amplitudes", "volumes"):
            np.testing.assert_allclose(getattr(ours, name) / size, getattr(expected, name), rtol=1e-6)
        np.testing.assert_allclose(ours.fwhm, expected.fwhm, rtol=1e-6)
        np.testing.assert_allclose(ours.background.value / size, expected.background.value, rtol=1e-6)
        np.testing.assert_allclose(ours.band(X) / size, expected.band(X), rtol=1e-6)
        np.testing.assert_allclose(ours.correlation, expected.correlation, atol=1e-6)
    np.testing.assert_allclose([found.rmse / size, found.r2], [plain.rmse, plain.r2], rtol=1e-9)
    assert np.isfinite(found.statistics.log_likelihood)
    assert found.bootstrap(2).converged.all()
    assert "±" in found.summary()


def test_the_distance_to_the_minimum_is_told_in_units_of_the_errors():
    """Beside finite differences of the model: a fit that was stopped is far, one that has ended is near."""
    x = np.linspace(-4, 4, 60)
    z = 2 * np.exp(-0.5 * x**2) + 0.3 + 0.05 * np.random.default_rng(3).normal(size=60)
    start = sf.GaussianSurface(np.array([1.5]), np.array([[0.4]]), np.array([[[1.7]]]), 0.2)

    def model(v):
        return v[0] * np.exp(-0.5 * ((x - v[1]) / v[2]) ** 2) + v[3]

    found = {}
    for steps in (1, 2, 100):
        result = sf.fit(z, 1, coords=x, init=start, search=0, reset=False, solver=sf.LevenbergMarquardt(steps))
        surface = result.surface
        v = np.array(
            [surface.amplitudes[0], surface.centers[0, 0], surface.principal_widths[0, 0], surface.background.value]
        )
        jacobian = np.stack([(model(v + h) - model(v - h)) / 2e-6 for h in 1e-6 * np.eye(4)], axis=1)
        residuals = model(v) - z
        gain = residuals @ jacobian @ np.linalg.solve(jacobian.T @ jacobian, jacobian.T @ residuals)
        expected = np.sqrt(gain * 56 / (residuals @ residuals))
        found[steps] = result.uncertainty().distance
        assert found[steps] == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert result.uncertainty("sandwich").distance == found[steps]
        assert ("from the minimum" in result.summary()) == (found[steps] > 0.3)
    assert found[1] > found[2] > 0.3
    assert found[100] < 0.01


def test_the_distance_is_none_where_no_noise_is_left_to_measure_by():
    x = np.linspace(-4, 4, 40)
    result = sf.fit(np.exp(-0.5 * x**2), 1, coords=x, background=None, search=0)
    assert np.isnan(result.uncertainty().distance)
    assert "from the minimum" not in result.summary()
