"""Lanes that take their steps together end where each ends alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.status import Status
from surfacefit._solvers import lane_buckets
from surfacefit._solvers.lane_buckets import solve_together

X = np.linspace(-3, 3, 41)[:, None]
CENTERS = np.linspace(-2, 2, 11)


def problems_of(noise=0.01):
    """Curves of one peak, some far from their start, so that lanes take from a few steps to many."""
    rng = np.random.default_rng(3)
    heights = np.exp(-0.5 * ((X[:, 0] - CENTERS[:, None]) / 0.6) ** 2) + noise * rng.normal(size=(len(CENTERS), len(X)))
    start = sf.GaussianSurface(jnp.array([0.8]), jnp.array([[0.0]]), jnp.array([[[0.5]]]))
    pairs = [sf.SurfaceProblem.from_start(jnp.asarray(X), jnp.asarray(z), start) for z in heights]
    return tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *column) for column in zip(*pairs, strict=True))


@partial(jax.jit, static_argnums=0)
def each_alone(solver, problems, starts):
    return jax.vmap(lambda problem, start: sf.solve(problem, start, solver))(problems, starts)


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    """Of 11, 5 and 2 lanes, in all tests alike, which share their programs."""
    for name, value in (("LEAST_BUCKET", 2), ("SMALLER_BUCKET", 0.5), ("STEPS_AT_ONCE", 2)):
        monkeypatch.setattr(lane_buckets, name, value)


@pytest.mark.parametrize(
    ("least", "solver"), [(2, sf.LevenbergMarquardt()), (64, sf.Dogleg()), (4, sf.LevenbergMarquardt(max_steps=7))]
)
def test_each_lane_ends_where_it_ends_alone(monkeypatch, least, solver):
    monkeypatch.setattr(lane_buckets, "LEAST_BUCKET", least)
    with jax.enable_x64(True):
        problems, starts = problems_of()
        together = solve_together(solver, problems, starts, len(CENTERS) - 2)
        alone = each_alone(solver, problems, starts)
    assert len(together.cost) == len(CENTERS) - 2
    assert len(set(np.asarray(alone.steps).tolist())) > 1 or solver.max_steps == 7
    for name in ("status", "steps"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name)[:-2])
    np.testing.assert_allclose(together.cost, alone.cost[:-2], rtol=1e-10)
    np.testing.assert_allclose(together.params, alone.params[:-2], rtol=1e-6, atol=1e-8)


def test_a_bucket_that_shrinks_again_keeps_what_each_lane_reached():
    """Spare places of a smaller bucket hold copies, of which those left behind in a still smaller one are stale."""
    with jax.enable_x64(True):
        problems, starts = problems_of(noise=1.0)
        together = solve_together(sf.LevenbergMarquardt(), problems, starts, len(CENTERS))
        alone = each_alone(sf.LevenbergMarquardt(), problems, starts)
    # Noise of the height of the peaks makes some minima flat: rounding, which differs between processors, moves where a
    # lane ends there by some 1e-5. What a stale copy reached lies seven steps and 0.14 away.
    assert np.abs(together.steps - np.asarray(alone.steps)).max() <= 1
    np.testing.assert_allclose(together.cost, alone.cost, rtol=1e-7)
    np.testing.assert_allclose(together.params, alone.params, rtol=1e-3, atol=1e-6)


def test_lanes_that_cannot_be_trusted_go_on_with_the_fallback(monkeypatch):
    """Components in one place: the normal matrix is singular to rounding, and QR takes over."""
    doubtful, resumed = [], lane_buckets._resumed
    monkeypatch.setattr(
        lane_buckets,
        "_resumed",
        lambda carry: (doubtful.append(np.asarray(carry.best.status).tolist()), resumed(carry))[1],
    )
    with jax.enable_x64(True):
        heights = np.stack([np.exp(-0.5 * ((X[:, 0] - c) / 0.6) ** 2) for c in (-1.0, 0.0, 1.0)])
        pairs = []
        for n, z in enumerate(heights):
            centers = jnp.array([[0.2], [0.2]]) if n == 1 else jnp.array([[-1.5], [1.5]])
            start = sf.GaussianSurface(jnp.ones(2), centers, jnp.full((2, 1, 1), 0.4))
            pairs.append(sf.SurfaceProblem.from_start(jnp.asarray(X), jnp.asarray(z), start))
        problems, starts = (jax.tree.map(lambda *v: jnp.stack(v), *column) for column in zip(*pairs, strict=True))
        solver = sf.LevenbergMarquardt(damping=1e-14)
        found = solve_together(solver, problems, starts, 3)
        alone = [sf.solve(*pair, solver) for pair in pairs]
    assert int(Status.ILL_CONDITIONED) in doubtful[0]
    assert Status.ILL_CONDITIONED not in [Status(int(s)) for s in found.status]
    np.testing.assert_array_equal(found.status, [int(one.status) for one in alone])
    np.testing.assert_allclose(found.cost, [float(one.cost) for one in alone], rtol=1e-6, atol=1e-20)
