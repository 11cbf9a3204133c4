"""Keeping LAPACK's threads from spinning."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import scipy.linalg.cython_lapack  # noqa: F401  loads the library that JAX factorises by, so that the controller sees it
from threadpoolctl import ThreadpoolController

SMALL = 2000


def calm_blas(size: int) -> AbstractContextManager[Any]:
    """One BLAS thread inside the block, for factorisations of a matrix of ``size`` too small to gain from more.

    On a CPU, JAX factorises by SciPy's OpenBLAS, whose waiting threads spin: where another process wants a core too,
    a Cholesky factorisation of size 200 was measured at 250 ms with two threads against 1 ms with one.
    """
    return _controller().limit(limits=1, user_api="blas") if size < SMALL else nullcontext()


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Made once: a look at all loaded libraries takes 1.6 ms, as long as two steps of a small fit."""
    return ThreadpoolController()
