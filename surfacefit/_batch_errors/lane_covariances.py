r"""The covariances of the numbers of many fits of one form at once, each component's and the background's.

For each lane N = J^T J at where its fit ended, without what a limit holds, scaled to a diagonal of one and factorised
by Cholesky, with the limits, scales and blocks of a single fit (`_statistics/covariance_root.py`). Where a pivot comes
near rounding, a lane is told as not known, and is left to other ways to invert.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import batch_jit
from .._base.devices import on_cpu
from .._base.lane_loop import of_first
from .._base.precision import on_host
from .._losses import Linear
from .._model.block_layout import block_indices
from .._model.parameters import factor_slopes
from .._model.step_lengths import floor_slopes
from .._problem.base import half_square
from .._problem.loss_views import information_jacobian
from .._problem.problem import SurfaceProblem
from .._statistics.covariance_root import MIN_DIAGONAL

# Squared pivot of the scaled matrix, from which the inverse by Cholesky has nine digits or more.
LEAST_SQUARED_PIVOT = 1e-6
# Lanes of a program: more run no faster.
LANES_A_PROGRAM = 64
# Values of single components at single points that are made at once, or that a program has room for: some arrays of
# 4 MB.
MOST_VALUES = 2**19


class LaneCovariances(NamedTuple):
    """Of B lanes: ``costs`` (B,) of the data; ``known`` (B,), whether the inverse has its digits; covariances
    ``blocks`` (B, K, m, m) of each component's parameters with the shape that all share, ``border`` (B, b, b) of the
    background's, for a variance of one of a residual; ``held`` (B, P), the lengths of what limits hold, 0 for all
    else; ``factor_slopes`` (B, K, T, s), d tril(L) / d shape.
    """

    costs: Any
    known: Any
    blocks: Any
    border: Any
    held: Any
    factor_slopes: Any


class Masks(NamedTuple):
    """Which parameters (P,) are in use, and which are fixed."""

    used: np.ndarray
    fixed: np.ndarray


def component_places(parts: Any, count: int) -> np.ndarray:
    """Places (K, m) in the parameters of each component's block, and of the shape that all share."""
    layout = parts.layout
    own, border = block_indices(np.arange(count), layout.block_size), layout.n_own + np.arange(layout.n_border)
    return np.concatenate([own, np.broadcast_to(border[layout.shared_shape], (count, layout.n_shared))], axis=1).astype(
        int
    )


def lane_covariances(
    problems: SurfaceProblem, params: np.ndarray, masks: Masks, count: int, near: float
) -> LaneCovariances:
    """Of problems whose leaves have a leading axis (B, ...), at parameters (B, P) with ``count`` components in use; a
    number counts as at a limit ``near`` it.
    """
    n, room = len(params), _room(problems.points.shape[1], count)
    program = _one_by_one if on_cpu() else _at_once
    found = []
    for first in range(0, n, room):
        some = np.minimum(np.arange(first, first + room), n - 1)
        taken = jax.tree.map(lambda leaf, some=some: leaf[some], (problems, params))
        found.append(on_host(program(min(room, n - first), *taken, masks, count, near)))
    whole: LaneCovariances = jax.tree.map(lambda *columns: np.concatenate(columns)[:n], *found)
    return whole


def _room(n_points: int, count: int) -> int:
    """Lanes that a program has room for: of one form it is always the same one, however many lanes there are."""
    fitting = MOST_VALUES // (n_points * max(1, count))
    return min(LANES_A_PROGRAM, 1 << max(0, fitting.bit_length() - 1))


def covariance_of(problem: SurfaceProblem, params: Array, masks: Masks, count: int, near: float) -> LaneCovariances:
    """That of one lane, as arrays of JAX without the leading axis."""
    parts, layout = problem.parameterization, problem.parameterization.layout
    residuals, jacobian = problem.linearize(params)
    if isinstance(problem.loss, Linear):
        product, gradient = jacobian.normal(residuals)
    else:
        product, gradient = information_jacobian(problem, params).normal(residuals)[0], jacobian.rmv(residuals)
    normal = product.as_matrix()
    constrained = problem.at_bound(params, gradient, near) | masks.fixed
    free = masks.used & ~constrained
    diagonal = jnp.diagonal(normal)
    eps = float(np.finfo(params.dtype).eps)
    least = jnp.maximum(eps**2 * jnp.where(masks.used, diagonal, 0).max(initial=0), MIN_DIAGONAL)
    scale = jnp.where(free, 1 / jnp.sqrt(jnp.where(diagonal > least, diagonal, 1)), 0)
    scaled = scale[:, None] * normal * scale + jnp.diag(jnp.where(free, 0.0, 1.0))
    factor = jax.lax.linalg.cholesky(scaled, symmetrize_input=False)
    inverse = jax.lax.linalg.triangular_solve(factor, jnp.eye(len(scale)), left_side=True, lower=True)
    root = (inverse * scale).T
    own, rest = root[component_places(parts, count)], root[layout.n_own :][layout.background]
    return LaneCovariances(
        costs=half_square(residuals[: len(problem.points)]),
        known=jnp.diagonal(factor).min() ** 2 > LEAST_SQUARED_PIVOT,  # false for NaN
        blocks=jnp.einsum("kmp,knp->kmn", own, own, precision="highest"),
        border=jnp.matmul(rest, rest.T, precision="highest"),
        held=jnp.where(constrained & ~masks.fixed, 1 / floor_slopes(parts, params), 0),
        factor_slopes=factor_slopes(parts, params),
    )


def covariances_one_by_one(
    n: Array, problems: SurfaceProblem, params: Array, masks: Masks, count: int, near: float
) -> LaneCovariances:
    """Of the first ``n`` lanes, for a CPU, which takes batched small products one by one."""

    def one(lane: Array) -> LaneCovariances:
        problem, own = jax.tree.map(lambda leaf: leaf[lane], (problems, params))
        return covariance_of(problem, own, masks, count, near)

    found: LaneCovariances = of_first(n, len(params), one)
    return found


def covariances_at_once(
    n: Array, problems: SurfaceProblem, params: Array, masks: Masks, count: int, near: float
) -> LaneCovariances:
    """Of all lanes, for an accelerator."""
    return jax.vmap(lambda problem, one: covariance_of(problem, one, masks, count, near))(problems, params)


_one_by_one, _at_once = (batch_jit(one, static_argnums=(4, 5)) for one in (covariances_one_by_one, covariances_at_once))
