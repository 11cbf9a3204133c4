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
