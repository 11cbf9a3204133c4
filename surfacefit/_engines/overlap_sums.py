r"""Sums over an even grid of products of two components and their monomials: no data needed, hence no pass over points.

With P_i = Sigma_i^-1, the product of two components is a Gaussian of covariance S = (P_i + P_j)^-1 about the mean
m = c_i + S P_j (c_j - c_i), times exp(-delta^2 / 2), delta their distance in the metric of Sigma_i + Sigma_j. Its
moments

    M_ij = sum_n g_i g_j Phi(u_i) Phi(u_j)^T

follow from nodes, axis by axis: x_a given the axes before it is normal with known mean and width. Axes that the grid
neither cuts nor undersamples take three Gauss-Hermite nodes, exact for these quartics, since a Riemann sum of a
Gaussian is its integral (to 2 exp(-2 pi^2 s^2) for a width of s steps). Summed axes take Gauss nodes of the sum itself:
the rule of m points that is exact for polynomials of degree 2 m - 1 against a sum over 0..N-1, which for N <= m is that
very sum (discrete Chebyshev polynomials; Gautschi, Orthogonal Polynomials, 2004, section 1.5.2).
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._lists.overlaps import Rule
from .._model.gaussian import line_integrals, profile
from .._model.surface import monomials

# Widths of a product on either side of its middle that are summed; beyond it is below exp(-5^2 / 2) = 4e-6 of its peak.
SUM_WINDOW_WIDTHS = 5.0
# Points; the nodes of a longer sum are those of this many, stretched: so dense a sum is nearly an integral.
LONGEST_TABLED_SUM = 256
# Nodes up to which the sum over nodes is written out: batched products of such small matrices take ten times as long on
# a CPU.
UNROLLED_NODES = 9
Matrix = list[list[Array]]
# Nodes in standard deviations, and weights, of the three-point Gauss-Hermite rule: exact for polynomials of degree 5.
HERMITE_RULE = np.array([[-(3**0.5), 0.0, 3**0.5], [1 / 6, 2 / 3, 1 / 6]])


def overlap_sums(
    rule: Rule, shape: Array, offsets: Array, centers: Array, first: Array, second: Array, height: Array
) -> Array:
    """height M_ij (n, q, q) for n pairs, in units of the grid's steps.

    shape (d,) : points along each axis. centers, offsets (n, d) : c_i, and c_j - c_i. first, second (n, d, d) : L_i^-1
    and L_j^-1. height (n,).
    """
    n_dim = offsets.shape[1]
    order = [*rule.axes, *(a for a in range(n_dim) if a not in rule.axes)]
    mean, factor, overlap = _product(offsets, first, second, order)
    points: list[Array] = []
    weights = (height * overlap)[:, None]
    for place, axis in enumerate(order):
        width = factor[place][place][:, None]
        given = mean[place][:, None] + _conditional(factor, points, mean, place)
        if axis in rule.axes:
            x, w = _summed(given + centers[:, axis, None], width, shape[axis], rule.nodes[place])
            x = x - centers[:, axis, None, None]
        else:
            x, w = _integrated(given, width)
        points = [jnp.broadcast_to(p[:, :, None], x.shape).reshape(len(x), -1) for p in points] + [
            x.reshape(len(x), -1)
        ]
        weights = (weights[:, :, None] * w).reshape(len(x), -1)
    placed = [points[order.index(axis)] for axis in range(n_dim)]
    left = _monomials(placed, first) * weights[:, None]
    right = _monomials([p - offsets[:, a, None] for a, p in enumerate(placed)], second)
    if weights.shape[1] <= UNROLLED_NODES:
        return sum(
            (left[:, :, None, m] * right[:, None, :, m] for m in range(1, weights.shape[1])),
            left[:, :, None, 0] * right[:, None, :, 0],
        )
    return jnp.einsum("naq,nbq->nab", left, right, precision="highest")


def _product(offsets: Array, first: Array, second: Array, order: list[int]) -> tuple[list[Array], Matrix, Array]:
    """Mean less c_i, lower Cholesky factor of the covariance, and height of the product of two Gaussians.

    Axes in the given order. Small matrices are lists of lists of (n,): batched products of them are slow on a CPU.
    """
    near, far = _precision(first, order), _precision(second, order)
    offset = [offsets[:, a] for a in order]
    n_dim, reverse = len(order), range(len(order) - 1, -1, -1)
    # P = C C^T with C upper triangular, from the usual factor with axes reversed; then S = C^-T C^-1 = T T^T.
    lower = _cholesky([[near[a][b] + far[a][b] for b in reverse] for a in reverse])
    inverse = _inverse(lower)
    factor = [[inverse[n_dim - 1 - b][n_dim - 1 - a] for b in range(a + 1)] for a in range(n_dim)]
    pull = [_dot(far[a], offset) for a in range(n_dim)]
    half = [_dot([factor[b][a] for b in range(a, n_dim)], pull[a:]) for a in range(n_dim)]
    mean = [_dot(factor[a], half[: a + 1]) for a in range(n_dim)]
    distance = _dot([o - m for o, m in zip(offset, mean, strict=True)], pull)
    return mean, factor, profile(jnp.maximum(distance, 0.0))


def _conditional(factor: Matrix, points: list[Array], mean: list[Array], place: int) -> Array:
    """How far the mean of an axis moves with the axes before it, (n, m) for points (n, m)."""
    shift = jnp.zeros_like(points[0]) if points else jnp.zeros_like(mean[0])[:, None]
    standard: list[Array] = []
    for earlier in range(place):
        rest = points[earlier] - mean[earlier][:, None]
        rest = rest - sum((factor[earlier][i][:, None] * z for i, z in enumerate(standard)), jnp.zeros_like(rest))
        standard.append(rest / factor[earlier][earlier][:, None])
        shift = shift + factor[place][earlier][:, None] * standard[-1]
    return shift


def _precision(inverse: Array, order: list[int]) -> Matrix:
    """L^-T L^-1 of lower triangular L^-1 (n, d, d), with the axes in this order."""
    n_dim = inverse.shape[1]

    def entry(a: int, b: int) -> Array:
        rows = range(max(a, b), n_dim)
        return _dot([inverse[:, i, a] for i in rows], [inverse[:, i, b] for i in rows])

    return [[entry(a, b) for b in order] for a in order]


def _cholesky(matrix: Matrix) -> Matrix:
    """Rows of the lower factor."""
    rows: Matrix = []
    for i in range(len(matrix)):
        row: list[Array] = []
        for j in range(i + 1):
            before = rows[j] if j < i else row
            rest = matrix[i][j] - _dot(row[:j], before[:j]) if j else matrix[i][j]
            row.append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
    return rows


def _inverse(lower: Matrix) -> Matrix:
    """Rows of the inverse of a lower triangular matrix."""
    rows: Matrix = []
    for i in range(len(lower)):
        scale = 1 / lower[i][i]
        rows.append([-scale * _dot(lower[i][j:i], [rows[k][j] for k in range(j, i)]) for j in range(i)] + [scale])
    return rows


def _dot(a: list[Array], b: list[Array]) -> Array:
    return sum((x * y for x, y in zip(a[1:], b[1:], strict=True)), a[0] * b[0])


def _integrated(mean: Array, width: Array) -> tuple[Array, Array]:
    """Nodes and weights (n, m, 3) that stand for the sum over a whole line."""
    nodes, weights = HERMITE_RULE.astype(mean.dtype)
    return mean[:, :, None] + width[:, :, None] * nodes, line_integrals(width)[:, :, None] * weights


def _summed(mean: Array, width: Array, count: Array, nodes: int) -> tuple[Array, Array]:
    """Nodes and weights (n, m, nodes) of the sum over the grid's points within SUM_WINDOW_WIDTHS widths."""
    width = jnp.broadcast_to(width, mean.shape)
    low = jnp.maximum(jnp.ceil(mean - SUM_WINDOW_WIDTHS * width), 0.0)
    high = jnp.minimum(jnp.floor(mean + SUM_WINDOW_WIDTHS * width), (count - 1).astype(mean.dtype))
    length = jnp.maximum(high - low + 1, 0.0)
    row = jnp.minimum(length, float(LONGEST_TABLED_SUM)).astype(jnp.int32)
    node, weight = _nodes(row, nodes, mean.dtype)
    stretch = (length / jnp.maximum(row.astype(mean.dtype), 1.0))[:, :, None]
    node = node * stretch
    x = (low - 0.5)[:, :, None] + node
    g = profile(((x - mean[:, :, None]) / width[:, :, None]) ** 2)
    return x, g * weight * stretch


def _nodes(row: Array, nodes: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Nodes and weights (..., nodes) of the sum over so many points ``row``; as many nodes as points are the points."""
    if nodes >= LONGEST_TABLED_SUM:
        number = jnp.arange(nodes, dtype=row.dtype)
        return number.astype(dtype) + 0.5, (number < row[..., None]).astype(dtype)
    table = _sum_rules(nodes).astype(dtype)
    return jnp.asarray(table[0])[row], jnp.asarray(table[1])[row]


@lru_cache(maxsize=4)
def _sum_rules(nodes: int) -> np.ndarray:
    """Nodes and weights (2, LONGEST_TABLED_SUM + 1, nodes), row N for N points; nodes count from half a step below the
    first point.

    From the recurrence of the discrete Chebyshev polynomials by the eigenvalues of their Jacobi matrix (Golub &
    Welsch).
    """
    table = np.zeros((2, LONGEST_TABLED_SUM + 1, nodes))
    for count in range(1, LONGEST_TABLED_SUM + 1):
        size = min(count, nodes)
        k = np.arange(1, size)
        off = np.sqrt(k**2 * (count**2 - k**2) / (4.0 * (4 * k**2 - 1)))
        values, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
        table[0, count, :size] = values + count / 2
        table[1, count, :size] = count * vectors[0] ** 2
    return table


def _monomials(x: list[Array], inverse: Array) -> Array:
    """Phi(L^-1 x) (n, q, m) at x, d arrays (n, m), for L^-1 (n, d, d)."""
    u = [
        sum((inverse[:, i, j, None] * x[j] for j in range(1, i + 1)), inverse[:, i, 0, None] * x[0])
        for i in range(len(x))
    ]
    return jnp.stack(monomials(u), axis=1)
