"""Frontal matrices of nested dissection: lower triangles in three parts that BLAS takes without copies.

What a part holds above its diagonal is never read. Rows are contiguous; BLAS expects columns, so it sees transposed
upper triangles. All products go through SciPy: if NumPy's BLAS took some of them, the waiting threads of one library
would spin on the cores of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack

from .._base.threads import single_threaded_blas


class FrontalMatrix(NamedTuple):
    """Over n unknowns to eliminate and w that wait: ``own`` (n, n) lower, ``across`` (w, n), ``rest`` (w, w) lower."""

    own: np.ndarray
    across: np.ndarray
    rest: np.ndarray

    @classmethod
    def zeros(cls, n: int, w: int) -> FrontalMatrix:
        return cls(np.zeros((n, n)), np.zeros((w, n)), np.zeros((w, w)))

    def add(self, matrix: np.ndarray, places: np.ndarray) -> None:
        """Adds the lower triangle of a matrix (m, m) at rising places (m,)."""
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
        """Views of the entries at rising places (m,), one run of rows and columns at a time, and the slices of a matrix
        (m, m) that they fill.
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


def eliminated(front: FrontalMatrix) -> FrontalMatrix:
    """The lower Cholesky factor of F_VV, F_BV F_VV^-1, and the Schur complement F_BB - F_BV F_VV^-1 F_VB.

    V are the unknowns to eliminate, B those that wait. Overwrites F. Raises `numpy.linalg.LinAlgError` where F_VV is
    not positive definite.
    """
    own, across, rest = front
    if not len(own):
        return front
    with single_threaded_blas(len(own)):
        upper, failed = lapack.dpotrf(own.T, lower=0, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the normal matrix is not positive definite")
    if not len(rest):
        return FrontalMatrix(upper.T, across, rest)
    half = blas.dtrsm(1.0, upper, across.T, lower=0, trans_a=1, overwrite_b=1)
    left = blas.dsyrk(-1.0, half, 1.0, rest.T, trans=1, lower=0, overwrite_c=1)
    return FrontalMatrix(upper.T, blas.dtrsm(1.0, upper, half, lower=0, overwrite_b=1).T, left.T)


def inverse(factor: np.ndarray, coupling: np.ndarray, waiting: np.ndarray) -> FrontalMatrix:
    """The inverse Z over a front, from the factor of F_VV, F_BV F_VV^-1, and Z_BB ``waiting``; overwrites it."""
    if not len(factor):
        return FrontalMatrix(factor, coupling, waiting)
    with single_threaded_blas(len(factor)):
        own, _ = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
    if not len(waiting):
        return FrontalMatrix(own.T, coupling, waiting)
    across = blas.dsymm(-1.0, waiting.T, coupling.T, side=1, lower=0)
    own = blas.dgemm(-1.0, across, coupling.T, 1.0, own, trans_b=1, overwrite_c=1)
    return FrontalMatrix(own.T, across.T, waiting)


def _runs(places: np.ndarray, n: int) -> list[tuple[slice, int]]:
    """Runs of consecutive places as slices, each with its first place; no run crosses place n."""
    ends = np.flatnonzero((np.diff(places) > 1) | (places[1:] == n)) + 1
    firsts = [0, *ends.tolist()][: len(places)]
    return [(slice(a, b), int(places[a])) for a, b in zip(firsts, [*ends.tolist(), len(places)], strict=False)]
