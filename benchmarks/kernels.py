"""The kernels of a Levenberg-Marquardt step of the tiled engine, each as a function with its arguments.

They are those of the suite `large`: known components on a map, from a start off by 0.15 widths.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.precision import precision
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
    """A function of arrays, that is a program by itself, and what it is called with."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def timed(self, repeats: int = 3) -> tuple[float, float]:
        """Least seconds of CPU and by the wall of a call, after one that compiles."""
        program = quick_jit(self.function)
        jax.block_until_ready(program(*self.arguments))
        spent = []
        for _ in range(repeats):
            cpu, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(program(*self.arguments))
            spent.append((time.process_time() - cpu, time.perf_counter() - wall))
        return min(cpu for cpu, _ in spent), min(wall for _, wall in spent)


@contextmanager
def planned_for_gpu() -> Iterator[None]:
    """A block in which plans are cut as for an accelerator, whatever there is."""
    with patch("surfacefit._problem.planning.on_cpu", lambda tree=(): False):
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


def kernels(case: Planned) -> list[Kernel]:
    """Trial residuals, gradient, and where blocks are made these, a product with them and the clusters' inverses."""
    problem, params = case.problem, case.params
    parts = problem.parameterization
    components = quick_jit(type(parts).components)(parts, params)
    chain = quick_jit(type(parts).chain)(parts, params, components)
    weights = problem.weights
    found = [
        Kernel("trial residuals", _residuals, (problem, params)),
        Kernel("gradient", _gradient, (problem, components, chain, weights)),
    ]
    curvature = problem.engine.curvature
    if curvature is None:
        return found
    found.append(Kernel("blocks", _blocks, (curvature, components, chain)))
    normal = jax.eval_shape(_blocks, *found[-1].arguments) if _is_abstract(params) else _made(found[-1])
    vector = jnp.ones(params.shape, normal.blocks.dtype)
    found.append(Kernel("CG product", _product, (normal, vector)))
    if curvature.clusters is not None:
        found.append(Kernel("cluster inverses", _inverses, (normal, jnp.zeros(normal.cross.shape[:2], vector.dtype))))
    return found


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _made(kernel: Kernel) -> Any:
    return quick_jit(kernel.function)(*kernel.arguments)


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


def shapes(tree: Any) -> Any:
    """A tree with the shapes of its large arrays in their place: enough to count what a program does."""

    def shape(leaf: Any) -> Any:
        large = getattr(leaf, "size", 0) > 64
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if large else leaf

    return jax.tree.map(shape, tree)
