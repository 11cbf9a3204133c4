"""Some lanes of an array, one after another inside a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def of_first(count: Array, room: int, one: Callable[[Any], Any]) -> Any:
    """What ``one`` makes of the numbers 0 to ``count`` - 1, as leaves with a leading axis (room,), zero from there on.

    One program serves any number of lanes up to ``room``, and a branch is a branch.
    """

    def kept(n: Array, found: Any) -> Any:
        return jax.tree.map(lambda column, value: column.at[n].set(value), found, one(n))

    nothing = jax.tree.map(lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype), jax.eval_shape(one, 0))
    return jax.lax.fori_loop(0, count, kept, nothing)


def each(function: Callable[[Any], Any], arrays: Any, at_once: int) -> Any:
    """What a function that calls LAPACK makes of each entry along the leading axis of arrays, so many at once on an
    accelerator.

    On a CPU one after another: where LAPACK takes many matrices in one call, JAX 0.10 hands parts of them to the
    threads of which one waits for them, and two such calls at a time wait for each other without end.
    """
    return jax.lax.platform_dependent(
        arrays,
        cpu=lambda some: jax.lax.map(function, some),
        default=lambda some: jax.lax.map(function, some, batch_size=at_once),
    )
