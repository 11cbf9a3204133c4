"""J^T J of very many components lies in memory once: it is renewed in its place, and penalties stand beside it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_matrices import BORDER, COUNT, SIZE, blocks_of, chain
from contexts import DOUBLE
from test_tiled import dense_and_tiled

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.precision import precision
from surfacefit._linear.linear_solve import CG_TOLERANCE
from surfacefit._solvers import loop
from surfacefit._solvers.linearization import linearized


@pytest.fixture
def large(monkeypatch):
    """Every tiled system counts as too large to be solved directly."""
    for module in ("_linear.normal.blocks", "_problem.planning", "_solvers.kept_cost"):
        monkeypatch.setattr(f"surfacefit.{module}.DIRECT_SOLVE_PARAMETERS", 0)
    monkeypatch.setattr("surfacefit._lists.clusters.CLUSTER_PARAMETERS", 36)
    monkeypatch.setattr("surfacefit._problem.planning.MOST_NODES_A_PLACE", float("inf"))


def model_after(problem, params, at, needed, before=None):
    """What `linearized` makes of a state at parameters, whose last model is that at others."""
    solver = sf.LevenbergMarquardt()
    state = quick_jit(lambda p, x: solver.init(p, x))(problem, params)
    first = quick_jit(linearized)(problem, state, jnp.asarray(True), jnp.asarray(0.1))
    state = state._replace(linearization=first if before is None else before(first), position=state.position)
    residuals = quick_jit(lambda p, x: p.residuals(x))(problem, at)
    state = state._replace(position=state.position._replace(params=at, residuals=residuals))
    return first, quick_jit(linearized)(problem, state, jnp.asarray(needed), jnp.asarray(0.1))


@pytest.mark.parametrize("kind", ["full", pytest.param("tied", marks=pytest.mark.slow)])
def test_a_model_is_renewed_in_its_place_where_it_is_needed(rng, large, kind):
    with jax.enable_x64(True):
        _, tiled, params = dense_and_tiled(rng, 2, kind, "constant", "even grid", count=30)
        other = params + 0.01 * jnp.cos(jnp.arange(params.size))
        first, renewed = model_after(tiled, params, other, True)
        assert renewed.normal.pattern.once
        residuals, jacobian = quick_jit(lambda p, x: p.linearize(x))(tiled, other)
        normal, gradient = quick_jit(lambda j, r: j.normal(r))(jacobian, residuals)
        np.testing.assert_allclose(renewed.gradient, gradient, rtol=1e-12, atol=1e-12)
        matrix = np.asarray(normal.as_matrix())
        np.testing.assert_allclose(renewed.normal.as_matrix(), matrix, atol=1e-6 * np.abs(matrix).max())
        assert np.abs(np.asarray(first.normal.as_matrix()) - matrix).max() > 1e-3 * np.abs(matrix).max()
        assert not renewed.stale


def test_a_model_that_is_not_needed_stays_as_it_is(rng, large):
    with jax.enable_x64(True):
        _, tiled, params = dense_and_tiled(rng, 2, "full", "constant", "even grid", count=30)
        first, kept = model_after(tiled, params, params + 0.01, False)
        assert jax.tree.structure(first) == jax.tree.structure(kept)
        for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(kept), strict=True):
            np.testing.assert_array_equal(one, other)


def test_rows_that_another_plan_left_behind_are_nobodys(rng, large):
    def with_rests(first):
        nobody = np.asarray(first.normal.pattern.owner) == len(first.normal.pattern.own)
        assert nobody.any()
        blocks = jnp.where(jnp.asarray(nobody)[:, None, None], 7.0, first.normal.blocks)
        return first._replace(normal=replace(first.normal, blocks=blocks))

    with jax.enable_x64(True):
        _, tiled, params = dense_and_tiled(rng, 2, "full", "constant", "even grid", count=30)
        first, renewed = model_after(tiled, params, params, True, with_rests)
        v = jnp.cos(jnp.arange(params.size, dtype=params.dtype))
        for of in (lambda n: n.as_matrix(), lambda n: n.mv(v), lambda n: n.repeated()(v), lambda n: n.diagonal()):
            found, wanted = np.asarray(of(renewed.normal)), np.asarray(of(first.normal))
            np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("once", [False, True])
def test_a_penalty_is_part_of_all_that_a_matrix_is_asked_for(once):
    with precision(DOUBLE):
        matrix, near = chain(3)
        root = np.random.default_rng(1).normal(size=(COUNT, SIZE, SIZE))
        own, corner = root @ np.swapaxes(root, 1, 2), 2 * np.eye(BORDER)
        for k in range(COUNT):
            part = slice(k * SIZE, (k + 1) * SIZE)
            matrix[part, part] += own[k]
        plain = blocks_of(matrix, near, once)
        matrix[-BORDER:, -BORDER:] += corner
        without = replace(plain, blocks=plain.blocks.at[plain.pattern.own, :, :SIZE].add(-own))
        found = without.with_penalty(jnp.asarray(own), jnp.asarray(corner))
        assert (found.penalty is not None) == once
        v = jnp.cos(jnp.arange(len(matrix), dtype=float))
        np.testing.assert_allclose(found.as_matrix(), matrix, atol=1e-12)
        np.testing.assert_allclose(found.mv(v), matrix @ v, atol=1e-12)
        np.testing.assert_allclose(found.repeated()(v), matrix @ v, atol=1e-12)
        np.testing.assert_allclose(found.diagonal(), np.diag(matrix), atol=1e-12)


@pytest.mark.slow
def test_steps_under_limits_of_widths_solve_the_system_with_its_penalty(rng, large):
    with jax.enable_x64(True):
        _, tiled, params = dense_and_tiled(rng, 2, "full", "constant", "even grid", count=30)
        residuals, jacobian = quick_jit(lambda p, x: p.linearize(x))(tiled, params)
        normal, gradient = quick_jit(lambda j, r: j.normal(r))(jacobian, residuals)
        own = 30.0 * jnp.asarray(np.abs(rng.normal(size=(30, 6, 1))) * np.eye(6))
        damped = normal.with_penalty(own, jnp.zeros((1, 1)))
        scaling = jnp.maximum(damped.diagonal().astype(float), 1e-3)
        step, trusted = quick_jit(lambda n, g, s: n.solve(g, s, jnp.asarray(1e-3)))(damped, gradient, scaling)
        left = np.asarray(damped.as_matrix(), float) @ step + 1e-3 * scaling * step + gradient
        root = np.sqrt(scaling)
        assert trusted
        assert np.linalg.norm(left / root) < 1.1 * CG_TOLERANCE * np.linalg.norm(gradient / root)


def peaks(count=40):
    x = np.arange(count, dtype=float)
    return np.exp(-0.5 * ((x[:, None] - 12) ** 2 + (x - 20) ** 2) / 9) + 0.2


def test_a_chunk_of_steps_writes_over_the_matrix_that_it_is_given(monkeypatch):
    taken = []

    def analysed(solver, problem, carry, large, n_steps):
        compiled = whole._for("on cpu").lower(solver, problem, carry, large, n_steps).compile()
        taken.append((compiled.memory_analysis().alias_size_in_bytes, sum(x.nbytes for x in jax.tree.leaves(large))))
        return whole(solver, problem, carry, large, n_steps)

    whole = loop._recorded_in_place
    monkeypatch.setattr(loop, "_recorded_in_place", analysed)
    sf.fit(peaks(), 2, init="peaks", solver=sf.LevenbergMarquardt(max_steps=2))
    assert taken
    assert all(alias >= size > 0 for alias, size in taken)


def test_an_interrupt_after_a_chunk_has_written_over_it_keeps_the_best(monkeypatch):
    transfers, plain = [], loop.on_host

    def interrupted(tree):
        transfers.append(tree)
        if len(transfers) == 3:
            raise KeyboardInterrupt
        return plain(tree)

    monkeypatch.setattr(loop, "on_host", interrupted)
    result = sf.fit(peaks(), 1, init="peaks")
    assert result.status == sf.Status.INTERRUPTED
    assert 0 < result.steps < 20
    assert np.isfinite(result.rmse)
