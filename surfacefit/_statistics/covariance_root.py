r"""The covariance of the parameters as a root: the inverse of a normal matrix, where it has one.

The inverse of N (P, P) is held as root root^T. Before it is inverted N is scaled to a unit diagonal, and the directions
that limits hold are projected out. Cholesky's factorisation serves where its pivots stand clear of rounding; otherwise
an eigendecomposition tells which directions the data do not determine. These are left out of the root, and every number
that they move has an infinite error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

# Share of a number's slope that lies in undetermined directions, above which its error is infinite: well above the
# rounding of these directions, and a number that depends on them by less is determined to six digits of its error.
UNDETERMINED_SHARE = 1e-6

# Diagonal entry of J^T J, in the units of a fit: below it nothing is known of a parameter, and squares would underflow.
MIN_DIAGONAL = 1e-200

# Squared pivot of the scaled matrix below which Cholesky's factor is not trusted: rounding is about 1e-16 times P.
MIN_SQUARED_PIVOT = 1e-12

# Of the largest singular value: smaller ones count as zero where the normals of limits are projected out.
NORMAL_RANK_TOLERANCE = 1e-8

# Of its scale: what is left of a parameter that limits hold is below this, and is rounding.
HELD_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class CovarianceRoot:
    """A covariance C = root root^T (P, P).

    root : (P, r).
    undetermined : (P, q) directions that the data do not determine, or that a limit holds.
    """

    root: np.ndarray
    undetermined: np.ndarray

    def errors(self, slopes: np.ndarray) -> np.ndarray:
        """Standard errors (M,) of numbers with slopes (M, P); infinite where undetermined."""
        sizes = np.maximum(np.linalg.norm(slopes, axis=1), np.finfo(float).tiny)
        shares = np.linalg.norm(slopes @ self.undetermined, axis=1)
        unknown = (shares > UNDETERMINED_SHARE * sizes) | ~np.isfinite(slopes).all(axis=1)
        return np.where(unknown, np.inf, np.linalg.norm(slopes @ self.root, axis=1))

    def sandwich(self, middle: np.ndarray) -> CovarianceRoot:
        """C M C for a matrix M (P, P); eigenvalues that noise has made negative count as zero."""
        inner = self.root.T @ middle @ self.root
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return CovarianceRoot(self.root @ (vectors * np.sqrt(np.maximum(values, 0))), self.undetermined)

    def basis(self, rows: np.ndarray) -> np.ndarray:
        """Orthonormal columns (N, r) that span the changes of the model, from rows J (N, P) where C = (J^T J)^-1."""
        return rows @ self.root


@dataclass(frozen=True, eq=False)
class ReducedNormal:
    """A normal matrix (r, r) in a ``basis`` (P, r) of the directions that are free, scaled to order one."""

    matrix: np.ndarray
    basis: np.ndarray


def reduced_normal(normal: np.ndarray, normals: np.ndarray, used: np.ndarray) -> ReducedNormal:
    """A normal matrix (P, P) of ``used`` parameters (P,) without the directions of unit vectors ``normals`` (P, q)."""
    diagonal = np.diag(normal)
    least = max(np.finfo(float).eps ** 2 * float(diagonal[used].max(initial=0.0)), MIN_DIAGONAL)
    scale = np.where(used, 1 / np.sqrt(np.where(diagonal > least, diagonal, 1.0)), 0.0)
    basis = np.diag(scale)[:, used]
    if normals.shape[1]:
        vectors, sizes, _ = np.linalg.svd(basis.T @ normals)
        basis = basis @ vectors[:, int(np.count_nonzero(sizes > NORMAL_RANK_TOLERANCE * sizes.max())) :]
        basis[np.linalg.norm(basis, axis=1) < HELD_ROUNDING * scale] = 0.0
    return ReducedNormal(basis.T @ normal @ basis, basis)


def inverse_root(normal: np.ndarray, normals: np.ndarray, used: np.ndarray, held: np.ndarray) -> CovarianceRoot:
    """A root of the inverse of a normal matrix, where it has one.

    normal : (P, P).
    normals : (P, q) unit vectors, whose directions are left out.
    used : (P,) which parameters are in use.
    held : (P, m) changes that limits make undetermined.
    """
    inner = reduced_normal(normal, normals, used)
    factor = _factor(inner.matrix)
    if factor is not None:
        inverse = scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)
        return CovarianceRoot(inner.basis @ inverse.T, held)
    values, vectors = np.linalg.eigh((inner.matrix + inner.matrix.T) / 2)
    known = values > len(values) * np.finfo(float).eps * max(values.max(initial=0.0), 1.0)
    unknown = inner.basis @ vectors[:, ~known]
    unknown = unknown / np.maximum(np.linalg.norm(unknown, axis=0), 1e-300)
    root = inner.basis @ vectors[:, known] / np.sqrt(values[known])
    return CovarianceRoot(root, np.concatenate([held, unknown], axis=1))


def _factor(scaled: np.ndarray) -> np.ndarray | None:
    """The Cholesky factor, if its pivots stand clear of rounding."""
    try:
        factor = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return None
    return factor if np.diag(factor).min(initial=1.0) ** 2 > MIN_SQUARED_PIVOT else None
