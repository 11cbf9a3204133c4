"""Keeping LAPACK's threads from spinning on the cores that there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock, get_ident
from typing import Any, TypeVar

import scipy.linalg.cython_lapack  # noqa: F401  loads the library that JAX factorises by, so that the controller sees it
from threadpoolctl import ThreadpoolController

# Rows of a matrix, below which a second BLAS thread gains less than its waiting costs: with another process busy, a
# Cholesky factorisation of size 192 took 244 ms with two threads and 0.8 ms with one.
SINGLE_THREAD_BELOW = 2000
_LOCK = Lock()

Answer = TypeVar("Answer")
_unlimited: ContextVar[bool] = ContextVar("surfacefit_unlimited_blas", default=False)


def single_threaded_blas(size: int) -> AbstractContextManager[Any]:
    """One BLAS thread inside the block, for factorisations of a matrix of ``size`` too small to gain from more.

    On a CPU, JAX factorises by SciPy's OpenBLAS, whose waiting threads spin: where another process wants a core too,
    a factorisation waits for them, see `SINGLE_THREAD_BELOW`.
    """
    return _Block(1) if size < SINGLE_THREAD_BELOW and not _unlimited.get() else nullcontext()


def blas_limits_kept() -> AbstractContextManager[Any]:
    """A block after which this thread asks for no limit that it did not ask for before: a Ctrl-C may have ended
    `single_threaded_blas` at any line of its own.
    """
    return _Block(0)


def without_blas_limits(task: Callable[[], Answer]) -> Answer:
    """What a task returns that compiles beside a fit, and may outlive it: it leaves BLAS as it is."""
    token = _unlimited.set(True)
    try:
        return task()
    finally:
        _unlimited.reset(token)


@dataclass
class _Limits:
    """How many blocks of each thread count on the limit, and the numbers of threads of the libraries before it."""

    blocks: dict[int, int] = field(default_factory=dict)
    before: list[tuple[Any, int]] = field(default_factory=list)


_LIMITS = _Limits()


class _Block:
    """The first to come limits, the last to go restores: threads of a fit, and those that outlive it, may overlap.

    At its end a thread has as many blocks as it had at the beginning, so that a block around another ends what that one
    may have left undone; and an interrupt between two lines leaves nothing that this cannot mend.
    """

    def __init__(self, count: int):
        self.count, self.held = count, 0

    def __enter__(self) -> None:
        with _LOCK:
            self.held = _LIMITS.blocks.get(get_ident(), 0)
            if self.count:
                _LIMITS.blocks[get_ident()] = self.held + self.count
                _limit()

    def __exit__(self, *_: object) -> None:
        with _LOCK:
            if self.held:
                _LIMITS.blocks[get_ident()] = self.held
            else:
                _LIMITS.blocks.pop(get_ident(), None)
            if not _LIMITS.blocks:
                _restore()


def _limit() -> None:
    if not _LIMITS.before:
        blas = [library for library in _controller().lib_controllers if library.user_api == "blas"]
        _LIMITS.before = [(library, library.num_threads) for library in blas]
        _take_control()
        for library, _ in _LIMITS.before:
            library.set_num_threads(1)


def _restore() -> None:
    if _LIMITS.before:
        _take_control()
        for library, number in _LIMITS.before:
            library.set_num_threads(number)
        _take_control()  # nobody's, so that a user's own limits work in any thread
        _LIMITS.before = []


def _take_control() -> None:
    """Lets this thread set limits: recent threadpoolctl lets OpenBLAS obey only the first thread that did."""
    for library in _controller().lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Made once: a look at all loaded libraries takes 1.6 ms, as long as two steps of a small fit."""
    return ThreadpoolController()
