r"""The covariance of the parameters as a root: the inverse of a normal matrix N = J^T J, where it has one.

The inverse of N (P, P) is held as root root^T. Columns of J are scaled to length one, and the directions that limits
hold are projected out. Where J is small enough to be held, its QR decomposition J = Q R gives the root R^-1 without the
squares that halve the digits: as in `scipy.optimize.curve_fit` a direction counts as undetermined only where its
singular value is below max(N, P) times rounding. Of a larger J there is N alone: Cholesky's factorisation serves where
its pivots stand clear of rounding, otherwise an eigendecomposition, which tells singular values down to 1e-7 of the
largest from none. What the data do not determine is left out of the root, and every number that it moves has an
infinite error. Golub & Van Loan, Matrix Computations (2013), section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from .linearization import Information

# Share of a number's slope that lies in undetermined directions, above which its error is infinite: well above the
# rounding of these directions, and a number that depends on them by less is determined to six digits of its error.
UNDETERMINED_SHARE = 1e-6

# Diagonal entry of J^T J, in the units of a fit: below it nothing is known of a parameter, and squares would underflow.
MIN_DIAGONAL = 1e-200

# Squared pivot of the scaled matrix below which Cholesky's factor is not trusted: rounding is about 1e-16 times P.
MIN_SQUARED_PIVOT = 1e-12

# Pivot of the scaled J from which its triangular factor is inverted as it is; below it singular values, which take
# several times as long, tell what the data determine. Far above rounding times any number of parameters.
MIN_PIVOT = 1e-4

# Of the largest singular value: smaller ones count as zero where the normals of limits are projected out.
NORMAL_RANK_TOLERANCE = 1e-8

# Of its scale: what is left of a parameter that limits hold is below this, and is rounding.
HELD_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class CovarianceRoot:
    """A covariance C = root root^T (P, P).

    root : (P, r).
    undetermined : (P, q) directions that a limit holds, ``n_held`` of them, and those that the data do not determine.
    """

    root: np.ndarray
    undetermined: np.ndarray
    n_held: int

    def errors(self, slopes: np.ndarray, within_limits: bool = False) -> np.ndarray:
        """Standard errors (M,) of numbers with slopes (M, P); infinite where undetermined.

        ``within_limits``: what a limit holds counts as known.
        """
        sizes, units = unit_slopes(slopes)
        shares = np.linalg.norm(units @ self.undetermined[:, self.n_held if within_limits else 0 :], axis=1)
        unknown = (shares > UNDETERMINED_SHARE) | ~np.isfinite(sizes)
        return np.where(unknown, np.inf, np.where(unknown, 0, sizes) * np.linalg.norm(units @ self.root, axis=1))

    def sandwich(self, inner: np.ndarray) -> CovarianceRoot:
        """C M C for a matrix M, given as root^T M root (r, r); its eigenvalues below zero, which are noise, count as
        zero.
        """
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return replace(self, root=self.root @ (vectors * np.sqrt(np.maximum(values, 0))))

    def basis(self, rows: np.ndarray) -> np.ndarray:
        """Orthonormal columns (N, r) that span the changes of the model, from rows J (N, P) where C = (J^T J)^-1."""
        return rows @ self.root


def unit_slopes(slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (...) of slopes (..., m), NaN where one is no number, and unit vectors along them or zeros.

    No square is taken of slopes as they are: those of tiny heights would vanish.
    """
    largest = np.abs(slopes).max(axis=-1, initial=0.0)
    safe = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
    inner = np.where(np.isfinite(largest)[..., None], slopes, 0.0) / safe[..., None]
    lengths = np.linalg.norm(inner, axis=-1)
    units = inner / np.where(lengths > 0, lengths, 1.0)[..., None]
    return np.where(np.isfinite(largest), largest * lengths, np.nan), units


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


def inverse_root(information: Information, normals: np.ndarray, used: np.ndarray, held: np.ndarray) -> CovarianceRoot:
    """A root of the inverse of a normal matrix, where it has one.

    normals : (P, q) unit vectors, whose directions are left out.
    used : (P,) which parameters are in use.
    held : (P, m) changes that limits make undetermined.
    """
    inner = reduced_normal(information.normal, normals, used)
    if information.rows is not None:
        return _root_of_rows(information.rows @ inner.basis, inner.basis, held)
    factor = _factor(inner.matrix)
    if factor is not None:
        inverse = scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)
        return CovarianceRoot(inner.basis @ inverse.T, held, held.shape[1])
    values, vectors = np.linalg.eigh((inner.matrix + inner.matrix.T) / 2)
    known = values > len(values) * np.finfo(float).eps * max(values.max(initial=0.0), 1.0)
    return _with_unknown(inner.basis, vectors, np.sqrt(np.maximum(values, 0)), known, held)


def _root_of_rows(rows: np.ndarray, basis: np.ndarray, held: np.ndarray) -> CovarianceRoot:
    """The root from J (N, r) in a ``basis`` (P, r), by QR."""
    factor = np.linalg.qr(rows, mode="r")
    if len(factor) == rows.shape[1] and np.abs(np.diag(factor)).min(initial=1.0) > MIN_PIVOT:
        return CovarianceRoot(basis @ scipy.linalg.solve_triangular(factor, np.eye(len(factor))), held, held.shape[1])
    _, sizes, vectors = np.linalg.svd(factor, full_matrices=True)
    sizes = np.pad(sizes, (0, rows.shape[1] - len(sizes)))
    known = sizes > max(rows.shape) * np.finfo(float).eps * sizes.max(initial=0.0)
    return _with_unknown(basis, vectors.T, sizes, known, held)


def _with_unknown(
    basis: np.ndarray, vectors: np.ndarray, sizes: np.ndarray, known: np.ndarray, held: np.ndarray
) -> CovarianceRoot:
    """The root from singular vectors (r, r) and values (r,) of J in a ``basis`` (P, r)."""
    unknown = basis @ vectors[:, ~known]
    unknown = unknown / np.maximum(np.linalg.norm(unknown, axis=0), 1e-300)
    together = np.concatenate([held, unknown], axis=1)
    return CovarianceRoot(basis @ vectors[:, known] / sizes[known], together, held.shape[1])


def _factor(scaled: np.ndarray) -> np.ndarray | None:
    """The Cholesky factor, if its pivots stand clear of rounding."""
    try:
        factor = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return None
    return factor if np.diag(factor).min(initial=1.0) ** 2 > MIN_SQUARED_PIVOT else None
