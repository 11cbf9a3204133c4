"""Compiling with less waiting; the one place where compiled programs are made."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, update_wrapper
from typing import Any, cast
from weakref import WeakSet

import jax
import numpy as np

from .._system.forks import STATE
from .._system.program_limits import COUNT, give_memory_back
from . import devices

# XLA's own switches, which a release may drop: JAX 0.11 no longer knows this one. Without its fusion emitters XLA
# compiles a solver's many small loops faster: 2.2 s instead of 3.4 s for a first fit on two cores, at the same speed
# of running.
CPU_COMPILER_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
# The same for programs on few numbers, which compile far longer than they run: XLA optimizes nothing, and asks LLVM for
# one piece of code. A step program compiles in 0.3 s of one core instead of 1.2 s; with K = 1 on 10 points its steps
# take as long, with K = 8 on 5,307 points three times as long.
SMALL_COMPILER_OPTIONS = {
    **CPU_COMPILER_OPTIONS,
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}
# Numbers in a program's arguments up to which it counts as small: some 1,000 points and three components, where 1,000
# steps take a tenth of a second more.
MAX_SMALL_NUMBERS = 4096
# The same for programs that pass over their arguments once: J^T J of 8,000 points and 600 parameters takes 0.20 s
# instead of 0.15, and its program 0.3 s instead of 0.8 to compile.
MAX_SMALL_PASS_NUMBERS = 32768
# Numbers; below, sizes are powers of two: programs for so few points or components are as fast at the next power.
FINE_SIZES_FROM = 512
# Sizes between a power of two and the next: an eighth more work at most, for programs that run about as long as they
# compile.
SIZES_PER_OCTAVE = 8
# Numbers; above, running outweighs compiling.
FINEST_SIZES_FROM = 8192
# Sizes between a power of two and the next up there: a sixteenth more work at most, and 3 % on average.
FINEST_SIZES_PER_OCTAVE = 16
# The same besides for programs with arguments that ask for them, as pair lists of many components do: vectors of 512
# bits, where the processor has them. Five steps of K = 10,000 on 1024 x 1024 points take 7.4 s of CPU instead of 8.2.
# Other programs keep their last bits.
WIDE_COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": 512}
# Numbers in a program's arguments from which it is asked whether they want these: below, steps are over too soon.
WIDE_NUMBERS_FROM = 2**20
# Kinds of arguments whose shapes are remembered: a fit asks for those of a few problems, four times and more of each,
# in 1 ms where JAX looks them up.
SHAPES_KEPT = 256
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
    """A function that `jax.jit` compiles when it is first called: on a CPU under ``cpu_options``, or if it is called
    with at most ``max_small`` numbers under `SMALL_COMPILER_OPTIONS`, as far as XLA knows them. The arrays of arguments
    that are ``overwritten``, given by their numbers, are lost to the caller.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnums: Sequence[int],
        cpu_options: dict[str, Any],
        max_small: float = 0,
        overwritten: Sequence[int] = (),
    ):
        update_wrapper(self, function)
        self.function, self.static_argnums, self.overwritten = function, static_argnums, overwritten
        self._options = {
            "plain": {},
            "on cpu": cpu_options,
            "wide": {**cpu_options, **WIDE_COMPILER_OPTIONS},
            "small": SMALL_COMPILER_OPTIONS,
        }
        self._max_small = max_small
        self._jitted: dict[str, Any] = {}
        PROGRAMS.add(self)

    def __call__(self, *args: Any) -> Any:
        STATE.begin()
        if COUNT.time_to_drop():
            drop_programs()
        leaves = jax.tree.leaves(args)
        jitted = self._for(self._kind(args, leaves) if devices.on_cpu(leaves) else "plain")
        with jax.numpy_rank_promotion("allow"):  # a thread knows nothing of what `precision` has set in another
            return jitted(*args)

    def drop(self) -> None:
        """Lets go of what is compiled; the next call compiles anew."""
        for jitted in list(self._jitted.values()):
            jitted.clear_cache()

    def _kind(self, args: tuple[Any, ...], leaves: list[Any]) -> str:
        """Of a call on a CPU."""
        count = sum(getattr(leaf, "size", 1) for leaf in leaves)
        if count <= self._max_small:
            return "small"
        return "wide" if count >= WIDE_NUMBERS_FROM and _ask_for_wide_vectors(args) else "on cpu"

    def _for(self, kind: str) -> Any:
        """The function as `jax.jit` makes it for a kind of call."""
        if kind not in self._jitted:
            options = known_options(self._options[kind])
            self._jitted[kind] = jax.jit(
                self.function,
                static_argnums=self.static_argnums,
                donate_argnums=self.overwritten,
                compiler_options=options,
            )
        return self._jitted[kind]


def _ask_for_wide_vectors(args: Any) -> bool:
    """Whether a record among arguments has ``wide_vectors`` set."""
    return any(map(_asks, jax.tree.leaves(args, is_leaf=_asks)))


def _asks(node: Any) -> bool:
    return getattr(node, "wide_vectors", False) is True


def drop_programs() -> None:
    """Lets go of all that this library has compiled. What runs elsewhere at the moment ends first."""
    for program in list(PROGRAMS):
        program.drop()
    gc.collect()  # programs are in circles of references
    give_memory_back()


def quick_jit(
    function: Callable[..., Any], static_argnums: Sequence[int] = (), overwritten: Sequence[int] = ()
) -> Program:
    """`jax.jit`, with the options under which XLA compiles fastest for a CPU where the arguments are on one.

    Where XLA does not know the options, nothing changes but the time to compile.
    """
    return Program(function, static_argnums, CPU_COMPILER_OPTIONS, MAX_SMALL_NUMBERS, overwritten)


def pass_jit(function: Callable[..., Any], static_argnums: Sequence[int] = ()) -> Program:
    """As `quick_jit`, for programs that pass over their arguments once."""
    return Program(function, static_argnums, CPU_COMPILER_OPTIONS, MAX_SMALL_PASS_NUMBERS)


def shapes_of(function: Callable[..., Any], *args: Any) -> Any:
    """The shapes and dtypes of what a function would give, traced once for each kind of arguments, never compiled."""
    leaves, structure = jax.tree.flatten(args)
    kinds = tuple((np.shape(one), _dtype(one), getattr(one, "weak_type", False)) for one in leaves)
    return _shapes(function, structure, kinds, bool(cast(Any, jax.config).jax_enable_x64))


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else jax.dtypes.result_type(leaf)


@lru_cache(maxsize=SHAPES_KEPT)
def _shapes(function: Callable[..., Any], structure: Any, kinds: tuple[tuple[Any, Any, bool], ...], x64: bool) -> Any:
    del x64  # part of the key
    leaves = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in kinds]
    return jax.eval_shape(function, *jax.tree.unflatten(structure, leaves))


def plain_jit(function: Callable[..., Any], static_argnums: Sequence[int] = ()) -> Program:
    """`jax.jit` with XLA's own options, for single passes that compile fast as they are."""
    return Program(function, static_argnums, {})


def batch_jit(function: Callable[..., Any], static_argnums: Sequence[int] = ()) -> Program:
    """As `quick_jit`, for programs that run for long on many small problems: their code is always optimised."""
    return Program(function, static_argnums, CPU_COMPILER_OPTIONS)


def brief_jit(function: Callable[..., Any], overwritten: Sequence[int] = ()) -> Program:
    """As `quick_jit`, for runs that are over sooner than optimised code would be made, however many numbers they take:
    compiling and 60 steps of K = 8 on 5,307 points take 0.5 s of CPU instead of 2.0, 60 more 0.21 s instead of 0.07.
    """
    return Program(function, (), CPU_COMPILER_OPTIONS, np.inf, overwritten)


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of some options of the compiler that this XLA knows."""
    if _are_known(*options.items()):
        return options
    return {name: value for name, value in options.items() if _are_known((name, value))}


def _probe() -> int:
    return 0


@cache
def _are_known(*options: tuple[str, Any]) -> bool:
    try:
        jax.jit(_probe, compiler_options=dict(options)).lower().compile()
    except Exception:  # whatever XLA raises for an option that it does not know
        return False
    return True
