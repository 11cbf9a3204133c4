"""The plain engine: every component at every point, in chunks of points so that memory stays bounded.

In each chunk the columns G = w g_k Phi(u_k) of all components stand as the rows of one matrix, the few columns of
the background beside it; J = G T with the chain rule T, and J^T J = T^T (G^T G) T with one matrix product a chunk.
Nothing of size N x P is kept between operations: the exponentials cost far less than the products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from ..._linear.normal import DenseNormal
from ..._model.gaussian import profile
from ..._model.parameters import ChainRule, Components
from ..._model.surface import monomials, offsets_from, whitened_offsets
from ..._periodic.images import sum_over_images

# Numbers of monomial rows computed at once: 32 MB in double precision; large enough for one efficient product.
MONOMIALS_A_CHUNK = 2**22
# Points; the smallest chunk, so that very many components do not make the matrix products thin.
SMALLEST_CHUNK_POINTS = 256
# Error of an entry of J^T J, relative to its scale, that single precision keeps to.
SINGLE_PRECISION_ERROR = 1e-6
# Rows from which leaving out one of four products pays for putting the blocks together.
SYMMETRIC_FROM_ROWS = 128


class Unplanned:
    """An engine that needs no plan, so that none can become wrong."""

    @property
    def has_plan(self) -> bool:
        return False

    def plan_is_valid(self, components: Components) -> Array:
        return jnp.asarray(True)

    def curvature_is_valid(self, components: Components) -> Array:
        return jnp.asarray(True)


@register_dataclass
@dataclass(frozen=True)
class DenseEngine(Unplanned):
    """All components at all points. J^T J may be ``thinned``: taken from one point in so many, while costs and
    gradients are exact.

    For components some points wide, on even weights, sums over fewer are within some percent of the whole in nearly
    every direction of the parameters, along level valleys too, as combinations of the columns of J that nearly vanish
    also do so at the points left.
    """

    thinned: int = field(default=1, metadata={"static": True})

    def model(self, points: Array, components: Components) -> Array:
        chunk = _chunk_size(len(points), len(components.amplitudes))
        if chunk == len(points):
            return _heights(points, components) + components.background(points)
        heights = jax.lax.map(lambda some: _heights(some, components), _chunks(points, chunk))
        return heights.reshape(-1)[: len(points)] + components.background(points)

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> DenseJacobian:
        rows = chain.own.shape[0] * chain.own.shape[1]
        chunk = _chunk_size(len(points), rows)
        return DenseJacobian(
            _chunks(points, chunk), _chunks(weights, chunk), components, chain, len(points), self.thinned
        )


@register_dataclass
@dataclass(frozen=True, eq=False)
class DenseJacobian:
    """J of a sum of Gaussians, recomputed chunk by chunk: points (C, n, d), weights (C, n), zero where padded."""

    points: Array
    weights: Array
    components: Components
    chain: ChainRule
    n_points: int = field(metadata={"static": True})
    thinned: int = field(default=1, metadata={"static": True})

    def mv(self, vector: Array) -> Array:
        coefficients, background = self.chain.apply(vector)

        def product(chunk: tuple[Array, Array]) -> Array:
            rows, border = self._rows(*chunk)
            return _times(coefficients.ravel(), rows) + _times(background, border)

        return jax.lax.map(product, (self.points, self.weights)).reshape(-1)[: self.n_points]

    def rmv(self, residuals: Array) -> Array:
        moments, border = self._sum(lambda rows, border, r: (_times(rows, r), _times(border, r)), residuals)
        return self.chain.transpose(self._by_component(moments), border)

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[DenseNormal, Array]:
        def term(rows: Array, border: Array, r: Array) -> tuple[Array, ...]:
            some, edge = rows[:, :: self.thinned], border[:, :: self.thinned]
            return _gram(some, error), _times(some, edge.T), _times(edge, edge.T), _times(rows, r), _times(border, r)

        *products, moments, of_border = self._sum(term, residuals)
        gram, cross, corner = (self.thinned * product for product in products)
        half = self.chain.transpose(self._by_component(gram), cross.T).T
        across = self.chain.transpose(self._by_component(cross), corner)
        normal = self.chain.transpose(self._by_component(half), across.T)
        return DenseNormal(normal), self.chain.transpose(self._by_component(moments), of_border)

    def block_diagonal(self) -> tuple[Array, Array]:
        n_blocks, _, size = self.chain.own.shape
        if self.chain.shared.shape[2]:
            normal, _ = self.normal(jnp.zeros(self.n_points, self.weights.dtype))
            return diagonal_blocks(normal.matrix, n_blocks, size)

        def term(rows: Array, border: Array, _: Array) -> tuple[Array, Array]:
            own = self._by_component(rows)
            return jnp.einsum("kqn,krn->kqr", own, own, precision="highest"), _times(border, border.T)

        grams, border = self._sum(term, jnp.zeros(self.n_points, self.weights.dtype))
        return jnp.einsum("kqp,kqr,krs->kps", self.chain.own, grams, self.chain.own, precision="highest"), border

    def column_blocks(self, factors: Array) -> Array:
        def term(rows: Array, border: Array, factors: Array) -> Array:
            own = self._by_component(rows)
            return jnp.einsum("kqn,krn->kqr", factors * own, own, precision="highest")

        blocks: Array = self._sum(term, factors)
        return blocks

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def as_matrix(self) -> Array:
        def transposed(chunk: tuple[Array, Array]) -> Array:
            rows, border = self._rows(*chunk)
            return self.chain.transpose(self._by_component(rows), border).T

        matrix = jax.lax.map(transposed, (self.points, self.weights))
        return matrix.reshape(-1, matrix.shape[2])[: self.n_points]

    def _rows(self, points: Array, weights: Array) -> tuple[Array, Array]:
        """G^T at one chunk: monomial rows of the components (K q, n), and the background's rows (b, n)."""
        rows = monomial_rows(points, weights, self.components)
        return rows.reshape(-1, rows.shape[-1]), background_rows(points, weights, self.components)

    def _by_component(self, rows: Array) -> Array:
        """(K q, ...) -> (K, q, ...)."""
        return rows.reshape(*self.chain.own.shape[:2], *rows.shape[1:])

    def _sum(self, term: Callable[[Array, Array, Array], Any], residuals: Array) -> Any:
        """Sum over chunks of term(rows, background rows, residuals), a pytree of arrays."""
        chunks = (self.points, self.weights, _chunks(residuals, self.points.shape[1]))

        def at(points: Array, weights: Array, r: Array) -> Any:
            return term(*self._rows(points, weights), r)

        def add(total: Any, chunk: tuple[Array, ...]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, at(*chunk)), None

        first = at(*(chunk[0] for chunk in chunks))
        if len(self.points) == 1:
            return first
        return jax.lax.scan(add, first, tuple(chunk[1:] for chunk in chunks))[0]


@register_dataclass
@dataclass(frozen=True, eq=False)
class MatrixJacobian:
    """J held as a matrix (N, P): for problems that are no sum of Gaussians, and as the reference in tests."""

    matrix: Array
    n_blocks: int = field(default=0, metadata={"static": True})
    block_size: int = field(default=0, metadata={"static": True})

    def mv(self, vector: Array) -> Array:
        return jnp.matmul(self.matrix, vector, precision="highest")

    def rmv(self, residuals: Array) -> Array:
        return jnp.matmul(residuals, self.matrix, precision="highest")

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[DenseNormal, Array]:
        return DenseNormal(jnp.matmul(self.matrix.T, self.matrix, precision="highest")), self.rmv(residuals)

    def block_diagonal(self) -> tuple[Array, Array]:
        normal = jnp.matmul(self.matrix.T, self.matrix, precision="highest")
        return diagonal_blocks(normal, self.n_blocks, self.block_size)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self)

    def as_matrix(self) -> Array:
        return self.matrix


def diagonal_blocks(matrix: Array, n_blocks: int, size: int) -> tuple[Array, Array]:
    """Blocks (n_blocks, size, size) along the diagonal of a matrix, and the rest as one block."""
    index = np.arange(n_blocks)[:, None] * size + np.arange(size)
    blocks = matrix[index[:, :, None], index[:, None, :]]
    return blocks, matrix[n_blocks * size :, n_blocks * size :]


def monomial_rows(points: Array, weights: Array, components: Components) -> Array:
    """w g_k Phi(u_k) as rows (K, q, n), summed over images: points (n, d), weights (n,)."""

    def rows(offsets: list[Array]) -> Array:
        u = whitened_offsets(offsets, components.inverse_factors)
        g = weights * profile(sum(x * x for x in u))
        # One product with the stacked monomials: stacking products of g made XLA take the exponential once a row.
        return g[:, None] * jnp.stack(monomials(u), axis=1)

    offsets = offsets_from(points, components.centers)
    return rows(offsets) if components.images is None else sum_over_images(components.images, offsets, rows)


def background_rows(points: Array, weights: Array, components: Components) -> Array:
    """w db/dparameters as rows (b, n)."""
    background = components.background
    vector = background.vector().astype(weights.dtype)
    if vector.size == 0:
        return jnp.zeros((0, len(points)), weights.dtype)
    return jax.jacfwd(lambda v: weights * background.with_vector(v)(points))(vector).T


def _times(a: Array, b: Array) -> Array:
    """Matrix product in full precision: TF32 on a GPU would ruin the normal equations."""
    return jnp.matmul(a, b, precision="highest")


def _gram(rows: Array, error: Any) -> Array:
    """rows rows^T (m, m) of rows (m, n); in single precision, twice as fast, where so large an ``error`` is allowed."""
    if rows.dtype == jnp.float32:
        return _symmetric(rows)
    return jax.lax.cond(
        jnp.asarray(error) >= SINGLE_PRECISION_ERROR,
        lambda: _symmetric(rows.astype(jnp.float32)).astype(rows.dtype),
        lambda: _symmetric(rows),
    )


def _symmetric(rows: Array) -> Array:
    """rows rows^T, of many rows without the fourth of it that is there by symmetry."""
    if len(rows) < SYMMETRIC_FROM_ROWS:
        return _times(rows, rows.T)
    upper, lower = jnp.split(rows, [len(rows) // 2])
    across = _times(upper, lower.T)
    return jnp.block([[_times(upper, upper.T), across], [across.T, _times(lower, lower.T)]])


def _heights(points: Array, components: Components) -> Array:
    def profiles(offsets: list[Array]) -> Array:
        return jnp.asarray(profile(sum(x * x for x in whitened_offsets(offsets, components.inverse_factors))))

    offsets = offsets_from(points, components.centers)
    images = components.images
    values = profiles(offsets) if images is None else sum_over_images(images, offsets, profiles)
    return jnp.matmul(components.amplitudes, values, precision="highest")


def _chunk_size(n_points: int, n_rows: int) -> int:
    """Points a chunk: equal chunks of at most MONOMIALS_A_CHUNK numbers."""
    largest = max(SMALLEST_CHUNK_POINTS, MONOMIALS_A_CHUNK // max(n_rows, 1))
    n_chunks = -(-n_points // largest)
    return -(-n_points // n_chunks)


def chunk_numbers(n_points: int, n_rows: int) -> int:
    """Numbers in a chunk of so many rows of monomials."""
    return n_rows * _chunk_size(n_points, n_rows)


def _chunks(array: Array, size: int) -> Array:
    """(N, ...) -> (C, size, ...), padded with zeros, or with the last point."""
    missing = -len(array) % size
    mode = "edge" if array.ndim > 1 else "constant"
    padded = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1), mode=mode)
    return padded.reshape(-1, size, *array.shape[1:])
