"""A fingerprint of what a batch is fitted to and how: equal for equal arguments, in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from .._many.lanes import Batch

# Options that the batch holds as arrays, and those that say who looks on and for how long.
ARRAYS = ("maps", "mask", "sigma", "points", "coords", "init", "n_components", "ndim")
NOT_FITTED = (*ARRAYS, "out", "match", "progress", "callback", "max_time", "max_memory")


def fingerprint(batch: Batch) -> str:
    """Hexadecimal SHA-256 of maps, starts and options."""
    digest = hashlib.sha256()
    options = {name: value for name, value in batch.options.items() if name not in NOT_FITTED}
    stack = batch.stack
    parts = (stack.shape, stack.maps, stack.masks, stack.sigmas, stack.points, stack.coords, stack.absolute_sigma)
    for part in _bytes((parts, batch.counts, list(batch.starts), options)):
        digest.update(part)
    return digest.hexdigest()


def _bytes(value: Any) -> Iterator[bytes | memoryview]:
    """What a value holds, by kinds that cannot be taken for each other."""
    kind = type(value).__qualname__
    if value is None or isinstance(value, bool | int | float | str | Enum):
        yield f"{kind}:{value!r};".encode()
    elif isinstance(value, np.ndarray | np.generic) or hasattr(value, "__jax_array__"):
        yield from _array_bytes(np.asarray(value))
    elif isinstance(value, list | tuple):
        yield f"sequence:{len(value)};".encode()
        for one in value:
            yield from _bytes(one)
    elif isinstance(value, Mapping):
        yield f"mapping:{len(value)};".encode()
        for name in sorted(value, key=str):
            yield from _bytes((str(name), value[name]))
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"record:{kind};".encode()
        yield from _bytes({one.name: getattr(value, one.name) for one in fields(value)})
    elif callable(value):
        yield from _function_bytes(value)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        yield from _array_bytes(np.asarray(value))
    else:
        yield f"{kind}:{value!r};".encode()


def _array_bytes(array: np.ndarray) -> Iterator[bytes | memoryview]:
    yield f"array:{array.dtype.str}:{array.shape};".encode()
    yield np.ascontiguousarray(array).tobytes() if array.dtype.kind in "OUS" else np.ascontiguousarray(array).data


def _function_bytes(function: Any) -> Iterator[bytes]:
    """A function by its name and its code, not by what it refers to."""
    code = getattr(function, "__code__", None)
    yield f"function:{getattr(function, '__qualname__', type(function).__qualname__)};".encode()
    if code is not None:
        yield code.co_code
        yield repr([one for one in code.co_consts if not hasattr(one, "co_code")]).encode()
