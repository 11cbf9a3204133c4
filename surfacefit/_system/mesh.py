"""The devices of a fit as a mesh of one axis, and functions that each of them computes for its part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array, Device
from jax.sharding import Mesh, PartitionSpec

# Name of the mesh's only axis: points are in tiles, and each device has its own.
TILES = "tiles"
# How arrays lie on the mesh: cut into equal parts along their first axis, or whole on every device.
SPLIT, WHOLE = PartitionSpec(TILES), PartitionSpec()

DeviceChoice = str | int | Sequence[Device] | Mesh


def mesh_of(devices: Any) -> Mesh | None:
    """The mesh of the devices asked for, None for the default device alone; ValueError or TypeError for what there is
    not.
    """
    if devices is None:
        return None
    if isinstance(devices, Mesh):
        chosen = _of_mesh(devices)
    elif isinstance(devices, str):
        if devices != "all":
            raise ValueError(f"`engine.devices` must be 'all', a number, devices or a Mesh, got {devices!r}")
        chosen = jax.devices()
    elif isinstance(devices, int | np.integer) and not isinstance(devices, bool):
        chosen = _first(int(devices))
    else:
        chosen = _listed(devices)
    _check_processes(chosen)
    return Mesh(np.array(chosen), (TILES,))


def on_each(function: Callable[..., Any], mesh: Mesh, arguments: Any, results: Any) -> Callable[..., Any]:
    """The function as each device computes it from its parts of the arguments: SPLIT or WHOLE for each argument and
    result. A result that is WHOLE must be the same on all devices.
    """
    return jax.shard_map(function, mesh=mesh, in_specs=arguments, out_specs=results, check_vma=False)


def total(tree: Any) -> Any:
    """The sum over all devices, inside `on_each`."""
    return jax.lax.psum(tree, TILES)


def total_part(array: Array) -> Array:
    """This device's part of the sum of arrays over all devices, which is cut along its first axis, inside `on_each`."""
    part: Array = jax.lax.psum_scatter(array, TILES, tiled=True)
    return part


def own(tree: Any) -> Any:
    """What belongs to this device, inside `on_each`, of arrays with a leading axis of devices."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def of_all(tree: Any) -> Any:
    """The inverse of `own`."""
    return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf)[None], tree)


def _of_mesh(mesh: Mesh) -> list[Device]:
    if mesh.axis_names != (TILES,):
        raise ValueError(
            f"`engine.devices` must be a mesh of one axis, named {TILES!r}, got axes {mesh.axis_names}: use"
            f" jax.sharding.Mesh(devices, ({TILES!r},)), or give the devices themselves"
        )
    return list(mesh.devices.ravel())


def _first(count: int) -> list[Device]:
    there = jax.devices()
    if not 1 <= count <= len(there):
        raise ValueError(
            f"`engine.devices` must be from 1 to {len(there)}, the number of JAX's devices, got {count}: on a CPU set"
            f" JAX_NUM_CPU_DEVICES={max(count, 1)} before JAX starts"
        )
    return list(there[:count])


def _listed(devices: Any) -> list[Device]:
    if not isinstance(devices, Sequence | np.ndarray) or not all(isinstance(one, Device) for one in devices):
        raise TypeError(f"`engine.devices` must be 'all', a number, a list of JAX's devices or a Mesh, got {devices!r}")
    chosen = list(devices)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"`engine.devices` must be one device or more, each once, got {chosen}")
    if len({one.platform for one in chosen}) > 1:
        raise ValueError(f"`engine.devices` must be of one kind, got {chosen}")
    return chosen


def _check_processes(devices: Sequence[Device]) -> None:
    """All processes must have as many devices on the mesh: each does the same work."""
    counts = [sum(one.process_index == rank for one in devices) for rank in range(jax.process_count())]
    if len(set(counts)) > 1:
        raise ValueError(
            f"`engine.devices` must hold as many devices of each process, got {counts} of processes 0 to"
            f" {len(counts) - 1}: use devices='all'"
        )
