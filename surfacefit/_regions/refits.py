"""Refits of groups of components on their windows, all others held: very many small fits by one program."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import batch_jit, concatenated
from .._base.threads import single_threaded_blas
from .._constraints.box import Box
from .._engines.jacobian import DenseEngine
from .._model.background import NoBackground
from .._model.parameters import Parameterization
from .._problem.problem import SurfaceProblem
from .._search.local_refits import MAX_SINGLE
from .._solvers import LevenbergMarquardt, advance, begin
from .._system.container import cores
from .windows import WindowProblems

# Groups a call of the program: some tens of milliseconds, so that threads share them evenly.
GROUPS_A_CALL = 4
# Relative fall of the cost in SETTLED_WINDOW_STEPS steps at which a refit ends: the next sweep has other windows.
SETTLED_WINDOW_FALL = 1e-3
# Steps in which it is taken: one or two may fail.
SETTLED_WINDOW_STEPS = 4
# One cell in how many is used for J^T J: 18 a component, three a parameter.
THINNED_CELLS = 2


def refitted(
    parameterization: Parameterization,
    sides: tuple[np.ndarray, np.ndarray],
    problems: WindowProblems,
    middles: np.ndarray,
    steps: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The number of the first of some groups, the falls of their costs (g,) and their blocks (g, m, p), in order.

    ``sides`` are the least and largest numbers (p,) of any component.
    """
    local = jax.tree.map(_single, replace(parameterization, background=NoBackground(), shape_held=True))
    count = len(problems.points)
    columns = parameterization.layout.centers
    low, high = (np.repeat(side[None], count, axis=0) for side in sides)
    low[:, columns] -= middles
    high[:, columns] -= middles
    arrays = (*problems, _single(low), _single(high))

    def fitted(first: int) -> tuple[np.ndarray, np.ndarray]:
        index = np.minimum(np.arange(first, first + GROUPS_A_CALL), count - 1)
        some, used = [column[index] for column in arrays], min(GROUPS_A_CALL, count - first)
        found: tuple[np.ndarray, np.ndarray] = jax.device_get(_refits(local, some, used, steps))
        return found

    firsts = range(0, count, GROUPS_A_CALL)
    with single_threaded_blas(1), ThreadPoolExecutor(cores()) as pool:
        contexts = [copy_context() for _ in firsts]
        found = pool.map(lambda context, first: context.run(fitted, first), contexts, firsts)
        for first, (falls, blocks) in zip(firsts, found, strict=True):
            n = min(GROUPS_A_CALL, count - first)
            moved = blocks[:n].astype(float)
            moved[:, :, columns] += middles[first : first + n, None]
            yield first, np.where(np.isfinite(falls[:n]), falls[:n], -np.inf), moved


def refits(local: Parameterization, arrays: Any, count: Any, steps: Any) -> tuple[Array, Array]:
    """The fits of the first ``count`` problems, one after another."""
    room = len(arrays[0])

    def one(n: Array) -> tuple[Array, Array]:
        return refit(local, [column[n] for column in arrays], jnp.where(n < count, steps, 0))

    return jax.lax.map(one, jnp.arange(room))


def refit(local: Parameterization, problem: Any, steps: Any) -> tuple[Array, Array]:
    """One small problem: the fall in cost, and the components."""
    points, left, weights, start, n_start, low, high = problem
    parts = replace(local, n_components=len(start), n_active=n_start)
    none = jnp.zeros(0, start.dtype)
    engine = DenseEngine(THINNED_CELLS)
    part = SurfaceProblem(points, jnp.zeros_like(left), jnp.ones_like(left), parts).residuals(start.ravel())
    limits = Box(low[None], high[None], none, none)
    mine = SurfaceProblem(points, left + part, weights, parts, box=limits, engine=engine)
    solver = LevenbergMarquardt(slack=SETTLED_WINDOW_FALL, patience=SETTLED_WINDOW_STEPS, distance=np.inf)
    carry, _ = advance(solver, mine, begin(solver, mine, concatenated([start.ravel(), none])), steps, None)
    best = carry.best
    return 0.5 * jnp.sum((weights * left) ** 2) - best.cost, best.params[: start.size].reshape(start.shape)


_refits = batch_jit(refits)


def _single(leaf: Any) -> np.ndarray:
    return np.clip(leaf, -MAX_SINGLE, MAX_SINGLE).astype(np.float32)
