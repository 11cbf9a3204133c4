"""Which kind of device holds arrays: what runs fastest differs between a CPU and an accelerator."""

from __future__ import annotations

from typing import Any, cast

import jax
from jax import Device


def device_of(tree: Any = ()) -> Device:
    """The device that holds a tree's arrays; the default device where none of its leaves is a JAX array."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            return next(iter(leaf.devices()))
    default = cast(Any, jax.config).jax_default_device  # a device, the name of a platform, or None
    return default if isinstance(default, Device) else jax.devices(default)[0]


def on_cpu(tree: Any = ()) -> bool:
    """Whether a tree's arrays are on a CPU; where it holds no JAX array, whether the default device is one."""
    return device_of(tree).platform == "cpu"
