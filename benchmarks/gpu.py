"""Compares a GPU with the CPU: the same numbers, and the time saved. ``python -m benchmarks.gpu``, under 8 minutes.

First residuals, gradient, products and a whole fit are compared between the device and a process on the CPU. Then the
kernels of a step stand beside the device's limits, measured by programs that do nothing else (`cost_model.py` says
what to expect where there is no GPU). Then the cases of the suite `large` are timed in float32 and float64, Adam on the
same engine among them, those of `many` and the cost of a gradient, and a million components where memory allows. All
matrix products state their precision, so TF32 is not used. Without a GPU the program says so; ``--device cpu --quick``
runs the same code on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from surfacefit._model.units import to_internal

# The repository, from which modules are run.
ROOT = Path(__file__).resolve().parents[1]
# Precisions that are compared and timed.
DTYPES = ("float32", "float64")
# Seconds after which no further case begins, so that all ends within 8 minutes.
BUDGET_SECONDS = 440.0
# Largest relative difference that counts as the same; devices take sums in another order.
TOLERANCES = {"float32": 2e-4, "float64": 1e-8}
# The same for the end of a whole fit, whose last steps win less than this.
END_TOLERANCE = 1e-6
# Cases of one precision that are timed before the batches; the larger ones come last.
FIRST_CASES = 4
# Points along a side of a map that is put side by side, its components before those near its border are left out, and
# how often: 105 million points and about a million components in all.
PART_SIZE, PART_COMPONENTS, PARTS = 2048, 40_000, 5
# GB of memory of the host and of the device that these take, with room: some 212 bytes a point, 22 GB, on the
# host in single precision, and half of that with blocks of six million pairs on the device.
MILLION_HOST_GB, MILLION_DEVICE_GB = 60.0, 40.0


def numbers(dtype: str) -> dict[str, Any]:
    """Numbers that must not depend on the device: sums at one set of parameters, and the end of one fit."""
    import jax
    import jax.numpy as jnp

    import surfacefit as sf
    from surfacefit._base.compile import quick_jit
    from surfacefit._base.precision import precision
    from surfacefit._data.data import grid_data
    from surfacefit._engines.engines import EngineChoice
    from surfacefit._problem.model_spec import ModelSpec
    from surfacefit._problem.problem_setup import problem_setup

    from . import surfaces

    truth = surfaces.random_components(128, 60)
    heights = surfaces.rendered(truth, 128) + 0.01 * np.random.default_rng(2).normal(size=(128, 128))
    start = surfaces.perturbed(truth, 0.1)
    kind = np.dtype(dtype)
    with precision(kind):
        model = ModelSpec(n_components=60, background=None)
        prepared = problem_setup(grid_data(heights), model, kind, EngineChoice(sf.Tiled()), start)
        params = quick_jit(type(prepared.problem.parameterization).pack)(
            prepared.problem.parameterization, to_internal(start, prepared.scaling)
        )
        assert prepared.planner is not None
        problem = prepared.planner(prepared.problem, params, params)

        def sums(problem: Any, params: Any) -> Any:
            residuals, jacobian = problem.linearize(params)
            normal, gradient = jacobian.normal(residuals)
            product = jacobian.restored(normal).mv(gradient)
            return jnp.vdot(residuals, residuals), gradient, product, jacobian.mv(gradient)[::97]

        found = [
            np.asarray(jax.device_get(array), float).ravel().tolist() for array in quick_jit(sums)(problem, params)
        ]
    solver = sf.LevenbergMarquardt(slack=0.0, max_steps=100)
    result = sf.fit(
        heights, 60, init=start, background=None, engine="tiled", dtype=dtype, solver=solver, progress=False
    )
    names = ("sum of squares", "gradient", "normal product", "J v")
    return {"platform": jax.default_backend(), "rmse": result.rmse, **dict(zip(names, found, strict=True))}


def compared(dtype: str, device: str) -> list[str]:
    """Differences between the device and the CPU, relative to the largest entry, a line a number."""
    own, other = (json.loads(_python(f"numbers {dtype}", platform)) for platform in (device, "cpu"))
    lines = []
    for name in (key for key in own if key != "platform"):
        a, b = np.atleast_1d(own[name]), np.atleast_1d(other[name])
        difference = float(np.abs(a - b).max() / np.abs(b).max())
        least = {"rmse": END_TOLERANCE, "normal product": 1e-3}.get(name, 0.0)
        verdict = "same" if difference <= max(TOLERANCES[dtype], least) else "DIFFERENT"
        lines.append(
            f"- {dtype}, {own['platform']} against cpu, {name}: relative difference {difference:.1e}, {verdict}"
        )
    return lines


def _python(task: str, platform: str) -> str:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"} if platform == "cpu" else dict(os.environ)
    command = [sys.executable, "-m", "benchmarks.gpu", "--task", task]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.splitlines()[-1]


def cases(dtype: str, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The cases of the suite `large` in one precision."""
    import surfacefit as sf

    from . import large

    def dem(n_components: int, goal: float) -> dict[str, Any]:
        heights, solver = large.jacksboro(), sf.LevenbergMarquardt(max_steps=60)
        large.fit(heights, n_components, solver=solver, dtype=dtype)
        result, watch = large.fit(heights, n_components, solver=solver, dtype=dtype)
        return {
            "s to goal": watch.reached(goal),
            "goal m": goal,
            "final m": result.rmse,
            "s a step": result.timings.run / result.steps,
        }

    def adam() -> dict[str, Any]:
        heights, solver = large.jacksboro(), sf.Adam(max_steps=400)
        result, _ = large.fit(heights, 1024, solver=solver, dtype=dtype, engine="tiled")
        return {"m": result.rmse, "s": result.timings.run, "s a step": result.timings.run / result.steps}

    if quick:
        small = (lambda: roofline(dtype, 600), lambda: dem(256, 28.0))
        return dict(zip(("kernels K=600", "jacksboro K=256"), small, strict=True))
    return {
        "kernels K=10000": lambda: roofline(dtype, 10_000),
        "jacksboro K=256": lambda: dem(256, 28.0),
        "jacksboro K=1024": lambda: dem(1024, 13.0),
        "adam K=1024, 400 steps": adam,
        "synthetic K=10000": lambda: large.synthetic(1024, 10_000, 12, 0.003, dtype=dtype),
        "adam, synthetic K=10000, 400 steps": lambda: large.synthetic(
            1024, 10_000, 400, 0.003, dtype=dtype, solver=sf.Adam(max_steps=400)
        ),
        "synthetic K=100000, ten steps": lambda: large.synthetic(4096, 100_000, 10, 0.003, dtype=dtype),
        "synthetic K=100000, to convergence": lambda: large.synthetic(
            4096, 100_000, 60, 0.001, dtype=dtype, max_time=90.0
        ),
        "synthetic K=1000000, five steps": lambda: million(dtype),
    }


def roofline(dtype: str, n_components: int) -> None:
    """The kernels of a step beside what the device can do at most, by the wall: prints its table."""
    from surfacefit._base.precision import precision

    from . import cost_model, device_limits
    from .kernels import kernels
    from .program_cost import program_cost

    limits = {kind: device_limits.measured(kind, time.perf_counter) for kind in dict.fromkeys((dtype, "float32"))}
    for kind, rates in limits.items():
        print(f"  {kind}: {cost_model.told(rates)}", flush=True)
    ready = cost_model.case(n_components, dtype)
    rows = cost_model.table("wall ms")
    with precision(np.dtype(dtype)):
        for kernel in kernels(ready):
            cost = program_cost(kernel.function, *kernel.arguments)
            rows.row(cost_model.cells(kernel, cost, limits[kernel.dtype], kernel.timed()[1]))


def million(dtype: str) -> dict[str, Any]:
    """Five steps of about a million components, where memory of host and device suffices."""
    import surfacefit as sf
    from surfacefit._base.memory import memory_limit
    from surfacefit._system.container import memory_bytes

    from . import large, surfaces

    there = {"host GB": memory_bytes() / 1e9, "device GB": memory_limit(None) / 1e9}
    factor = np.dtype(dtype).itemsize / 4
    if there["host GB"] < factor * MILLION_HOST_GB or there["device GB"] < factor * MILLION_DEVICE_GB:
        return {"left out": "memory does not suffice", **there}
    truth, heights = surfaces.repeated(PART_SIZE, PART_COMPONENTS, PARTS)
    solver, start = sf.LevenbergMarquardt(max_steps=5), surfaces.perturbed(truth, 0.15)
    result, _ = large.fit(
        heights, truth.n_components, init=start, solver=solver, dtype=dtype, engine="tiled", max_time=120.0
    )
    return {
        "K": truth.n_components,
        "residual": result.rmse / float(heights.std()),
        "steps": result.steps,
        "s a step": result.timings.run / max(result.steps, 1),
        "compile s": result.timings.compile,
    }


def batches(quick: bool) -> dict[str, Callable[[], Any]]:
    """Very many small fits, frames of several components beside a loop of fits, and a gradient through a fit; each
    prints its figures.
    """
    from surfacefit._base.precision import precision

    from . import derivatives, frames, small_fits

    def gradient() -> None:
        with precision(np.dtype(np.float64)):
            for line in derivatives.cost_of_a_gradient():
                print(f"  {line}", flush=True)

    found: dict[str, Callable[[], Any]] = {
        "very many small fits": lambda: small_fits.run_all(quick),
        "frames": lambda: frames.run_all(quick),
    }
    return found if quick else {**found, "gradient through a fit": gradient}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="Compares a GPU with the CPU and times it."
    )
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu", help="cpu runs the same code without a GPU")
    parser.add_argument("--quick", action="store_true", help="only the smallest timed case")
    parser.add_argument("--only", default="", help="only the cases whose name holds this text, without the comparison")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(numbers(options.task.split()[1])))
        return
    import jax

    from .large import short

    if options.device == "gpu" and jax.default_backend() == "cpu":
        print("no GPU found: nothing was measured (try --device cpu --quick)")
        return
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}", flush=True)
    begun = time.perf_counter()
    for dtype in () if options.only else DTYPES:
        print("\n".join(compared(dtype, options.device)), flush=True)
    for name, case in _in_order(options.quick):
        if options.only not in name:
            continue
        if time.perf_counter() - begun > BUDGET_SECONDS:
            print(f"- {name}: left out, no time is left", flush=True)
            continue
        print(f"- {name}:", flush=True)
        found = case()
        if isinstance(found, dict):
            print(f"  {', '.join(f'{key} {short(value)}' for key, value in found.items())}", flush=True)


def _in_order(quick: bool) -> list[tuple[str, Callable[[], Any]]]:
    """All cases by name: the small ones in single precision, the batches, then the rest."""
    single, double = ([(f"{dtype}, {name}", case) for name, case in cases(dtype, quick).items()] for dtype in DTYPES)
    return [*single[:FIRST_CASES], *batches(quick).items(), *single[FIRST_CASES:], *double]


if __name__ == "__main__":
    main()
