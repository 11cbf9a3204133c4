"""The covariance of a fit's parameters as a root, and what it says of other numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array
from jax.flatten_util import ravel_pytree

from .._base.compile import plain_jit
from .._base.precision import precision
from .._engines.jacobian import DenseEngine
from .._model.block_layout import block_indices
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface, map_components
from .._model.units import to_physical
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .component_errors import LEAST, LOST, ComponentErrors

PIVOT = 1e-12
POINTS = 4096


@dataclass(frozen=True, eq=False)
class Root:
    """C = root root^T (P, P) from root (P, r); ``lost`` (P, q) spans what the data do not determine, or a limit
    holds.
    """

    root: np.ndarray
    lost: np.ndarray

    def errors(self, slopes: np.ndarray) -> np.ndarray:
        """Standard errors (M,) of numbers with slopes (M, P)."""
        sizes = np.linalg.norm(slopes, axis=1)
        gone = np.linalg.norm(slopes @ self.lost, axis=1) > LOST * np.maximum(sizes, np.finfo(float).tiny)
        unknown = gone | ~np.isfinite(slopes).all(axis=1)
        return np.where(unknown, np.inf, np.linalg.norm(slopes @ self.root, axis=1))

    def around(self, middle: np.ndarray) -> Root:
        """C M C for a middle (P, P) that may have lost some of its positivity to noise."""
        inner = self.root.T @ middle @ self.root
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return Root(self.root @ (vectors * np.sqrt(np.maximum(values, 0))), self.lost)

    def basis(self, rows: np.ndarray) -> np.ndarray:
        """Orthonormal columns (N, r) that span what rows (N, P) with N = rows^T rows can follow."""
        return rows @ self.root


@dataclass(frozen=True, eq=False)
class Reduced:
    """A normal matrix (r, r) in the ``basis`` (P, r) of what may move, scaled to order one."""

    matrix: np.ndarray
    basis: np.ndarray


def reduced(normal: np.ndarray, normals: np.ndarray, used: np.ndarray) -> Reduced:
    """Of a normal matrix (P, P) of ``used`` parameters (P,), without unit vectors ``normals`` (P, q)."""
    diagonal = np.diag(normal)
    least = max(np.finfo(float).eps ** 2 * float(diagonal[used].max(initial=0.0)), LEAST)
    scale = np.where(used, 1 / np.sqrt(np.where(diagonal > least, diagonal, 1.0)), 0.0)
    basis = np.diag(scale)[:, used]
    if normals.shape[1]:
        vectors, sizes, _ = np.linalg.svd(basis.T @ normals)
        basis = basis @ vectors[:, int(np.count_nonzero(sizes > 1e-8 * sizes.max())) :]
        basis[np.linalg.norm(basis, axis=1) < 1e-9 * scale] = 0.0  # rounding, of what is held
    return Reduced(basis.T @ normal @ basis, basis)


def inverse_root(normal: np.ndarray, normals: np.ndarray, used: np.ndarray, unknown: np.ndarray) -> Root:
    """Of the inverse of a normal matrix (P, P) of ``used`` parameters (P,), where it has one, without unit vectors
    ``normals`` (P, q).

    Changes ``unknown`` (P, m) are what these keep the data from telling. Its rows are scaled to a unit diagonal; what
    is then below rounding counts as not determined.
    """
    inner = reduced(normal, normals, used)
    factor = _factor(inner.matrix)
    if factor is not None:
        return Root(inner.basis @ scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True).T, unknown)
    values, vectors = np.linalg.eigh((inner.matrix + inner.matrix.T) / 2)
    known = values > len(values) * np.finfo(float).eps * max(values.max(initial=0.0), 1.0)
    lost = inner.basis @ vectors[:, ~known]
    lost = lost / np.maximum(np.linalg.norm(lost, axis=0), 1e-300)
    return Root(inner.basis @ vectors[:, known] / np.sqrt(values[known]), np.concatenate([unknown, lost], axis=1))


def _factor(scaled: np.ndarray) -> np.ndarray | None:
    """The Cholesky factor, if its pivots stand clear of rounding."""
    try:
        factor = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return None
    return factor if np.diag(factor).min(initial=1.0) ** 2 > PIVOT else None


@dataclass(frozen=True, eq=False)
class WholeCovariance:
    """From the whole matrix: ``root`` in the problem's units, ``unit`` the variance of a weighted residual there,
    ``fixed`` (P,).
    """

    prepared: Prepared
    params: Array
    root: Root
    unit: float
    fixed: np.ndarray

    @cached_property
    def components(self) -> ComponentErrors:
        """The blocks of each component, and of the background."""
        layout, count = self.prepared.problem.parameterization.layout, self._count
        own, border = block_indices(np.arange(count), layout.block_size), layout.n_own + np.arange(layout.n_border)
        shared = np.broadcast_to(border[layout.shared_shape], (count, layout.n_shared))
        index, rest = np.concatenate([own, shared], axis=1), border[layout.background]
        root = np.where(self.fixed[:, None], 0.0, self.root.root) * np.sqrt(self.unit)
        lost = np.where(self.fixed[:, None], 0.0, self.root.lost)
        blocks = np.matmul(root[index], root[index].swapaxes(1, 2))
        return ComponentErrors(self.prepared, self.params, blocks, lost[index], root[rest] @ root[rest].T, lost[rest])

    def of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        """In the structure of the function's answer."""
        try:
            return self._of(function)
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise TypeError(
                "`function` must be written with jax.numpy instead of numpy, so that JAX can take its derivatives"
            ) from error

    def _of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        with precision(np.dtype(np.float64)):
            errors = self.root.errors(self._slopes(function)) * np.sqrt(self.unit)
            example = jax.eval_shape(
                lambda p: function(_physical(self.prepared.problem, self.prepared.scaling, self._count, p)), self.params
            )
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, float), example)
            return jax.tree.map(np.asarray, ravel_pytree(zeros)[1](jnp.asarray(errors)))

    def matrix(self, function: Callable[[GaussianSurface], Array]) -> np.ndarray:
        """The covariance matrix of a function's numbers."""
        with precision(np.dtype(np.float64)):
            slopes = self._slopes(function)
        parts = slopes @ self.root.root * np.sqrt(self.unit)
        matrix = parts @ parts.T
        gone = ~np.isfinite(self.root.errors(slopes))
        matrix[gone, :] = matrix[:, gone] = 0.0
        matrix[gone, gone] = np.inf
        return matrix

    def band(self, points: np.ndarray) -> np.ndarray:
        """Errors (n,) of the surface at points (n, d)."""
        scaling, errors = self.prepared.scaling, np.empty(len(points))
        with precision(np.dtype(np.float64)):
            for first in range(0, len(points), POINTS):
                some = scaling.points(points[first : first + POINTS])
                padded = np.pad(some, [(0, POINTS - len(some)), (0, 0)], mode="edge") if len(points) > POINTS else some
                rows = np.where(
                    self.fixed, 0.0, np.asarray(_rows_at(self.prepared.problem, self.params, jnp.asarray(padded)))
                )
                errors[first : first + POINTS] = self.root.errors(rows[: len(some)])
        return errors * np.sqrt(self.unit) * scaling.height_scale

    @property
    def _count(self) -> int:
        return self.prepared.model.n_components

    def _slopes(self, function: Callable[[GaussianSurface], Any]) -> np.ndarray:
        slopes = np.asarray(
            _slopes_of(function, self._count, self.prepared.problem, self.prepared.scaling, self.params)
        )
        return np.where(self.fixed, 0.0, slopes)


def _physical(problem: SurfaceProblem, scaling: Scaling, count: int, params: Array) -> GaussianSurface:
    """The surface of the components in use, in the user's units."""
    inner = problem.surface(params)
    physical = to_physical(map_components(inner, lambda array: array[:count]), scaling)
    return jax.tree.map(jnp.asarray, physical)


@partial(plain_jit, static_argnums=(0, 1))
def _slopes_of(
    function: Callable[..., Any], count: int, problem: SurfaceProblem, scaling: Scaling, params: Array
) -> Array:
    return jax.jacfwd(lambda p: ravel_pytree(function(_physical(problem, scaling, count, p)))[0])(params)


@plain_jit
def _rows_at(problem: SurfaceProblem, params: Array, points: Array) -> Array:
    parts = problem.parameterization
    ones = jnp.ones(len(points), points.dtype)
    return DenseEngine().jacobian(points, ones, parts.components(params), parts.chain(params)).as_matrix()
