"""What tests/test_mesh.py runs in processes of its own, with four devices or as one of two: a line of JSON.

python tests/mesh_cases.py NAME [...]
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import surfacefit as sf
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._engines.jacobian import ShardedEngine
from surfacefit._linear.normal import blocks, summed
from surfacefit._lists import clusters
from surfacefit._mesh import agreement
from surfacefit._mesh import planning as mesh_planning
from surfacefit._mesh.stage import MeshStage
from surfacefit._model.units import to_internal
from surfacefit._problem import planning
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._solvers import loop
from surfacefit._system.mesh import mesh_of

SIDE, ACROSS = 32, 3
STEPS = sf.LevenbergMarquardt(max_steps=20, slack=0, ftol=0, xtol=0, gtol=0, distance=np.inf)


def terrain(noise=0.01):
    """Heights on a lattice of hills, and a start beside them."""
    rng = np.random.default_rng(7)
    axis = (np.arange(ACROSS) + 0.5) * SIDE / ACROSS
    centers = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) + rng.uniform(-1, 1, (ACROSS**2, 2))
    amplitudes, widths = rng.uniform(1, 2, len(centers)), rng.uniform(2.0, 3.0, (len(centers), 2))
    covariances = np.stack([np.diag(w**2) for w in widths])
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    there = sf.GaussianSurface(amplitudes, centers, covariances, 0.3)
    heights = there(np.stack([y.ravel(), x.ravel()], axis=1)).reshape(SIDE, SIDE) + noise * rng.normal(
        size=(SIDE, SIDE)
    )
    start = sf.GaussianSurface(
        1.1 * amplitudes, centers + rng.uniform(-0.3, 0.3, centers.shape), 1.15 * covariances, 0.25
    )
    return heights, start


def options(name):
    """Options of `fit` beside the engine."""
    rng = np.random.default_rng(8)
    mask = rng.uniform(size=(SIDE, SIDE)) < 0.1
    sigma = rng.uniform(0.5, 2.0, (SIDE, SIDE))
    return {
        "plain": {},
        "mask": {"mask": mask},
        "sigma": {"sigma": sigma, "mask": mask},
        "plane": {"background": "plane", "sigma": sigma},
        "none": {"background": None, "mask": mask},
        "huber": {"loss": "huber", "f_scale": 0.02, "mask": mask},
        "cauchy": {"loss": "cauchy", "f_scale": 0.05, "background": "plane", "sigma": sigma},
    }[name]


def fitted(engine, name, **more):
    heights, start = terrain()
    return sf.fit(heights, ACROSS**2, init=start, solver=STEPS, engine=engine, reset=False, **options(name), **more)


def engine_of(kind, devices):
    return sf.Dense(devices=devices) if kind == "dense" else sf.Tiled(devices=devices, tile_size=64)


def fits(kind, name, devices="4"):
    """Steps and costs with one device and with several."""
    found = [fitted(engine_of(kind, count), name) for count in (None, int(devices))]
    return [[one.steps, one.cost, one.history["cost"].tolist()] for one in found]


def operations(layout):
    """How far each operation on four devices is from the same on one, relative to its largest number, on an even grid
    with the blocks of J^T J apart, or by products where points are missing.
    """
    for module in (planning, mesh_planning):
        module.MOST_NODES_A_PLACE = np.inf
    for module in (planning, summed, blocks):  # conjugate gradients with clusters, however few parameters there are
        module.DIRECT_SOLVE_PARAMETERS = 0
    clusters.CLUSTER_PARAMETERS = 12  # of two components, so that each device has some
    clusters.CLUSTER_SETS_FROM = 0
    heights, start = terrain()
    with jax.enable_x64(True):
        data = grid_data(heights, mask=options("mask")["mask"] if layout == "gaps" else None)
        spec, double = ModelSpec(n_components=ACROSS**2), np.dtype(np.float64)
        prepared = problem_setup(
            data, spec, double, EngineChoice(engine_of("tiled" if layout != "dense" else layout, None))
        )
        params = np.asarray(prepared.host.parameterization.pack(to_internal(start, prepared.scaling)))
        stage = MeshStage(prepared, mesh_of(4), np.inf)
        one, four = prepared.problem, stage.problem_at(params)
        if layout != "dense":
            one, four = prepared.planner(one, params, params), stage.planner(four, params, params)
        places = prepared.by_point(np.arange(len(one.heights)))  # the mesh may have more places, at the end
        expected, found = everything(one, params, places), everything(four, params, places)
    assert isinstance(four.engine, ShardedEngine)
    assert (four.engine.mine is not None) == (layout == "even grid")
    return {name: far(found[name], expected[name]) for name in expected}


def everything(problem, params, places):
    """All operations of a problem, points in their own order."""

    @jax.jit
    def computed(problem, params):
        residuals, jacobian = problem.linearize(params)
        normal, gradient = jacobian.normal(residuals)
        normal, v = jacobian.restored(normal), jnp.cos(jnp.arange(params.size, dtype=params.dtype))
        own, corner = jacobian.block_diagonal()
        heavier, scaling = normal.with_blocks(own, corner), 1 + v * v
        by_point = {"residuals": residuals, "mv": jacobian.mv(v)}
        return {name: one[places] for name, one in by_point.items()} | {
            "gradient": gradient,
            "rmv": jacobian.rmv(residuals * residuals),
            "product": normal.mv(v),
            "diagonal": normal.diagonal(),
            "blocks": own,
            "corner": corner,
            "columns": jacobian.column_blocks(residuals),
            "heavier": heavier.diagonal(),
            "step": normal.solve(gradient, scaling, jnp.asarray(1e-3))[0],
            "valid": problem.plan_is_valid(params) * jnp.ones(()),
            "moved": problem.plan_is_valid(params + 3) * jnp.ones(()),
        }

    return jax.tree.map(np.asarray, computed(problem, jnp.asarray(params)))


def far(found, expected):
    scale = max(float(np.abs(expected).max()), 1e-30)
    return float(np.abs(found - expected).max()) / scale


def traffic(kind):
    """What devices send each other in a compiled step, operation by operation, and what is predicted."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from benchmarks import devices

    mesh_planning.MOST_NODES_A_PLACE = planning.MOST_NODES_A_PLACE = np.inf
    for module in (planning, summed, blocks) if kind == "blocks" else ():
        module.DIRECT_SOLVE_PARAMETERS = 0
    heights, start = terrain()
    start = replace(start, background=sf.PlaneBackground(0.25, np.zeros(2), np.zeros(2)))
    spec, double = ModelSpec(n_components=ACROSS**2, background="plane"), np.dtype(np.float64)
    normal = "products" if kind == "products" else "auto"
    engine = sf.Dense() if kind == "dense" else sf.Tiled(tile_size=64, normal=normal)
    with jax.enable_x64(True):
        prepared = problem_setup(grid_data(heights), spec, double, EngineChoice(engine))
        params = np.asarray(prepared.host.parameterization.pack(to_internal(start, prepared.scaling)))
        stage = MeshStage(prepared, mesh_of(4), np.inf)
        program, problem = devices.compiled_step(stage, params, STEPS)
    sent = [[one.operation, one.numbers, one.size] for one in devices.sums(program, 4)]
    return [sent, devices.predicted_traffic(problem).step(1)]


def joined(rank, port):
    """This process as one of two."""
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(rank))


def together(rank, port, kind, name):
    """The fit of two processes, each of which has read half of the map."""
    joined(rank, port)
    heights, start = terrain()
    half = SIDE // 3 if rank == "0" else SIDE - SIDE // 3
    first = 0 if rank == "0" else SIDE // 3
    whole = sf.join_parts(heights[first : first + half], first)
    assert np.array_equal(whole, heights)
    seen = []
    engine = engine_of(kind, "all")
    more = {"callback": lambda progress: seen.append(progress.steps), **options(name)}
    found = sf.fit(whole, ACROSS**2, init=start, solver=STEPS, engine=engine, reset=False, **more)
    return [found.steps, found.cost, found.history["cost"].tolist(), len(seen), found.surface.amplitudes.tolist()]


def refused(rank, port, what):
    """The error of a fit of two processes that do not mean the same."""
    joined(rank, port)
    heights, start = terrain()
    try:
        if what == "rows":  # the second process has not read the last one
            sf.join_parts(heights[:20] if rank == "0" else heights[21:], 0 if rank == "0" else 21)
        if what == "versions" and rank == "1":
            agreement.version = lambda name: "0.0.1"
        more = {"min_width": 0.5} if what == "options" and rank == "1" else {}
        heights = heights + 1e-9 if what == "heights" and rank == "1" else heights
        sf.fit(heights, ACROSS**2, init=start, solver=STEPS, engine=sf.Dense(devices="all"), **more)
    except ValueError as error:
        return str(error)
    return "no error"


def lost(rank, port, how, seconds):
    """A fit of two processes, of which the second is killed, or stops to answer, after some steps."""
    joined(rank, port)
    heights, start = terrain()
    engine = sf.Dense(devices="all", timeout=float(seconds))
    if rank == "1":
        signals = {"killed": signal.SIGKILL, "stuck": signal.SIGSTOP}
        advance = loop.SolverRun._chunk

        def chunk(run, n_steps):
            if run.steps >= 2:
                os.kill(os.getpid(), signals[how])
            advance(run, n_steps)

        loop.SolverRun._chunk = chunk
    found = sf.fit(heights, ACROSS**2, init=start, solver=STEPS, engine=engine, reset=False)
    return [found.status.name, found.steps, found.cost, found.message]


CASES = {
    "fits": fits,
    "operations": operations,
    "traffic": traffic,
    "together": together,
    "refused": refused,
    "lost": lost,
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(CASES[name](*arguments)))
