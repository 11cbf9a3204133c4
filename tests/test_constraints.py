"""Constraints on a step, one by one: active ones, width limits, and what they leave a fit to determine."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences
from scipy.optimize import nnls

import surfacefit as sf
from surfacefit._base.precision import on_host, precision
from surfacefit._constraints.active_constraints import ActiveConstraints, GroupConstraints
from surfacefit._constraints.active_width_limits import (
    CandidateLimits,
    CostSlope,
    active_limits,
    width_frame,
    with_fixed_angles,
)
from surfacefit._constraints.width_limits import WidthLimits
from surfacefit._linear.normal import DenseNormal
from surfacefit._problem.problem import SurfaceProblem
from surfacefit._statistics.constrained_directions import constrained_directions

DOUBLE = np.dtype(np.float64)
FAR = 1e9  # a limit that nothing meets


@pytest.fixture(autouse=True)
def double():
    with precision(DOUBLE):
        yield


# One program each, in place of a hundred single operations.
limits_that_act, frame_of, angles_fixed = jax.jit(active_limits), jax.jit(width_frame), jax.jit(with_fixed_angles)
projected = jax.jit(SurfaceProblem.projected)
constraints_at = jax.jit(SurfaceProblem.active_constraints)


def unit(*numbers):
    return np.asarray(numbers) / np.linalg.norm(numbers)


# --- Active constraints -----------------------------------------------------------------------------------------------


def two_components(gaps=(0.0, 0.0)):
    """Of three parameters each and a border of two; the first has one constraint, the second none, the border one."""
    own = np.zeros((2, 3, 1))
    own[0, :, 0] = unit(1, 2, -1)
    border = unit(3, 1)[None, :, None]
    return ActiveConstraints(
        GroupConstraints(jnp.asarray(own), jnp.asarray([[gaps[0]], [0.0]])),
        GroupConstraints(jnp.asarray(border), jnp.asarray([[gaps[1]]])),
    )


def normals_of(constraints):
    """The normals (P, q) of all constraints that are active, and their gaps (q,)."""
    rows = np.zeros((8, 2))
    rows[:3, 0], rows[6:, 1] = constraints.own.normals[0, :, 0], constraints.border.normals[0, :, 0]
    return rows, np.array([constraints.own.gaps[0, 0], constraints.border.gaps[0, 0]])


def test_a_tangential_vector_has_no_part_along_a_normal(rng):
    constraints, vector = two_components(), rng.normal(size=8)
    normals, _ = normals_of(constraints)
    expected = vector - normals @ (normals.T @ vector)
    np.testing.assert_allclose(constraints.tangential(jnp.asarray(vector)), expected, atol=1e-12)


def test_normals_that_are_not_orthogonal_are_projected_out_together():
    normals = np.stack([unit(1, 0, 0), unit(1, 1, 0)], axis=1)[None]
    group = GroupConstraints(jnp.asarray(normals), jnp.zeros((1, 2)))
    np.testing.assert_allclose(group.tangential(jnp.asarray([[3.0, -2.0, 5.0]])), [[0, 0, 5]], atol=1e-12)


@pytest.mark.parametrize("gaps", [(0.0, 0.0), (0.3, -0.1)])
def test_a_step_with_penalty_solves_the_equality_constrained_problem(rng, gaps):
    """Beside the KKT system of: least squares subject to n^T h = gap."""
    constraints = two_components(gaps)
    jacobian, residuals, scaling = rng.normal(size=(20, 8)), rng.normal(size=20), rng.uniform(0.5, 2, 8)
    (normals, wanted), normal, gradient = normals_of(constraints), jacobian.T @ jacobian, jacobian.T @ residuals
    system = np.block([[normal, normals], [normals.T, np.zeros((2, 2))]])
    expected = np.linalg.solve(system, np.concatenate([-gradient, wanted]))[:8]
    scales = jnp.asarray(scaling)
    penalized = DenseNormal(jnp.asarray(normal)).with_penalty(*constraints.penalty_blocks(scales)).as_matrix()
    step = np.linalg.solve(penalized, -np.asarray(constraints.with_gap(jnp.asarray(gradient), scales)))
    np.testing.assert_allclose(step, expected, atol=1e-5)
    rows, below = constraints.augmented_rows(jnp.asarray(jacobian), jnp.asarray(residuals), scales)
    by_rows = np.linalg.lstsq(np.asarray(rows), -np.asarray(below), rcond=None)[0]
    np.testing.assert_allclose(by_rows, expected, atol=1e-5)


# --- Active width limits ----------------------------------------------------------------------------------------------


def candidates_of(normals, room):
    count = normals.shape[1]
    return CandidateLimits(
        GroupConstraints(jnp.asarray(normals), jnp.asarray(room)), jnp.ones(count), np.ones((count, 2), bool)
    )


def test_limits_that_are_met_are_active_where_their_multiplier_is_positive(rng):
    """The multipliers are those of SciPy's non-negative least squares; those near zero could go either way."""
    found = []
    for _ in range(20):
        normals, slope = rng.normal(size=(3, 2)), rng.normal(size=3)
        normals = normals / np.linalg.norm(normals, axis=0)
        multipliers = nnls(normals, -slope)[0]
        active = limits_that_act(
            candidates_of(normals, np.zeros(2)), CostSlope(jnp.asarray(slope), jnp.full(3, jnp.inf), 1e-9)
        )
        found.append(np.linalg.norm(active.normals, axis=0) > 0)
        np.testing.assert_array_equal(found[-1][multipliers > 1e-3], True)
        np.testing.assert_array_equal(found[-1][multipliers == 0], False)
    assert 0 < np.mean(found) < 1


@pytest.mark.parametrize(("room", "slope", "is_active"), [(0.01, -1, True), (0.01, 1, False), (0.01, -0.001, False)])
def test_a_nearby_limit_is_active_if_the_step_would_cross_it(room, slope, is_active):
    candidates = candidates_of(np.array([[1.0], [0.0]]), np.array([room]))
    candidates = candidates._replace(holds=np.ones((1, 2), bool))
    active = limits_that_act(candidates, CostSlope(jnp.asarray([slope, 0.5]), jnp.ones(2), 1e-9))
    assert (float(active.gaps[0]) == room) == is_active


def factor_of(shape):
    lower = np.zeros((2, 2))
    lower[np.tril_indices(2)] = shape
    return jnp.asarray(lower)


@pytest.mark.parametrize("shape", [(2.0, 0.3, 1.0), (1.5, -0.8, 3.0)])
def test_slopes_of_widths_are_those_of_differences(shape):
    """Of singular values, far enough apart to have axes of their own."""
    shape = np.asarray(shape)
    slopes = np.zeros((2, 2, 3))
    slopes[0, 0, 0] = slopes[1, 0, 1] = slopes[1, 1, 2] = 1
    cost = CostSlope(jnp.asarray([0.1, 0.2, -0.1]), jnp.full(3, jnp.inf), 1e-9)
    frame = frame_of(factor_of(shape), jnp.asarray(slopes), cost, jnp.asarray(0.03))

    def widths(numbers):
        return np.linalg.svd(np.asarray(factor_of(numbers)), compute_uv=False)

    expected = central_differences(widths, shape)
    order = np.argsort(np.diag(frame.values))[::-1]
    np.testing.assert_allclose(np.diag(frame.values)[order], widths(shape), rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(frame.slopes)[:, order].T, expected, atol=1e-6)
    assert np.asarray(frame.equal).tolist() == np.eye(2, dtype=bool).tolist()


def test_a_round_component_at_a_limit_may_not_turn():
    """Equal widths, one of which a limit holds: the angle between them is fixed, too."""
    slopes = np.zeros((2, 2, 3))
    slopes[0, 0, 0] = slopes[1, 0, 1] = slopes[1, 1, 2] = 1
    cost = CostSlope(jnp.asarray([-1.0, 0.0, 0.5]), jnp.full(3, jnp.inf), 1e-9)
    frame = frame_of(factor_of((2.0, 0.0, 2.0)), jnp.asarray(slopes), cost, jnp.asarray(0.03))
    assert np.asarray(frame.equal).all()
    diagonal = np.diagonal(frame.slopes)
    candidates = CandidateLimits(
        GroupConstraints(jnp.asarray(diagonal), jnp.zeros(2)), jnp.full(2, 2.0), np.eye(2, dtype=bool)
    )
    active = limits_that_act(candidates, cost)
    fixed = angles_fixed(active, candidates.holds, frame)
    assert (np.linalg.norm(active.normals, axis=0) > 0).sum() == 1
    assert (np.linalg.norm(fixed.normals, axis=0) > 0).sum() == 2


# --- Width limits in a problem ----------------------------------------------------------------------------------------


def problem_with(low, high, aspect, widths, covariance_type="full"):
    """Two components with these principal widths (2, 2), turned, and their parameters."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    covariances = np.stack([turn @ np.diag(np.square(w)) @ turn.T for w in widths])
    start = sf.GaussianSurface(np.array([1.0, 2.0]), np.array([[0.0, 0.0], [2.0, 1.0]]), covariances)
    points = jnp.asarray(np.array(list(itertools.product(range(-3, 6), range(-3, 5))), float))
    problem, params = SurfaceProblem.from_start(points, jnp.zeros(len(points)), start, covariance_type=covariance_type)
    limits = WidthLimits(jnp.ones(2), *(jnp.asarray(float(number)) for number in (low, high, aspect)))
    return problem.__class__(**{**vars(problem), "width_limits": limits}), params


def widths_of(problem, params):
    covariances = _covariances(problem.parameterization, params)
    return np.sqrt(np.linalg.eigvalsh(covariances))[:, ::-1]


@jax.jit
def _covariances(parts, params):
    factors = parts.components(params).factors
    return factors @ factors.swapaxes(1, 2)


def test_clipping_moves_widths_to_their_limits_and_no_others():
    problem, params = problem_with(0.5, 2.0, 1e9, [(3.0, 1.0), (1.5, 0.2)])
    np.testing.assert_allclose(widths_of(problem, projected(problem, params)), [(2.0, 1.0), (1.5, 0.5)], rtol=1e-9)


def test_clipping_of_a_ratio_widens_the_narrow_width():
    problem, params = problem_with(0.0, FAR, 2.0, [(3.0, 1.0), (1.5, 1.2)])
    np.testing.assert_allclose(widths_of(problem, projected(problem, params)), [(3.0, 1.5), (1.5, 1.2)], rtol=1e-9)


def test_the_normal_of_a_width_limit_is_its_gradient():
    """By central differences of the largest width of the first component, at its limit; the cost would widen it."""
    problem, params = problem_with(0.1, 3.0, 1e9, [(3.0, 1.0), (1.5, 1.2)])
    own = slice(0, params.size // 2)

    def largest(numbers):
        return widths_of(problem, jnp.asarray(np.concatenate([numbers, np.asarray(params)[params.size // 2 :]])))[0, :1]

    expected = central_differences(largest, np.asarray(params)[own])[0]
    gradient = np.zeros(params.size)
    gradient[own] = -expected
    gradient = jnp.asarray(gradient)
    normals = np.asarray(constraints_at(problem, params, gradient).own.normals)
    assert (np.linalg.norm(normals, axis=1) > 0).sum() == 1
    normal = normals[0][:, np.linalg.norm(normals[0], axis=0) > 0][:, 0]
    np.testing.assert_allclose(normal, unit(*expected), atol=1e-6)
    away = constraints_at(problem, params, -gradient)
    assert not np.asarray(away.own.normals).any()


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_constrained_directions_are_axes_and_span_the_normals(kind):
    widths = [(3.0, 1.0)] * 2 if kind == "tied" else [(3.0, 1.0), (1.5, 1.2)]
    problem, params = problem_with(0.1, 3.0, 1e9, widths, kind)
    gradient = np.zeros(params.size)
    slopes = central_differences(lambda p: widths_of(problem, jnp.asarray(p))[:1, 0], np.asarray(params))[0]
    gradient -= slopes
    axes = constrained_directions(on_host(problem), np.asarray(params), gradient, 1e-7)
    assert axes.constrained.sum() == 1
    assert not axes.at_box.any()
    for own in (*axes.own, axes.border):
        np.testing.assert_allclose(own.T @ own, np.eye(len(own)), atol=1e-12)
    whole = np.zeros((params.size, params.size))
    count, size, _ = axes.own.shape
    for k in range(count):
        whole[k * size : (k + 1) * size, k * size : (k + 1) * size] = axes.own[k]
    whole[count * size :, count * size :] = axes.border
    direction = whole[:, axes.constrained][:, 0]
    np.testing.assert_allclose(abs(direction @ unit(*slopes)), 1, rtol=1e-6)
