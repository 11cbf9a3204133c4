"""Losses: definitions and derivatives against SciPy and JAX, fits against SciPy's; engines and solvers agree; outliers
mislead no fit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares, minimize
from scipy.special import xlogy
from scipy.stats import poisson

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._losses import LOSSES, ROBUST, loss_of
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup

TO_THE_END = sf.LevenbergMarquardt(slack=0, ftol=1e-15, xtol=1e-12, gtol=1e-14)
POINTWISE = ("residuals", "slopes", "secants", "information")


@jax.jit
def everything(loss, model, heights, weights):
    said = {name: getattr(loss, name)(model, heights, weights) for name in POINTWISE}
    return said, jax.vmap(lambda *at: residual_and_slope(loss, *at)[1])(model, heights, weights)


@jax.jit
def curvatures(loss, model, heights, weights):
    """Second derivatives of the cost."""
    return jax.vmap(jax.grad(lambda *at: jnp.prod(jnp.stack(residual_and_slope(loss, *at)))))(model, heights, weights)


def residual_and_slope(loss, *at):
    return jax.value_and_grad(lambda *at: loss.residuals(*(a[None] for a in at))[0])(*at)


def arrays(*columns, room=80):
    """Columns of one length, so that each loss compiles once."""
    count = np.size(columns[0])
    return [jnp.asarray(np.pad(np.broadcast_to(c, count), (0, room - count), mode="edge"), float) for c in columns]


def at_points(loss, model, heights, weights=1.0):
    """What a loss says, by name, and the derivatives of its residuals by JAX."""
    with jax.enable_x64(True):
        found = everything(loss, *arrays(model, heights, weights))
        return jax.tree.map(lambda column: np.asarray(column)[: np.size(model)], found)


# SciPy's names of our losses. For a loss that SciPy does not have: the function s -> (rho, rho', rho'') that it takes.
SCIPY_LOSSES = {name: name for name in ("linear", *ROBUST)}


def scipy_cost(misfit, name, f_scale):
    return least_squares(lambda p: p, [misfit], loss=SCIPY_LOSSES[name], f_scale=f_scale, max_nfev=1).cost


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("f_scale", [1.0, 0.3])
def test_robust_losses_are_scipys_and_derivatives_are_derivatives(name, f_scale):
    sizes, weights = np.geomspace(1e-3, 1e5, 33), 2.5
    misfits = np.r_[-sizes, -1e-12, 0, 1e-6, sizes]
    model, large = misfits / weights, np.abs(misfits) >= 1e-3
    loss = loss_of(name, f_scale, 0.0)
    said, slopes = at_points(loss, model, 0.0, weights)
    costs = [scipy_cost(u, name, f_scale) if far else u**2 / 2 for u, far in zip(misfits, large, strict=True)]
    np.testing.assert_allclose(said["residuals"] ** 2 / 2, costs, rtol=1e-9)
    np.testing.assert_array_equal(np.sign(said["residuals"]), np.sign(misfits))
    np.testing.assert_allclose(said["slopes"], slopes, rtol=1e-9, atol=1e-15 * np.abs(slopes).max())
    secants = np.divide(said["residuals"], model, out=np.full(len(model), weights), where=model != 0)
    np.testing.assert_allclose(said["secants"], secants, rtol=1e-9)
    with jax.enable_x64(True):
        bends = np.asarray(curvatures(loss, *arrays(model, 0.0, weights)))[: len(model)]
    np.testing.assert_allclose(said["information"], np.maximum(bends, 0), rtol=1e-7, atol=1e-12)
    assert (said["information"] > 0).all()


MEAN = 4.0
POISSON, LEAST = loss_of("poisson", 1.0, MEAN), 1e-6 * MEAN
STEPS = np.array([-0.9999, -0.5, -0.031, -0.029, -1e-3, 1e-3, 0.029, 0.031, 0.5, 3.0, 100.0])


def half_deviance(counts, rates):
    return xlogy(counts, counts) - xlogy(counts, rates) - counts + rates


@pytest.mark.parametrize("counts", [1.0, 3.0, 250.0, 1e6])
def test_poissons_cost_is_half_the_deviance(counts):
    rates = counts * (1 + STEPS)
    said, slopes = at_points(POISSON, rates, counts)
    np.testing.assert_allclose(said["residuals"] ** 2 / 2, half_deviance(counts, rates), rtol=1e-8)
    np.testing.assert_array_equal(np.sign(said["residuals"]), np.sign(STEPS))
    np.testing.assert_allclose(said["slopes"], slopes, rtol=1e-8)
    np.testing.assert_allclose(said["residuals"] * said["slopes"], 1 - counts / rates, rtol=1e-9)
    np.testing.assert_allclose(said["secants"], said["residuals"] / (rates - counts), rtol=1e-9)
    np.testing.assert_allclose(said["information"], 1 / rates, rtol=1e-12)


@pytest.mark.parametrize("counts", [1.0, 3.0, 250.0, 1e6])
def test_poisson_is_smooth_where_the_rate_meets_the_counts(counts):
    steps = np.array([-1e-5, -1e-8, -1e-12, 0, 1e-12, 1e-8, 1e-5])
    rates = counts * (1 + steps)
    said, _ = at_points(POISSON, rates, counts)
    t = rates / counts - 1
    np.testing.assert_allclose(said["residuals"], np.sqrt(counts) * (t - t**2 / 3), rtol=1e-6)
    np.testing.assert_allclose(said["slopes"], (1 - 2 * t / 3) / np.sqrt(counts), rtol=1e-8)
    np.testing.assert_allclose(said["secants"], (1 - t / 3) / np.sqrt(counts), rtol=1e-6)


@pytest.mark.parametrize("counts", [0.0, 1e-12, 1.0, 50.0])
def test_poisson_goes_on_below_no_rate_at_all(counts):
    """Finite, continuous and convex, with r dr/df for its derivative; nothing is to be paid for no rate where nothing
    was counted.
    """
    rates = np.r_[
        -1e3, -1.0, -1e-3, -2 * LEAST, LEAST * np.array([0, 0.5, 1 - 1e-9, 1 + 1e-9, 2]), 1e-3, 0.1, 1.01, 7.0
    ]
    said, slopes = at_points(POISSON, rates, counts)
    costs, falls = said["residuals"] ** 2 / 2, said["residuals"] * said["slopes"]
    for name in POINTWISE:
        assert np.isfinite(said[name]).all(), name
    for name in ("slopes", "secants", "information"):
        assert (said[name] >= 0).all(), name
    seen = np.abs(rates - counts) > 1e-9
    np.testing.assert_allclose(said["slopes"][seen], slopes[seen], rtol=1e-6)
    assert (np.diff(falls) >= -1e-6 * np.abs(falls[1:])).all()
    np.testing.assert_array_equal(np.sign(said["residuals"])[seen], np.sign(rates - counts)[seen])
    assert costs[6] == pytest.approx(costs[7], rel=1e-6)
    assert (np.diff(costs[rates < 0]) < 0).all()
    np.testing.assert_allclose(costs[rates > LEAST], half_deviance(counts, rates[rates > LEAST]), rtol=1e-6, atol=1e-9)
    if counts < LEAST:
        assert costs[4] <= LEAST


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_in_other_units_is_the_same_loss(name, rng):
    """Heights shift + scale z', weights w' of unit mean square, costs in units of (scale times that root mean
    square)^2.
    """
    shift, scale, root = 3.0, 0.2, 1.0 if name == "poisson" else 7.0
    heights, model = rng.poisson(3.0, 40).astype(float), rng.uniform(0.1, 9, 40)
    weights = np.ones(40) if name == "poisson" else rng.uniform(0, 14, 40)
    weights[3] = 0
    plain = loss_of(name, 1.5, 3.0)
    said, _ = at_points(plain, model, heights, weights)
    inner, _ = at_points(
        plain.scaled(shift, scale, (scale * root) ** 2),
        (model - shift) / scale,
        (heights - shift) / scale,
        weights / root,
    )
    for what, unit in (("residuals", scale * root), ("slopes", root), ("secants", root), ("information", root**2)):
        np.testing.assert_allclose(inner[what] * unit, said[what], rtol=1e-6, atol=1e-9)
        assert said[what][3] == 0


TRUTH = {
    1: sf.GaussianSurface([3.0, 2.0], [[-1.2], [1.1]], [[[0.25]], [[0.6]]], 0.7),
    2: sf.GaussianSurface(
        [3.0, 2.0], [[-1.0, -0.5], [1.0, 0.8]], [[[0.5, 0.2], [0.2, 0.7]], [[0.4, -0.1], [-0.1, 0.3]]], 0.7
    ),
}


def row_of(surface):
    """Amplitudes, centres, Cholesky factors of two components, the left one first, and the background in one row."""
    lower, order = np.tril_indices(surface.n_dim), np.argsort(np.asarray(surface.centers)[:, 0])
    factors = np.linalg.cholesky(surface.covariances)[:, lower[0], lower[1]]
    parts = [np.ravel(np.asarray(part)[order]) for part in (surface.amplitudes, surface.centers, factors)]
    return np.concatenate([*parts, [getattr(surface.background, "value", surface.background)]])


def model_of(row, points):
    """The heights of such a row, in NumPy or JAX."""
    n_dim = points.shape[1]
    shapes, exp = row[2 + 2 * n_dim : -1].reshape(2, -1), (jnp if isinstance(row, jax.Array) else np).exp
    heights = row[-1]
    for k in range(2):
        offset = points - row[2 + k * n_dim : 2 + (k + 1) * n_dim]
        u = offset[:, 0] / shapes[k, 0]
        square = u**2 if n_dim == 1 else u**2 + ((offset[:, 1] - shapes[k, 1] * u) / shapes[k, 2]) ** 2
        heights = heights + row[k] * exp(-0.5 * square)
    return heights


def spoiled(n_dim, n_points=300):
    """Points, heights with some outliers, and sigmas that differ."""
    rng = np.random.default_rng(n_dim)
    points, sigma = rng.uniform(-3, 3, (n_points, n_dim)), rng.uniform(0.02, 0.08, n_points)
    heights = TRUTH[n_dim](points) + sigma * rng.normal(size=n_points)
    heights[::15] += sigma[::15] * rng.uniform(-40, 40, len(heights[::15]))
    return points, heights, sigma


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "n_dim"),
    [
        ("cauchy", 1),
        *((name, 2) for name in ("linear", *ROBUST)),
        *(slow(name, 1) for name in ("linear", "huber", "soft_l1")),
    ],
)
def test_as_scipy_least_squares(name, n_dim):
    points, heights, sigma = spoiled(n_dim)
    start, options = TRUTH[n_dim], {} if name == "linear" else {"f_scale": 1.5}
    result = sf.fit_points(points, heights, 2, sigma=sigma, loss=name, init=start, solver=TO_THE_END, **options)
    ends = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac"}
    wanted = least_squares(
        lambda p: (model_of(p, points) - heights) / sigma, row_of(start), loss=SCIPY_LOSSES[name], **ends, **options
    )
    np.testing.assert_allclose(row_of(result.surface), wanted.x, rtol=1e-6)
    np.testing.assert_allclose(result.cost, wanted.cost, rtol=1e-9)


def most_likely(points, counts, start):
    """The row of the greatest Poisson likelihood, without what it may leave out of the logarithm."""
    with jax.enable_x64(True):

        def cost(row):
            rates = model_of(row, points)
            return jnp.sum(rates - counts * jnp.log(rates))

        found = minimize(
            jax.jit(jax.value_and_grad(cost)), row_of(start), jac=True, method="BFGS", options={"gtol": 1e-7}
        )
        return found.x


@pytest.mark.parametrize("n_dim", [slow(1), 2])
def test_as_the_greatest_poisson_likelihood(n_dim):
    rng, start = np.random.default_rng(n_dim), TRUTH[n_dim]
    points = rng.uniform(-3, 3, (500, n_dim))
    counts = rng.poisson(start(points)).astype(float)
    assert (counts == 0).sum() > 20
    result = sf.fit_points(points, counts, 2, loss="poisson", init=start, solver=TO_THE_END)
    row = most_likely(points, counts, start)
    np.testing.assert_allclose(row_of(result.surface), row, rtol=1e-5)
    costs = poisson.logpmf(counts, counts).sum() - poisson.logpmf(counts, model_of(row, points)).sum()
    np.testing.assert_allclose(result.cost, costs, rtol=1e-9)


Y, X = np.mgrid[:30, :34].astype(float)
PLACES = np.stack([Y, X], axis=-1)
HILLS = sf.GaussianSurface(
    np.array([3.0, 2.0]),
    np.array([[9.0, 11.0], [20.0, 23.0]]),
    np.array([[[6.0, 1.0], [1.0, 9.0]], [[8.0, -2.0], [-2.0, 5.0]]]),
    1.0,
)
SIGMA = 0.05


def noisy(share=0.1):
    """Hills with noise, and a share of the heights 50 sigma off."""
    rng = np.random.default_rng(3)
    off = 50 * SIGMA * rng.choice([-1, 1], X.shape)
    return HILLS(PLACES) + SIGMA * rng.normal(size=X.shape) + np.where(rng.random(X.shape) < share, off, 0)


def fitted(name, **options):
    """A fit of two hills by a loss: to counts, or to heights with outliers."""
    if name == "poisson":
        return sf.fit(
            np.random.default_rng(3).poisson(HILLS(PLACES)).astype(float), 2, loss=name, **{"init": HILLS, **options}
        )
    return sf.fit(
        noisy(), 2, sigma=SIGMA, loss=name, f_scale=None if name == "linear" else 2.0, **{"init": HILLS, **options}
    )


TILED = sf.Tiled(cutoff=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["poisson", *map(slow, ("linear", *ROBUST))])
def test_engines_and_solvers_end_at_the_same_cost(name):
    runs = ((TO_THE_END, "dense"), (TO_THE_END, TILED), (sf.Adam(max_steps=1500, learning_rate=0.02), TILED))
    results = [fitted(name, solver=solver, engine=engine) for solver, engine in runs]
    assert [r.settings.engine for r in results] == ["dense", "tiled", "tiled"]
    np.testing.assert_allclose([r.cost for r in results], results[0].cost, rtol=1e-7)


@pytest.mark.parametrize("name", [slow("huber"), "cauchy"])
def test_engines_weigh_the_normal_matrix_alike(name):
    data, model = grid_data(noisy()), ModelSpec(n_components=2, loss=name, f_scale=0.1)
    with jax.enable_x64(True):
        found = []
        for engine in (sf.Dense(), TILED):
            ready = problem_setup(data, model, np.dtype(float), EngineChoice(engine, float("inf")))
            params = ready.problem.parameterization.pack(to_internal(HILLS, ready.scaling))
            problem = ready.problem if ready.planner is None else ready.planner(ready.problem, params, params)
            found.append(normal_and_gradient(problem, params))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * np.abs(one).max())


@jax.jit
def normal_and_gradient(problem, params):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    return jacobian.restored(normal).as_matrix(), gradient


@pytest.mark.slow
@pytest.mark.parametrize("engine", [slow("dense"), TILED])
def test_the_cost_of_a_fit_is_that_of_its_surface(engine):
    """In the units of a fit no counts are zero but for a rounding error, which must not matter, nor how XLA rounds."""
    rng, solver = np.random.default_rng(0), sf.LevenbergMarquardt(max_steps=4)
    for _ in range(8):
        counts = rng.poisson(HILLS(PLACES)).astype(float)
        result = sf.fit(counts, 2, loss="poisson", init=HILLS, engine=engine, solver=solver)
        assert result.cost == pytest.approx(half_deviance(counts, result.predict()).sum(), rel=1e-9)


@pytest.mark.parametrize("dtype", [slow("float32"), "float64"])
def test_a_peak_of_counts_amid_nothing(dtype):
    """Where no rate is expected and nothing was counted, nothing is to be paid: components need not reach there."""
    rng = np.random.default_rng(0)
    truth = sf.GaussianSurface([100.0], [[15.0, 17.0]], [np.diag([3.0, 6.0])], None)
    counts = rng.poisson(truth(PLACES)).astype(float)
    inside = counts > 0
    result = sf.fit(
        counts, 1, loss="poisson", background=None, covariance_type="diag", init=truth, dtype=dtype, solver=TO_THE_END
    )

    def cost(p):
        squares = ((Y - p[1]) / p[3]) ** 2 + ((X - p[2]) / p[4]) ** 2
        return np.sum(np.exp(p[0] - squares / 2)) - np.sum(counts[inside] * (p[0] - squares[inside] / 2))

    best = minimize(cost, [np.log(100), 15, 17, np.sqrt(3), np.sqrt(6)], method="BFGS", options={"gtol": 1e-4}).x
    surface = result.surface
    found = [np.log(surface.amplitudes[0]), *surface.centers[0], *np.sqrt(np.diag(surface.covariances[0]))]
    np.testing.assert_allclose(found, best, rtol=1e-3)


@pytest.mark.parametrize("init", [HILLS, slow("auto")], ids=["given", "auto"])
def test_sparse_counts_in_single_precision(init):
    counts = np.random.default_rng(0).poisson(HILLS(PLACES) - 0.95).astype(float)
    wanted = sf.fit(counts, 2, loss="poisson", init=HILLS)
    result = sf.fit(counts, 2, loss="poisson", init=init, dtype="float32")
    assert result.success
    assert result.cost == pytest.approx(wanted.cost, rel=1e-3)


def off_place(result):
    """How far the centres of two components are from those of the hills."""
    centers = np.asarray(result.surface.centers)[:2]
    return np.abs(centers[np.argsort(centers[:, 0])] - HILLS.centers).max()


@pytest.mark.parametrize(("name", "least"), [("soft_l1", 0.05), ("cauchy", 0.03)])
def test_outliers_move_a_fit_of_squares_but_no_robust_one(name, least):
    assert off_place(fitted("linear", init="growth")) > 0.3
    assert off_place(fitted(name, init="growth")) < least


@pytest.mark.slow
@pytest.mark.parametrize("n_components", [2, "auto"])
def test_neither_search_nor_the_choice_of_a_number_follows_outliers(n_components):
    result = sf.fit(noisy(), n_components, sigma=SIGMA, loss="cauchy", f_scale=2.0)
    assert result.n_components == 2
    assert off_place(result) < 0.03


@pytest.mark.parametrize("name", LOSSES)
def test_single_precision_says_the_same(name):
    heights, rates = np.array([0.0, 0, 0, 1, 3, 50, 500]), np.array([0.0, 1e-3, 1, 0, 3.001, 70, -1])
    loss = loss_of(name, 1.5, MEAN)
    double, _ = at_points(loss, rates, heights)
    with jax.enable_x64(False):
        columns = [jnp.asarray(a, jnp.float32) for a in (rates, heights, np.ones(7))]
        loss = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), loss)
        single = {what: np.asarray(getattr(loss, what)(*columns)) for what in POINTWISE}
    for what in POINTWISE:
        assert single[what].dtype == np.float32
        np.testing.assert_allclose(single[what], double[what], rtol=2e-3, atol=2e-7)


@pytest.mark.parametrize("name", [slow("cauchy"), "poisson"])
def test_single_precision_ends_at_the_same_surface(name):
    single, double = (fitted(name, dtype=dtype) for dtype in ("float32", "float64"))
    assert single.settings.dtype == "float32"
    assert single.cost == pytest.approx(double.cost, rel=1e-4)
    np.testing.assert_allclose(row_of(single.surface), row_of(double.surface), rtol=0.03, atol=0.03)


def test_a_file_keeps_the_loss(tmp_path):
    result = fitted("cauchy")
    for file in (tmp_path / "fit.json", tmp_path / "fit.npz"):
        result.save(file)
        loaded = sf.load(file)
        assert (loaded.settings.loss, loaded.settings.f_scale) == ("cauchy", 2.0)
        np.testing.assert_array_equal(loaded.standard_errors.centers, result.standard_errors.centers)


COUNTED = np.arange(64.0).reshape(8, 8)
WRONG = {
    "unknown": (
        COUNTED,
        {"loss": "cauchi"},
        r"`loss` must be one of 'linear', .*, got 'cauchi'; did you mean 'cauchy'\?",
    ),
    "no name": (COUNTED, {"loss": None}, r"`loss` must be one of .*, got None"),
    "f_scale of squares": (
        COUNTED,
        {"f_scale": 2.0},
        r"`f_scale` is for loss='huber', .*, got f_scale=2.0 with loss='linear'",
    ),
    "f_scale of counts": (
        COUNTED,
        {"loss": "poisson", "f_scale": 2.0},
        r"`f_scale` is for loss=.* with loss='poisson'",
    ),
    "f_scale negative": (
        COUNTED,
        {"loss": "huber", "f_scale": -1.0},
        r"`f_scale` must be positive and finite, got -1.0",
    ),
    "f_scale infinite": (
        COUNTED,
        {"loss": "huber", "f_scale": np.inf},
        r"`f_scale` must be positive and finite, got inf",
    ),
    "negative counts": (
        COUNTED - 9,
        {"loss": "poisson"},
        r"`heights` must be counts, not negative, .* got -9 at index \(0, 0\)",
    ),
    "sigma of counts": (COUNTED, {"loss": "poisson", "sigma": 1.0}, r"`sigma` must be None for loss='poisson'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case, monkeypatch):
    heights, options, message = WRONG[case]
    monkeypatch.setattr("surfacefit._fit.fitting.initialize", lambda *a: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=message):
        sf.fit(heights, 1, **options)


def test_an_f_scale_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="`f_scale` must be a number, got 'x'"):
        sf.fit(COUNTED, 1, loss="huber", f_scale="x")


def test_negative_heights_that_are_masked_are_no_counts():
    solver = sf.LevenbergMarquardt(max_steps=0)
    assert sf.fit(COUNTED - 9, 1, loss="poisson", mask=COUNTED < 9, init="grid", solver=solver).n_points == 55
