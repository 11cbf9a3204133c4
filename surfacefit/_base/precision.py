"""The precision of a fit: 64-bit JAX for a block of code, and arrays on the device, without JAX's global settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._system.forks import STATE
from .devices import namespace, on_cpu


@contextmanager
def precision(dtype: np.dtype) -> Iterator[None]:
    """A context in which JAX computes in 64 bits if ``dtype`` is float64; the global setting stays as it is.

    Arrays of different rank are combined in it as everywhere in this library, whatever a user has forbidden in his own
    code. Raises RuntimeError in a process in which JAX can compute nothing (`forks`).
    """
    STATE.begin()
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True) if dtype == np.float64 else nullcontext():
        yield


def on_device(tree: Any, dtype: np.dtype) -> Any:
    """A pytree with its arrays on the device, in this precision."""

    def placed(leaf: Any) -> jax.Array:
        return jnp.asarray(leaf if isinstance(leaf, jax.Array) else np.asarray(leaf, dtype), dtype)

    return jax.tree.map(placed, tree)


def near_device(tree: Any, dtype: np.dtype) -> Any:
    """A pytree of small arrays in this precision: on an accelerator that is the default device, else NumPy's, which a
    program on a CPU takes in 2 us an array, where to place one there takes 40.
    """
    return in_precision(tree, dtype) if on_cpu() else on_device(tree, dtype)


def in_precision(tree: Any, dtype: np.dtype) -> Any:
    """A pytree with its arrays as NumPy's, in this precision."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def on_host(tree: Any) -> Any:
    """A pytree with its arrays as NumPy's. On a CPU they are read one by one, in a tenth of the time that JAX takes to
    fetch them together.
    """
    return jax.tree.map(np.asarray, tree if on_cpu(tree) else jax.device_get(tree))


def product(a: Any, b: Any) -> Any:
    """Matrix products (..., m, n) of NumPy's or JAX's arrays, in their full precision, which a GPU does not keep by
    itself.
    """
    return np.matmul(a, b) if namespace(a, b) is np else jnp.matmul(a, b, precision="highest")
