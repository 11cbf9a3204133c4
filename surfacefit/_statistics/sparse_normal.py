"""The normal matrix of very many components as one small dense matrix a tile, for the inverse by nested dissection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from .._engines.pairs import Ellipsoids, touching
from .._engines.tiles import Tiling
from .._linear.dissection import Elements
from .._model.block_layout import block_indices
from .._model.gaussian import profile
from .._model.parameters import ChainRule

FELT = 5.0


@dataclass(frozen=True, eq=False)
class TileNormals:
    """Components (K) in NumPy, felt within FELT widths; points (N, d) and their information (N,); the chain rule's
    matrices, the slopes of the background (N, b), and what a prior adds to diagonal blocks. Unknowns: blocks (K p,),
    then what all share (s + b,).
    """

    tiling: Tiling
    centers: np.ndarray
    factors: np.ndarray
    points: np.ndarray
    information: np.ndarray
    chain: ChainRule
    background: np.ndarray
    prior_own: np.ndarray
    prior_border: np.ndarray

    def elements(self, scale: np.ndarray, extra: np.ndarray) -> Elements:
        """With rows and columns times ``scale`` (P,), and ``extra`` (P,) on the diagonal."""
        felt = touching(self.tiling, Ellipsoids(self.centers, self.factors, np.full(len(self.centers), FELT)))
        lists = [np.sort(felt.indices[a:b]) for a, b in zip(felt.indptr[:-1], felt.indptr[1:], strict=True)]
        unknowns = [self._unknowns(some) for some in lists]
        first = np.full(len(self.centers), -1)
        for t in reversed(range(len(lists))):
            first[lists[t]] = t

        def of(t: int) -> np.ndarray:
            rows = self._rows(t, lists[t]) * scale[unknowns[t]][:, None]
            matrix = blas.dgemm(1.0, rows.T, rows.T, trans_a=1)
            self._add_prior(matrix, lists[t], first[lists[t]] == t, t == 0, scale)
            return np.asarray(matrix)

        return Elements(unknowns, of, self.tiling.middle, extra)

    @property
    def n_shared(self) -> int:
        return int(self.chain.shared.shape[2])

    def _unknowns(self, some: np.ndarray) -> np.ndarray:
        size, border = self.chain.own.shape[2], self.n_shared + self.background.shape[1]
        own = block_indices(some, size)
        return np.concatenate([own.ravel(), len(self.centers) * size + np.arange(border)])

    def _add_prior(
        self, matrix: np.ndarray, some: np.ndarray, here: np.ndarray, border: bool, scale: np.ndarray
    ) -> None:
        """Of the components that are met ``here`` for the first time, and once that of what all share."""
        size = self.chain.own.shape[2]
        index, own = (block_indices(which, size) for which in (np.flatnonzero(here), some[here]))
        matrix[index[:, :, None], index[:, None, :]] += (
            self.prior_own[some[here]] * scale[own][:, :, None] * scale[own][:, None, :]
        )
        if border:
            last = scale[len(self.centers) * size :]
            matrix[len(some) * size :, len(some) * size :] += self.prior_border * np.outer(last, last)

    def _rows(self, tile: int, some: np.ndarray) -> np.ndarray:
        """Weighted derivatives (m p + s + b, n) of the model at the points of a tile."""
        index = self.tiling.order[tile][self.tiling.filled[tile]]
        offsets, weights = (
            (self.points[index] - self.centers[some][:, None]).swapaxes(1, 2),
            np.sqrt(self.information[index]),
        )
        u = np.matmul(np.linalg.inv(self.factors[some]), offsets).swapaxes(0, 1)
        n_dim = len(u)
        factors = [*u, *(u[i] * u[j] for i in range(n_dim) for j in range(i + 1))]
        monomials = np.empty((len(some), len(factors) + 1, len(index)))
        monomials[:, 0] = profile(np.sum(u * u, axis=0)) * weights
        for place, factor in enumerate(factors, 1):
            np.multiply(factor, monomials[:, 0], out=monomials[:, place])
        own = np.matmul(np.asarray(self.chain.own)[some].swapaxes(1, 2), monomials).reshape(-1, len(index))
        shared = np.einsum("kqn,kqs->sn", monomials, np.asarray(self.chain.shared)[some], optimize=True)
        return np.concatenate([own, shared, self.background[index].T * weights])
