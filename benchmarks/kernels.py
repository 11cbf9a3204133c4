"""The kernels of a Levenberg-Marquardt step of the tiled engine, each as a function with its arguments.

They are those of the suite `large`: known components on a map, from a start off by 0.15 widths.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.precision import precision
from surfacefit._base.threads import single_threaded_blas
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._linear.cluster_preconditioner import cluster_preconditioner
from surfacefit._model.parameters import ChainRule, Components
from surfacefit._model.units import to_internal
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.prepared import Prepared
from surfacefit._problem.problem_setup import problem_setup

# Damping of the preconditioner's matrices, relative to squared scales: that of a step in the middle of a fit.
DAMPING = 1e-3


@dataclass(frozen=True, eq=False)
class Kernel:
    """A function of arrays, that is a program by itself, what it is called with, and the precision of its sums."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    dtype: str

    def timed(self, repeats: int = 4) -> tuple[float, float]:
        """Least seconds of CPU and by the wall of a call, after one that compiles; with one BLAS thread, as in fits."""
        program, spent = quick_jit(self.function), []
        with single_threaded_blas(1):
            jax.block_until_ready(program(*self.arguments))
            for _ in range(repeats):
                cpu, wall = time.process_time(), time.perf_counter()
                jax.block_until_ready(program(*self.arguments))
                spent.append((time.process_time() - cpu, time.perf_counter() - wall))
        return min(cpu for cpu, _ in spent), min(wall for _, wall in spent)


@contextmanager
def planned_for_gpu() -> Iterator[None]:
    """A block in which plans are cut, and programs made, as for an accelerator, whatever there is."""

    def together(function: Callable[[Any], Any], arrays: Any, at_once: int) -> Any:
        return jax.lax.map(function, arrays, batch_size=at_once)

    cut = patch("surfacefit._problem.planning.on_cpu", lambda tree=(): False)
    with cut, patch("surfacefit._linear.cluster_preconditioner.each", together):
        yield


@dataclass(frozen=True, eq=False)
class Planned:
    """A problem on the device with its plan, its parameters, and seconds of CPU that the host took for the plan."""

    prepared: Prepared
    problem: Any
    params: Array
    plan_seconds: float


def planned(heights: np.ndarray, start: sf.GaussianSurface, dtype: str) -> Planned:
    """A map with a start, ready for a step."""
    kind = np.dtype(dtype)
    with precision(kind):
        model = ModelSpec(n_components=start.n_components, background=None)
        prepared = problem_setup(grid_data(heights), model, kind, EngineChoice(sf.Tiled()), start)
        parts = prepared.problem.parameterization
        params = jnp.asarray(parts.pack(to_internal(start, prepared.scaling)), kind)
        assert prepared.planner is not None
        begun = time.process_time()
        problem = prepared.planner(prepared.problem, params, params)
        return Planned(prepared, problem, params, time.process_time() - begun)


def kernels(case: Planned, to_run: bool = True) -> list[Kernel]:
    """Trial residuals, gradient, and where blocks are made these, a product with them and the clusters' inverses.

    Not ``to_run``, matrices are shapes alone, which is enough to count what the kernels do.
    """
    problem, params = case.problem, case.params
    parts, curvature = problem.parameterization, problem.engine.curvature
    components = quick_jit(type(parts).components)(parts, params)
    chain = quick_jit(type(parts).chain)(parts, params, components)
    kind = params.dtype.name
    found = [
        Kernel("trial residuals", _residuals, (problem, params), kind),
        Kernel("gradient", _gradient, (problem, components, chain, problem.weights), kind),
    ]
    if curvature is not None:
        kind = curvature.dtype
        blocks = Kernel("blocks", _blocks, (curvature, components, chain), kind)
        normal = quick_jit(_blocks)(*blocks.arguments) if to_run else _shape_of(blocks)
        vector = jnp.ones(params.shape, normal.blocks.dtype)
        found += [blocks, Kernel("CG product", _product, (normal, vector), kind)]
        if curvature.clusters is not None:
            vectors = jnp.zeros(normal.cross.shape[:2], vector.dtype)
            found.append(Kernel("cluster inverses", _inverses, (normal, vectors), kind))
    return found


def _shape_of(blocks: Kernel) -> Any:
    """The block matrix as shapes, but for the number of its rows, which says how often loops run."""
    normal, curvature = jax.eval_shape(blocks.function, *blocks.arguments), blocks.arguments[0]
    unit = curvature.rows_at_once
    n_rows = np.sum(-(-np.asarray(curvature.n_rows) // unit) * unit, dtype=np.int32)
    return replace(normal, pattern=replace(normal.pattern, n_rows=n_rows))


def _residuals(problem: Any, params: Array) -> Array:
    return problem.residuals(params)


def _gradient(problem: Any, components: Components, chain: ChainRule, residuals: Array) -> Array:
    """J^T r, of any residuals (N,)."""
    jacobian = problem.engine.jacobian(problem.points, problem.weights, components, chain)
    return jacobian.rmv(residuals)


def _blocks(curvature: Any, components: Components, chain: ChainRule) -> Any:
    """J^T J without a background."""
    n_components, n_monomials, _ = chain.own.shape
    none = jnp.zeros((n_components, n_monomials, 0), chain.own.dtype), jnp.zeros((0, 0), chain.own.dtype)
    return curvature.normal(components, chain, *none)


def _product(normal: Any, vector: Array) -> Array:
    return normal.mv(vector)


def _inverses(normal: Any, vectors: Array) -> Array:
    """The inverses of all clusters, with one product: without it they would not be computed."""
    diagonal = jnp.maximum(normal.diagonal().reshape(vectors.shape), np.finfo(vectors.dtype).tiny)
    damping = jnp.full_like(diagonal, DAMPING)
    invert = cluster_preconditioner(
        normal.blocks, normal.pattern.clusters, normal.diagonal_blocks(), jnp.sqrt(diagonal), damping
    )
    return invert(vectors)
