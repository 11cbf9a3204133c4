"""Late steps of the components that move: their problem is a part of the whole, and ends are those of joint steps."""

import time
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._base.status import Status
from surfacefit._fit import run_starts
from surfacefit._runs import moving_run
from surfacefit._runs.moving_run import MovingRun
from surfacefit._runs.partial_problem import PartialProblems
from surfacefit._runs.who_moves import component_moves

SIDE, COUNT = 96, 36


def sources(seed=3, noise=0.02):
    """A map of sources that hardly touch, of widths 1.3 to 2.5 points, and a start up to several widths off."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*2 * [np.arange(8.0, SIDE, 16)], indexing="ij"), -1).reshape(-1, 2)
    widths = rng.uniform(1.3, 2.5, (COUNT, 2))
    truth = sf.GaussianSurface(
        rng.uniform(1, 3, COUNT), places + rng.uniform(-2, 2, (COUNT, 2)), widths[:, :, None] ** 2 * np.eye(2)
    )
    points = np.stack(np.meshgrid(*2 * [np.arange(float(SIDE))], indexing="ij"), -1)
    heights = truth(points) + noise * rng.normal(size=(SIDE, SIDE))
    off = np.where(rng.random(COUNT) < 0.2, 0.8, 0.05)[:, None]
    start = replace(truth, centers=truth.centers + off * widths * rng.normal(size=(COUNT, 2)))
    return heights, start


@pytest.fixture
def parts(monkeypatch):
    """Components that move go on by themselves from the first step on, on small maps too; gives their numbers."""
    monkeypatch.setattr(run_starts, "MOVING_FROM", 1)
    begin, move, moved = MovingRun.__init__, MovingRun.move, []

    def at_once(self, run, partial):
        begin(self, run, partial, waits=0)

    def seen(self, members, won):
        before = self.run.cost()
        outcome = move(self, members, won)
        moved.append((len(members), before, self.run.cost(), outcome))
        return outcome

    monkeypatch.setattr(MovingRun, "__init__", at_once)
    monkeypatch.setattr(MovingRun, "move", seen)
    return moved


def fitted(heights, start, **options):
    return sf.fit(heights, start.n_components, init=start, engine="tiled", background=None, **options)


def prepared_of(heights, start, **options):
    """The problem of a fit, as its runs see it, with a plan at its start."""
    caught = {}
    run = run_starts.StartRuns._run

    def catch(self, problem, params, limits, halted=None):
        caught.update(prepared=self.prepared, problem=problem, params=params)
        return run(self, problem, params, limits, halted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_starts.StartRuns, "_run", catch)
        sf.fit(
            heights,
            start.n_components,
            init=start,
            engine=sf.Tiled(cutoff=0.0),
            solver=sf.LevenbergMarquardt(max_steps=0),
            **options,
        )
    return caught["prepared"], caught["problem"], caught["params"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"background": "plane"}, marks=pytest.mark.slow),
        {"background": None, "loss": "huber", "sigma": np.linspace(1, 3, SIDE * SIDE).reshape(SIDE, SIDE)},
        pytest.param(
            {"background": "constant", "bounds": sf.Bounds(amplitudes=(0.0, np.linspace(4, 9, COUNT)))},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"background": None, "amplitudes": "signed", "covariance_type": "spherical"}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_part_has_the_cost_and_the_gradient_of_the_whole(options):
    """Also where its components have moved, and with idle ones in its room."""
    heights, start = sources()
    prepared, problem, params = prepared_of(heights, start, **options)
    members, rng = np.array([2, 7, 20]), np.random.default_rng(0)
    with precision(np.dtype(float)):
        partial, planner = PartialProblems.of(prepared, 0.2), prepared.planner.for_run(True)
        whole = planner(problem, params, params)
        part, mine = partial.problem(whole, params, members)
        assert partial.room > len(members)
        step = np.zeros(mine.shape)
        size = problem.parameterization.layout.block_size
        step[: 3 * size] = 0.03 * rng.normal(size=3 * size)
        step[partial.room * size :] = 0.01
        moved = mine + step
        there = jnp.asarray(partial.merged(whole, params, members, moved))
        part, whole = partial.planner.for_run(True)(part, moved, moved), planner(whole, there, there)
        (r, jacobian), (r_whole, jacobian_whole) = part.linearize(moved), whole.linearize(there)
        np.testing.assert_allclose(r, r_whole, atol=1e-12)
        gradient, expected = jacobian.rmv(r), jacobian_whole.rmv(r_whole)
        blocks = whole.parameterization.layout.blocks(np.asarray(expected))[members]
        np.testing.assert_allclose(gradient[: 3 * size], blocks.ravel(), atol=1e-11 * np.abs(blocks).max())
        own = partial.room * size
        np.testing.assert_allclose(
            gradient[own:], expected[whole.parameterization.layout.n_own :], atol=1e-9 * np.abs(blocks).max()
        )
        assert not np.any(gradient[3 * size : own])
        for side, all_sides in zip(
            (part.box.sides(part.parameterization) if part.box is not None else []),
            (whole.box.sides(whole.parameterization) if whole.box is not None else []),
            strict=True,
        ):
            taken = whole.parameterization.layout.blocks(np.asarray(all_sides))[members]
            np.testing.assert_array_equal(np.asarray(side)[: 3 * size], taken.ravel())


def test_what_a_step_moves_is_told_component_by_component():
    heights, start = sources()
    _, problem, params = prepared_of(heights, start, background="constant")
    rng = np.random.default_rng(1)
    diagonal, step = rng.uniform(1, 2, params.shape), rng.normal(size=params.shape)
    moves = component_moves(problem, diagonal, step)
    size = problem.parameterization.layout.block_size
    for k in (0, 5, COUNT - 1):
        own = slice(k * size, (k + 1) * size)
        assert np.isclose(moves[k], np.sum(diagonal[own] * step[own] ** 2))
    assert len(moves) == problem.parameterization.n_components


def test_a_fit_ends_where_joint_steps_end(parts, monkeypatch):
    """At the same minimum, and as converged; with fewer joint steps."""
    heights, start = sources()
    mine = fitted(heights, start)
    assert parts
    assert all(count <= 0.2 * COUNT for count, *_ in parts)
    assert any(after < before for _, before, after, _ in parts)
    monkeypatch.setattr(run_starts, "MOVING_FROM", 10**9)
    joint = fitted(heights, start)
    assert mine.success
    assert joint.success
    assert mine.steps < joint.steps
    assert np.isclose(mine.cost, joint.cost, rtol=1e-5)
    order = [int(np.argmin(np.sum((joint.surface.centers - c) ** 2, axis=1))) for c in mine.surface.centers]
    np.testing.assert_allclose(mine.surface.centers, joint.surface.centers[order], atol=2e-3)
    assert len(mine.history["cost"]) == mine.steps
    assert np.all(np.diff(mine.history["cost"]) <= 0)


@pytest.mark.slow
def test_two_runs_are_the_same_to_the_last_bit(parts):
    heights, start = sources()
    one, other = fitted(heights, start), fitted(heights, start)
    assert parts
    np.testing.assert_array_equal(one.surface.centers, other.surface.centers)


@pytest.mark.slow
def test_a_part_that_is_told_to_stop_ends_the_fit_with_its_best(parts):
    heights, start = sources()
    seen = []

    def callback(now):
        seen.append((now.steps, now.rmse))
        return len(seen) > 1 and seen[-1][0] == seen[-2][0] and seen[-1][1] < seen[-2][1]

    result = fitted(heights, start, callback=callback)
    assert result.status is Status.STOPPED
    assert parts[-1][3] is Status.STOPPED
    assert np.isclose(result.rmse, seen[-1][1], rtol=1e-9)
    assert seen[-1][1] == min(rmse for _, rmse in seen)


@pytest.mark.slow
@pytest.mark.parametrize(("left", "has_parts"), [(1e3, True), (0.0, False)])
def test_no_program_is_compiled_that_the_time_does_not_allow(parts, monkeypatch, left, has_parts):
    """Where less time is left than joint steps have taken, all are joint; here none is left on that clock alone."""
    heights, start = sources()
    begin = MovingRun._has_time

    def asked(self):
        self.run.limits = replace(self.run.limits, deadline=time.perf_counter() + left)
        told = begin(self)
        self.run.limits = replace(self.run.limits, deadline=float("inf"))
        return told

    monkeypatch.setattr(MovingRun, "_has_time", asked)
    assert fitted(heights, start).success
    assert bool(parts) == has_parts


@pytest.mark.slow
def test_what_a_part_has_won_outlives_an_interruption(parts, monkeypatch):
    heights, start = sources()
    advance, seen = moving_run.SolverRun.advance, []

    def interrupted(self, total):
        outcome = advance(self, total)
        if self.problem.parameterization.n_components < COUNT:
            seen.append(self.cost())
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(moving_run.SolverRun, "advance", interrupted)
    result = fitted(heights, start)
    assert result.status is Status.INTERRUPTED
    assert len(seen) == 1
    whole = 0.5 * np.sum((result.surface(np.stack(np.indices((SIDE, SIDE)), -1).astype(float)) - heights) ** 2)
    assert np.isclose(result.cost, whole, rtol=1e-6)


@pytest.mark.slow
def test_parts_that_win_nothing_become_rare(parts, monkeypatch):
    """Each pause is twice the one before; joint steps end the fit as they would without parts."""
    monkeypatch.setattr(MovingRun, "_take", lambda self, members, part: None)
    heights, start = sources()
    mine = fitted(heights, start)
    tried = len(parts)
    monkeypatch.setattr(run_starts, "MOVING_FROM", 10**9)
    joint = fitted(heights, start)
    assert joint.steps == mine.steps
    assert joint.cost == mine.cost
    assert 0 < tried <= 1 + np.log2(joint.steps)


@pytest.mark.parametrize(
    "options",
    [
        {"covariance_type": "tied"},
        {"loss": "poisson"},
        {"prior": sf.SurfacePrior(scale=9.0), "sigma": 1.0, "absolute_sigma": True},
    ],
)
def test_where_the_rest_cannot_be_held_there_is_no_part(options):
    heights, start = sources()
    counts = np.maximum(np.round(50 * heights), 0)
    prepared, *_ = prepared_of(counts, start, **options)
    assert PartialProblems.of(prepared, 0.2) is None
