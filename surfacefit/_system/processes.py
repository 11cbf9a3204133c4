"""What the processes of one fit tell each other: arrays, agreement, and whether another one still answers."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import jax
import numpy as np

Answer = TypeVar("Answer")


class ProcessLost(RuntimeError):
    """Another process of the fit has ended, or does not answer."""


def is_first() -> bool:
    """Whether this is the process that shows progress, calls back and decides."""
    return jax.process_index() == 0


def told_to_all(value: Any) -> list[Any]:
    """The values of all processes, in their order; every process must call it."""
    if jax.process_count() == 1:
        return [value]
    from jax.experimental.multihost_utils import process_allgather

    message = np.frombuffer(pickle.dumps(value), np.uint8)
    lengths = np.asarray(process_allgather(np.array([len(message)], np.int32))).ravel()
    padded = np.pad(message, (0, int(lengths.max()) - len(message)))
    messages = np.asarray(process_allgather(padded)).reshape(len(lengths), -1)
    return [pickle.loads(one[:length].tobytes()) for one, length in zip(messages, lengths, strict=True)]


def from_first(value: Any) -> Any:
    """The value of the first process; every process must call it."""
    return told_to_all(value if is_first() else None)[0]


def check_alike(values: dict[str, Any]) -> None:
    """Raises ValueError in every process where these values are not the same in all of them."""
    everywhere = told_to_all(values)
    for name in values:
        found = [one.get(name) for one in everywhere]
        if any(one != found[0] for one in found):
            each = "; ".join(f"process {rank}: {one}" for rank, one in enumerate(found))
            raise ValueError(f"`{name}` must be the same in all processes of a fit, got {each}")


def waited(function: Callable[[], Answer], seconds: float) -> Answer:
    """What a function gives that all processes compute together; `ProcessLost` if it takes longer, or one has ended.

    A computation that waits for another process cannot be broken off: it is left behind in a thread of its own, and
    this process then ends without waiting for it, or for the others.
    """
    answer: list[tuple[bool, Any]] = []
    x64 = bool(jax.config.jax_enable_x64)

    def answered() -> None:
        try:
            with jax.enable_x64(x64):  # a thread has settings of its own
                answer.append((True, function()))
        except BaseException as error:
            answer.append((False, error))

    thread = threading.Thread(target=answered, daemon=True, name="surfacefit-together")
    thread.start()
    thread.join(seconds)
    if not answer:
        atexit.register(_leave)
        raise ProcessLost(f"another process has not answered for {seconds:g} s")
    done, found = answer[0]
    if done:
        return found
    if isinstance(found, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(found):
        atexit.register(_leave)
        raise ProcessLost(f"another process has ended: {str(found).splitlines()[0]}") from found
    raise found


def _leave() -> None:
    """Ends this process, with the others lost: JAX would wait for them."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)
