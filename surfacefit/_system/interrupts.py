"""Ctrl-C where Python cannot turn it into a `KeyboardInterrupt` that somebody catches.

While NumPy or JAX is imported, the exception arises inside of extension modules, which crash the process or take it for
a broken installation. In a callback of the garbage collector, such as JAX has, it is printed and forgotten. Both are
for the command line alone: a library leaves signals as they are.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Exit code after Ctrl-C, as of shells: 128 + SIGINT.
INTERRUPTED_CODE = 130
# What the command line says then.
INTERRUPTED = "surfacefit: error: interrupted"

# Seconds after which an interrupt that was dropped is raised again: a callback has ended by then, and nobody waits.
RETRY_SECONDS = 0.02


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """A context in which Ctrl-C ends the process at once, with a line on standard error: for imports, when there is
    nothing to be saved. Handlers that somebody else has set stay.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """A context in which a Ctrl-C that is dropped, since it fell into a callback, is raised again after it."""
    before = sys.unraisablehook

    def again(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            later = threading.Timer(RETRY_SECONDS, _thread.interrupt_main)  # here it would be dropped once more
            later.daemon = True
            later.start()
        else:
            before(dropped)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _end(number: int, frame: Any) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(INTERRUPTED_CODE)
