"""Refits of a few components on the points around them, all others held: hundreds of small fits at once.

They predict the fall in cost of many candidates, of which few are tried on the whole map. Each is a dense problem of
fixed size (MEMBERS components, one window of points, float32), so that one program serves all fits of a dimension. They
run in batches: on a CPU one by one with a thread a batch, elsewhere under ``vmap``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated, quick_jit
from .._base.devices import on_cpu
from .._base.threads import single_threaded_blas
from .._constraints.box import Box
from .._model.background import NoBackground
from .._model.block_layout import center_columns
from .._model.parameters import Parameterization
from .._problem.problem import SurfaceProblem
from .._solvers import LevenbergMarquardt, advance, begin
from .._system.container import cores

# Components of a local problem, a move and its nearest neighbours. Pairs of 12 were no better and three times slower.
MEMBERS = 8
# Local problems a batch on an accelerator: enough to fill it, few enough that little is computed for padding.
VMAP_BATCH = 8
# The same on a CPU, where threads share the batches: 24 refits in batches of 8 kept one of two threads waiting.
THREAD_BATCH = 4
# Relative fall of the cost in LOCAL_PATIENCE steps at which a local refit ends: what creeps has shown what it gains.
# With 0.005 in 4 steps K = 16 ended lower and K = 32 higher (0.898 instead of 0.891 m).
LOCAL_SLACK = 0.01
# Steps in which it is taken: in half as many K = 32 ended higher, as above.
LOCAL_PATIENCE = 8
# Largest number that is cast to single precision: its square times a few may overflow there, the number itself not.
MAX_SINGLE = 1e30


class LocalProblems(NamedTuple):
    """C local problems, each on W points.

    ``points`` (C, W, d), ``residuals`` w (f - z) and ``weights`` w (C, W); ``held`` (C, m + 1, p) are the components
    whose part of f is replaced, ``start`` (C, m, p) those to start from; ``n_held`` and ``n_start`` (C,) count them.
    ``low`` and ``high`` (C, p) are the limits of a component's numbers, infinite where there are none.
    """

    points: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray
    held: np.ndarray
    start: np.ndarray
    n_held: np.ndarray
    n_start: np.ndarray
    low: np.ndarray
    high: np.ndarray


class LocalFits(NamedTuple):
    """The fall in cost (C,) over a window's points, -inf where it is not finite, and the refitted blocks (C, m, p)."""

    fall: np.ndarray
    blocks: np.ndarray


def local_refits(
    parameterization: Parameterization, shared: np.ndarray, problems: LocalProblems, steps: int
) -> LocalFits:
    """The fits of local problems after up to ``steps`` Levenberg-Marquardt steps each.

    The shape ``shared`` (s,) of tied components is held.
    """
    local = jax.tree.map(_single, replace(parameterization, background=NoBackground(), shape_held=True))
    # Coordinates from the middle of each window: far from there single precision would lose narrow components.
    middle = problems.points.mean(axis=1, keepdims=True)
    cpu = on_cpu(local)
    # Small batches where threads share them, of which the last to end keeps the others waiting.
    batches = list(_batches(_moved(problems, -middle), THREAD_BATCH if cpu else VMAP_BATCH))
    refits = _refits_one_by_one if cpu else _refits_at_once

    def fitted(batch: LocalProblems) -> tuple[np.ndarray, np.ndarray]:
        return jax.device_get(refits(local, _single(shared), batch, steps))

    with single_threaded_blas(1), ThreadPoolExecutor(cores() if cpu else 1) as pool:
        # In copies of the context, so that the seconds that threads compile are counted.
        fits = list(
            pool.map(lambda context, batch: context.run(fitted, batch), [copy_context() for _ in batches], batches)
        )
    fall, blocks = (
        np.concatenate(column)[: len(problems.points)].astype(np.float64) for column in zip(*fits, strict=True)
    )
    return LocalFits(np.where(np.isfinite(fall), fall, -np.inf), _shifted(blocks, middle))


def _moved(problems: LocalProblems, by: np.ndarray) -> LocalProblems:
    """With all coordinates moved by (C, 1, d)."""
    held, start = _shifted(problems.held, by), _shifted(problems.start, by)
    low, high = (_shifted(side[:, None], by)[:, 0] for side in (problems.low, problems.high))
    return problems._replace(points=problems.points + by, held=held, start=start, low=low, high=high)


def _shifted(blocks: np.ndarray, by: np.ndarray) -> np.ndarray:
    moved = blocks.copy()
    moved[:, :, center_columns(by.shape[-1])] += by
    return moved


def refits_one_by_one(local: Parameterization, shared: Array, batch: LocalProblems, steps: Any) -> tuple[Array, Array]:
    """For a CPU, which takes batched small products one by one, slower than a loop over whole problems does."""
    return jax.lax.map(lambda problem: refit(local, shared, problem, steps), batch)


def refits_at_once(local: Parameterization, shared: Array, batch: LocalProblems, steps: Any) -> tuple[Array, Array]:
    """For an accelerator."""
    return jax.vmap(lambda problem: refit(local, shared, problem, steps))(batch)


def refit(local: Parameterization, shared: Array, problem: LocalProblems, steps: Any) -> tuple[Array, Array]:
    """One small problem: the fall in cost, and the components."""
    points, residuals, weights, held, start, n_held, n_start, low, high = (jnp.asarray(column) for column in problem)
    surface = SurfaceProblem(points, jnp.zeros_like(weights), jnp.ones_like(weights), _sized(local, len(held), n_held))
    part = surface.residuals(concatenated([held.ravel(), shared]))
    heights = part - residuals / jnp.where(weights > 0, weights, 1)
    limits = Box(low[None], high[None], jnp.full_like(shared, -jnp.inf), jnp.full_like(shared, jnp.inf))
    mine = SurfaceProblem(points, heights, weights, _sized(local, len(start), n_start), box=limits)
    solver = LevenbergMarquardt(slack=LOCAL_SLACK, patience=LOCAL_PATIENCE, distance=np.inf)
    carry, _ = advance(solver, mine, begin(solver, mine, concatenated([start.ravel(), shared])), steps, None)
    best = carry.best
    return 0.5 * jnp.sum(residuals**2) - best.cost, best.params[: start.size].reshape(start.shape)


_refits_one_by_one, _refits_at_once = quick_jit(refits_one_by_one), quick_jit(refits_at_once)


def _sized(local: Parameterization, room: int, count: Array) -> Parameterization:
    return replace(local, n_components=room, n_active=count)


def _single(leaf: Any) -> np.ndarray:
    return np.clip(leaf, -MAX_SINGLE, MAX_SINGLE).astype(np.float32)


def _batches(problems: LocalProblems, size: int) -> Iterator[LocalProblems]:
    """Batches of one size, the last filled up with copies of its last problem."""
    count = len(problems.points)
    for first in range(0, count, size):
        index = np.minimum(np.arange(first, first + size), count - 1)
        yield LocalProblems(*(_single(column[index]) for column in problems))
