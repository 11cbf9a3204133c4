"""Statistics, diagnostics and flags of a fit against scipy's distributions, formulas and loops."""

import base64
import itertools
import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from oracles import central_differences
from scipy.ndimage import uniform_filter
from scipy.stats import norm, poisson
from test_uncertainty import LINE, X, at, numbers_of, surface_of

import surfacefit as sf
from surfacefit._base.information_criteria import aic, aicc, bic
from surfacefit._constraints.bounds import Bounds, Constraints, checked_bounds
from surfacefit._data.data import grid_data, point_data
from surfacefit._data.noise import robust_deviation
from surfacefit._results.criteria import Deviance
from surfacefit._results.flags import flags
from surfacefit._results.report import _honest_errors

TRUTH = surface_of(np.array(LINE), 1, 1)
UNEVEN = np.random.default_rng(0).uniform(0.05, 0.15, 80)
NOISY = TRUTH(X) + UNEVEN * np.random.default_rng(1).normal(size=80)


def relative():
    return at(TRUTH, grid_data(NOISY, X))


def weighted():
    return at(TRUTH, grid_data(NOISY, X, None, 3 * UNEVEN))


def absolute():
    return at(TRUTH, grid_data(np.where(np.arange(80) % 9, NOISY, np.nan), X, np.arange(80) == 7, UNEVEN, True))


def counts():
    start = surface_of(np.array([40.0, 1.0, 4.5, 2.0]), 1, 1)
    return sf.fit(np.random.default_rng(0).poisson(start(X)), 1, coords=X, init=start, loss="poisson")


def log_density(result):
    """By scipy's distributions, and where sigma has no scale, at the most likely one."""
    used = result.data.used
    heights, fitted = result.data.heights[used], result.predict()[used]
    if result.settings.loss == "poisson":
        return poisson.logpmf(heights, fitted).sum()
    sigma = 1 / result.data.weights
    scale = 1.0 if result.data.absolute_sigma else np.sqrt(np.mean(((heights - fitted) / sigma) ** 2))
    return norm.logpdf(heights, fitted, sigma * scale).sum()


@pytest.mark.parametrize("make", [relative, weighted, absolute, counts])
def test_statistics_of_every_kind_of_errors(make):
    """Chi-squared by hand, the likelihood by scipy."""
    result = make()
    found, used = result.statistics, result.data.used
    n, p = used.sum(), 4
    heights, fitted = result.data.heights[used], result.predict()[used]
    variances = fitted if make is counts else 1 / result.data.weights**2
    chi2 = np.sum((heights - fitted) ** 2 / variances)
    counted = (found.n_points, found.n_parameters, found.effective_parameters, found.degrees_of_freedom)
    assert counted == (n, p, p, n - p)
    np.testing.assert_allclose([found.chi2, found.reduced_chi2], [chi2, chi2 / (n - p)], rtol=1e-9)
    np.testing.assert_allclose(found.log_likelihood, log_density(result), rtol=1e-9)
    assert (found.r2, found.rmse) == (result.r2, result.rmse)


def decay(parameters, points):
    return parameters[0] * jnp.exp(-parameters[1] * points[..., 0])


def test_aic_and_bic_of_nist_gauss2_are_those_that_lmfit_publishes(real):
    """NIST's Gauss2 at its certified optimum: 250 points, 8 parameters.

    lmfit's documentation, "Builtinmodels - nistgauss", prints chi-square 1247.52821, AIC 417.864631 and BIC 446.036318.
    Its log-likelihood leaves out the constant -n (1 + log 2 pi) / 2, and it does not count the variance.
    """
    x, heights, _ = np.loadtxt(real("nist_Gauss2.csv"), delimiter=",", skiprows=1).T
    b = json.loads(real("nist_certified.json").read_text())["Gauss2"]["certified"]
    background = sf.FunctionBackground(decay, np.array(b[:2]))
    shapes = np.array([[[b[4] ** 2 / 2]], [[b[7] ** 2 / 2]]])
    surface = sf.GaussianSurface(np.array([b[2], b[5]]), np.array([[b[3]], [b[6]]]), shapes, background)
    result = at(surface, grid_data(heights, x))
    found, constant = result.statistics, 250 * (1 + np.log(2 * np.pi))
    assert (found.n_points, found.n_parameters) == (250, 8)
    published = [1247.52821, 417.864631, 446.036318]
    np.testing.assert_allclose(
        [found.chi2, found.aic - constant - 2, found.bic - constant - np.log(250)], published, rtol=1e-8
    )
    entry = Deviance.of(result.data).entry(2, 8, 2 * result.cost)
    np.testing.assert_allclose(entry.bic - np.log(250), published[2], rtol=1e-8)


def test_information_criteria_of_a_published_fit():
    """An ARIMA(1,0,3) model of US consumption: 187 quarters, 5 coefficients and a variance.

    Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 2nd edition (2018), section 8.7, print log
    likelihood=-164.81, AIC=341.61, AICc=342.08, BIC=361.
    """
    deviance, p, n = 2 * 164.81, 6, 187
    assert aic(deviance, p) == pytest.approx(341.61, abs=0.02)
    assert aicc(deviance, p, n) == pytest.approx(342.08, abs=0.02)
    assert bic(deviance, p, n) == pytest.approx(361, abs=0.5)
    assert aicc(deviance, p, n) - aic(deviance, p) == pytest.approx(342.08 - 341.61, abs=0.01)


def test_the_corrections_of_a_fit_are_those_of_the_published_one():
    """They depend on the numbers of points and parameters alone, here 187 and 5 with a variance, too."""
    x = np.linspace(0, 10, 187)
    plane = sf.PlaneBackground(0.0, np.array([0.1]), np.array([5.0]))
    hill = sf.GaussianSurface(np.array([2.0]), np.array([[3.0]]), np.array([[[1.0]]]), plane)
    data = grid_data(hill(x) + 0.1 * np.random.default_rng(0).normal(size=187), x)
    found, entry = at(hill, data).statistics, Deviance.of(data).entry(1, 5, 1.0)
    assert found.aicc - found.aic == pytest.approx(342.08 - 341.61, abs=0.01)
    assert found.bic - found.aic == pytest.approx(361 - 341.61, abs=0.5)
    assert entry.bic - entry.aicc == pytest.approx(361 - 342.08, abs=0.5)


def test_aicc_is_that_of_hurvich_and_tsai_and_knows_when_the_variance_is_known():
    """n log(2 pi s^2) + n (1 + m / n) / (1 - (m + 2) / n) for m parameters of a mean: Biometrika 76 (1989) 297, (3)."""
    found, n, m = relative().statistics, 80, 4
    expected = n * np.log(2 * np.pi * found.chi2 / n) + n * (1 + m / n) / (1 - (m + 2) / n)
    np.testing.assert_allclose(found.aicc, expected, rtol=1e-12)
    for known in (absolute().statistics, counts().statistics):
        np.testing.assert_allclose(known.aic, 2 * m - 2 * known.log_likelihood, rtol=1e-12)
        np.testing.assert_allclose(known.aicc - known.aic, 2 * m * (m + 1) / (known.n_points - m - 1), rtol=1e-9)


def test_known_sigmas_give_a_reduced_chi2_of_one():
    assert 0.7 < absolute().statistics.reduced_chi2 < 1.3
    assert 0.7 < counts().statistics.reduced_chi2 < 1.3
    assert weighted().statistics.reduced_chi2 < 0.2


def test_a_robust_loss_has_twice_its_cost_in_place_of_chi2():
    result = at(TRUTH, grid_data(NOISY, X, None, UNEVEN, True), loss="huber", f_scale=0.5)
    found = result.statistics
    expected = -result.cost - 40 * np.log(2 * np.pi) - np.log(UNEVEN).sum()
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-9)
    np.testing.assert_allclose(found.chi2, np.sum((result.residuals / UNEVEN) ** 2), rtol=1e-9)
    assert 2 * result.cost < found.chi2


def test_points_that_do_not_suffice_give_infinities():
    few = slice(None, None, 20)
    found = at(TRUTH, grid_data(NOISY[few], X[few])).statistics
    assert (found.degrees_of_freedom, found.reduced_chi2, found.aicc) == (0, np.inf, np.inf)
    assert np.isfinite([found.aic, found.bic, found.log_likelihood]).all()
    assert at(TRUTH, grid_data(NOISY[::16], X[::16])).statistics.aicc == np.inf


@pytest.mark.parametrize("make", [relative, absolute])
def test_an_exact_fit_has_finite_statistics(make):
    result = make()
    exact = at(TRUTH, replace(result.data, heights=result.predict()))
    assert exact.statistics.chi2 < 1e-20
    assert np.isfinite([exact.statistics.log_likelihood, exact.statistics.bic]).all()
    assert exact.statistics.bic < result.statistics.bic


PRIORS = {
    "mild": (sf.SurfacePrior(amplitude=1e4), 3.9999, 4.0001),
    "some": (sf.SurfacePrior(scale=12.0, amplitude=1.0), 3.99, 3.999),
    "strong": (sf.SurfacePrior(scale=9e4, degrees_of_freedom=2e4, amplitude=0.02), 2.0, 2.8),
}


@pytest.mark.parametrize("case", PRIORS)
def test_effective_parameters_are_the_trace_of_what_the_data_say(case):
    """tr(N_data C), from the covariance of a fit with a prior and the derivatives of the surface."""
    prior, least, most = PRIORS[case]
    result = at(TRUTH, grid_data(NOISY, X, None, UNEVEN, True), prior=prior)
    slopes = central_differences(lambda p: surface_of(p, 1, 1)(X), numbers_of(TRUTH)) / UNEVEN[:, None]
    found = result.statistics
    np.testing.assert_allclose(
        found.effective_parameters, np.trace(slopes.T @ slopes @ result.uncertainty().matrix), rtol=1e-5
    )
    assert least < found.effective_parameters < most
    np.testing.assert_allclose(found.degrees_of_freedom, 80 - found.effective_parameters)
    np.testing.assert_allclose(found.aic, 2 * (found.effective_parameters - found.log_likelihood))


@pytest.mark.slow
def test_information_criteria_differ_as_those_of_the_path_do():
    pair = sf.GaussianSurface([2.0, 1.0], [[1.0], [7.0]], [[[2.0]], [[1.0]]], 0.5)
    heights = pair(X) + 0.05 * np.random.default_rng(0).normal(size=80)
    path = sf.fit(heights, sf.AutoComponents(most=3), coords=X).path
    fits = {k: sf.fit(heights, k, coords=X, search=0).statistics for k in (1, 2)}
    for name in ("bic", "aicc"):
        values = dict(zip(path.n_components, getattr(path, name), strict=True))
        expected = values[2] - values[1]
        np.testing.assert_allclose(getattr(fits[2], name) - getattr(fits[1], name), expected, atol=0.1)
        assert expected < -200


def made(shape, mask=None, scattered=False):
    """A hill in any dimension, and a result that ends at it; the heights are still the hill itself."""
    n_dim = len(shape)
    hill = sf.GaussianSurface(
        np.array([2.0]), np.array([shape]) / 2, np.eye(n_dim)[None] * max(shape) ** 2 / 50, sf.ConstantBackground(0.5)
    )
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    if scattered:
        points = np.random.default_rng(0).uniform(0, shape, (points.size // n_dim, n_dim))
        return at(hill, point_data(points, hill(points)))
    return at(hill, grid_data(hill(points), None, mask))


def under(result, added):
    """The result with ``added`` on its heights."""
    return replace(result, data=replace(result.data, heights=result.predict() + added))


HOLES = np.random.default_rng(8).uniform(size=(36, 40)) < 0.3
SCENES = {
    "curve": lambda: made((300,)),
    "map": lambda: made((36, 40)),
    "map with holes": lambda: made((36, 40), HOLES),
    "volume": lambda: made((12, 13, 14)),
    "points": lambda: made((36, 40), scattered=True),
    "points on a line": lambda: made((300,), scattered=True),
}


@pytest.mark.parametrize("scene", SCENES)
def test_white_noise_looks_like_noise_and_a_wave_does_not(scene):
    exact = SCENES[scene]()
    data, rng = exact.data, np.random.default_rng(2)
    noise = 0.1 * rng.normal(size=data.heights.shape)
    wave = 0.2 * np.sin(data.all_points.sum(axis=1) / 3).reshape(data.heights.shape)
    white, smooth = (under(exact, added).diagnostics for added in (noise, noise + wave))
    assert white.lags.shape == white.autocorrelation.shape == white.chance.shape
    assert len(white.residuals) == data.n_used
    np.testing.assert_allclose(white.residuals, noise[data.used], atol=1e-9)
    assert (np.abs(white.autocorrelation[:5]) < 1.5 * white.chance[:5]).all()
    assert smooth.autocorrelation[0] > max(0.4, 5 * smooth.chance[0])
    assert white.outliers == smooth.outliers == 0
    if data.axes is None:
        assert (white.runs, white.expected_runs, white.runs_z) == (0, 0, 0)
        assert (np.diff(white.lags) > 0).all()
    else:
        assert abs(white.runs_z) < 3
        assert smooth.runs_z < -5
        assert smooth.runs < smooth.expected_runs < white.runs + 100
        np.testing.assert_array_equal(white.lags, np.arange(1, len(white.lags) + 1))


def test_the_autocorrelation_of_a_curve_is_that_of_a_loop():
    noise = np.convolve(np.random.default_rng(0).normal(size=304), np.ones(5), "valid")
    noise[[10, 11, 90]] = np.nan
    found = under(SCENES["curve"](), noise)
    found = replace(found, data=replace(found.data, used=np.isfinite(noise))).diagnostics
    rest = noise - np.nanmean(noise)
    expected = [np.nanmean(rest[lag:] * rest[:-lag]) / np.nanmean(rest**2) for lag in range(1, 41)]
    np.testing.assert_allclose(found.autocorrelation, expected, atol=1e-9)
    assert found.autocorrelation[0] > 0.7


def test_the_autocorrelation_of_a_map_is_the_mean_over_directions():
    noise = np.random.default_rng(0).normal(size=(37, 40))
    noise = noise[1:] + noise[:-1]  # one half for the next row, nothing for the next column or diagonally
    found = under(SCENES["map"](), noise).diagnostics
    np.testing.assert_allclose(found.autocorrelation[:3], [0.5 / 4, 0, 0], atol=0.04)


def test_the_autocorrelation_of_points_is_that_of_neighbours():
    rng = np.random.default_rng(0)
    middles = rng.uniform(0, 40, (200, 2))
    points = np.concatenate([middles, middles + 0.01])
    hill = made((40, 40)).surface
    noise = np.tile(rng.normal(size=200), 2)
    found = at(hill, point_data(points, hill(points) + noise)).diagnostics
    np.testing.assert_allclose(found.autocorrelation[0], 1, atol=1e-9)
    assert np.abs(found.autocorrelation[1:]).max() < 0.3
    assert len(found.lags) == 8
    assert found.lags[0] < 0.02


def test_points_that_repeat_are_no_neighbours_of_themselves():
    points = np.repeat(np.random.default_rng(0).uniform(0, 40, (300, 2)), 2, axis=0)
    hill = made((40, 40)).surface
    found = at(hill, point_data(points, hill(points) + 0.1 * np.random.default_rng(1).normal(size=600))).diagnostics
    assert np.abs(found.autocorrelation).max() < 0.3


CHANCE = {
    "map": lambda: made((24, 24)),
    "map of which much is masked": lambda: made((40, 40), np.random.default_rng(0).uniform(size=(40, 40)) < 0.8),
    "strip": lambda: made((6, 150)),
    "curve": lambda: made((80,)),
}


@pytest.mark.parametrize("scene", CHANCE)
def test_noise_stays_below_chance_95_times_in_100(scene):
    exact, rng = CHANCE[scene](), np.random.default_rng(0)
    runs = [under(exact, rng.normal(size=exact.data.heights.shape)).diagnostics for _ in range(60)]
    below = np.mean([np.abs(run.autocorrelation) < run.chance for run in runs], axis=0)
    assert below.mean() > 0.93
    assert below.min() > 0.8


def runs_by_loops(rows):
    return sum(len(list(itertools.groupby(row))) for row in rows)


def noise_of(kind, shape, seed):
    """Noise of size 0.1 in the mean, and what it asks of errors."""
    rng = np.random.default_rng(seed)
    white = 0.1 * rng.normal(size=shape)
    side = np.indices(shape)[0] / (shape[0] - 1)
    smooth = uniform_filter(white, 3, mode="wrap") * 3.0 ** (len(shape) / 2)
    return {"even": white, "heavy": 0.1 * rng.standard_t(5, shape), "growing": 2 * side * white, "smooth": smooth}[kind]


ASKED = {"even": "hessian", "heavy": "hessian", "growing": "sandwich", "smooth": "correlated"}


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("scene", ["curve", "map", "map with holes", "points"])
def test_the_residuals_say_which_errors_are_honest(scene, kind):
    exact = SCENES[scene]()
    found = under(exact, noise_of(kind, exact.data.heights.shape, 1)) if scene != "points" else scattered(exact, kind)
    asked = "hessian" if (scene, kind) == ("points", "smooth") else ASKED[kind]  # no method knows lags of points
    assert found.diagnostics.errors == asked
    assert (found.diagnostics.unevenness > 4) == (kind == "growing") or kind == "smooth"
    errors = found.uncertainty("auto")
    assert errors is found.uncertainty(asked)
    assert errors.method == asked
    said = dict(_honest_errors(found)).get("errors", "")
    expected = {"even": "", "heavy": "", "growing": "even noise", "smooth": "correlated"}[kind]
    assert expected in said
    assert bool(said) == (kind in ("growing", "smooth"))
    assert not said or said in " ".join(found.summary().split()).replace("errors assume", "assume")


def scattered(exact, kind):
    points = exact.data.used_points
    side = points[:, 0] / points[:, 0].max()
    noise = noise_of("heavy" if kind == "heavy" else "even", (len(points),), 1)
    return under(exact, {"growing": 2 * side * noise, "smooth": 0.1 * np.sin(points.sum(axis=1) / 2)}.get(kind, noise))


def test_what_is_fitted_says_which_errors_are_honest():
    """Known errors that the misfit exceeds, counts with more scatter than counts have, robust losses, priors, and an
    exact fit.
    """
    assert absolute().diagnostics.errors == counts().diagnostics.errors == "hessian"
    assert at(TRUTH, grid_data(NOISY, X, None, UNEVEN / 3, True)).diagnostics.errors == "sandwich"
    few = counts()
    twice = few.predict() + 3 * (few.data.heights - few.predict())
    assert replace(few, data=replace(few.data, heights=np.maximum(twice, 0))).diagnostics.errors == "sandwich"
    assert at(TRUTH, grid_data(NOISY, X), loss="huber", f_scale=0.5).diagnostics.errors == "sandwich"
    prior = at(TRUTH, grid_data(NOISY, X, None, UNEVEN / 9, True), prior=sf.SurfacePrior(amplitude=10.0))
    assert prior.diagnostics.errors == "hessian"
    exact = relative()
    wave = 1e-9 * np.sin(np.arange(80.0))
    assert replace(exact, data=replace(exact.data, heights=exact.predict() + wave)).diagnostics.errors == "hessian"


def test_even_noise_is_seldom_taken_for_uneven():
    exact, rng = made((24, 24)), np.random.default_rng(0)
    found = [under(exact, rng.normal(size=(24, 24))).diagnostics for _ in range(200)]
    assert max(one.unevenness for one in found) < 4
    assert sum(one.errors != "hessian" for one in found) <= 4


def test_runs_are_counted_along_rows_and_over_gaps():
    """Each row by the moments of Wald & Wolfowitz."""
    exact = SCENES["map with holes"]()
    added = np.random.default_rng(3).normal(size=(36, 40)) + 0.2
    found = under(exact, added).diagnostics
    rows = [row[used] > 0 for row, used in zip(added, ~HOLES, strict=True)]
    assert found.runs == runs_by_loops(rows)
    mean, variance = np.sum([wald_and_wolfowitz(row.sum(), (~row).sum()) for row in rows], axis=0)
    np.testing.assert_allclose(
        [found.expected_runs, found.runs_z], [mean, (found.runs - mean) / np.sqrt(variance)], rtol=1e-9
    )


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_runs_of_a_curve_have_the_moments_of_wald_and_wolfowitz(share):
    signs = np.random.default_rng(0).permutation(np.repeat([1.0, -1.0], [int(300 * share), 300 - int(300 * share)]))
    found = under(SCENES["curve"](), signs).diagnostics
    mean, variance = wald_and_wolfowitz((signs > 0).sum(), (signs < 0).sum())
    np.testing.assert_allclose(
        [found.expected_runs, found.runs_z], [mean, (found.runs - mean) / np.sqrt(variance)], rtol=1e-9
    )


def wald_and_wolfowitz(up, down):
    """Mean and variance of the number of runs of so many signs."""
    mean = 1 + 2 * up * down / (up + down)
    return mean, (mean - 1) * (mean - 2) / (up + down - 1)


def test_outliers_are_counted_beyond_five_robust_deviations():
    exact = SCENES["map"]()
    added = 0.1 * np.random.default_rng(0).normal(size=(36, 40)) + 7
    spread = 1.4826 * np.median(np.abs(added - np.median(added)))
    added[[2, 9, 30], [5, 17, 3]] = np.median(added) + spread * np.array([5.2, -5.2, 60])
    added[11, 11] = np.median(added) + 4.8 * spread
    assert under(exact, added).diagnostics.outliers == 3


def test_residuals_are_weighted():
    found = absolute().diagnostics
    used = absolute().data.used
    np.testing.assert_allclose(found.residuals, ((NOISY - TRUTH(X)) / UNEVEN)[used], rtol=1e-9)


@pytest.mark.parametrize("scene", ["curve", "points"])
def test_diagnostics_are_drawn_in_three_panels(scene):
    exact = SCENES[scene]()
    found = under(exact, 0.1 * np.random.default_rng(0).normal(size=exact.data.heights.shape)).diagnostics
    figure = found.plot()
    assert isinstance(figure, Figure)
    histogram, quantiles, correlation = figure.axes
    assert histogram.get_title() == "0 outliers"
    np.testing.assert_allclose(sum(bar.get_height() * bar.get_width() for bar in histogram.patches), 1)
    drawn, line = quantiles.lines
    np.testing.assert_allclose(drawn.get_ydata(), np.sort(found.residuals) / robust_deviation(found.residuals))
    np.testing.assert_allclose(
        drawn.get_xdata(), norm.ppf((np.arange(len(found.residuals)) + 0.5) / len(found.residuals))
    )
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    np.testing.assert_array_equal(correlation.lines[0].get_data(), [found.lags, found.autocorrelation])
    assert ("runs" in correlation.get_title()) == (scene == "curve")
    figure.draw_without_rendering()


def test_the_picture_is_not_known_to_pyplot():
    before = pyplot.get_fignums()
    under(SCENES["curve"](), 0.1).diagnostics.plot()
    assert pyplot.get_fignums() == before


DEGENERATE = {
    "exact": lambda: SCENES["map"](),
    "constant": lambda: under(SCENES["map"](), 1.0),
    "one point": lambda: at(replace(TRUTH, background=None), point_data([0.0, 1.0, 2.0], [1.0, 2.0, 1.0])),
    "one sample thick": lambda: made((1, 30)),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_residuals_raise_no_warning(case):
    found = DEGENERATE[case]().diagnostics
    assert np.isfinite(found.autocorrelation).all()
    assert np.isfinite([found.runs, found.expected_runs, found.runs_z, found.outliers]).all()
    found.plot().draw_without_rendering()


ROW = np.arange(120.0)
THREE = sf.GaussianSurface(
    np.array([2.0, 1.0, 1.5]),
    np.array([[20.0], [60.0], [100.0]]),
    np.array([[[16.0]], [[9.0]], [[9.0]]]),
    sf.ConstantBackground(0.5),
)


def three(amplitude=1.0, center=60.0, variance=9.0, bounds=None):
    """Three components far apart, the middle one as asked for, at its place in the data; limits pull there what is
    given as a pair.
    """
    ends = []
    for number in (0, -1):
        a, c, s = (np.ravel(value)[number] for value in (amplitude, center, variance))
        ends.append(
            sf.GaussianSurface(
                np.array([2.0, a, 1.5]),
                np.array([[20.0], [c], [100.0]]),
                np.array([[[16.0]], [[s]], [[9.0]]]),
                CONSTANT,
            )
        )
    held, free = ends
    data = grid_data(free(ROW) + 0.05 * np.random.default_rng(0).normal(size=120))
    constraints = Constraints(checked_bounds(bounds, 3, 1, False, "full")) if bounds else None
    return at(held, data, constraints=constraints)


CONSTANT = sf.ConstantBackground(0.5)
LIMITS = ([[-9.0], [58.0], [-9.0]], [[200.0], [62.0], [200.0]])
FLAG = sf.ComponentFlag
FLAGGED = {
    "as narrow as allowed": (FLAG.AT_FLOOR, lambda: three(variance=0.2502**2)),
    "amplitude at its lowest": (
        FLAG.AT_BOUND,
        lambda: three((1.2, 1.0), bounds=Bounds(amplitudes=([0, 1.2, 0], None))),
    ),
    "amplitude at its highest": (
        FLAG.AT_BOUND,
        lambda: three((0.8, 1.0), bounds=Bounds(amplitudes=(None, [9, 0.8, 9]))),
    ),
    "centre at its lowest": (FLAG.AT_BOUND, lambda: three(center=(58.0, 57.0), bounds=Bounds(centers=LIMITS))),
    "centre at its highest": (FLAG.AT_BOUND, lambda: three(center=(62.0, 63.0), bounds=Bounds(centers=LIMITS))),
    "width at its lowest": (FLAG.AT_BOUND, lambda: three(variance=(6.25, 4.0), bounds=Bounds(widths=(2.5, None)))),
    "width at its highest": (FLAG.AT_BOUND, lambda: three(variance=(25.0, 36.0), bounds=Bounds(widths=(None, 5.0)))),
    "centre outside": (FLAG.OUTSIDE, lambda: three(center=-1.0)),
    "nothing": (FLAG.NEGLIGIBLE, lambda: three(amplitude=1e-5)),
    "less than the noise": (FLAG.REDUNDANT, lambda: three(amplitude=0.03)),
    "a twin": (FLAG.UNDETERMINED, lambda: three(center=20.0, variance=16.0)),
}
IMPLIED = {
    FLAG.AT_FLOOR: FLAG.UNRESOLVED,
    FLAG.OUTSIDE: FLAG.WIDE,
    FLAG.NEGLIGIBLE: FLAG.REDUNDANT | FLAG.UNDETERMINED | FLAG.UNRESOLVED,
    FLAG.UNDETERMINED: FLAG.REDUNDANT | FLAG.UNRESOLVED,
}


@pytest.mark.parametrize("case", list(FLAGGED))
def test_each_flag_is_set_where_its_cause_is(case):
    flag, make = FLAGGED[case]
    result = make()
    where = np.array([case == "a twin", True, False])
    np.testing.assert_array_equal((result.flags & int(flag)) > 0, where)
    assert (result.flags[~where] == 0).all()
    assert (result.flags & ~int(flag | IMPLIED.get(flag, FLAG(0))) == 0).all()


@pytest.mark.parametrize("bounds", [None, Bounds((0.1, 9.0), (-9, 200), (0.5, 9.0), (0, 1))])
def test_a_clean_fit_has_no_flag(bounds):
    result = three(bounds=bounds)
    assert result.flags.shape == (3,)
    assert (result.flags == 0).all()
    assert not any(entry.cause in result.summary() for entry in sf.FLAGS.values())


@pytest.mark.parametrize("limits", [{"widths": (None, 3.0)}, {"widths": (1.5, None)}, {"aspect": 2.0}])
def test_flags_of_widths_and_aspect_in_two_dimensions(limits):
    covariances = np.array([[[9.0, 0.0], [0.0, 2.25]], [[4.0, 1.0], [1.0, 4.0]]])
    surface = sf.GaussianSurface(np.array([2.0, 1.0]), np.array([[10.0, 10.0], [30.0, 30.0]]), covariances)
    points = np.stack(np.mgrid[:40, :40], axis=-1).astype(float)
    constraints = Constraints(checked_bounds(Bounds(**limits), 2, 2, False, "full"))
    result = at(
        surface,
        grid_data(surface(points) + 0.1 * np.random.default_rng(0).normal(size=(40, 40))),
        constraints=constraints,
    )
    np.testing.assert_array_equal((flags(result, quick=True) & int(FLAG.AT_BOUND)) > 0, [True, False])


@pytest.mark.parametrize("stretch", [1.0, 40.0])
def test_an_ellipse_aslant_is_at_the_floor_where_its_smaller_width_is(stretch):
    """Principal widths of 3 and 0.2 or 0.3 samples at 45 degrees: the pivots of both covariances are above `min_width`,
    0.25.
    """
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    covariances = np.array([turn @ np.diag([9.0, width**2]) @ turn.T for width in (0.2, 0.3)])
    units = np.array([1.0, stretch])
    surface = sf.GaussianSurface(
        np.array([2.0, 1.0]), np.array([[10.0, 10.0], [20.0, 20.0]]) * units, covariances * np.outer(units, units)
    )
    assert np.linalg.cholesky(covariances).diagonal(axis1=1, axis2=2).min() > 0.2525
    axes = [np.arange(30) * unit for unit in units]
    result = at(surface, grid_data(surface(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)), axes))
    np.testing.assert_array_equal(result.at_floor, [True, False])
    np.testing.assert_array_equal((flags(result, quick=True) & int(FLAG.AT_FLOOR)) > 0, [True, False])


@pytest.mark.slow
def test_single_precision_meets_a_wall_too():
    turned = sf.GaussianSurface(np.array([3.0]), np.array([[14.0, 16.0]]), np.array([[[9.0, 4.0], [4.0, 12.0]]]))
    points = np.stack(np.mgrid[:30, :34], axis=-1).astype(float)
    heights = (turned(points) + 0.1 * np.random.default_rng(0).normal(size=(30, 34))).astype(np.float32)
    result = sf.fit(heights, 1, bounds=Bounds(widths=(1, 3.5)), init="peaks")
    assert result.flags[0] & FLAG.AT_BOUND


def test_quick_flags_are_those_without_the_inverse():
    for case in FLAGGED:
        result = FLAGGED[case][1]()
        np.testing.assert_array_equal(
            flags(result, quick=True),
            result.flags & ~int(FLAG.REDUNDANT | FLAG.UNDETERMINED | FLAG.UNRESOLVED)
            | np.where(result.unresolved, int(FLAG.UNRESOLVED), 0),
        )


def test_every_flag_has_its_entry():
    assert list(sf.FLAGS) == list(FLAG)
    assert len({int(flag) for flag in FLAG}) == 10
    for entry in sf.FLAGS.values():
        assert len(entry.cause) > 20
        assert entry.advice.endswith(".")


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_summaries_and_files_carry_the_flags(suffix, tmp_path, monkeypatch):
    result = three(center=-1.0)
    assert (
        f"outside component 1: {sf.FLAGS[FLAG.OUTSIDE].cause}. {sf.FLAGS[FLAG.OUTSIDE].advice} wide component 1:"
        in " ".join(result.summary().split())
    )
    path = tmp_path / f"fit.{suffix}"
    result.save(path)
    np.testing.assert_array_equal(stored_flags(path), [0, FLAG.OUTSIDE | FLAG.WIDE, 0])
    np.testing.assert_array_equal(sf.load(path).flags, result.flags)


def stored_flags(path):
    if path.suffix == ".json":
        written = json.loads(path.read_text())["flags"]
        return (
            written["values"]
            if "values" in written
            else np.frombuffer(base64.b64decode(written["base64"]), written["dtype"])
        )
    with np.load(path) as members:
        return members[json.loads(str(members["header"]))["flags"]["member"]]


def test_summaries_files_and_pictures_of_many_parameters_say_what_was_not_looked_for(tmp_path, monkeypatch):
    for module in ("_results.flags", "_results.report"):
        monkeypatch.setattr(f"surfacefit.{module}.MAX_SHOWN_PARAMETERS", 5)
    result, path = three(amplitude=0.03), tmp_path / "fit.json"
    silent = "redundant, undetermined, unresolved: not checked above 5 parameters: see `result.flags`"
    for left_out, found in ((["REDUNDANT", "UNDETERMINED", "UNRESOLVED"], [0, 0, 0]), ([], [0, FLAG.REDUNDANT, 0])):
        assert (silent in " ".join(result.summary().split())) == bool(left_out)
        labels = [line.get_label() for line in result.plot().axes[0].lines]
        assert ("flagged" in labels) == (not left_out)
        result.save(path)
        np.testing.assert_array_equal(stored_flags(path), found)
        assert json.loads(path.read_text())["flags_not_looked_for"] == left_out
        assert result.flags[1] == FLAG.REDUNDANT


def test_what_a_limit_holds_and_what_the_data_do_not_tell_are_told_apart():
    """A twin whose amplitude is at a limit leaves the other's to be known, but not their centres."""
    held = three((0.8, 1.0), bounds=Bounds(amplitudes=(None, [9, 0.8, 9])))
    assert held.flags.tolist() == [0, FLAG.AT_BOUND, 0]
    twin = sf.GaussianSurface(np.array([1.0, 1.0]), np.full((2, 1), 20.0), np.full((2, 1, 1), 16.0), CONSTANT)
    bounds = Constraints(checked_bounds(Bounds(amplitudes=(None, [9.0, 1.0])), 2, 1, False, "full"))
    lost = at(twin, grid_data(twin(ROW) + 0.05 * np.random.default_rng(0).normal(size=120)), constraints=bounds)
    assert (lost.flags & int(FLAG.UNDETERMINED)).all()


@pytest.mark.parametrize(("low", "held"), [(0.0, True), (-1.0, False), (0.6, True)])
def test_a_background_at_a_limit_is_named(low, held):
    truth = sf.GaussianSurface(np.array([1e3]), np.array([[60.3]]), np.array([[[16.0]]]), sf.ConstantBackground(-0.3))
    result = sf.fit(
        truth(ROW) + 0.05 * np.random.default_rng(0).normal(size=120),
        1,
        init=truth,
        bounds=Bounds(background=(low, None)),
    )
    assert ("its number 0 is held by `bounds`" in " ".join(result.summary().split())) == held


def test_a_centre_at_a_limit_of_zero_is_at_a_bound():
    truth = sf.GaussianSurface(np.array([1.0]), np.array([[-1.7]]), np.array([[[16.0]]]), CONSTANT)
    x = ROW / 7 - 5.1
    result = sf.fit(truth(x), 1, coords=x, init=truth, bounds=Bounds(centers=(0, None)))
    assert result.flags[0] == FLAG.AT_BOUND


def test_a_summary_names_a_few_of_many():
    k = 11
    surface = sf.GaussianSurface(np.ones(k), -5.0 - np.arange(k)[:, None], 9 * np.ones((k, 1, 1)), CONSTANT)
    result = at(surface, grid_data(surface(ROW) + 0.05 * np.random.default_rng(0).normal(size=120)))
    assert "components 0, 1, 2, 3, 4, 5, 6, 7 and 3 more: centred outside the data" in " ".join(
        result.summary().split()
    )
