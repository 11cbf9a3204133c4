"""The normal matrix of very many components as one small dense matrix a tile, for the inverse by nested dissection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._pairs import Ellipsoids, touching
from ._parameters import ChainRule
from ._selected_inverse import Elements
from ._tiles import Tiling

FELT = 4.6


@dataclass(frozen=True, eq=False)
class TileNormals:
    """Components (K) in NumPy, felt within FELT widths; points (N, d) and their information (N,); the chain rule's matrices, the slopes of
    the background (N, b), and what a prior adds to diagonal blocks. Unknowns: blocks (K p,), then what all share (s + b,).
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
            rows = self._rows(t, lists[t])
            matrix = rows.T @ rows
            self._add_prior(matrix, lists[t], first[lists[t]] == t, t == 0)
            return np.asarray(matrix * np.outer(scale[unknowns[t]], scale[unknowns[t]]))

        return Elements(unknowns, of, self.tiling.middle, extra)

    @property
    def n_shared(self) -> int:
        return int(self.chain.shared.shape[2])

    def _unknowns(self, some: np.ndarray) -> np.ndarray:
        size, border = self.chain.own.shape[2], self.n_shared + self.background.shape[1]
        own = some[:, None] * size + np.arange(size)
        return np.concatenate([own.ravel(), len(self.centers) * size + np.arange(border)])

    def _add_prior(self, matrix: np.ndarray, some: np.ndarray, here: np.ndarray, border: bool) -> None:
        """Of the components that are met ``here`` for the first time, and once that of what all share."""
        size = self.chain.own.shape[2]
        index = np.flatnonzero(here)[:, None] * size + np.arange(size)
        matrix[index[:, :, None], index[:, None, :]] += self.prior_own[some[here]]
        if border:
            matrix[len(some) * size :, len(some) * size :] += self.prior_border

    def _rows(self, tile: int, some: np.ndarray) -> np.ndarray:
        """Weighted rows (n, m p + s + b) of the Jacobian at the points of a tile."""
        index = self.tiling.order[tile][self.tiling.filled[tile]]
        offsets = self.points[index][None] - self.centers[some][:, None]
        u = np.einsum("kij,knj->ikn", np.linalg.inv(self.factors[some]), offsets, optimize=True)
        n_dim = len(u)
        products = [u[i] * u[j] for i in range(n_dim) for j in range(i + 1)]
        monomials = np.stack([np.ones_like(u[0]), *u, *products], axis=2) * np.exp(-0.5 * np.sum(u * u, axis=0))[:, :, None]
        own = np.matmul(monomials, np.asarray(self.chain.own)[some])
        shared = np.einsum("knq,kqs->ns", monomials, np.asarray(self.chain.shared)[some], optimize=True)
        rows = np.concatenate([own.swapaxes(0, 1).reshape(len(index), -1), shared, self.background[index]], axis=1)
        return rows * np.sqrt(self.information[index])[:, None]
