"""The precision of a fit: 64-bit JAX for a block of code, and arrays on the device, without JAX's global settings."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def precision(dtype: np.dtype) -> AbstractContextManager[Any]:
    """A context in which JAX computes in 64 bits if ``dtype`` is float64; the global setting stays as it is."""
    return jax.enable_x64(True) if dtype == np.float64 else nullcontext()


def on_device(tree: Any, dtype: np.dtype) -> Any:
    """A pytree with its arrays on the device, in this precision."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)
