"""Keeping LAPACK's threads from spinning."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from threadpoolctl import ThreadpoolController

SMALL = 2000


def calm_blas(size: int) -> AbstractContextManager[Any]:
    """One BLAS thread inside the block, for factorisations of a matrix of ``size`` too small to gain from more.

    On a CPU, JAX factorises by SciPy's OpenBLAS, whose waiting threads spin: where another process wants a core too,
    a Cholesky factorisation of size 200 was measured at 250 ms with two threads against 1 ms with one.
    """
    return ThreadpoolController().limit(limits=1, user_api="blas") if size < SMALL else nullcontext()
