"""Derivatives through a fit, against central differences of refits and other independent answers."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contexts import DOUBLE
from oracles import random_surface
from problems import KNOWN, FunctionProblem

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._constraints.bounds import Constraints
from surfacefit._constraints.box import Box
from surfacefit._data.data import grid_data
from surfacefit._derivatives import newton_system
from surfacefit._derivatives.implicit import attached, polished
from surfacefit._engines.engines import EngineChoice
from surfacefit._losses import loss_of
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup

EXACT = sf.Implicit()
INPUTS = ("points", "heights", "weights", "box")


@pytest.fixture(autouse=True)
def in_double():
    with precision(DOUBLE):
        yield


def problem_of(seed, n_dim, count, covariance_type="full", loss="linear", n_points=150, noise=0.1):
    """A problem of scattered points with errors, its amplitude limited to less than the best, and the start."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (n_points, n_dim))
    truth = sf.GaussianSurface(*random_surface(rng, count, n_dim), 0.2)
    heights = truth(points) + noise * rng.normal(size=n_points)
    if loss == "poisson":
        heights = rng.poisson(np.maximum(20 * heights, 1)) / 20
    sigma = noise * rng.uniform(0.5, 2, n_points)
    problem, params = sf.SurfaceProblem.from_start(
        jnp.asarray(points), jnp.asarray(heights), truth, sigma=jnp.asarray(sigma), covariance_type=covariance_type
    )
    size, border = problem.parameterization.layout.block_size, problem.parameterization.layout.n_border
    box = Box(*(np.full((count, size), side) for side in (-np.inf, np.inf)), *np.full((2, border), [[-9.0], [9.0]]))
    box.high[0, 0] = params[0] - 0.5
    problem = replace(problem, box=jax.tree.map(jnp.asarray, box), loss=loss_of(loss, 1.5, 1.0))
    return problem, problem.projected(params)


@jax.jit
def fitted(problem, params):
    solution = sf.solve(problem, params, sf.LevenbergMarquardt(), adjoint=EXACT)
    return solution.params, solution.minimum


@jax.jit
def refitted(problem, params):
    return polished(sf.Implicit(polish=30, rtol=1e-12), problem, params)


def minimum_of(adjoint, problem, params, given):
    return attached(adjoint, replace(problem, **given), params)[0]


@partial(jax.jit, static_argnums=0)
def forward(adjoint, problem, params, change):
    some = {name: getattr(problem, name) for name in change}
    return jax.jvp(lambda given: minimum_of(adjoint, problem, params, given), (some,), (change,))[1]


@partial(jax.jit, static_argnums=0)
def backward(adjoint, problem, params, vector):
    some = {name: getattr(problem, name) for name in INPUTS}
    return jax.vjp(lambda given: minimum_of(adjoint, problem, params, given), some)[1](vector)[0]


def directions(problem, seed):
    """For each of the inputs a change of that alone, the others at rest."""
    rng = np.random.default_rng(seed)
    some = {name: getattr(problem, name) for name in INPUTS}
    rest = jax.tree.map(jnp.zeros_like, some)
    for name in INPUTS:
        scale = some["weights"] if name == "weights" else 0.1
        yield name, rest | {name: jax.tree.map(lambda a, s=scale: s * rng.normal(size=a.shape), some[name])}


def central_difference(problem, params, change, step=1e-4):
    def at(t):
        moved = {name: jax.tree.map(lambda a, b: a + t * b, getattr(problem, name), change[name]) for name in change}
        found, minimum = refitted(replace(problem, **moved), params.at[0].set(moved["box"].high[0, 0]))
        assert float(minimum.gradient) < 1e-9
        return np.asarray(found)

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


CASES = [(0, 2, 2, "full", "linear"), (1, 1, 2, "tied", "cauchy")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_derivatives_are_those_of_refits(case):
    """By heights, weights, points and the bounds that hold; the bounded amplitude moves with its bound alone."""
    problem, start = problem_of(*case)
    params, minimum = fitted(problem, start)
    assert list(np.flatnonzero(minimum.held)) == [0]
    assert not minimum.undetermined.any()
    for name, change in directions(problem, 5):
        slope = forward(EXACT, problem, params, change)
        found = central_difference(problem, params, change)
        assert np.abs(slope - found).max() < 1e-6 * np.abs(found).max(), name
        assert slope[0] == (change["box"].high[0, 0] if name == "box" else 0)


def test_backward_is_the_transpose_of_forward():
    problem, start = problem_of(*CASES[1])
    params, _ = fitted(problem, start)
    vector = jnp.asarray(np.random.default_rng(2).normal(size=params.size))
    pulled = backward(EXACT, problem, params, vector)
    for _, change in directions(problem, 3):
        pairs = zip(jax.tree.leaves(pulled), jax.tree.leaves(change), strict=True)
        product = sum(float(jnp.sum(jnp.where(b == 0, 0, a * b))) for a, b in pairs)
        assert product == pytest.approx(float(vector @ forward(EXACT, problem, params, change)), rel=1e-9)


def test_gradient_goes_through_a_whole_fit():
    """`solve` under jit, grad and vmap, as a user calls it, and the status of the solver with it."""
    x = jnp.linspace(-3, 3, 61)[:, None]
    start = sf.GaussianSurface(jnp.array([0.8]), jnp.array([[0.3]]), jnp.array([[[0.5]]]))
    noise = jnp.asarray(np.random.default_rng(0).normal(size=61))

    def center(z):
        problem, params = sf.SurfaceProblem.from_start(x, z, start)
        solution = sf.solve(problem, params, sf.LevenbergMarquardt(), adjoint=EXACT)
        return problem.surface(solution.params).centers[0, 0], solution

    z = jnp.exp(-0.5 * x[:, 0] ** 2) + 0.2 * noise
    program = jax.jit(jax.vmap(jax.grad(center, has_aux=True)))
    step = 1e-4
    moved = jnp.stack([z, z.at[40].add(step), z.at[40].add(-step)])
    slopes, solution = program(moved)
    centers = [float(solution.params[i, 1]) for i in (1, 2)]
    assert float(slopes[0, 40]) == pytest.approx((centers[0] - centers[1]) / (2 * step), rel=1e-6)
    assert solution.minimum.gradient.max() < 1e-9
    assert solution.minimum.step.max() < 1e-9
    assert set(map(int, solution.status)) <= {int(s) for s in sf.Status if s.name.startswith("CONVERGED")}


GRID = np.stack(np.meshgrid(np.arange(18.0), np.arange(20.0), indexing="ij"), axis=-1)
SHAPES = np.array([[[7.0, 1], [1, 4]], [[5.0, -2], [-2, 9]]])
HILLS = sf.GaussianSurface(np.array([3.0, 2.0]), np.array([[6.0, 5], [10, 14]]), SHAPES, 1.0)
MAP = HILLS(GRID) + 0.1 * np.random.default_rng(0).normal(size=GRID.shape[:2])


def prepared_problem(engine, dtype=DOUBLE, **model):
    """The map's problem behind `fit`, with an engine, and the parameters of the hills."""
    spec = ModelSpec(n_components=2, **model)
    prepared = problem_setup(grid_data(MAP.astype(dtype)), spec, dtype, EngineChoice(engine))
    params = prepared.host.parameterization.pack(to_internal(HILLS, prepared.scaling))
    problem = prepared.problem if prepared.planner is None else prepared.planner(prepared.problem, params, params)
    return prepared, jax.tree.map(jnp.asarray, problem), jnp.asarray(params)


@partial(jax.jit, static_argnums=(0, 3))
def slopes_by_heights(adjoint, problem, params, kind=None):
    """Where the minimum is, and the derivatives of a number by the heights, backwards."""
    at, minimum = polished(adjoint, problem, params)
    vector = jnp.cos(jnp.arange(at.size, dtype=at.dtype)) * jnp.where(minimum.held, 0.0, 1.0).astype(at.dtype)
    return minimum, jax.grad(lambda z: attached(adjoint, replace(problem, heights=z), at)[0] @ vector)(problem.heights)


@pytest.fixture(scope="module")
def dense_slopes():
    with precision(DOUBLE):
        prepared, problem, params = prepared_problem(sf.Dense())
        return prepared.by_point(slopes_by_heights(EXACT, problem, params)[1])


@pytest.mark.parametrize(
    ("normal", "most_direct"),
    [
        ("products", 256),
        ("auto", 0),
        pytest.param("auto", 1024, marks=pytest.mark.slow),
        pytest.param("products", 0, marks=pytest.mark.slow),
        pytest.param("dense", 0, marks=pytest.mark.slow),
    ],
)
def test_engines_and_systems_agree(dense_slopes, monkeypatch, normal, most_direct):
    """Tiles with blocks and with products, decomposed and by conjugate gradients."""
    monkeypatch.setattr(newton_system, "DIRECT_PARAMETERS", most_direct)
    monkeypatch.setattr(newton_system, "DIRECT_PRODUCTS", most_direct)
    engine = sf.Dense() if normal == "dense" else sf.Tiled(cutoff=1e-12, tile_size=32, normal=normal)
    prepared, problem, params = prepared_problem(engine)
    minimum, found = slopes_by_heights(sf.Implicit(rtol=1e-9), problem, params, (normal, most_direct))
    assert minimum.gradient < 1e-9
    np.testing.assert_allclose(prepared.by_point(found), dense_slopes, atol=1e-6 * np.abs(dense_slopes).max())


@pytest.mark.slow
def test_numbers_of_a_component_next_to_none_are_nan_without_a_decomposition_too(monkeypatch):
    """Forwards and backwards, with blocks of overlapping components: only what depends on them."""
    monkeypatch.setattr(newton_system, "DIRECT_PARAMETERS", 0)
    _, problem, params = prepared_problem(sf.Tiled(cutoff=1e-12, tile_size=32))
    faint = problem.parameterization.layout.blocks(params).at[1, 0].set(-23.0)
    params = jnp.concatenate([faint.ravel(), params[faint.size :]])
    problem = replace(
        problem, heights=problem.engine.model(problem.points, problem.parameterization.components(params))
    )
    numbers = np.zeros(params.size, bool)
    numbers[6:12] = True
    minimum = jax.jit(partial(polished, EXACT))(problem, params)[1]
    np.testing.assert_array_equal(minimum.undetermined, numbers)

    def moved(z):
        return attached(EXACT, replace(problem, heights=z), params)[0]

    change = jnp.cos(jnp.arange(problem.heights.size, dtype=float))
    tangent = jax.jit(lambda z: jax.jvp(moved, (z,), (change,))[1])(problem.heights)
    np.testing.assert_array_equal(np.isnan(tangent), numbers)
    pull = jax.jit(lambda z, w: jax.vjp(moved, z)[1](w)[0])
    vector = jnp.where(numbers | np.asarray(minimum.held), 0.0, 1.0)
    assert float(pull(problem.heights, vector) @ change) == pytest.approx(
        float(jnp.where(numbers, 0, tangent) @ vector)
    )
    assert np.isnan(pull(problem.heights, vector.at[7].set(1))).any()


@pytest.mark.parametrize("most_direct", [0, pytest.param(1024, marks=pytest.mark.slow)])
def test_far_from_a_minimum_the_last_step_does_not_pass_for_none(monkeypatch, most_direct):
    """Hills turned over are no minimum of anything near: without a decomposition no Newton step is found."""
    monkeypatch.setattr(newton_system, "DIRECT_PARAMETERS", most_direct)
    _, problem, params = prepared_problem(sf.Tiled(cutoff=1e-12, tile_size=32))
    turned = replace(problem, heights=-10 * problem.heights)
    at, minimum = jax.jit(partial(polished, sf.Implicit(polish=0)))(turned, params)
    np.testing.assert_array_equal(at, params)
    assert minimum.step > 1e-3
    assert most_direct or minimum.step == np.inf


def one_gaussian(p, x):
    return p[0] * jnp.exp(-0.5 * ((x - p[1]) / p[2]) ** 2)


@jax.jit
def unrolled(z, x):
    """Amplitude, centre and width by 40 Newton steps, which JAX differentiates one by one."""

    def cost(p):
        return 0.5 * jnp.sum((one_gaussian(p, x) - z) ** 2)

    def step(_, p):
        return p - jnp.linalg.solve(jax.hessian(cost)(p), jax.grad(cost)(p))

    return jax.lax.fori_loop(0, 40, step, jnp.array([1.0, 0.1, 1.1]))


def test_unrolled_steps_have_the_exact_derivative_and_gauss_newton_has_not():
    """With large residuals, and in other parameters than those of the package."""
    x = jnp.linspace(-3, 3, 25)
    z = one_gaussian(jnp.array([1.0, 0.0, 1.0]), x) + 0.3 * jnp.sin(3 * x + 1)
    start = sf.GaussianSurface(jnp.array([1.0]), jnp.array([[0.1]]), jnp.array([[[1.2]]]))

    def numbers(adjoint, heights):
        problem, params = sf.SurfaceProblem.from_start(x[:, None], heights, start)
        at, _ = polished(EXACT, jax.lax.stop_gradient(problem), params)
        surface = problem.surface(attached(adjoint, problem, at)[0])
        return jnp.stack([surface.amplitudes[0], surface.centers[0, 0], jnp.sqrt(surface.covariances[0, 0, 0])])

    expected = jax.jacfwd(unrolled)(z, x)
    exact, plain = (
        jax.jit(jax.jacrev(partial(numbers, adjoint)))(z) for adjoint in (EXACT, sf.Implicit("gauss-newton"))
    )
    np.testing.assert_allclose(exact, expected, rtol=1e-8, atol=1e-10)
    assert np.abs(plain - expected).max() > 0.1 * np.abs(expected).max()


def test_second_derivatives_go_through_as_well():
    """Forwards over backwards: the curvature of a fitted centre, against differences of its gradient."""
    x = jnp.linspace(-3, 3, 41)[:, None]
    start = sf.GaussianSurface(jnp.array([0.9]), jnp.array([[0.1]]), jnp.array([[[0.9]]]))
    rng = np.random.default_rng(3)
    z, change = jnp.exp(-0.5 * x[:, 0] ** 2) + 0.1 * jnp.asarray(rng.normal(size=41)), jnp.asarray(rng.normal(size=41))

    def center(heights):
        problem, params = sf.SurfaceProblem.from_start(x, heights, start)
        at, _ = polished(EXACT, jax.lax.stop_gradient(problem), params)
        return attached(EXACT, problem, at)[0][1]

    gradient = jax.jit(jax.grad(center))
    found = jax.jit(lambda z: jax.jvp(jax.grad(center), (z,), (change,))[1])(z)
    expected = (gradient(z + 1e-4 * change) - gradient(z - 1e-4 * change)) / 2e-4
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_without_residuals_the_covariance_of_the_fit_is_the_inverse_of_its_normal_matrix():
    """D Sigma D^T = (J^T W J)^-1 with D = dp / dz."""
    problem, params = problem_of(4, 2, 1, noise=0.1)
    problem = replace(problem, box=None, heights=problem.surface(params)(problem.points))
    slopes = jax.jit(jax.jacrev(lambda z: attached(EXACT, replace(problem, heights=z), params)[0]))(problem.heights)
    rows = np.asarray(jax.jit(jax.jacfwd(problem.residuals))(params))
    expected = np.linalg.inv(rows.T @ rows)
    errors = np.sqrt(np.diag(expected))
    scaled = np.asarray(slopes / problem.weights)
    np.testing.assert_allclose(
        scaled @ scaled.T / np.outer(errors, errors), expected / np.outer(errors, errors), atol=1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "widest"), [("full", 2.6), ("tied", 2.2)])
def test_limits_of_principal_widths_are_followed(kind, widest):
    """Where a largest width holds slanted components: by heights and by the limit itself, as in refits."""
    bounds = Constraints(sf.Bounds(widths=(0.0, widest)), {})
    _, problem, start = prepared_problem(sf.Dense(), constraints=bounds, covariance_type=kind, contained=False)
    params, minimum = fitted(problem, problem.projected(start))
    assert not minimum.undetermined.any()
    assert minimum.gradient < 1e-8
    heights = jnp.asarray(0.1 * np.random.default_rng(1).normal(size=problem.heights.shape))
    limits = jax.tree.map(jnp.zeros_like, problem.width_limits)
    rest = {"heights": jnp.zeros_like(heights), "width_limits": limits}
    for change in (rest | {"heights": heights}, rest | {"width_limits": replace(limits, high=jnp.asarray(0.1))}):
        slope = forward(EXACT, problem, params, change)
        found = []
        for t in (1e-3, -1e-3):
            moved = {n: jax.tree.map(lambda a, b, t=t: a + t * b, getattr(problem, n), change[n]) for n in change}
            found.append(refitted(replace(problem, **moved), params + t * slope)[0] / 2e-3)
        idle = np.repeat(~np.asarray(problem.parameterization.active), problem.parameterization.layout.block_size)
        error = np.abs(slope - (found[0] - found[1]))[~np.pad(idle, (0, slope.size - idle.size))]
        assert error.max() < 1e-4 * np.abs(slope).max()
        assert np.abs(slope).max() > 1e-3


def test_single_precision_gives_a_few_digits(dense_slopes):
    prepared, problem, params = prepared_problem(sf.Dense(), np.dtype(np.float32))
    found = slopes_by_heights(sf.Implicit(rtol=1e-4), problem, params)[1]
    assert found.dtype == np.float32
    np.testing.assert_allclose(prepared.by_point(found), dense_slopes, atol=0.01 * np.abs(dense_slopes).max())


@pytest.mark.parametrize("settings", [{"hessian": "newton"}, {"rtol": 0.0}, {"polish": -1}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must"):
        sf.Implicit(**settings)


def test_other_problems_are_refused():
    function, start, _ = KNOWN["rosenbrock"]
    with pytest.raises(TypeError, match="needs a SurfaceProblem, got FunctionProblem"):
        sf.solve(FunctionProblem(function), jnp.array(start), sf.LevenbergMarquardt(), adjoint=EXACT)
