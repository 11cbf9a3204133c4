"""Derivatives through a fit, against central differences of refits and other independent answers."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contexts import DOUBLE
from oracles import random_surface

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._constraints.box import Box
from surfacefit._derivatives.implicit import attached, polished
from surfacefit._losses import loss_of

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
    problem, start = problem_of(*CASES[0])
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
