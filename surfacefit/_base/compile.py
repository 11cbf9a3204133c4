"""Compiling with less waiting; the one place where compiled programs are made."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, update_wrapper
from typing import Any
from weakref import WeakSet

import jax

from .._system.forks import STATE
from .._system.program_limits import COUNT
from . import devices

# XLA's own switches, which a release may drop: JAX 0.11 no longer knows this one. Without its fusion emitters XLA
# compiles a solver's many small loops faster: 2.2 s instead of 3.4 s for a first fit on two cores, at the same speed
# of running.
CPU_COMPILER_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
# Numbers; below, sizes are powers of two: programs for so few points or components are as fast at the next power.
FINE_SIZES_FROM = 512
# Sizes between a power of two and the next: an eighth more work at most, for programs that run about as long as they
# compile.
SIZES_PER_OCTAVE = 8
# Numbers; above, running outweighs compiling.
FINEST_SIZES_FROM = 8192
# Sizes between a power of two and the next up there: a sixteenth more work at most, and 3 % on average.
FINEST_SIZES_PER_OCTAVE = 16
# Numbers; the smallest size, so that all tiny problems share one program.
SMALLEST_SIZE = 32

PROGRAMS: WeakSet[Program] = WeakSet()
"""Every program that is alive, compiled or not: tests lower all of them for a GPU."""


def rounded_up(count: int) -> int:
    """The next of a few sizes, so that a similar number reuses a compiled program: powers of two up to 512, then eight
    sizes an octave up to 8,192, then sixteen.
    """
    if count <= FINE_SIZES_FROM:
        return max(SMALLEST_SIZE, 1 << (count - 1).bit_length())
    return stepped_up(count, SIZES_PER_OCTAVE if count <= FINEST_SIZES_FROM else FINEST_SIZES_PER_OCTAVE)


def stepped_up(count: int, sizes_per_octave: int) -> int:
    """The next of so many evenly spaced sizes between two powers of two."""
    unit = max(1, (1 << (count - 1).bit_length()) // (2 * sizes_per_octave))
    return -(-count // unit) * unit


def concatenated(arrays: Sequence[Any], axis: int = 0) -> Any:
    """`concatenate` of those arrays that are not empty, all of NumPy or of JAX.

    With only one core to compile on, XLA of JAX 0.10 loses the settings of LAPACK calls in programs that concatenate
    several empty arrays ("No registered implementation for untyped custom call").
    """
    filled = [array for array in arrays if array.size]
    return devices.namespace(*arrays).concatenate(filled or list(arrays), axis=axis)


class Program:
    """A function that `jax.jit` compiles when it is first called: on a CPU under ``cpu_options``, if XLA knows them."""

    def __init__(self, function: Callable[..., Any], static_argnums: Sequence[int], cpu_options: dict[str, Any] | None):
        update_wrapper(self, function)
        self.function, self.static_argnums = function, static_argnums
        self._plain: Any = jax.jit(function, static_argnums=static_argnums)
        self._on_cpu: Any = self._plain
        if cpu_options is not None:
            self._on_cpu = jax.jit(function, static_argnums=static_argnums, compiler_options=cpu_options)
        PROGRAMS.add(self)

    def __call__(self, *args: Any) -> Any:
        STATE.begin()
        if COUNT.time_to_drop():
            drop_programs()
        jitted = self._on_cpu if devices.on_cpu(args) and cpu_options_known() else self._plain
        with jax.numpy_rank_promotion("allow"):  # a thread knows nothing of what `precision` has set in another
            return jitted(*args)

    def drop(self) -> None:
        """Lets go of what is compiled; the next call compiles anew."""
        for jitted in {self._plain, self._on_cpu}:
            jitted.clear_cache()


def drop_programs() -> None:
    """Lets go of all that this library has compiled. What runs elsewhere at the moment ends first."""
    for program in list(PROGRAMS):
        program.drop()
    gc.collect()  # programs are in circles of references


def quick_jit(function: Callable[..., Any], static_argnums: Sequence[int] = ()) -> Program:
    """`jax.jit`, with the options under which XLA compiles fastest for a CPU where the arguments are on one.

    Where XLA does not know the options, nothing changes but the time to compile.
    """
    return Program(function, static_argnums, CPU_COMPILER_OPTIONS)


def shapes_of(function: Callable[..., Any], *args: Any) -> Any:
    """The shapes and dtypes of what a function would give, traced once for each kind of arguments, never compiled."""
    return _traceable(function).eval_shape(*args)


@cache
def _traceable(function: Callable[..., Any]) -> Any:
    return jax.jit(function)


def plain_jit(function: Callable[..., Any], static_argnums: Sequence[int] = ()) -> Program:
    """`jax.jit` with XLA's own options, for single passes that compile fast as they are."""
    return Program(function, static_argnums, None)


@lru_cache(maxsize=1)
def cpu_options_known() -> bool:
    """Whether this XLA knows `CPU_COMPILER_OPTIONS`."""
    try:
        jax.jit(lambda: 0, compiler_options=CPU_COMPILER_OPTIONS).lower().compile()
    except Exception:  # whatever XLA raises for an option that it does not know
        return False
    return True
