r"""Covariances of fits whose normal matrix is near rounding, from the rows of J themselves, many at once.

As for a single fit (`_statistics/covariance_root.py`): columns of J are scaled to length one, and the singular values
of the triangular factor of J = Q R tell what the data determine. Of what limits hold and of room for more components,
which have no columns, unit rows take the place.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from .._base.compile import batch_jit
from .._base.devices import on_cpu
from .._base.precision import on_host
from .._problem.loss_views import information_ratios
from .._problem.problem import SurfaceProblem
from .._problem.removal_cost import INVERSE_RIDGE
from .._statistics.covariance_root import MIN_DIAGONAL
from .error_lanes import ErrorLanes
from .lane_covariances import LaneCovariances, component_places

# Lanes from which a program for their rows is compiled; fewer go one by one.
LEAST_PRECISE = 16


class ScaledRows(NamedTuple):
    """Rows (B, N, P) of W^(1/2) J with columns of length one, unit rows for parameters without any, and the scales
    (B, P) of the columns, 0 for these.
    """

    rows: np.ndarray
    scales: np.ndarray


def scaled_rows(lanes: ErrorLanes, found: LaneCovariances, which: np.ndarray) -> ScaledRows:
    """Those of some lanes (B,), by their places."""
    rows = _rows_of(lanes, which)
    free = lanes.masks.used & ~lanes.masks.fixed & (found.held[which] == 0)
    diagonal = (rows**2).sum(axis=1)
    largest = np.where(lanes.masks.used, diagonal, 0).max(axis=1, keepdims=True)
    least = np.maximum(np.finfo(float).eps ** 2 * largest, MIN_DIAGONAL)
    scales = np.where(free, 1 / np.sqrt(np.where(diagonal > least, diagonal, 1)), 0)
    units = np.where(free, 0.0, 1.0)[:, :, None] * np.eye(free.shape[1])
    return ScaledRows(np.concatenate([rows * scales[:, None], units], axis=1), scales)


def with_precise(lanes: ErrorLanes, found: LaneCovariances) -> tuple[LaneCovariances, np.ndarray]:
    """The covariances with those of lanes that were not known, and directions (B, P, P) that the data do not determine
    in each lane, zero for those that they do.
    """
    which = np.flatnonzero(~found.known)
    unknown = np.zeros((len(found.known), *2 * lanes.params.shape[1:]))
    if len(which) < LEAST_PRECISE:
        return found, unknown
    rows, scales = scaled_rows(lanes, found, which)
    _, sizes, vectors = np.linalg.svd(np.linalg.qr(rows, mode="r"))
    longest = np.maximum(lanes.first.data.n_used, sizes.shape[1])
    known = sizes > longest * np.finfo(float).eps * sizes.max(axis=1, keepdims=True)
    columns = scales[:, :, None] * vectors.swapaxes(1, 2)
    lost = columns * ~known[:, None]
    unknown[which] = lost / np.maximum(np.linalg.norm(lost, axis=1, keepdims=True), 1e-300)
    root = columns * np.where(known, 1 / np.where(known, sizes, 1), 0)[:, None]
    own, border = _blocks(lanes, root)
    blocks, borders, are_known = (np.array(one) for one in (found.blocks, found.border, found.known))
    blocks[which], borders[which], are_known[which] = own, border, np.isfinite(sizes).all(axis=1)
    return found._replace(blocks=blocks, border=borders, known=are_known), unknown


def with_ridge(lanes: ErrorLanes, found: LaneCovariances) -> LaneCovariances:
    """The covariances with those of lanes that were not known, by inverses with a ridge as `_statistics/redundancy.py`
    takes them.
    """
    which = np.flatnonzero(~found.known)
    if len(which) < LEAST_PRECISE:
        return found
    rows, scales = scaled_rows(lanes, found, which)
    normal = np.matmul(rows.swapaxes(1, 2), rows) + INVERSE_RIDGE * np.eye(rows.shape[2])
    inverse = np.linalg.inv(np.linalg.cholesky(normal))
    blocks, known = np.array(found.blocks), np.array(found.known)
    blocks[which], known[which] = _blocks(lanes, (inverse * scales[:, None]).swapaxes(1, 2))[0], True
    return found._replace(blocks=blocks, known=known)


def _blocks(lanes: ErrorLanes, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The blocks of components (B, K, m, m) and of the background (B, b, b) of root root^T, from root (B, P, r)."""
    parts = lanes.first.host.parameterization
    own = root[:, component_places(parts, lanes.count)]
    rest = root[:, parts.layout.n_own :][:, parts.layout.background]
    return np.matmul(own, own.swapaxes(-1, -2)), np.matmul(rest, rest.swapaxes(-1, -2))


def _rows_of(lanes: ErrorLanes, which: np.ndarray) -> np.ndarray:
    """W^(1/2) J (B, N, P) of some lanes."""
    program, found = (_one_by_one if on_cpu() else _at_once), []
    for first in range(0, len(which), LEAST_PRECISE):
        some = which[np.minimum(np.arange(first, first + LEAST_PRECISE), len(which) - 1)]
        taken = jax.tree.map(lambda leaf, some=some: leaf[some], (lanes.problems, lanes.params))
        found.append(on_host(program(*taken)))
    return np.concatenate(found)[: len(which)]


def weighted_rows(problem: SurfaceProblem, params: Array) -> Array:
    """W^(1/2) J (N, P) of one lane, with the rows of a prior below."""
    _, jacobian = problem.linearize(params)
    rows: Array = jacobian.as_matrix()
    return rows.at[: len(problem.points)].multiply(information_ratios(problem, params)[:, None])


def rows_one_by_one(problems: SurfaceProblem, params: Array) -> Array:
    """For a CPU, which takes batched small products one by one."""
    return jax.lax.map(lambda pair: weighted_rows(*pair), (problems, params))


def rows_at_once(problems: SurfaceProblem, params: Array) -> Array:
    """For an accelerator."""
    return jax.vmap(weighted_rows)(problems, params)


_one_by_one, _at_once = batch_jit(rows_one_by_one), batch_jit(rows_at_once)
