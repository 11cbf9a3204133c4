r"""The second derivatives of the cost, as an operator of two passes over the points and small blocks.

A component's height depends on its own block of parameters, on a shape that all may share, and on nothing else, so that

    H = J^T diag(e'') J + C,        C_k = sum_j e'_j d2 f_k(x_j),

with J of the model without weights, scores e' and their slopes e'' by the model. C couples nothing across components.
With u the whitened points and u' = A u + b those of changed parameters, exp(-|u'|^2/2) = exp(-|u|^2/2) exp(Q(u)), where
Q is a quadratic with coefficients q that vanish without change. To second order

    sum_j e'_j f_k = a (m + q . m_1 + q^T G q / 2),        G = sum_j e'_j g_k Phi Phi^T,

so that moments up to the fourth degree give C_k, and nothing is differentiated point by point. Since the profile of
widths sqrt(2) L is the root of that of L, the engines' blocks of columns give G. A prior adds blocks of the same
form. Without C, and with the squared slopes of the loss for e'', H is the matrix of Gauss and Newton. The squared
scales of the parameters (P,) are the diagonal of J^T |e''| J + |C|: 0 where nothing depends on one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import concatenated
from .._engines.jacobian import Jacobian
from .._linear.normal import Normal
from .._losses import Linear
from .._model.background import FunctionBackground
from .._model.block_layout import ALPHA, BlockLayout
from .._model.parameters import Components, Parameterization, n_monomials
from .._model.surface import inverse_lower
from .._periodic.images import sum_of_single_images
from .._problem.base import half_square
from .._problem.problem import SurfaceProblem
from .stationarity import Point, monomial_jacobian


@dataclass(frozen=True, eq=False)
class Blocks:
    """C as blocks: own (K, p, p), cross (K, p, s) with a shared shape, and corner (s + b, s + b) of the border."""

    own: Array
    cross: Array
    corner: Array

    def mv(self, layout: BlockLayout, vector: Array) -> Array:
        blocks, shared, _ = layout.split(vector)
        own = jnp.einsum("kpq,kq->kp", self.own, blocks, precision="highest")
        own += jnp.einsum("kps,s->kp", self.cross, shared, precision="highest")
        border = jnp.matmul(self.corner, vector[layout.n_own :], precision="highest")
        if layout.n_shared:
            border = border.at[: layout.n_shared].add(jnp.einsum("kps,kp->s", self.cross, blocks, precision="highest"))
        return concatenated([own.ravel(), border])

    def diagonal(self) -> Array:
        """|C_ii| (P,)."""
        return jnp.abs(concatenated([jnp.einsum("kpp->kp", self.own).ravel(), jnp.diag(self.corner)]))

    def added_to(self, layout: BlockLayout, matrix: Array) -> Array:
        """A matrix (P, P) plus C."""
        count, size, n_own = layout.n_components, layout.block_size, layout.n_own
        index = np.arange(count)[:, None] * size + np.arange(size)
        shared = n_own + np.arange(layout.n_shared)
        matrix = matrix.at[index[:, :, None], index[:, None, :]].add(self.own)
        matrix = matrix.at[n_own:, n_own:].add(self.corner)
        if layout.n_shared:
            rows, columns = index[:, :, None], shared[None, None, :]
            matrix = matrix.at[rows, columns].add(self.cross).at[columns, rows].add(self.cross)
        return matrix


@dataclass(frozen=True, eq=False)
class Hessian:
    """H (P, P) at one point: ``slopes`` (N,) are e'', of either sign, ``parts`` is C."""

    point: Point
    slopes: Array
    parts: Blocks

    @property
    def problem(self) -> SurfaceProblem:
        return self.point.problem

    @property
    def layout(self) -> BlockLayout:
        return self.problem.parameterization.layout

    def mv(self, vector: Array) -> Array:
        """H v."""
        jacobian = self.point.jacobian
        return jacobian.rmv(self.slopes * jacobian.mv(vector)) + self.parts.mv(self.layout, vector)

    def matrix(self) -> tuple[Array, Array]:
        """H itself, as exact as the engine's J^T J, for some hundred parameters; and `scales`."""
        matrix = self.normal(jnp.maximum(self.slopes, 0)).as_matrix().astype(self.slopes.dtype)
        diagonal = jnp.diag(matrix)
        if not isinstance(self.problem.loss, Linear):
            below = self.normal(jnp.maximum(-self.slopes, 0)).as_matrix().astype(self.slopes.dtype)
            matrix, diagonal = matrix - below, diagonal + jnp.diag(below)
        return self.parts.added_to(self.layout, matrix), diagonal + self.parts.diagonal()

    def diagonal_blocks(self, normal: Any = None) -> tuple[Array, Array, Array]:
        """Blocks (K, p, p) on the diagonal of H, with |e''| for e'', the border's block, and `scales`.

        Those of J^T |e''| J are taken from a ``normal`` matrix where there is one.
        """
        if normal is None:
            own, corner = self._weighted(jnp.abs(self.slopes)).block_diagonal()
        else:
            dtype = self.slopes.dtype
            own, corner = normal.diagonal_blocks().astype(dtype), normal.corner.astype(dtype)
        diagonal = concatenated([jnp.einsum("kpp->kp", own).ravel(), jnp.diag(corner)])
        return own + self.parts.own, corner + self.parts.corner, diagonal + self.parts.diagonal()

    def normal(self, weights: Array) -> Normal:
        """J^T diag(weights) J as the engine holds it, for weights (N,) of at least 0."""
        jacobian = self._weighted(weights)
        return jacobian.restored(jacobian.normal(jnp.zeros_like(weights))[0])

    def _weighted(self, weights: Array) -> Jacobian:
        point, parts = self.point, self.problem.parameterization
        chain = parts.chain(point.params, point.components)
        return self.problem.engine.jacobian(self.problem.points, jnp.sqrt(weights), point.components, chain)


def hessian(point: Point, exact: bool) -> Hessian:
    """At a point: the exact one, or that of Gauss and Newton."""
    problem, model = point.problem, point.model
    loss, heights, weights = problem.loss, problem.heights, problem.weights
    if exact:
        slopes = jax.jvp(lambda f: loss.scores(f, heights, weights), (model,), (jnp.ones_like(model),))[1]
        blocks = _of_model(point)
    else:
        slopes = loss.slopes(model, heights, weights) ** 2
        blocks = _none(problem.parameterization.layout, model.dtype)
    return Hessian(point, slopes, _with_prior(problem, point.params, blocks, exact))


def _none(layout: BlockLayout, dtype: Any) -> Blocks:
    count, size = layout.n_components, layout.block_size
    return Blocks(
        jnp.zeros((count, size, size), dtype),
        jnp.zeros((count, size, layout.n_shared), dtype),
        jnp.zeros((layout.n_border, layout.n_border), dtype),
    )


def _of_model(point: Point) -> Blocks:
    """Second derivatives of sum_j s_j f(x_j) for fixed scores s (N,)."""
    problem, params, components, scores = point.problem, point.params, point.components, point.scores
    parts, layout = problem.parameterization, problem.parameterization.layout
    blocks, shared, background = layout.split(params)
    sums = fourth_moments(problem, components, scores)
    active = parts.active.astype(params.dtype)

    def second(block: Array, factor: Array, inner: Array) -> Array:
        joint = jnp.concatenate([block, shared])
        return jax.hessian(lambda both: _expansion(parts, both, block, factor, inner))(joint)

    whole = active[:, None, None] * jax.vmap(second)(blocks, components.factors, sums)
    size, n_shared = layout.block_size, layout.n_shared
    corner = jnp.zeros((layout.n_border, layout.n_border), params.dtype)
    corner = corner.at[:n_shared, :n_shared].add(whole[:, size:, size:].sum(axis=0))
    if isinstance(parts.background, FunctionBackground):

        def heights(vector: Array) -> Array:
            return jnp.vdot(scores, parts.background.with_vector(vector)(problem.points), precision="highest")

        corner = corner.at[n_shared:, n_shared:].add(jax.hessian(heights)(background))
    return Blocks(whole[:, :size, :size], whole[:, :size, size:], corner)


def fourth_moments(problem: SurfaceProblem, components: Components, scores: Array) -> Array:
    """G = sum_j s_j g_k Phi(u_k) Phi(u_k)^T (K, q, q), for scores (N,) of either sign."""
    n_dim, root = components.centers.shape[1], float(np.sqrt(2))
    wider = components._replace(factors=components.factors * root, inverse_factors=components.inverse_factors / root)
    blocks = sum_of_single_images(
        wider, lambda one: monomial_jacobian(problem, one, jnp.ones_like(scores)).column_blocks(scores)
    )
    degree = np.array([0] + [1] * n_dim + [2] * (n_monomials(n_dim) - 1 - n_dim))
    units = (root**degree).astype(scores.dtype)
    return blocks * units[:, None] * units[None, :]


def _expansion(parts: Parameterization, both: Array, before: Array, factor: Array, sums: Array) -> Array:
    """sum_j s_j f_k near a block, to second order, from ``sums`` G (q, q) and Cholesky's ``factor`` (d, d) there.

    ``both`` (p + s,) are a changed block and shared shape.
    """
    layout, n_dim = parts.layout, parts.n_dim
    block, shape = both[: layout.block_size], both[layout.block_size :] if layout.n_shared else both[layout.shapes]
    inverse = inverse_lower(parts.covariance.cholesky(shape, parts.floor))
    stretch = jnp.matmul(inverse, factor, precision="highest")
    shift = jnp.matmul(inverse, before[layout.centers] - block[layout.centers], precision="highest")
    square = jnp.matmul(stretch.T, stretch, precision="highest") - np.eye(n_dim, dtype=both.dtype)
    first = -jnp.matmul(shift, stretch, precision="highest")
    second = [-square[i, j] * (0.5 if i == j else 1.0) for i in range(n_dim) for j in range(i + 1)]
    change = jnp.concatenate([-0.5 * jnp.sum(shift**2)[None], first, jnp.stack(second)])
    moments = jnp.matmul(sums, change, precision="highest")
    total = sums[0, 0] + moments[0] + 0.5 * jnp.vdot(change, moments, precision="highest")
    return parts.amplitude.value(block[ALPHA]) * total


def _with_prior(problem: SurfaceProblem, params: Array, blocks: Blocks, exact: bool) -> Blocks:
    """Blocks plus the second derivatives of what a prior adds to the cost, or the squares of its rows' slopes."""
    if problem.penalty is None:
        return blocks
    parts = problem.parameterization
    if not exact:
        own, border = problem.penalty.slopes(parts, params)
        grams = jnp.einsum("kmp,kmq->kpq", own, own, precision="highest")
        return replace(
            blocks, own=blocks.own + grams, corner=blocks.corner + jnp.matmul(border.T, border, precision="highest")
        )
    layout, penalty = parts.layout, problem.penalty
    each, border = layout.blocks(params), params[layout.n_own :]

    def of_block(number: Array, block: Array) -> Array:
        changed = params.at[: layout.n_own].set(each.at[number].set(block).ravel())
        return half_square(penalty.rows(parts, changed).own[number])

    def of_border(vector: Array) -> Array:
        return half_square(penalty.rows(parts, params.at[layout.n_own :].set(vector)).border)

    own = jax.vmap(jax.hessian(of_block, argnums=1))(jnp.arange(layout.n_components), each)
    return replace(blocks, own=blocks.own + own, corner=blocks.corner + jax.hessian(of_border)(border))
