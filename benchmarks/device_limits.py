"""What a device can do at most: operations, exponentials and bytes a second, from data sheets or measured.

NVIDIA H100 SXM and H200: 67 and 34 TFLOP/s in single and double precision, 3.35 and 4.8 TB/s (NVIDIA H100 and H200
Tensor Core GPU data sheets); 132 multiprocessors at 1.98 GHz, each with 16 results of exp2 a clock in single precision
(CUDA C++ Programming Guide, throughput of native arithmetic instructions, compute capability 9.0). In double precision
an exponential is a polynomial of the same units as all else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surfacefit._base.compile import quick_jit
from surfacefit._base.devices import on_cpu
from surfacefit._base.precision import precision

from .program_cost import Cost

# Operations of an exponential in double precision on a GPU: some twenty multiplications with additions.
DOUBLE_EXP_FLOPS = 40.0
# Seconds from one piece of work to the next on a GPU: ten launches of 5 us a chunk were counted on an H100.
LAUNCH_SECONDS = 5e-6
# Passes over a few numbers by which the time from one piece of work to the next is measured.
LAUNCHES = 2000
# Measurements of each rate, of which the best counts.
REPEATS = 5


@dataclass(frozen=True)
class Probe:
    """How rates are measured: numbers of an array that stays in the cache and of one that does not, times that it is
    passed over, multiplications with additions and exponentials for each number in a pass.
    """

    cached: int
    large: int
    passes: int
    operations: int
    exponentials: int


# An array of 128 kB in double precision stays in a core's cache.
CPU_PROBE = Probe(cached=2**14, large=2**21, passes=400, operations=32, exponentials=1)
# On a GPU each pass is a launch, beside which the work must be long.
GPU_PROBE = Probe(cached=2**22, large=2**28, passes=20, operations=256, exponentials=32)


@dataclass(frozen=True)
class Limits:
    """Rates a second: operations, exponentials, bytes inside loops (from the cache) and outside; seconds a launch.

    ``together``: exponentials are made by the same units as operations, one after the other. ``in_turn``: so are
    launches and work, as on a CPU; else the next piece is launched while one runs.
    """

    name: str
    flops: float
    exponentials: float
    loop_bytes: float
    other_bytes: float
    launch: float = 0.0
    together: bool = False
    in_turn: bool = False

    def parts(self, cost: Cost) -> dict[str, float]:
        """Seconds for each thing that a program does, were it alone."""
        return {
            "operations": cost.flops / self.flops,
            "exponentials": cost.transcendentals / self.exponentials,
            "bytes": cost.loop_bytes / self.loop_bytes + cost.other_bytes / self.other_bytes,
            "launches": cost.launches * self.launch,
        }

    def seconds(self, cost: Cost) -> float:
        """The least seconds of a program: of its work or the bytes that it moves, and of its launches."""
        parts = self.parts(cost)
        work = (parts["operations"], parts["exponentials"])
        busy = max(sum(work) if self.together else max(work), parts["bytes"])
        return busy + parts["launches"] if self.in_turn else max(busy, parts["launches"])

    def bound(self, cost: Cost) -> str:
        """What the program waits for."""
        parts = self.parts(cost)
        return max(parts, key=lambda name: parts[name])


def data_sheet(device: str, dtype: str) -> Limits:
    """The limits of "H100" or "H200" in "float32" or "float64"."""
    bandwidth = {"H100": 3.35e12, "H200": 4.8e12}[device]
    flops = {"float32": 67e12, "float64": 34e12}[dtype]
    exponentials = 132 * 16 * 1.98e9 if dtype == "float32" else flops / DOUBLE_EXP_FLOPS
    return Limits(device, flops, exponentials, bandwidth, bandwidth, LAUNCH_SECONDS, together=dtype == "float64")


def measured(dtype: str, clock: Callable[[], float] = time.process_time) -> Limits:
    """The limits of the device at hand, of one core of it where ``clock`` counts CPU seconds.

    By programs that do nothing else: exponentials and multiplications with additions of an array in the cache, a sum of
    two arrays in the cache, and one of two that are far larger.
    """
    kind, probe = np.dtype(dtype), CPU_PROBE if on_cpu() else GPU_PROBE
    with precision(kind):
        small, large = (jnp.full(n, 0.5, kind) for n in (probe.cached, probe.large))
        passes = float(probe.passes * probe.cached)
        flops = 2 * probe.operations * passes / _best(_passes(_fused, probe), (small, small), clock)
        exponentials = probe.exponentials * passes / _best(_passes(_exponentials, probe), (small, small), clock)
        loop_bytes = 3 * passes * kind.itemsize / _best(_passes(_summed, probe), (small, small), clock)
        other_bytes = 3 * large.nbytes / _best(jnp.add, (large, large), clock)
        tiny, many = jnp.full(8, 0.5, kind), replace(probe, passes=LAUNCHES)
        launch = _best(_passes(_summed, many), (tiny, tiny), clock) / LAUNCHES
    name, cpu = str(jax.devices()[0].device_kind), on_cpu()
    return Limits(name, flops, exponentials, loop_bytes, other_bytes, launch, cpu or dtype == "float64", cpu)


def _best(function: Callable[..., Any], arguments: tuple[Any, ...], clock: Callable[[], float]) -> float:
    """The least seconds of a call, after one that compiles."""
    program = quick_jit(function)
    jax.block_until_ready(program(*arguments))
    spent = []
    for _ in range(REPEATS):
        begun = clock()
        jax.block_until_ready(program(*arguments))
        spent.append(clock() - begun)
    return max(min(spent), 1e-9)


def _passes(change: Callable[..., Any], probe: Probe) -> Callable[..., Any]:
    def passed(array: Any, other: Any) -> Any:
        return jax.lax.fori_loop(0, probe.passes, lambda _, total: change(total, other, probe), array)

    return passed


def _fused(values: Any, other: Any, probe: Probe) -> Any:
    """Many multiplications with additions for each number that is read."""
    for _ in range(probe.operations):
        values = values * 0.999 + 0.001
    return values


def _exponentials(values: Any, other: Any, probe: Probe) -> Any:
    for _ in range(probe.exponentials):
        values = jnp.exp(-values)
    return values


def _summed(values: Any, other: Any, probe: Probe) -> Any:
    return values + other
