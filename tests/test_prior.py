"""Priors in least squares: the density is the one that is stated, engines agree, and what they are for happens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences, random_surface
from scipy.optimize import minimize
from scipy.stats import halfnorm, invwishart

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._fit.start_request import start_request
from surfacefit._problem.loss_views import held_by_prior, penalty_cost
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._search.context import SearchContext
from surfacefit._search.surrogate import _sampled
from surfacefit._starts import STARTS

KINDS = ("full", "diag", "spherical", "tied")
SIGMA = 0.1


penalty = jax.jit(penalty_cost)


def prepared(n_dim, kind, prior, engine, mask=False):
    """A small problem with a prior, in the units of the fit, and parameters of a random surface."""
    rng = np.random.default_rng(n_dim)
    shape = {1: (60,), 2: (14, 12), 3: (7, 6, 8)}[n_dim]
    heights = rng.normal(size=shape)
    if mask:
        heights.ravel()[::7] = np.nan
    data = grid_data(heights, None, None, SIGMA, True)
    choice = EngineChoice(engine, float("inf"))
    prepared = problem_setup(
        data, ModelSpec(n_components=3, covariance_type=kind, prior=prior), np.dtype(np.float64), choice
    )
    amplitudes, centers, covariances = random_surface(rng, 3, n_dim)
    start = sf.GaussianSurface(amplitudes, centers, covariances, prepared.problem.parameterization.background)
    problem, params = prepared.problem, prepared.problem.parameterization.pack(start)
    if prepared.planner is not None:
        problem = prepared.planner(problem, params, params)
    return prepared, problem, params


def log_prior(surface, scale, freedom, amplitude, kind):
    """By scipy, without its constants taken off."""
    n_dim = surface.n_dim
    covariances = surface.covariances[:1] if kind == "tied" else surface.covariances
    shapes = sum(invwishart.logpdf(c if n_dim > 1 else c.item(), freedom, scale * np.eye(n_dim)) for c in covariances)
    return shapes + halfnorm.logpdf(surface.amplitudes, scale=amplitude).sum()


@pytest.mark.parametrize(("n_dim", "kind"), [(1, "full"), *((2, kind) for kind in KINDS), (3, "full"), (3, "tied")])
def test_the_penalty_is_minus_the_log_density(n_dim, kind):
    prior = sf.SurfacePrior(scale=20.0, degrees_of_freedom=n_dim + 1.5, amplitude=2.0)
    with precision(np.dtype(np.float64)):
        ready, problem, params = prepared(n_dim, kind, prior, sf.Dense())
        rng = np.random.default_rng(0)
        moved = params + jnp.asarray(0.3 * rng.normal(size=params.size))
        penalties = [float(penalty(problem, p)) * ready.cost_unit for p in (params, moved)]
        densities = [log_prior(ready.surface(p), 20.0, n_dim + 1.5, 2.0, kind) for p in (params, moved)]
    assert min(penalties) >= 0
    np.testing.assert_allclose(penalties[0] - penalties[1], densities[1] - densities[0], rtol=1e-9)


def test_a_matrix_scale_counts_like_scipys():
    scale = np.array([[30.0, 8.0], [8.0, 12.0]])
    with precision(np.dtype(np.float64)):
        ready, problem, params = prepared(2, "full", sf.SurfacePrior(scale=scale), sf.Dense())
        moved = params + 0.2
        penalties = [float(penalty(problem, p)) * ready.cost_unit for p in (params, moved)]
        densities = [sum(invwishart.logpdf(c, 4, scale) for c in ready.surface(p).covariances) for p in (params, moved)]
    np.testing.assert_allclose(penalties[0] - penalties[1], densities[1] - densities[0], rtol=1e-9)


BOTH = {"scale": 20.0, "amplitude": 2.0}
PLACES = {
    "centers": (np.arange(6.0).reshape(3, 2), np.linspace(0.5, 2, 6).reshape(3, 2)),
    "background": (np.array([0.3]), np.array([0.1])),
}
BLOCKS, PRODUCTS = sf.Tiled(cutoff=0.0, tile_size=32), sf.Tiled(cutoff=0.0, normal="products")
OPERATORS = [
    (2, "full", sf.Dense(), BOTH),
    (2, "full", sf.Dense(), PLACES),
    pytest.param(2, "tied", BLOCKS, BOTH | PLACES, marks=pytest.mark.slow),
    *(pytest.param(2, kind, sf.Dense(), BOTH, marks=pytest.mark.slow) for kind in KINDS[1:]),
    *(
        pytest.param(n_dim, kind, sf.Dense(), BOTH, marks=pytest.mark.slow)
        for n_dim in (1, 3)
        for kind in ("full", "tied")
    ),
    *(
        pytest.param(2, kind, engine, BOTH, marks=pytest.mark.slow)
        for kind in ("full", "tied")
        for engine in (BLOCKS, PRODUCTS)
    ),
    *(
        pytest.param(2, "tied", sf.Dense(), said, marks=pytest.mark.slow)
        for said in ({"scale": 20.0}, {"amplitude": 2.0})
    ),
]


@jax.jit
def operators(problem, params, vector):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    normal = jacobian.restored(normal)
    products = jacobian.mv(vector), jacobian.rmv(residuals), gradient
    return residuals, jacobian.as_matrix(), products, normal.as_matrix(), normal.diagonal(), jacobian.block_diagonal()


@pytest.mark.parametrize(("n_dim", "kind", "engine", "said"), OPERATORS)
def test_operators_agree_with_differences(n_dim, kind, engine, said):
    with precision(np.dtype(np.float64)):
        _, problem, params = prepared(
            n_dim, kind, sf.SurfacePrior(**said), engine, mask=n_dim == 2 and engine is not BLOCKS
        )
        vector = np.random.default_rng(1).normal(size=params.size)
        tree = jax.tree.map(np.asarray, operators(problem, params, jnp.asarray(vector)))
        residuals, matrix, products, normal, diagonal, (blocks, corner) = tree
        at = jax.jit(problem.residuals)
        expected = central_differences(lambda p: at(jnp.asarray(p)), np.asarray(params))
    np.testing.assert_allclose(matrix, expected, atol=1e-6 * np.abs(expected).max())
    square, size = matrix.T @ matrix, blocks.shape[1]
    largest, loose = np.abs(square).max(), 1e-4 if engine is BLOCKS else 1e-9
    for product, wanted in zip(products, (matrix @ vector, matrix.T @ residuals, matrix.T @ residuals), strict=True):
        np.testing.assert_allclose(product, wanted, atol=1e-9 * np.abs(wanted).max())
    np.testing.assert_allclose(normal, square, atol=loose * largest)
    np.testing.assert_allclose(diagonal, np.diag(square), atol=loose * largest)
    np.testing.assert_allclose(blocks[1], square[size : 2 * size, size : 2 * size], atol=1e-9 * largest)
    end = problem.parameterization.n_components * size
    np.testing.assert_allclose(corner, square[end:, end:], atol=1e-9 * largest)


OPTIMA = [
    ("dense", "cholesky"),
    ("dense", "qr"),
    pytest.param(BLOCKS, "cholesky", marks=pytest.mark.slow),
    pytest.param(PRODUCTS, "cholesky", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "method"), OPTIMA)
def test_the_optimum_is_that_of_scipy(engine, method):
    """Two components of which the data say little, in plain NumPy and by BFGS."""
    x = np.arange(40.0)
    truth = 2 * np.exp(-0.5 * (x - 12) ** 2 / 9) + np.exp(-0.5 * (x - 27) ** 2 / 4)
    z = truth + 0.3 * np.random.default_rng(5).normal(size=40)
    psi, m, tau = 40.0, 5.0, 1.5

    def objective(p):
        a, c, s2 = np.exp(p[:2]), p[2:4], np.exp(p[4:])
        r = (a @ np.exp(-0.5 * (x - c[:, None]) ** 2 / s2[:, None]) - z) / 0.3
        return 0.5 * r @ r + np.sum(0.5 * m * np.log(s2) + 0.5 * psi / s2 + 0.5 * a**2 / tau**2)

    best = minimize(objective, np.array([0.6, 0.0, 12, 27, 2.0, 1.5]), method="BFGS", options={"gtol": 1e-9}).x
    prior = sf.SurfacePrior(scale=psi, degrees_of_freedom=3.0, amplitude=tau)
    solver = sf.LevenbergMarquardt(slack=0.0, ftol=1e-14, xtol=1e-12, gtol=1e-13, method=method)
    start = sf.GaussianSurface([1.8, 1.0], [[12.0], [27.0]], [[[8.0]], [[4.0]]])
    options = {"background": None, "sigma": 0.3, "absolute_sigma": True, "engine": engine, "solver": solver}
    options |= {"min_width": 1e-3, "init": start}
    surface = sf.fit(z, 2, prior=prior, **options).surface
    order = np.argsort(surface.centers[:, 0])
    np.testing.assert_allclose(surface.centers[order, 0], best[2:4], rtol=1e-5)
    np.testing.assert_allclose(surface.amplitudes[order], np.exp(best[:2]), rtol=1e-5)
    np.testing.assert_allclose(surface.covariances[order, 0, 0], np.exp(best[4:]), rtol=1e-5)
    plain = sf.fit(z, 2, **options).surface
    assert np.abs(np.sort(plain.amplitudes) - np.sort(surface.amplitudes)).max() > 0.02


@pytest.mark.slow
def test_a_spike_does_not_take_a_component_with_it():
    heights = np.zeros((30, 30))
    heights[15, 15] = 1.0
    options = {"background": None, "sigma": 0.2, "absolute_sigma": True, "init": "peaks"}
    assert sf.fit(heights, 1, **options).at_floor.all()
    kept = sf.fit(heights, 1, prior=sf.SurfacePrior(scale=70.0), **options)
    assert not kept.at_floor.any()
    np.testing.assert_allclose(kept.surface.principal_widths, np.sqrt(70 / 7), rtol=0.3)


@pytest.mark.slow
def test_cost_penalty_and_errors_of_a_result(tmp_path):
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:30, :40]
    heights = 2 * np.exp(-0.5 * ((y - 12) ** 2 / 16 + (x - 20) ** 2 / 25)) + SIGMA * rng.normal(size=y.shape)
    prior = sf.SurfacePrior(scale=np.diag([80.0, 120.0]), amplitude=np.float32(1.0))
    options = {"sigma": SIGMA, "absolute_sigma": True, "init": "peaks"}
    plain, result = sf.fit(heights, 1, **options), sf.fit(heights, 1, prior=prior, **options)
    np.testing.assert_allclose(result.cost, 0.5 * np.sum((result.residuals / SIGMA) ** 2), rtol=1e-9)
    assert result.cost > plain.cost
    assert plain.penalty == 0
    assert result.penalty > 0
    np.testing.assert_allclose(result.cost + result.penalty, result.history["cost"][-1], rtol=1e-9)
    assert (result.standard_errors.amplitudes < plain.standard_errors.amplitudes).all()
    assert "by the prior" in result.summary()
    for name in ("fit.json", "fit.npz"):
        result.save(tmp_path / name)
        back = sf.load(tmp_path / name)
        assert back.penalty == result.penalty
        np.testing.assert_array_equal(back.settings.prior.scale, prior.scale)
        np.testing.assert_array_equal(back.standard_errors.amplitudes, result.standard_errors.amplitudes)


def test_a_sample_of_the_points_weighs_a_prior_as_the_whole_does():
    """By parameter the same -log p, times the share of the points; and a state's cost holds it."""
    prior = sf.SurfacePrior(scale=20.0, amplitude=2.0)
    heights = np.random.default_rng(0).normal(size=(60, 60))
    data = grid_data(heights, None, None, SIGMA, True)
    with precision(np.dtype(np.float64)):
        model, engine = ModelSpec(n_components=16, background=None, prior=prior), EngineChoice(sf.Dense(), float("inf"))
        whole = problem_setup(data, model, np.dtype(np.float64), engine)
        context = SearchContext(whole, start_request(whole, 0))
        sample = _sampled(context)
        state = context.views.state(context.packing.params(STARTS["grid"](context.request)))
        share = sample.prepared.data.n_used / data.n_used
        assert 0.1 < share < 0.9
        assert context.views.penalty(state) > 0
        np.testing.assert_allclose(sample.views.penalty(state), share * context.views.penalty(state), rtol=1e-4)
        residuals = context.views.residuals(state)
        np.testing.assert_allclose(state.cost, 0.5 * residuals @ residuals + context.views.penalty(state), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lm", "dogleg", "adam", "superimposed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_solver_heeds_a_prior(solver, dtype):
    y, x = np.mgrid[:20, :24]
    heights = (np.exp(-0.5 * ((y - 9) ** 2 + (x - 12) ** 2) / 4)).astype(dtype)
    options = {"background": None, "sigma": 0.3, "absolute_sigma": True, "solver": solver, "init": "peaks"}
    amplitudes = [
        sf.fit(heights, 1, prior=p, **options).surface.amplitudes[0] for p in (None, sf.SurfacePrior(amplitude=0.3))
    ]
    assert amplitudes[1] < 0.95 * amplitudes[0]
    exact = sf.fit(heights, 1, prior=sf.SurfacePrior(amplitude=1e3), **{**options, "sigma": 1e-3})
    assert exact.cost >= 0


@pytest.mark.slow
def test_a_number_is_chosen_by_the_misfit_without_the_penalty():
    y, x = np.mgrid[:40, :50]
    heights = 2 * np.exp(-0.5 * ((y - 12) ** 2 / 16 + (x - 20) ** 2 / 25)) + np.exp(
        -0.5 * ((y - 28) ** 2 + (x - 35) ** 2) / 20
    )
    heights = heights + SIGMA * np.random.default_rng(1).normal(size=y.shape)
    result = sf.fit(heights, sigma=SIGMA, absolute_sigma=True, prior=sf.SurfacePrior(scale=100.0))
    assert result.n_components == 2
    weighted = np.sqrt(2 * result.cost / result.n_points)
    np.testing.assert_allclose(result.path.rmse[result.path.n_components == 2], weighted, rtol=0.02)


@pytest.mark.slow
def test_search_and_growth_heed_a_prior_on_a_sample_too():
    """More parameters than are searched on all points; every width stays near the mode, as no plain fit's would."""
    rng = np.random.default_rng(4)
    heights = rng.normal(size=(80, 80)).cumsum(axis=0).cumsum(axis=1)
    heights = heights / heights.std()
    options = {"background": None, "sigma": 1.0, "absolute_sigma": True, "search": 2.0, "progress": False}
    strong = sf.SurfacePrior(scale=36 * 1e5, degrees_of_freedom=1e5)
    widths = sf.fit(heights, 16, prior=strong, **options).surface.principal_widths
    np.testing.assert_allclose(widths, 6.0, rtol=0.1)
    assert np.ptp(sf.fit(heights, 16, **options).surface.principal_widths) > 6


def test_a_prior_passes_vmap():
    with jax.enable_x64(True):
        _, problem, params = prepared(2, "full", sf.SurfacePrior(scale=9.0, amplitude=1.0), sf.Dense())
        several = jnp.stack([params, params + 0.1])
        costs = jax.vmap(lambda p: penalty_cost(problem, p))(several)
        np.testing.assert_allclose(costs, [float(penalty(problem, p)) for p in several], rtol=1e-12)


@pytest.mark.parametrize("kind", ["full", pytest.param("tied", marks=pytest.mark.slow)])
def test_what_a_prior_holds_is_the_rest_of_the_trace_of_the_hat_matrix(kind):
    """P - tr(N_prior N^-1) = tr(N_data N^-1), with both by central differences of the rows."""
    prior = sf.SurfacePrior(scale=2.0, degrees_of_freedom=40.0, amplitude=0.3)
    with jax.enable_x64(True):
        ready, problem, params = prepared(2, kind, prior, sf.Dense())
        rows = central_differences(lambda p: np.asarray(problem.residuals(jnp.asarray(p))), np.asarray(params))
        of_data, of_prior = rows[: len(problem.points)], rows[len(problem.points) :]
        used = np.flatnonzero(np.abs(rows).max(axis=0) > 0)
        inverse = np.linalg.inv((rows.T @ rows)[np.ix_(used, used)])
        shares = held_by_prior(problem, ready.host, np.asarray(params), 1e-7)
        expected = np.diag((of_prior.T @ of_prior)[np.ix_(used, used)] @ inverse)
        np.testing.assert_allclose(shares[used], expected, rtol=1e-5, atol=1e-8)
        effective = np.trace((of_data.T @ of_data)[np.ix_(used, used)] @ inverse)
        np.testing.assert_allclose(len(used) - shares.sum(), effective, rtol=1e-6)
        assert 1 < shares.sum() < len(used) - 1


@pytest.mark.slow
@pytest.mark.parametrize("normal", ["auto", "products"])
def test_engines_count_alike(normal):
    prior = sf.SurfacePrior(scale=2.0, degrees_of_freedom=40.0, amplitude=0.3)
    with jax.enable_x64(True):
        shares = []
        for engine in (sf.Dense(), sf.Tiled(normal=normal)):
            ready, problem, params = prepared(2, "full", prior, engine)
            shares.append(held_by_prior(problem, ready.host, np.asarray(params), 1e-7))
    np.testing.assert_allclose(shares[1], shares[0], rtol=0.03, atol=1e-3)


NOISY_PAIR = sf.GaussianSurface([2.0, 1.5], [[12.0], [26.0]], [[[9.0]], [[6.0]]], 0.0)(np.arange(40.0)[:, None])
NOISY_PAIR = NOISY_PAIR + 0.1 * np.random.default_rng(1).normal(size=40)
KNOWN = {"sigma": 0.1, "absolute_sigma": True}


def test_paths_results_and_criteria_count_the_same_parameters():
    """Of 40 numbers that a prior holds in part, criteria count what the data determine; without a prior all."""
    prior = sf.SurfacePrior(scale=300.0, degrees_of_freedom=400.0, amplitude=0.5)
    held = sf.fit(NOISY_PAIR, sf.AutoComponents("bic", most=3), prior=prior, **KNOWN)
    path, chosen = held.path, held.path.n_components.tolist().index(held.n_components)
    effective = held.statistics.effective_parameters
    assert effective < held.n_parameters - 0.5
    np.testing.assert_allclose(path.n_parameters[chosen], effective, rtol=1e-3)
    chi2 = 40 * path.rmse**2
    np.testing.assert_allclose(path.bic, chi2 + path.n_parameters * np.log(40), rtol=1e-12)
    free = sf.fit(NOISY_PAIR, sf.AutoComponents("bic", most=3), **KNOWN)
    assert free.path.n_parameters.dtype.kind == "i"
    np.testing.assert_array_equal(free.path.n_parameters, 1 + 3 * free.path.n_components)
    assert free.statistics.effective_parameters == free.n_parameters


@pytest.mark.slow
def test_a_prior_that_says_next_to_nothing_holds_nothing():
    """What a bound holds counts as one, with a prior as without one."""
    options = {"bounds": sf.Bounds(centers=(13, 25)), "init": "grid", "search": 0, **KNOWN}
    result = sf.fit(NOISY_PAIR, 2, prior=sf.SurfacePrior(amplitude=1e6), **options)
    assert result.flags.any()
    np.testing.assert_allclose(result.statistics.effective_parameters, result.n_parameters, rtol=1e-6)
    np.testing.assert_array_equal(result.redundant, sf.fit(NOISY_PAIR, 2, **options).redundant)


BAD = {
    "not a prior": ({"scale": 2.0}, {}, TypeError, r"`prior` must be None or a surfacefit.SurfacePrior"),
    "nothing said": (sf.SurfacePrior(), {}, ValueError, r"`prior` says nothing"),
    "errors not known": (
        sf.SurfacePrior(scale=1.0),
        {"absolute_sigma": False},
        ValueError,
        r"known errors: give `sigma`",
    ),
    "scale": (sf.SurfacePrior(scale=-1.0), {}, ValueError, r"`prior.scale` must be"),
    "shape": (
        sf.SurfacePrior(scale=np.eye(3)),
        {},
        ValueError,
        r"`prior.scale` must be a number or have shape \(2, 2\)",
    ),
    "indefinite": (
        sf.SurfacePrior(scale=np.diag([1.0, -1.0])),
        {},
        ValueError,
        r"`prior.scale` must be symmetric positive definite",
    ),
    "freedom alone": (
        sf.SurfacePrior(amplitude=1.0, degrees_of_freedom=5.0),
        {},
        ValueError,
        r"belongs to `prior.scale`",
    ),
    "freedom": (sf.SurfacePrior(scale=1.0, degrees_of_freedom=1.0), {}, ValueError, r"must exceed d - 1 = 1, got 1"),
    "amplitude": (sf.SurfacePrior(amplitude=0.0), {}, ValueError, r"`prior.amplitude` must be"),
    "amplitude NaN": (sf.SurfacePrior(amplitude=np.nan), {}, ValueError, r"`prior.amplitude` must be"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_priors(case):
    prior, options, error, message = BAD[case]
    with pytest.raises(error, match=message):
        sf.fit(np.eye(8), 1, prior=prior, **{"sigma": 0.1, "absolute_sigma": True, **options})
