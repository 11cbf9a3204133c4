"""Lanes by chunks of one size, on some threads for each core.

One program serves any number of lanes, and its arrays stay in a core's cache. The size is always the same, the last
chunk being filled up with lanes without points: the bits of a lane then depend on its own data alone, since a compiler
may work off the rest of another size by other instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax import Array

from .._base.compile import plain_jit
from .._base.devices import on_cpu
from .._base.precision import in_precision, on_host, precision
from .._losses import Loss
from .._system.container import cores
from .gaussians import SmallModel
from .levenberg_marquardt import LaneSettings, fit_small_lanes
from .normal import Lanes
from .surfaces import SurfaceLanes, standard_errors, surface_lanes

# Lanes of a chunk on a CPU: with 49 points and seven parameters 142,000 fits a second on two cores instead of 126,000
# with twice as many, whose arrays no longer stay in a core's cache.
CPU_CHUNK_LANES = 1024
# Lanes of a chunk on an accelerator: enough threads to fill it.
ACCELERATOR_CHUNK_LANES = 65536
# Chunks under way for each core, each in a thread of its own: while one waits for its program, another is brought into
# units. 5 x 5 points: with one 250,000 fits a second on two cores, with two 320,000.
THREADS_A_CORE = 2

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class SmallBatch:
    """The data of B fits, lanes first, on the host: points (N, d) of all, heights and weights (B, N), floor (d,).

    Heights and weights are best in Fortran's order, in which the lanes of a point lie side by side, as NumPy and the
    program work them off: a mean over the points of each lane then takes a quarter of the time. Points and heights are
    of order one; weights are 1 / sigma, 0 where there is no point. Numbers of ``loss`` and ``variance``, the known
    variance of a residual, are scalars or (B,).
    """

    points: np.ndarray
    heights: np.ndarray
    weights: np.ndarray
    floor: np.ndarray
    loss: Loss
    variance: Any = None


class SmallFits(NamedTuple):
    """Fits of B lanes, NumPy: parameters (B, P), cost, status and steps (B,), surfaces, and errors if asked for.

    ``errors`` are for residuals of variance one: times s where the misfit is to tell it.
    """

    params: Any
    cost: Any
    status: Any
    steps: Any
    surfaces: SurfaceLanes
    errors: SurfaceLanes | None


def _fitted(
    model: SmallModel, with_errors: bool, batch: tuple[Any, ...], start: Array, settings: LaneSettings
) -> SmallFits:
    points, heights, weights, floor, loss, variance = batch
    lanes = Lanes(points, heights, weights, floor, loss, variance)
    fits = fit_small_lanes(model, lanes, start.T, settings)
    params = [fits.params[i] for i in range(model.n_parameters)]
    errors = standard_errors(model, lanes, params) if with_errors else None
    return SmallFits(
        fits.params.T, fits.cost, fits.status, fits.steps, surface_lanes(model, params, lanes.floor), errors
    )


fit_lanes = plain_jit(_fitted, static_argnums=(0, 1))


def where_used(used: np.ndarray, array: np.ndarray) -> np.ndarray:
    """An array (B, N) with 0 where there is no point."""
    return array if used.all() else np.where(used, array, 0)


def chunks_at_once() -> int:
    """Chunks under way: on an accelerator one for each core, as each takes a device's memory."""
    return (THREADS_A_CORE if on_cpu() else 1) * cores()


def lanes_a_chunk() -> int:
    return CPU_CHUNK_LANES if on_cpu() else ACCELERATOR_CHUNK_LANES


def fit_chunk(
    model: SmallModel, batch: SmallBatch, start: np.ndarray, settings: LaneSettings, *, with_errors: bool = False
) -> SmallFits:
    """Fits of at most `lanes_a_chunk` lanes from their starts (B, P), in the precision of the start."""
    dtype, count = start.dtype, len(start)
    data, begin = _padded(batch, start, lanes_a_chunk(), dtype)
    with precision(dtype):
        fits = on_host(fit_lanes(model, with_errors, data, begin, settings))
    trimmed: SmallFits = fits if count == lanes_a_chunk() else jax.tree.map(lambda array: array[:count], fits)
    return trimmed


def fit_small(
    model: SmallModel, batch: SmallBatch, start: np.ndarray, settings: LaneSettings, *, with_errors: bool = False
) -> SmallFits:
    """Fits of any number of lanes from their starts (B, P), in the precision of the start.

    The result of a lane is bit for bit the same whatever other lanes there are.
    """

    def task(lanes: slice) -> SmallFits:
        return fit_chunk(model, some_lanes(batch, lanes), start[lanes], settings, with_errors=with_errors)

    parts = [fits for _, fits in sorted(chunk_by_chunk(len(start), task), key=lambda part: part[0].start)]
    joined: SmallFits = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return joined


def chunk_by_chunk(count: int, task: Callable[[slice], Answer]) -> Iterator[tuple[slice, Answer]]:
    """What a task makes of each chunk of lanes, as they end, in any order; to stop early, ask for no more.

    At a Ctrl-C those that run end first, and none of the others begins.
    """
    size, waiting, at_once = lanes_a_chunk(), set[Future[tuple[slice, Answer]]](), chunks_at_once()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for first in range(0, count, size):
                lanes = slice(first, min(first + size, count))
                waiting.add(pool.submit(lambda lanes: (lanes, task(lanes)), lanes))
                while len(waiting) >= at_once:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def some_lanes(batch: SmallBatch, lanes: slice) -> SmallBatch:
    """Some of the lanes."""
    numbers = jax.tree.map(lambda value: value[lanes] if np.ndim(value) else value, (batch.loss, batch.variance))
    return SmallBatch(batch.points, batch.heights[lanes], batch.weights[lanes], batch.floor, *numbers)


def _padded(batch: SmallBatch, start: np.ndarray, size: int, dtype: Any) -> tuple[tuple[Any, ...], np.ndarray]:
    """The data, lanes last, and starts, filled up by lanes of weight zero that repeat the last."""
    spare = size - len(start)

    def chunk(array: Any) -> np.ndarray:
        with np.errstate(over="ignore"):
            part = np.asarray(array, dtype)
        return np.pad(part, [(0, spare)] + [(0, 0)] * (part.ndim - 1), mode="edge") if spare else part

    weights = chunk(batch.weights)
    weights[size - spare :] = 0
    points, floor = in_precision((batch.points, batch.floor), dtype)
    numbers = jax.tree.map(lambda value: chunk(np.broadcast_to(value, len(start))), (batch.loss, batch.variance))
    return (points, chunk(batch.heights).T, weights.T, floor, *numbers), chunk(start)
