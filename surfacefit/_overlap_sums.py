r"""Sums over an even grid of products of two components and their monomials: no data needed, hence no pass over points.

With P_i = Sigma_i^-1, the product of two components is a Gaussian of covariance S = (P_i + P_j)^-1 about the mean
m = c_i + S P_j (c_j - c_i), times exp(-delta^2 / 2), delta their distance in the metric of Sigma_i + Sigma_j. Its moments

    M_ij = sum_n g_i g_j Phi(u_i) Phi(u_j)^T

follow from nodes, axis by axis: x_a given the axes before it is normal with known mean and width. Axes that the grid
neither cuts nor undersamples take three Gauss-Hermite nodes, exact for these quartics, since a Riemann sum of a Gaussian is
its integral (to 2 exp(-2 pi^2 s^2) for a width of s steps). Summed axes take Gauss nodes of the sum itself: the rule of
m points that is exact for polynomials of degree 2 m - 1 against a sum over 0..N-1, which for N <= m is that very
sum (discrete Chebyshev polynomials; Gautschi, Orthogonal Polynomials, 2004, section 1.5.2).
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from ._overlaps import Rule
from ._surface import inverse_lower

WINDOW = 5.0
LONGEST = 256
HERMITE = np.array([[-(3**0.5), 0.0, 3**0.5], [1 / 6, 2 / 3, 1 / 6]])


def overlap_sums(rule: Rule, shape: Array, offsets: Array, centers: Array, first: Array, second: Array) -> Array:
    """M_ij (n, q, q) for n pairs, in units of the grid's steps.

    shape (d,) : points along each axis. centers, offsets (n, d) : c_i, and c_j - c_i.
    first, second (n, d, d) : L_i^-1 and L_j^-1.
    """
    order = [*rule.axes, *(a for a in range(offsets.shape[1]) if a not in rule.axes)]
    middle, widths, slopes, height = _product(offsets[:, order], _permuted(first, order), _permuted(second, order))
    points: list[Array] = []
    weights = height[:, None]
    for place, axis in enumerate(order):
        mean = middle[:, place, None] + sum(
            (slopes[place][:, earlier, None] * (points[earlier] - middle[:, earlier, None]) for earlier in range(place)),
            jnp.zeros_like(weights),
        )
        if axis in rule.axes:
            x, w = _summed(mean + centers[:, axis, None], widths[:, place, None], shape[axis], rule.nodes)
            x = x - centers[:, axis, None, None]
        else:
            x, w = _integrated(mean, widths[:, place, None])
        points = [jnp.broadcast_to(p[:, :, None], x.shape).reshape(len(x), -1) for p in points] + [x.reshape(len(x), -1)]
        weights = (weights[:, :, None] * w).reshape(len(x), -1)
    placed = [points[order.index(axis)] for axis in range(len(order))]
    left = _monomials(placed, first) * weights[:, None]
    right = _monomials([p - offsets[:, a, None] for a, p in enumerate(placed)], second)
    return jnp.einsum("naq,nbq->nab", left, right, precision="highest")


def _permuted(inverse: Array, order: list[int]) -> Array:
    """Precision matrices (n, d, d) with the axes in this order."""
    precision = jnp.einsum("nab,nac->nbc", inverse, inverse, precision="highest")
    return precision[:, order][:, :, order]


def _product(offsets: Array, first: Array, second: Array) -> tuple[Array, Array, list[Array], Array]:
    """Mean (n, d) less c_i, width (n, d) of each axis given those before it, slopes of that axis' mean, height (n,)."""
    n_dim = offsets.shape[1]
    # S = T T^T with T lower triangular comes from the factor of P_i + P_j with its axes reversed.
    reverse = np.arange(n_dim)[::-1]
    upper = _cholesky((first + second)[:, reverse][:, :, reverse])[:, reverse][:, :, reverse]
    inverse = jnp.swapaxes(inverse_lower(jnp.swapaxes(upper, 1, 2)), 1, 2)
    factor = jnp.swapaxes(inverse, 1, 2)
    pull = jnp.einsum("nab,nb->na", second, offsets, precision="highest")
    half = jnp.einsum("nba,nb->na", factor, pull, precision="highest")
    middle = jnp.einsum("nab,nb->na", factor, half, precision="highest")
    distance = jnp.einsum("na,na->n", offsets - middle, pull, precision="highest")
    widths = jnp.stack([factor[:, a, a] for a in range(n_dim)], axis=1)
    whitener = jnp.swapaxes(inverse_lower(factor), 1, 2)
    slopes = [jnp.einsum("nb,ncb->nc", factor[:, a, :a], whitener[:, :a, :a], precision="highest") for a in range(n_dim)]
    return middle, widths, slopes, jnp.exp(-0.5 * jnp.maximum(distance, 0.0))


def _cholesky(matrix: Array) -> Array:
    """Lower factors (n, d, d), unrolled: batched LAPACK calls on small matrices are slow."""
    n_dim = matrix.shape[1]
    rows: list[list[Array]] = []
    for i in range(n_dim):
        row: list[Array] = []
        for j in range(i + 1):
            rest = matrix[:, i, j] - sum(
                (a * b for a, b in zip(row, rows[j] if j < i else row, strict=False)), jnp.zeros_like(matrix[:, 0, 0])
            )
            row.append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
    zero = jnp.zeros_like(matrix[:, 0, 0])
    return jnp.stack([jnp.stack([*row, *[zero] * (n_dim - len(row))], axis=1) for row in rows], axis=1)


def _integrated(mean: Array, width: Array) -> tuple[Array, Array]:
    """Nodes and weights (n, m, 3) that stand for the sum over a whole line."""
    nodes, weights = HERMITE.astype(mean.dtype)
    return mean[:, :, None] + width[:, :, None] * nodes, (float(np.sqrt(2 * np.pi)) * width)[:, :, None] * weights


def _summed(mean: Array, width: Array, count: Array, nodes: int) -> tuple[Array, Array]:
    """Nodes and weights (n, m, nodes) of the sum over the grid's points within WINDOW widths."""
    width = jnp.broadcast_to(width, mean.shape)
    low = jnp.maximum(jnp.ceil(mean - WINDOW * width), 0.0)
    high = jnp.minimum(jnp.floor(mean + WINDOW * width), (count - 1).astype(mean.dtype))
    length = jnp.maximum(high - low + 1, 0.0)
    row = jnp.minimum(length, float(LONGEST)).astype(jnp.int32)
    table = _sum_rules(nodes).astype(mean.dtype)
    stretch = length / jnp.maximum(row.astype(mean.dtype), 1.0)
    node = jnp.asarray(table[0])[row] * stretch[:, :, None]
    x = (low - 0.5)[:, :, None] + node
    g = jnp.exp(-0.5 * ((x - mean[:, :, None]) / width[:, :, None]) ** 2)
    return x, g * jnp.asarray(table[1])[row] * stretch[:, :, None]


@lru_cache(maxsize=4)
def _sum_rules(nodes: int) -> np.ndarray:
    """Nodes, measured from half a step below the first point, and weights (2, LONGEST + 1, nodes), row N for N points.

    From the recurrence of the discrete Chebyshev polynomials by the eigenvalues of their Jacobi matrix (Golub & Welsch).
    """
    table = np.zeros((2, LONGEST + 1, nodes))
    for count in range(1, LONGEST + 1):
        size = min(count, nodes)
        k = np.arange(1, size)
        off = np.sqrt(k**2 * (count**2 - k**2) / (4.0 * (4 * k**2 - 1)))
        values, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
        table[0, count, :size] = values + count / 2
        table[1, count, :size] = count * vectors[0] ** 2
    return table


def _monomials(x: list[Array], inverse: Array) -> Array:
    """Phi(L^-1 x) (n, q, m) at x, d arrays (n, m), for L^-1 (n, d, d)."""
    u = [sum((inverse[:, i, j, None] * x[j] for j in range(1, i + 1)), inverse[:, i, 0, None] * x[0]) for i in range(len(x))]
    products = [u[i] * u[j] for i in range(len(u)) for j in range(i + 1)]
    return jnp.stack([jnp.ones_like(u[0]), *u, *products], axis=1)
