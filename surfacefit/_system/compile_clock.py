"""Seconds that JAX spends tracing and compiling, told apart from the seconds of running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax

# Prefix of the events in which JAX reports the seconds of tracing, lowering and compiling; a name of JAX's own, which a
# release may change: then the clock would show zero.
COMPILE_EVENTS = "/jax/core/compile/"

_spans: ContextVar[list[tuple[float, float]] | None] = ContextVar("surfacefit_compile_spans", default=None)


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    spans = _spans.get()
    if spans is not None and event.startswith(COMPILE_EVENTS):
        now = time.perf_counter()
        spans.append((now - duration_secs, now))


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def compile_clock() -> Iterator[list[tuple[float, float]]]:
    """Collects the spans of compilation inside the block, also of threads that run in a copy of its context; `seconds`
    adds them up.
    """
    spans: list[tuple[float, float]] = []
    token = _spans.set(spans)
    try:
        yield spans
    finally:
        _spans.reset(token)


def seconds(spans: list[tuple[float, float]], begin: float, end: float) -> float:
    """Length of the union of spans between two times.

    They nest, since tracing one function traces those that it calls, and they overlap where threads compile.
    """
    total, reached = 0.0, begin
    for first, last in sorted(spans):
        total += max(0.0, min(last, end) - max(first, reached))
        reached = max(reached, last)
    return total
