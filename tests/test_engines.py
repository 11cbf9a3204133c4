"""Every Jacobian engine against loops and differences, for each dimension, covariance type and background."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences, random_surface, surface_by_loops

import surfacefit as sf
from surfacefit._base.precision import on_host
from surfacefit._engines.jacobian import MatrixJacobian
from surfacefit._engines.jacobian import dense as dense
from surfacefit._model.amplitudes import AMPLITUDE_TYPES
from surfacefit._model.parameters import Parameterization
from surfacefit._model.step_lengths import relative_change

TYPES = ["full", "diag", "spherical", "tied"]
BACKGROUNDS = ["none", "constant", "plane", "function"]


def background(kind, n_dim):
    return {
        "none": None,
        "constant": sf.ConstantBackground(jnp.asarray(0.3)),
        "plane": sf.PlaneBackground(jnp.asarray(0.3), jnp.full(n_dim, 0.2), jnp.full(n_dim, 0.1)),
        "function": sf.FunctionBackground(lambda q, x: q[0] * jnp.exp(-q[1] * x[..., 0]), jnp.asarray([0.4, 0.7])),
    }[kind]


def make_problem(rng, n_dim, covariance_type="full", kind="constant", count=3, n_points=37):
    points = rng.uniform(-1, 1, (n_points, n_dim))
    heights, sigma = rng.normal(size=n_points), rng.uniform(0.5, 2, n_points)
    start = sf.GaussianSurface(*random_surface(rng, count, n_dim), background(kind, n_dim))
    problem, params = sf.SurfaceProblem.from_start(
        points, heights, start, sigma=sigma, covariance_type=covariance_type, min_width=np.full(n_dim, 0.02)
    )
    return problem, params


CASES = [(d, t, "constant") for d in (1, 2, 3) for t in TYPES] + [
    (2, t, b) for t in ("full", "tied") for b in BACKGROUNDS
]


@pytest.mark.parametrize(("n_dim", "covariance_type", "kind"), CASES)
def test_operator_is_the_derivative(rng, n_dim, covariance_type, kind):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, n_dim, covariance_type, kind)
        residuals, jacobian = jax.jit(type(problem).linearize)(problem, params)
        plain = jax.jit(type(problem).residuals)
        expected = central_differences(lambda p: plain(problem, jnp.asarray(p)), np.asarray(params))
        check_operator(jacobian, expected, residuals, problem.parameterization.layout, rtol=1e-7)
        np.testing.assert_allclose(residuals, plain(problem, params), rtol=1e-12)


@jax.jit
def every_operation(jacobian, v, u, residuals):
    normal, gradient = jacobian.normal(residuals)
    normal = jacobian.restored(normal).as_matrix()
    return jacobian.as_matrix(), jacobian.mv(v), jacobian.rmv(u), (normal, gradient), jacobian.block_diagonal()


def check_operator(jacobian, expected, residuals, layout, rtol):
    """Every operation of an operator against the matrix that it stands for."""
    atol = rtol * np.abs(expected).max()
    rng = np.random.default_rng(0)
    v, u = rng.normal(size=expected.shape[1]), rng.normal(size=expected.shape[0])
    matrix, mv, rmv, (normal, gradient), (blocks, border) = every_operation(jacobian, v, u, residuals)
    np.testing.assert_allclose(matrix, expected, atol=atol)
    np.testing.assert_allclose(mv, expected @ v, atol=20 * atol)
    np.testing.assert_allclose(rmv, u @ expected, atol=20 * atol)
    gram = expected.T @ expected
    coarse = 50 * rtol * np.abs(gram).max()
    np.testing.assert_allclose(normal, gram, atol=coarse)
    np.testing.assert_allclose(gradient, expected.T @ np.asarray(residuals), atol=100 * atol)
    size, count = layout.block_size, layout.n_components
    for k in range(count):
        part = gram[k * size : (k + 1) * size, k * size : (k + 1) * size]
        np.testing.assert_allclose(blocks[k], part, atol=coarse)
    np.testing.assert_allclose(border, gram[count * size :, count * size :], atol=coarse)


def test_matrix_operator_is_its_matrix(rng):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, 2)
        residuals, jacobian = jax.jit(type(problem).linearize)(problem, params)
        matrix = jax.jit(type(jacobian).as_matrix)(jacobian)
        layout = problem.parameterization.layout
        plain = MatrixJacobian(matrix, layout.n_components, layout.block_size)
        check_operator(plain, np.asarray(matrix), residuals, layout, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("n_points", [37, 512, 700])
def test_chunks_change_nothing(rng, monkeypatch, n_points):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, 2, n_points=n_points)
        whole_residuals, whole = problem.linearize(params)
        expected = whole.normal(whole_residuals)[0].matrix, whole.as_matrix(), whole.mv(params)
        monkeypatch.setattr(dense, "MONOMIALS_A_CHUNK", 1)
        residuals, jacobian = problem.linearize(params)
        assert n_points <= 256 or jacobian.points.shape[0] > 1
        found = jacobian.normal(residuals)[0].matrix, jacobian.as_matrix(), jacobian.mv(params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), found, expected)


def test_thinned_products_leave_the_gradient_exact(rng):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, 2)
        residuals, jacobian = replace(problem, engine=dense.DenseEngine(3)).linearize(params)
        matrix = np.asarray(problem.linearize(params)[1].as_matrix())
        normal, gradient = jacobian.normal(residuals)
        np.testing.assert_allclose(gradient, matrix.T @ residuals, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(normal.matrix, 3 * matrix[::3].T @ matrix[::3], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(jacobian.mv(params), matrix @ params, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_dim", [1, 2, 3])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_parameters_round_trip(rng, n_dim, covariance_type):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, n_dim, covariance_type)
        surface = problem.surface(params)
        np.testing.assert_allclose(problem.parameterization.pack(surface), params, rtol=1e-9, atol=1e-9)
        heights = surface_by_loops(
            *(np.asarray(a) for a in (surface.amplitudes, surface.centers, surface.covariances)),
            np.asarray(problem.points),
        )
        expected = (heights + 0.3 - np.asarray(problem.heights)) * np.asarray(problem.weights)
        np.testing.assert_allclose(problem.residuals(params), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("n_dim", "covariance_type", "kind", "amplitude"),
    [
        (1, "full", "plane", "signed"),
        (2, "full", "function", "positive"),
        (2, "diag", "constant", "signed"),
        (3, "spherical", "none", "positive"),
        (2, "tied", "plane", "positive"),
    ],
)
def test_numpy_gives_the_parameters_and_components_that_jax_gives(rng, n_dim, covariance_type, kind, amplitude):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, n_dim, covariance_type, kind)
        parts = replace(problem.parameterization, amplitude=AMPLITUDE_TYPES[amplitude], n_components=5)
        host, surface = on_host(parts), on_host(problem.surface(params))
        packed, expected = host.pack(surface), jax.jit(Parameterization.pack)(parts, surface)
        found, components = host.components(packed), jax.jit(Parameterization.components)(parts, expected)
        assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves((packed, found)))
        np.testing.assert_allclose(packed, expected, rtol=1e-13, atol=1e-13)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), tuple(found), tuple(components))


def test_single_precision_stays_single(rng):
    @jax.jit
    def everything(problem, params):
        residuals, jacobian = problem.linearize(params)
        normal, gradient = jacobian.normal(residuals)
        return residuals, normal.as_matrix(), gradient

    with jax.enable_x64(False):
        problem, params = make_problem(rng, 2)
        residuals, normal, gradient = everything(problem, params)
    assert {a.dtype for a in (params, residuals, normal, gradient)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("covariance_type", TYPES)
def test_no_step_moves_a_component_too_far(rng, covariance_type):
    with jax.enable_x64(True):
        problem, params = make_problem(rng, 2, covariance_type)
        parts = problem.parameterization
        step = jnp.asarray(rng.normal(size=params.size) * 10)
        short = problem.within_trust_region(params, step, 0.3)
        assert float(relative_change(parts, params, short).max()) <= 0.3 + 1e-9
        np.testing.assert_allclose(problem.within_trust_region(params, 1e-3 * step, 0.3), 1e-3 * step)
        small = 1e-4 * step
        before, after = parts.components(params), parts.components(params + small)
        inverse = np.linalg.inv(np.asarray(before.factors))
        moved = np.abs(np.einsum("kij,kj->ki", inverse, after.centers - before.centers)).max(axis=1)
        stretched = np.abs(inverse @ np.asarray(after.factors - before.factors)).max(axis=(1, 2))
        np.testing.assert_allclose(relative_change(parts, params, small), np.maximum(moved, stretched), rtol=2e-3)
