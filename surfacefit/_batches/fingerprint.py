"""What a batch is fitted to and how, argument by argument: a short text of each, and a hash that is equal for equal
arguments in any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from .._many.lanes import Batch

# Options that the batch holds as arrays.
ARRAYS = ("maps", "mask", "sigma", "points", "coords", "init", "n_components", "ndim")
# Options that change no number of a fit: these arrays, which have hashes of their own, and those that say who looks on
# and for how long.
NOT_FITTED = (*ARRAYS, "out", "match", "progress", "callback", "max_time", "max_memory")

# Characters of a value that an error names: less than a line.
MOST_TOLD = 60
# Hexadecimal digits of a hash that are kept, 128 bits: no two values that differ have as many alike by chance.
HASH_DIGITS = 32


def fingerprint(batch: Batch, ways: Mapping[str, Any]) -> dict[str, list[str]]:
    """A text and a hash of each argument by name; ``ways`` are those of which the batch has only what they became."""
    stack, starts = batch.stack, list(batch.starts)
    one = next(iter(starts))
    named = {name: value for name, value in batch.options.items() if name not in NOT_FITTED}
    named |= {
        "maps": (stack.shape, stack.maps),
        "mask": stack.masks,
        "sigma": stack.sigmas,
        "points": stack.points,
        "coords": stack.coords,
        "absolute_sigma": stack.absolute_sigma,
        "n_components": np.unique(batch.counts) if np.ptp(batch.counts) == 0 else batch.counts,
        "init": one if all(start is one for start in starts) else starts,
        **ways,
    }
    return {name: told_and_hashed(value) for name, value in named.items()}


def told_and_hashed(value: Any) -> list[str]:
    """A text and a hash of an argument."""
    return [told(value), _hash(value)]


def differences(known: Mapping[str, list[str]], given: Mapping[str, list[str]]) -> list[str]:
    """What of two fingerprints differs, as sentences."""
    found = []
    for name in sorted({*known, *given}):
        (before, old), (now, new) = (one.get(name, ["not there", ""]) for one in (known, given))
        if old != new:
            told_apart = f"was {before}, got {now}" if before != now else f"has other values, {now} as before"
            found.append(f"`{name}` {told_apart}")
    return found


def told(value: Any) -> str:
    """A few words on a value."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {one.name: getattr(value, one.name) for one in fields(value)}
        if set(own) == {"one", "each"}:  # what belongs to each map
            return told(own["one"] if own["each"] is None else own["each"])
        some = ", ".join(f"{name}={told(one)}" for name, one in own.items() if one is not None)
        return _shortened(f"{type(value).__name__}({some})")
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "dtype"):
        array = np.asarray(value)
        return _shortened(str(array.item())) if array.size == 1 else f"an array of shape {array.shape}"
    if isinstance(value, list | tuple) and any(np.ndim(one) for one in value):
        return told(value[-1]) if isinstance(value, tuple) and len(value) == 2 else f"a list of {len(value)}"
    if callable(value):
        return f"the function {getattr(value, '__qualname__', type(value).__qualname__)}"
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_TOLD else text[: MOST_TOLD - 3] + "..."


def _hash(value: Any) -> str:
    digest = hashlib.sha256()
    for part in _bytes(value):
        digest.update(part)
    return digest.hexdigest()[:HASH_DIGITS]


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
