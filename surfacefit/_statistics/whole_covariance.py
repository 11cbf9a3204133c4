"""Errors of any function of a fit, from the covariance of all parameters by the delta method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from .._base.compile import Program, plain_jit
from .._base.precision import precision
from .._engines.jacobian import DenseEngine
from .._model.block_layout import block_indices
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface, map_components
from .._model.units import to_physical
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .component_errors import ComponentErrors, component_slopes
from .covariance_root import CovarianceRoot, unit_slopes

# Points at which the surface's error is computed at once: their rows of the Jacobian take 8 P bytes a point, here 160
# MB for 5000 parameters; one compiled program serves any number of points.
BAND_POINTS = 4096
# Functions of a user whose derivatives stay compiled: those that a loop over fits asks for. Each new one, as a `lambda`
# in a loop is at every turn, takes 0.2 s and some 15 mappings of memory (`program_limits`).
COMPILED_FUNCTIONS = 8


@dataclass(frozen=True, eq=False)
class WholeCovariance:
    """The covariance of all parameters.

    prepared, params : the problem and its parameters (P,).
    root : the inverse of the normal matrix, in the units of the problem.
    deviation : what to multiply its root by: the standard deviation of a weighted residual in these units, or 1.
    fixed : (P,) which parameters are fixed.
    factor_slopes : d tril(L) / d shape (K, T, s) of the Cholesky factors.
    """

    prepared: Prepared
    params: np.ndarray
    root: CovarianceRoot
    deviation: float
    fixed: np.ndarray
    factor_slopes: np.ndarray

    @cached_property
    def components(self) -> ComponentErrors:
        """The blocks of the components and of the background."""
        layout, count = self.prepared.problem.parameterization.layout, self._count
        own, border = block_indices(np.arange(count), layout.block_size), layout.n_own + np.arange(layout.n_border)
        shared = np.broadcast_to(border[layout.shared_shape], (count, layout.n_shared))
        index, rest = np.concatenate([own, shared], axis=1), border[layout.background]
        root = np.where(self.fixed[:, None], 0.0, self.root.root) * self.deviation
        undetermined = np.where(self.fixed[:, None], 0.0, self.root.undetermined)
        with np.errstate(over="ignore", invalid="ignore"):  # errors whose squares are no numbers count as infinite
            return ComponentErrors(
                slopes=component_slopes(self.prepared, self.params, self.factor_slopes),
                blocks=np.matmul(root[index], root[index].swapaxes(1, 2)),
                undetermined=undetermined[index],
                background=root[rest] @ root[rest].T,
                background_undetermined=undetermined[rest],
            )

    def of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        """Standard errors of what a JAX function returns for the surface, in the structure of its answer."""
        with written_in_jax():
            return self._of(function)

    def _of(self, function: Callable[[GaussianSurface], Any]) -> Any:
        with precision(np.dtype(np.float64)):
            errors = self.root.errors(self._slopes(function)) * self.deviation
            example = jax.eval_shape(
                lambda p: function(physical_surface(self.prepared.problem, self.prepared.scaling, self._count, p)),
                self.params,
            )
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, float), example)
            return jax.tree.map(np.asarray, ravel_pytree(zeros)[1](jnp.asarray(errors)))

    def matrix(self, function: Callable[[GaussianSurface], Array]) -> np.ndarray:
        """Covariance matrix (M, M) of a function's numbers (M,); see `Uncertainty.matrix`."""
        with precision(np.dtype(np.float64)):
            slopes = self._slopes(function)
        parts = slopes @ self.root.root * self.deviation
        matrix = parts @ parts.T
        unknown = ~np.isfinite(self.root.errors(slopes))
        matrix[unknown, :] = matrix[:, unknown] = 0.0
        matrix[unknown, unknown] = np.inf
        return matrix

    def correlation(self, function: Callable[[GaussianSurface], Array]) -> np.ndarray:
        """Correlation matrix (M, M) of a function's numbers (M,); see `Uncertainty.correlation`."""
        with precision(np.dtype(np.float64)):
            slopes = self._slopes(function)
        errors = self.root.errors(slopes)
        sizes, parts = unit_slopes(unit_slopes(slopes)[1] @ self.root.root)
        inner = np.where((np.isfinite(errors) & (sizes > 0))[:, None], parts, 0.0)
        return np.where(np.eye(len(inner), dtype=bool), 1.0, inner @ inner.T)

    def band(self, points: np.ndarray) -> np.ndarray:
        """Standard errors (n,) of the surface at points (n, d) in the user's units."""
        scaling, errors = self.prepared.scaling, np.empty(len(points))
        with precision(np.dtype(np.float64)):
            for first in range(0, len(points), BAND_POINTS):
                some = scaling.points(points[first : first + BAND_POINTS])
                spare = BAND_POINTS - len(some) if len(points) > BAND_POINTS else 0
                padded = np.pad(some, [(0, spare), (0, 0)], mode="edge")
                rows = np.asarray(rows_at(self.prepared.problem, self.params, jnp.asarray(padded)))
                rows = np.where(self.fixed, 0.0, rows)
                errors[first : first + BAND_POINTS] = self.root.errors(rows[: len(some)], within_limits=True)
        return errors * self.deviation * scaling.height_scale

    @property
    def _count(self) -> int:
        return self.prepared.model.n_components

    def _slopes(self, function: Callable[[GaussianSurface], Any]) -> np.ndarray:
        slopes = _slopes_of(function, self._count)(self.prepared.problem, self.prepared.scaling, self.params)
        return np.where(self.fixed, 0.0, np.asarray(slopes))


@contextmanager
def written_in_jax() -> Iterator[None]:
    """A context in which a user's function is differentiated: TypeError where it leaves JAX."""
    try:
        yield
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise TypeError(
            "`function` must be written with jax.numpy instead of numpy, so that JAX can take its derivatives"
        ) from error


def physical_surface(problem: SurfaceProblem, scaling: Scaling, count: int, params: Array) -> GaussianSurface:
    """The surface of the components in use, in the user's units."""
    inner = problem.surface(params)
    physical = to_physical(map_components(inner, lambda array: array[:count]), scaling)
    return jax.tree.map(jnp.asarray, physical)


@lru_cache(maxsize=COMPILED_FUNCTIONS)
def _slopes_of(function: Callable[..., Any], count: int) -> Program:
    """The derivatives (M, P) of a function's numbers, as a program that goes where the function is forgotten."""

    def slopes(problem: SurfaceProblem, scaling: Scaling, params: Array) -> Array:
        return jax.jacfwd(lambda p: ravel_pytree(function(physical_surface(problem, scaling, count, p)))[0])(params)

    return plain_jit(slopes)


@plain_jit
def rows_at(problem: SurfaceProblem, params: Array, points: Array) -> Array:
    parts = problem.parameterization
    ones = jnp.ones(len(points), points.dtype)
    components = parts.components(params)
    return DenseEngine().jacobian(points, ones, components, parts.chain(params, components)).as_matrix()
