"""Keeping LAPACK's threads from spinning on the cores that there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import scipy.linalg.cython_lapack  # noqa: F401  loads the library that JAX factorises by, so that the controller sees it
from threadpoolctl import ThreadpoolController

# Rows of a matrix, below which a second BLAS thread gains less than its waiting costs: with another process busy, a
# Cholesky factorisation of size 192 took 244 ms with two threads and 0.8 ms with one.
SINGLE_THREAD_BELOW = 2000
_LOCK = Lock()


def single_threaded_blas(size: int) -> AbstractContextManager[Any]:
    """One BLAS thread inside the block, for factorisations of a matrix of ``size`` too small to gain from more.

    On a CPU, JAX factorises by SciPy's OpenBLAS, whose waiting threads spin: where another process wants a core too,
    a factorisation waits for them, see `SINGLE_THREAD_BELOW`.
    """
    return _one_thread() if size < SINGLE_THREAD_BELOW else nullcontext()


@dataclass
class _Limit:
    """The limit in force, None without one, and how many blocks count on it."""

    limiter: Any = None
    n_blocks: int = 0


_LIMIT = _Limit()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The first to come limits, the last to go restores: threads of a fit, and those that outlive it, may overlap."""
    with _LOCK:
        if not _LIMIT.n_blocks:
            _take_control()
            _LIMIT.limiter = _controller().limit(limits=1, user_api="blas")
        _LIMIT.n_blocks += 1
    try:
        yield
    finally:
        with _LOCK:
            _LIMIT.n_blocks -= 1
            if not _LIMIT.n_blocks:
                _take_control()
                _LIMIT.limiter.restore_original_limits()
                _take_control()  # nobody's, so that a user's own limits work in any thread


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
