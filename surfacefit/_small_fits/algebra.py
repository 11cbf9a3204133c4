"""Small symmetric systems, one a lane, written out entry by entry.

A matrix of size P is the list of its lower triangle by rows, P (P + 1) / 2 arrays (B,) of one entry for all B lanes;
a vector is a list of P arrays (B,). Each operation is then one elementwise operation over the lanes.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

Entries = list[Array]

# Units in the last place of a diagonal entry that its pivot must exceed to mean anything: each pivot is what some ten
# subtractions leave of it.
ROUNDINGS = 16


def at(row: int, column: int) -> int:
    """Where an entry of a symmetric matrix stands in the list."""
    row, column = max(row, column), min(row, column)
    return row * (row + 1) // 2 + column


def diagonal(matrix: Entries, size: int) -> Entries:
    return [matrix[at(i, i)] for i in range(size)]


def cholesky(matrix: Entries, size: int) -> Entries:
    """The lower factor, with 1 / l_ii in the place of l_ii; a pivot lost in rounding counts as rounding of its entry.

    So the factor is finite wherever the matrix is, and no lane is left without a step.
    """
    factor: Entries = []
    for i in range(size):
        for j in range(i + 1):
            entry = matrix[at(i, j)] - sum_of(factor[at(i, k)] * factor[at(j, k)] for k in range(j))
            factor.append(1 / jnp.sqrt(_pivot(entry, matrix[at(i, i)])) if i == j else entry * factor[at(j, j)])
    return factor


def _pivot(entry: Array, scale: Array) -> Array:
    limits = np.finfo(entry.dtype)
    return jnp.maximum(jnp.maximum(entry, limits.eps * scale), limits.tiny)


def lost_pivots(matrix: Entries, factor: Entries, size: int) -> Array:
    """In which lanes (B,) a pivot is no more than rounding: some direction is not determined there."""
    lost = jnp.zeros(matrix[0].shape, bool)
    for i in range(size):
        scale = matrix[at(i, i)]
        least = ROUNDINGS * float(np.finfo(scale.dtype).eps) * scale
        lost |= ~(factor[at(i, i)] ** -2 > jnp.maximum(least, np.finfo(scale.dtype).tiny))
    return lost


def solve(factor: Entries, vector: Entries) -> Entries:
    """x with L L^T x = vector, of each lane by substitution forwards and backwards.

    factor : the P (P + 1) / 2 entries of L, each (B,), as `cholesky` gives them. vector : P arrays (B,), as is x; in
    the units of whatever the system is in.
    """
    size = len(vector)
    forward: Entries = []
    for i in range(size):
        forward.append(factor[at(i, i)] * (vector[i] - sum_of(factor[at(i, k)] * forward[k] for k in range(i))))
    solution: Entries = [forward[-1]] * size
    for i in reversed(range(size)):
        rest = sum_of(factor[at(k, i)] * solution[k] for k in range(i + 1, size))
        solution[i] = factor[at(i, i)] * (forward[i] - rest)
    return solution


def inverse(factor: Entries, size: int) -> Entries:
    """(L L^T)^-1."""
    root: Entries = []
    for i in range(size):
        for j in range(i):
            rest = sum_of(factor[at(i, k)] * root[at(k, j)] for k in range(j, i))
            root.append(-factor[at(i, i)] * rest)
        root.append(factor[at(i, i)])
    return [sum_of(root[at(k, i)] * root[at(k, j)] for k in range(i, size)) for i in range(size) for j in range(i + 1)]


def product(matrix: Entries, vector: Entries) -> Entries:
    size = len(vector)
    return [sum_of(matrix[at(i, j)] * vector[j] for j in range(size)) for i in range(size)]


def dot(a: Entries, b: Entries) -> Array:
    return sum_of(x * y for x, y in zip(a, b, strict=True))


def sum_of(terms: Any) -> Any:
    """The sum of arrays, 0 where there is none."""
    total: Any = None
    for term in terms:
        total = term if total is None else total + term
    return 0 if total is None else total
