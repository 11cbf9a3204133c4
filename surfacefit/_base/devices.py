"""Which kind of device holds arrays: what runs fastest differs between a CPU and an accelerator.

Arrays of NumPy stay on the host: a single operation there takes microseconds, while each first operation of JAX
outside of a program is compiled, in 10 to 100 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Device


def device_of(tree: Any = ()) -> Device:
    """The device that holds a tree's arrays; the default device where none of its leaves is a JAX array."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            return next(iter(leaf.devices()))
    default = cast(Any, jax.config).jax_default_device  # a device, the name of a platform, or None
    return default if isinstance(default, Device) else jax.local_devices(backend=default)[0]


def on_cpu(tree: Any = ()) -> bool:
    """Whether a tree's arrays are on a CPU; where it holds no JAX array, whether the default device is one."""
    return device_of(tree).platform == "cpu"


@contextmanager
def beside_accelerator() -> Iterator[None]:
    """A block in which arrays are made on the CPU, where there is one beside an accelerator: many small ones are there
    at once, and go to the accelerator together.
    """
    if on_cpu():
        yield
        return
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS allows no CPU
        yield
        return
    with jax.default_device(host):
        yield


def moved(tree: Any, device: Device) -> Any:
    """A tree with its arrays on a device."""
    return jax.device_put(tree, device)


def namespace(*arrays: Any) -> Any:
    """The module whose functions take these arrays: `jax.numpy` if one of them is JAX's, traced or not, else NumPy."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
