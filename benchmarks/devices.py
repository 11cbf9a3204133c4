"""What each device of a mesh has to do and to send in a step: counted, since few cores cannot show it in seconds.

The step is compiled for 1, 2, 4 and 8 devices, of the same map (strong scaling) and of as much map a device (weak
scaling). Its sums over the devices are read from the compiled program, and stand beside what `_mesh/traffic` predicts.
Work is counted in the lists of the plans: exponentials of components at places, and rows of blocks of J^T J.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .options import Options
from .table import Table

# Devices that are counted.
DEVICES = (1, 2, 4, 8)
# The repository, from which modules are run.
ROOT = Path(__file__).resolve().parents[1]
# Operations of a compiled program that send something from device to device.
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
# Bytes of a number of each type that they send.
NUMBER_BYTES = {"f64": 8, "f32": 4, "s64": 8, "s32": 4, "u32": 4, "pred": 1}


@dataclass(frozen=True)
class Sum:
    """An array that devices add up in a program: the operation, and how many numbers and bytes it has; half of them
    where each keeps a part of the sum alone, and sends half as much.
    """

    operation: str
    numbers: int
    size: int


def sums(program: str, n_devices: int) -> list[Sum]:
    """All that so many devices send each other in a compiled program, in its text; bodies of loops count once."""
    found = []
    for shapes, operation in re.findall(rf"= (.+?) ({'|'.join(COLLECTIVES)})(?:-start)?\(", program):
        for kind, sides in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            numbers = prod(int(side) for side in sides.split(",") if side)
            numbers = numbers * n_devices // 2 if operation == "reduce-scatter" else numbers
            found.append(Sum(operation, numbers, numbers * NUMBER_BYTES[kind]))
    return found


def compiled_step(stage: Any, start: np.ndarray, solver: Any) -> tuple[str, Any]:
    """The text of the compiled step of a solver on a mesh, and its problem with a plan."""
    import jax

    from surfacefit._base.compile import SMALL_COMPILER_OPTIONS, known_options
    from surfacefit._solvers import Limits, SolverRun
    from surfacefit._solvers.loop import CHUNK_STEPS, advance

    run = SolverRun(stage.problem_at(start), start, solver, Limits(place=stage.place), stage.planner)
    step = jax.jit(lambda *arguments: advance(*arguments, 1, CHUNK_STEPS))
    lowered = step.lower(run.solver, run.problem, run.carry)
    return lowered.compile(compiler_options=known_options(SMALL_COMPILER_OPTIONS)).as_text(), run.problem


def work(problem: Any) -> tuple[np.ndarray, np.ndarray]:
    """Exponentials of a pass, and rows of blocks, of each device (D,)."""
    from surfacefit._engines.jacobian import DenseEngine

    engine, n_points = problem.engine, len(problem.heights)
    size = engine.mesh.size
    if isinstance(engine.parts, DenseEngine):
        each = n_points / size * problem.parameterization.n_components
        return np.full(size, each), np.zeros(size)
    plan, curvature = engine.parts.plan, engine.parts.curvature
    places = n_points / size / plan.rank.shape[1]
    exponentials = np.asarray(plan.n_chunks) * prod(plan.members.shape[2:]) * places
    rows = np.zeros(size) if curvature is None else np.asarray(curvature.n_rows).sum(axis=1)
    return exponentials, rows


def run(options: Options) -> str:
    """The suite, in a process that has eight devices."""
    flags = ["--quick"] if options.quick else []
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(max(DEVICES)), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.devices", *flags]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout)
    return done.stdout


def main() -> None:
    quick = "--quick" in sys.argv
    side, count = (64, 36) if quick else (256, 1024)
    table = Table(
        {
            "scaling": 7,
            "engine": 14,
            "devices": 7,
            "exponentials each": 17,
            "most / mean": 11,
            "rows each": 9,
            "MB summed": 9,
            "predicted": 9,
            "in an iteration": 15,
            "messages": 8,
        }
    )
    for engine in ("dense", "tiled products", "tiled blocks"):
        for devices in DEVICES[:2] if quick else DEVICES:
            _row(table, "strong", engine, devices, side, count)
    for devices in DEVICES[1:2] if quick else DEVICES[1:]:
        _row(table, "weak", "tiled blocks", devices, int(side * devices**0.5 / 16) * 16, count * devices)


def _row(table: Table, scaling: str, engine: str, devices: int, side: int, count: int) -> None:
    from surfacefit._mesh.traffic import SINGLE_NUMBERS

    if engine == "dense":
        side, count = side // 4, max(4, count // 16)
    program, problem, predicted = _compiled(engine, devices, side, count)
    added = sums(program, devices)
    sent = [one for one in added if one.numbers >= SINGLE_NUMBERS]
    exponentials, rows = work(problem)
    table.row(
        [
            scaling,
            engine,
            str(devices),
            f"{exponentials.mean():.3g}",
            f"{exponentials.max() / exponentials.mean():.2f}",
            f"{rows.mean():.3g}",
            f"{sum(one.size for one in sent) / 1e6:.4f}",
            f"{predicted.step(1) / 1e6:.4f}",
            f"{predicted.iteration / 1e6:.4f}",
            str(len(added)),
        ]
    )


def _compiled(engine: str, devices: int, side: int, count: int) -> tuple[str, Any, Any]:
    """The program of a step on hills on a lattice, its problem, and what it is predicted to sum up."""
    import jax

    import surfacefit as sf
    from surfacefit._data.data import grid_data
    from surfacefit._engines.engines import EngineChoice
    from surfacefit._mesh.stage import MeshStage
    from surfacefit._model.units import to_internal
    from surfacefit._problem.model_spec import ModelSpec
    from surfacefit._problem.problem_setup import problem_setup
    from surfacefit._system.mesh import mesh_of

    surface = _hills(side, count)
    y, x = np.mgrid[:side, :side]
    heights = surface(np.stack([y.ravel(), x.ravel()], axis=1)).reshape(side, side)
    chosen = sf.Dense() if engine == "dense" else sf.Tiled(normal="products" if "products" in engine else "auto")
    with jax.enable_x64(True):
        spec, double = ModelSpec(n_components=count, background="plane"), np.dtype(float)
        prepared = problem_setup(grid_data(heights), spec, double, EngineChoice(chosen))
        start = np.asarray(prepared.host.parameterization.pack(to_internal(surface, prepared.scaling)))
        stage = MeshStage(prepared, mesh_of(devices), float("inf"))
        program, problem = compiled_step(stage, start, sf.LevenbergMarquardt())
    return program, problem, predicted_traffic(problem)


def predicted_traffic(problem: Any) -> Any:
    """What the sizes of a problem on a mesh say of its traffic."""
    from surfacefit._engines.jacobian import DenseEngine
    from surfacefit._linear.normal import summed
    from surfacefit._mesh.traffic import blocks_traffic, dense_traffic, direct_traffic, products_traffic

    parts, itemsize = problem.parameterization, problem.points.dtype.itemsize
    layout = parts.layout
    if isinstance(problem.engine.parts, DenseEngine):
        return dense_traffic(layout.n_parameters, itemsize)
    sizes = layout.n_components, layout.block_size, layout.n_border
    if problem.engine.mine is None:
        return products_traffic(*sizes, itemsize)
    if layout.n_parameters <= summed.DIRECT_SOLVE_PARAMETERS:
        return direct_traffic(*sizes, itemsize)
    curvature = problem.engine.parts.curvature
    _, n_clusters, size = curvature.clusters.members.shape  # each device knows of all
    n_devices = problem.engine.mesh.size
    in_clusters = -(-n_clusters // n_devices) * n_devices * (size * layout.block_size) ** 2 // 2
    return blocks_traffic(*sizes, itemsize, np.dtype(curvature.dtype).itemsize, in_clusters)


def _hills(side: int, count: int) -> Any:
    import surfacefit as sf

    across = round(count**0.5)
    axis = (np.arange(across) + 0.5) * side / across
    centers = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)[:count]
    width = 0.4 * side / across
    rng = np.random.default_rng(0)
    covariances = np.stack([np.diag(w**2) for w in width * rng.uniform(0.8, 1.2, (len(centers), 2))])
    background = sf.PlaneBackground(0.1, np.zeros(2), np.zeros(2))
    return sf.GaussianSurface(rng.uniform(1, 2, len(centers)), centers, covariances, background)


if __name__ == "__main__":
    main()
