r"""Covariances seen through a beam, Sigma = B + own, with the own covariance as free numbers.

With B = F F^T, F lower, the own covariance of an ellipsoid is F V F^T, where V = U D U^T has a unit lower factor U and
pivots D; along the axes it is diag(D_i B_ii), and of a ball D tr(B) / d. A pivot is D = t^2 - 1 with t = 1 + softplus:
for a beam along the axes t is the width that is seen, in units of the beam, and its floor is the beam itself. So own
variances are smooth in the free numbers down to zero, where the derivative by an own width would vanish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._base.devices import namespace
from .._base.precision import product
from .._model.block_layout import shape_numbers, with_shape_numbers
from .._model.covariance import CovarianceType
from .._model.covariance.base import GIVEN_EXCESS, positive, positive_inverse
from .._model.parameters import Parameterization

# Least own variance that is given, in units of the beam's: that of a width which exceeds the beam by GIVEN_EXCESS.
LEAST_OWN_VARIANCE = 2 * GIVEN_EXCESS


@register_dataclass
@dataclass(frozen=True, eq=False)
class Convolved:
    """Components of a type ``own`` behind a beam with Cholesky factor ``beam`` (d, d), in the units of the fit."""

    beam: Any
    own: CovarianceType = field(metadata={"static": True})

    @property
    def shared(self) -> bool:
        return self.own.shared

    def n_parameters(self, n_dim: int) -> int:
        return self.own.n_parameters(n_dim)

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        n_dim = floor.shape[-1]
        excess = positive(parameters[..., :n_dim])
        pivots = excess * (2 + excess)
        if parameters.shape[-1] <= n_dim:
            return seen_factors(self.beam, pivots, n_dim)
        return seen_factors(self.beam, _from_pivots(pivots, parameters[..., n_dim:], n_dim), n_dim)

    def parameters(self, covariance: Any, floor: Any) -> Any:
        n_dim = floor.shape[-1]
        xp, size = namespace(covariance, floor), self.n_parameters(n_dim)
        own = own_variances(self.beam, covariance, size)
        if size <= n_dim:
            return _free(xp.maximum(own, LEAST_OWN_VARIANCE))
        values, vectors = xp.linalg.eigh(symmetric(own, n_dim))
        values = xp.maximum(values, LEAST_OWN_VARIANCE)
        pivots, below = _pivots(product(vectors * values[..., None, :], xp.swapaxes(vectors, -1, -2)))
        return xp.concatenate([_free(xp.maximum(pivots, LEAST_OWN_VARIANCE)), below], axis=-1)

    def limits(self, widest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Limits of the free numbers (s,): pivots of own widths ``widest`` (d,) along the axes."""
        size, beam = self.n_parameters(len(widest)), np.asarray(self.beam, float)
        squares = widest**2 if size >= len(widest) else widest.min(keepdims=True) ** 2
        most = _free(squares / scales_of(beam, min(size, len(widest))))
        return np.full(size, -np.inf), np.concatenate([most, np.full(size - len(most), np.inf)])


@register_dataclass
@dataclass(frozen=True, eq=False)
class OwnVariances:
    """The same with own variances of either sign as the numbers, in units of the beam's: for errors where a fit stands
    at their limit of zero.
    """

    beam: Any
    own: CovarianceType = field(metadata={"static": True})

    @property
    def shared(self) -> bool:
        return self.own.shared

    def n_parameters(self, n_dim: int) -> int:
        return self.own.n_parameters(n_dim)

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        return seen_factors(self.beam, parameters, floor.shape[-1])

    def parameters(self, covariance: Any, floor: Any) -> Any:
        return own_variances(self.beam, covariance, self.n_parameters(floor.shape[-1]))


def with_idle(parts: Parameterization, at_floor: Any) -> Any:
    """Which parameters (P,) do nothing, from those at their floor: behind a beam also the slants of a pivot there.

    Their slopes vanish with the pivot, and a step in them alone would promise what no own covariance can have.
    """
    n_dim, size = parts.n_dim, parts.covariance.n_parameters(parts.n_dim)
    if not isinstance(parts.covariance, Convolved) or size <= n_dim:
        return at_floor
    shapes = shape_numbers(parts.layout, at_floor)
    slants = shapes[:, n_dim:] | shapes[:, np.tril_indices(n_dim, -1)[1]]
    return with_shape_numbers(parts.layout, at_floor, concatenated([shapes[:, :n_dim], slants], axis=1))


def seen_factors(beam: Any, own: Any, n_dim: int) -> Any:
    """Cholesky factors (..., d, d) of what is seen, from own variances (..., s) in units of the beam's.

    s = d (d + 1) / 2: the diagonal of V, then its entries below; s = d along the axes; s = 1 of balls.
    """
    xp, size = namespace(own, beam), own.shape[-1]
    eye = np.eye(n_dim, dtype=own.dtype)
    if size > n_dim:
        return product(beam, small_cholesky(eye + symmetric(own, n_dim)))
    variances = own * scales_of(beam, size)
    return small_cholesky(product(beam, xp.swapaxes(beam, -1, -2)) + variances[..., None] * eye)


def own_variances(beam: Any, covariance: Any, size: int) -> Any:
    """Own variances (..., s) in units of the beam's, of what is seen as covariances (..., d, d); of either sign."""
    xp, n_dim = namespace(covariance, beam), covariance.shape[-1]
    own = covariance - product(beam, xp.swapaxes(beam, -1, -2))
    diagonal = xp.diagonal(own, axis1=-2, axis2=-1)
    if size <= n_dim:
        found = diagonal if size == n_dim else diagonal.mean(axis=-1, keepdims=True)
        return found / scales_of(beam, size)
    inverse = xp.linalg.inv(beam)
    own = product(product(inverse, own), xp.swapaxes(inverse, -1, -2))
    return xp.concatenate([xp.diagonal(own, axis1=-2, axis2=-1), own[..., *np.tril_indices(n_dim, -1)]], axis=-1)


def scales_of(beam: Any, size: int) -> Any:
    """The beam's variances along the axes (d,), or their mean (1,) for balls."""
    squares = _squares(beam)
    return squares if size == len(squares) else squares.mean(keepdims=True)


def _squares(beam: Any) -> Any:
    return (beam**2).sum(axis=1)


def symmetric(entries: Any, n_dim: int) -> Any:
    """Symmetric matrices (..., d, d) from their diagonals and the entries below."""
    places = np.zeros((n_dim, n_dim), int)
    places[np.tril_indices(n_dim, -1)] = np.arange(n_dim, n_dim * (n_dim + 1) // 2)
    return entries[..., places + places.T + np.diag(np.arange(n_dim))]


def _from_pivots(pivots: Any, below: Any, n_dim: int) -> Any:
    """The entries (..., s) of U D U^T, from pivots D (..., d) and the entries of U below its diagonal."""
    xp, (rows, columns) = namespace(pivots, below), np.tril_indices(n_dim, -1)
    unit = {(int(i), int(j)): below[..., n] for n, (i, j) in enumerate(zip(rows, columns, strict=True))}
    unit |= {(i, i): xp.ones_like(pivots[..., 0]) for i in range(n_dim)}

    def entry(i: int, j: int) -> Any:
        return sum(unit[i, a] * pivots[..., a] * unit[j, a] for a in range(min(i, j) + 1))

    places = [(i, i) for i in range(n_dim)] + list(zip(rows.tolist(), columns.tolist(), strict=True))
    return xp.stack([entry(i, j) for i, j in places], axis=-1)


def _pivots(matrices: Any) -> tuple[Any, Any]:
    """Pivots (..., d) and the entries of the unit factor below its diagonal, of definite matrices (..., d, d)."""
    xp, n_dim = namespace(matrices), matrices.shape[-1]
    factors = small_cholesky(matrices)
    diagonal = xp.diagonal(factors, axis1=-2, axis2=-1)
    return diagonal**2, (factors / diagonal[..., None, :])[..., *np.tril_indices(n_dim, -1)]


def small_cholesky(matrices: Any) -> Any:
    """Lower Cholesky factors (..., d, d), by entries: for small d one program of plain products."""
    xp, n_dim = namespace(matrices), matrices.shape[-1]
    found: dict[tuple[int, int], Any] = {}
    for j in range(n_dim):
        found[j, j] = xp.sqrt(matrices[..., j, j] - sum(found[j, a] ** 2 for a in range(j)))
        for i in range(j + 1, n_dim):
            rest = matrices[..., i, j] - sum(found[i, a] * found[j, a] for a in range(j))
            found[i, j] = rest / found[j, j]
    zero = xp.zeros_like(matrices[..., 0, 0])
    rows = [xp.stack([found.get((i, j), zero) for j in range(n_dim)], axis=-1) for i in range(n_dim)]
    return xp.stack(rows, axis=-2)


def _free(pivots: Any) -> Any:
    """The free numbers of pivots: sqrt(1 + D) - 1, without the rounding of a difference, is positive."""
    return positive_inverse(pivots / (1 + namespace(pivots).sqrt(1 + pivots)))
