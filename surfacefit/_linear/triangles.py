"""Symmetric matrices by their lower triangles, in three parts that BLAS takes as they lie: what a front of nested
dissection is made of.

What stands above the diagonal of a part is anything. Rows are contiguous, so BLAS, which wants columns, sees transposed
upper triangles. All products are SciPy's: with NumPy's library in between, the waiting threads of one would spin on the
cores of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack

from .._base.threads import single_threaded_blas


class Triangle(NamedTuple):
    """Over n unknowns and then w others: ``own`` (n, n) lower, ``across`` (w, n), ``rest`` (w, w) lower."""

    own: np.ndarray
    across: np.ndarray
    rest: np.ndarray

    @classmethod
    def zeros(cls, n: int, w: int) -> Triangle:
        return cls(np.zeros((n, n)), np.zeros((w, n)), np.zeros((w, w)))

    def add(self, matrix: np.ndarray, places: np.ndarray) -> None:
        """The lower triangle of a matrix (m, m) at rising places (m,)."""
        for there, rows, columns in self._pieces(places):
            there += matrix[rows, columns]

    def taken(self, places: np.ndarray) -> np.ndarray:
        """The lower triangle (m, m) at rising places (m,)."""
        matrix = np.empty((len(places), len(places)))
        for there, rows, columns in self._pieces(places):
            matrix[rows, columns] = there
        return matrix

    def blocks(self, places: np.ndarray) -> np.ndarray:
        """Whole blocks (k, m, m) at places (k, m) in any order."""
        n = len(self.own)
        first, second = places[:, :, None], places[:, None, :]
        rows, columns = np.maximum(first, second), np.minimum(first, second)
        found, inside, outside = np.empty(rows.shape), rows < n, columns >= n
        between = ~(inside | outside)
        found[inside] = self.own[rows[inside], columns[inside]]
        found[between] = self.across[rows[between] - n, columns[between]]
        found[outside] = self.rest[rows[outside] - n, columns[outside] - n]
        return found

    def _pieces(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, slice, slice]]:
        """Views of what stands at rising places (m,), a run of rows and one of columns at a time, and where that is in
        a matrix (m, m).
        """
        n = len(self.own)
        runs = _runs(places, n)
        for number, (rows, down) in enumerate(runs):
            for columns, along in runs[: number + 1]:
                if down < n:
                    part = self.own[down:, along:]
                elif along < n:
                    part = self.across[down - n :, along:]
                else:
                    part = self.rest[down - n :, along - n :]
                yield part[: rows.stop - rows.start, : columns.stop - columns.start], rows, columns


def eliminated(front: Triangle) -> Triangle:
    """Of F: the lower factor of F_VV, F_BV F_VV^-1, and what is left to B, F_BB - F_BV F_VV^-1 F_VB; in the memory of
    F.
    """
    own, across, rest = front
    if not len(own):
        return front
    with single_threaded_blas(len(own)):
        upper, failed = lapack.dpotrf(own.T, lower=0, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the normal matrix is not positive definite")
    if not len(rest):
        return Triangle(upper.T, across, rest)
    half = blas.dtrsm(1.0, upper, across.T, lower=0, trans_a=1, overwrite_b=1)
    left = blas.dsyrk(-1.0, half, 1.0, rest.T, trans=1, lower=0, overwrite_c=1)
    return Triangle(upper.T, blas.dtrsm(1.0, upper, half, lower=0, overwrite_b=1).T, left.T)


def inverse(factor: np.ndarray, coupling: np.ndarray, waiting: np.ndarray) -> Triangle:
    """Z, from the lower factor of F_VV, F_BV F_VV^-1, and Z_BB ``waiting``; in the memory of the factor."""
    if not len(factor):
        return Triangle(factor, coupling, waiting)
    with single_threaded_blas(len(factor)):
        own, _ = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
    if not len(waiting):
        return Triangle(own.T, coupling, waiting)
    across = blas.dsymm(-1.0, waiting.T, coupling.T, side=1, lower=0)
    own = blas.dgemm(-1.0, across, coupling.T, 1.0, own, trans_b=1, overwrite_c=1)
    return Triangle(own.T, across.T, waiting)


def _runs(places: np.ndarray, n: int) -> list[tuple[slice, int]]:
    """Where rising places follow one another, and the place of the first of them; none goes on across place n."""
    ends = np.flatnonzero((np.diff(places) > 1) | (places[1:] == n)) + 1
    firsts = [0, *ends.tolist()][: len(places)]
    return [(slice(a, b), int(places[a])) for a, b in zip(firsts, [*ends.tolist(), len(places)], strict=False)]
