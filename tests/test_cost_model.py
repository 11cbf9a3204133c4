"""Kernels beside the limits of a device: how their work is counted, and the least time."""

from dataclasses import replace
from importlib import import_module

import jax
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision

kernels = import_module("benchmarks.kernels")
limits = import_module("benchmarks.device_limits")
model = import_module("benchmarks.cost_model")
counting = import_module("benchmarks.program_cost")
surfaces = import_module("benchmarks.surfaces")

SIZE = 48
RNG = np.random.default_rng(0)
SURFACE = sf.GaussianSurface(
    RNG.uniform(1, 2, 200), RNG.uniform(2, SIZE - 3, (200, 2)), np.tile(4 * np.eye(2), (200, 1, 1))
)


@pytest.fixture(scope="module")
def case():
    heights = RNG.normal(size=(SIZE, SIZE))
    return heights, kernels.planned(heights, SURFACE, "float64")


@pytest.fixture(scope="module")
def by_name(case):
    with precision(np.dtype(np.float64)):
        return {kernel.name: kernel for kernel in kernels.kernels(case[1])}


def run(kernel):
    with precision(np.dtype(np.float64)):
        return np.asarray(jax.jit(kernel.function)(*kernel.arguments))


def test_trial_residuals_are_those_of_the_surface(case, by_name):
    heights, ready = case
    found = run(by_name["trial residuals"]) * ready.prepared.scaling.height_scale
    points = np.stack(np.indices(heights.shape, dtype=float), axis=-1).reshape(-1, 2)
    square = np.sum((SURFACE(points) - heights.ravel()) ** 2)
    assert np.sum(found**2) == pytest.approx(square, rel=1e-4)


@pytest.mark.slow
def test_a_product_is_that_of_the_gradients_blocks(by_name):
    """J^T J v by the blocks, and by differences of gradients J^T r along v."""
    normal, _ = by_name["CG product"].arguments
    matrix = np.asarray(jax.jit(lambda n: n.as_matrix())(normal), float)
    np.testing.assert_allclose(run(by_name["CG product"]), matrix.sum(axis=1), rtol=1e-3, atol=1e-3)
    vectors = by_name["cluster inverses"].arguments[1]
    assert run(by_name["cluster inverses"]).shape == vectors.shape


@pytest.mark.slow
def test_exponentials_are_those_of_all_places_in_the_lists(case, by_name):
    plan = case[1].problem.engine.plan
    places = case[1].problem.points.shape[0] // plan.n_tiles
    expected = int(plan.n_chunks) * plan.members.shape[1] * plan.members.shape[2] * places
    with precision(np.dtype(np.float64)):
        kernel = by_name["trial residuals"]
        cost = counting.program_cost(kernel.function, *kernel.arguments)
    assert cost.transcendentals == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_plans_for_a_gpu_are_cut_as_there(case):
    with kernels.planned_for_gpu():
        ready = kernels.planned(case[0], SURFACE, "float32")
    assert ready.problem.engine.plan.members.shape[2] == 32
    with precision(np.dtype(np.float32)):
        names = {kernel.name: kernel for kernel in kernels.kernels(ready, to_run=False)}
        cost = counting.program_cost(names["CG product"].function, *names["CG product"].arguments)
    assert cost.flops > 2 * 36 * len(ready.problem.engine.curvature.owner)


def test_the_least_time_is_that_of_the_scarcest():
    device = limits.Limits("a", flops=10.0, exponentials=2.0, loop_bytes=100.0, other_bytes=5.0, launch=0.5)
    work = counting.Cost(flops=20.0, transcendentals=8.0, loop_bytes=100.0, other_bytes=5.0, launches=2.0)
    assert device.seconds(work) == 4.0
    assert device.bound(work) == "exponentials"
    assert replace(device, together=True).seconds(work) == 6.0
    assert device.seconds(replace(work, other_bytes=50.0)) == 11.0
    assert device.seconds(replace(work, launches=20.0)) == 10.0
    assert replace(device, in_turn=True).seconds(work) == 5.0


def test_data_sheets_have_half_the_rate_in_double_precision():
    single, double = (limits.data_sheet("H100", dtype) for dtype in ("float32", "float64"))
    assert single.flops / double.flops == pytest.approx(2, rel=0.02)
    assert double.exponentials < single.exponentials < single.flops
    assert limits.data_sheet("H200", "float32").other_bytes / single.other_bytes == pytest.approx(4.8 / 3.35)


def test_rates_are_measured_by_work_that_is_done(monkeypatch):
    """A clock that gains a second a reading: the rates are the work of one call."""
    seconds = iter(range(10_000))
    probe = limits.Probe(cached=64, large=128, passes=3, operations=5, exponentials=2)
    monkeypatch.setattr(limits, "CPU_PROBE", probe)
    found = limits.measured("float32", clock=lambda: float(next(seconds)))
    assert found.flops == 2 * 5 * 3 * 64
    assert found.exponentials == 2 * 3 * 64
    assert (found.loop_bytes, found.other_bytes) == (3 * 3 * 64 * 4, 3 * 128 * 4)
    assert found.launch == 1 / limits.LAUNCHES


def test_sides_of_the_maps_are_those_of_the_suite():
    assert (model.side(10_000), model.side(100_000)) == (1024, 3232)


def test_maps_side_by_side_are_those_of_all_their_components():
    surface, heights = surfaces.repeated(128, 150, 2)
    assert heights.shape == (256, 256)
    assert surface.n_components % 4 == 0
    np.testing.assert_allclose(surfaces.rendered(surface, 256), heights, rtol=0, atol=1e-12)
