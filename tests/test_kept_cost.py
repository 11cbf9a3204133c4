"""Costs that outlast a new plan: what tails may change, and what a step that keeps its cost ends at."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import FunctionProblem
from test_tiled import noisy_hills

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._engines.jacobian import DenseEngine
from surfacefit._losses import ROBUST, Linear
from surfacefit._model.units import to_internal
from surfacefit._problem.base import half_square
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._solvers import kept_cost
from surfacefit._solvers.kept_cost import cost_is_kept, cost_of_tails

CUTOFF = 1e-3


@pytest.fixture
def planned():
    """A problem with two plans for the same parameters, of which one has room for a narrower surface elsewhere, too."""
    heights, truth = noisy_hills((48, 50), 20)
    truth = replace(truth, covariances=truth.covariances / 4)
    spec, engine = ModelSpec(n_components=20, background=None), EngineChoice(sf.Tiled(cutoff=CUTOFF, tile_size=64))
    with jax.enable_x64(True):
        prepared = problem_setup(grid_data(heights), spec, np.dtype(np.float64), engine)
        pack = prepared.host.parameterization.pack
        moved = replace(truth, centers=truth.centers + 2)
        params, others = (jnp.asarray(pack(to_internal(s, prepared.scaling))) for s in (truth, moved))
        yield prepared, params, [prepared.planner(prepared.problem, wanted, params) for wanted in (params, others)]


def test_plans_differ_by_less_than_tails_may(planned):
    prepared, params, plans = planned
    dense = replace(prepared.problem, engine=DenseEngine())
    exact = float(half_square(dense.residuals(params)))
    found = [float(half_square(plan.residuals(params))) for plan in plans]
    bounds = [float(cost_of_tails(plan, exact)) for plan in plans]
    assert found[0] != found[1]
    for cost, bound in zip(found, bounds, strict=True):
        assert 0 < abs(cost - exact) <= bound <= 0.5 * exact


def test_the_longest_list_is_left_out(planned):
    for engine in (one.engine for one in planned[2]):
        plan = engine.plan
        members = np.asarray(plan.members)[: int(plan.n_chunks)]
        listed, tiles = members < 20, np.asarray(plan.offsets)[: len(members), None] + np.arange(members.shape[1])
        longest = np.bincount(tiles.ravel(), listed.sum(axis=2).ravel()).max()
        assert 1 <= float(engine.left_out()) / CUTOFF / longest < 1 + 8 / longest


def test_tails_of_one_sign_change_the_cost_as_much_as_any_may(rng):
    weights, tails, residual = rng.uniform(0.5, 2, 30), 0.01, 0.3
    engine = SimpleNamespace(left_out=lambda: tails)
    cost, with_tails = (0.5 * np.sum((weights * r) ** 2) for r in (residual, residual + tails))
    found = cost_of_tails(SimpleNamespace(engine=engine, weights=jnp.asarray(weights, float)), jnp.asarray(cost))
    np.testing.assert_allclose(found, with_tails - cost, rtol=1e-5)


def waiting(params, predicted, made=True):
    proposal = SimpleNamespace(made=np.asarray(made), predicted=np.asarray(predicted))
    return SimpleNamespace(params=params, proposal=proposal, cost=jnp.asarray(50.0))


@pytest.mark.parametrize(
    ("predicted", "made", "loss", "is_small", "is_kept"),
    [
        (1.1, True, Linear(), False, True),
        (0.9, True, Linear(), False, False),  # tails count
        (1.1, False, Linear(), False, False),  # there is no step to judge
        (1.1, True, ROBUST["huber"], False, False),
        (1.1, True, Linear(), True, False),
    ],
)
def test_the_cost_is_kept_where_tails_are_small_beside_the_step(
    planned, monkeypatch, predicted, made, loss, is_small, is_kept
):
    _, params, (problem, _) = planned
    monkeypatch.setattr(kept_cost, "DIRECT_SOLVE_PARAMETERS", params.size if is_small else params.size - 1)
    fall = predicted * float(cost_of_tails(problem, jnp.asarray(50.0))) / kept_cost.TAILS_PART
    assert cost_is_kept(replace(problem, loss=loss), waiting(params, fall, made)) == is_kept


def test_other_problems_take_their_cost_again():
    assert not cost_is_kept(FunctionProblem(lambda p: p), waiting(jnp.ones(2000), 1e9))


@pytest.mark.slow
def test_fits_that_keep_their_cost_end_where_others_do(monkeypatch):
    """Systems are solved directly here, as ever; without a pass at the old parameters after a plan."""
    heights, truth = noisy_hills((60, 64), 12)
    start = replace(truth, centers=truth.centers + 1.5)
    kept, found = [], {}
    asked = kept_cost.cost_is_kept
    monkeypatch.setattr(
        "surfacefit._solvers.quadratic_steps.cost_is_kept", lambda *a: kept.append(asked(*a)) or kept[-1]
    )
    for limit in (kept_cost.DIRECT_SOLVE_PARAMETERS, 10):
        monkeypatch.setattr(kept_cost, "DIRECT_SOLVE_PARAMETERS", limit)
        kept.clear()
        solver = sf.LevenbergMarquardt(slack=0.0, max_steps=60)
        found[limit] = sf.fit(heights, 12, init=start, engine="tiled", solver=solver, reset=False, dtype="float64")
        assert any(kept) == (limit == 10)
    costs = [result.cost for result in found.values()]
    np.testing.assert_allclose(costs[1], costs[0], rtol=1e-9)
