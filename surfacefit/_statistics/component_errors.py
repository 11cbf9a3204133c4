"""Standard errors of numbers that depend on one component each, from that component's block of the covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from .._base.compile import plain_jit
from .._base.precision import precision
from .._model.background import NoBackground
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .._model.surface import GaussianSurface, map_components
from .._model.units import to_physical
from .._problem.prepared import Prepared
from .covariance_root import UNDETERMINED_SHARE


@dataclass(frozen=True, eq=False)
class ComponentErrors:
    """Covariances of each component's parameters, and of the background's, without those between components.

    prepared, params : the problem and its parameters (P,).
    blocks : (K, m, m) for each component's block and the shape that all share.
    undetermined : (K, m, q) directions that the data do not determine, or that a limit holds.
    background, background_undetermined : (b, b) and (b, q), the same for the background.
    """

    prepared: Prepared
    params: Array
    blocks: np.ndarray
    undetermined: np.ndarray
    background: np.ndarray
    background_undetermined: np.ndarray

    def surface(self) -> GaussianSurface:
        """Standard errors of the surface's own numbers, in its structure and the user's units."""
        amplitudes, centers, covariances = (
            self.by_component(number) for number in (_amplitudes, _centers, _covariances)
        )
        return GaussianSurface(amplitudes, centers, covariances, self._background())

    def by_component(self, function: Callable[[GaussianSurface], Array]) -> np.ndarray:
        """Standard errors of numbers (K, ...), each of which depends on its own component only."""
        with precision(np.dtype(np.float64)):
            parts, count = self.prepared.problem.parameterization, self.prepared.model.n_components
            blocks, shared, _ = parts.layout.split(self.params)
            joint = jnp.concatenate([blocks[:count], jnp.broadcast_to(shared, (count, shared.size))], axis=1)
            slopes = np.asarray(
                _slopes(
                    function, replace(parts, n_components=1, n_active=jnp.asarray(1.0)), self.prepared.scaling, joint
                )
            )
        shape = slopes.shape[1:-1]
        flat = slopes.reshape(count, int(np.prod(shape)), slopes.shape[-1])
        variances = np.einsum("knp,kpq,knq->kn", flat, self.blocks, flat, optimize=True)
        return _errors(flat, variances, self.undetermined).reshape(count, *shape)

    def _background(self) -> Any:
        if not len(self.background):
            return None
        with precision(np.dtype(np.float64)):
            parts, scaling = self.prepared.problem.parameterization, self.prepared.scaling
            vector = parts.layout.split(self.params)[2]

            def physical(vector: Array) -> Any:
                return jax.tree.map(jnp.asarray, parts.background.with_vector(vector).to_physical(scaling))

            slopes = np.asarray(jax.jacfwd(lambda v: ravel_pytree(physical(v))[0])(vector))
            variances = np.einsum("np,pq,nq->n", slopes, self.background, slopes)
            errors = _errors(slopes[None], variances[None], self.background_undetermined[None])[0]
            return jax.tree.map(np.asarray, ravel_pytree(physical(vector))[1](jnp.asarray(errors)))


def _errors(slopes: np.ndarray, variances: np.ndarray, undetermined: np.ndarray) -> np.ndarray:
    """Square roots of variances (K, n) of numbers with slopes (K, n, m); infinite where these meet undetermined
    directions (K, m, q).
    """
    sizes = np.maximum(np.linalg.norm(slopes, axis=2), np.finfo(float).tiny)
    shares = np.linalg.norm(np.matmul(slopes, undetermined), axis=2)
    unknown = (shares > UNDETERMINED_SHARE * sizes) | ~np.isfinite(slopes).all(axis=2) | ~np.isfinite(variances)
    return np.where(unknown, np.inf, np.sqrt(np.maximum(variances, 0, where=~unknown, out=np.zeros_like(variances))))


def _amplitudes(surface: GaussianSurface) -> Array:
    return surface.amplitudes


def _centers(surface: GaussianSurface) -> Array:
    return surface.centers


def _covariances(surface: GaussianSurface) -> Array:
    return surface.covariances


@partial(plain_jit, static_argnums=(0,))
def _slopes(
    function: Callable[[GaussianSurface], Array], alone: Parameterization, scaling: Scaling, joint: Array
) -> Array:
    """Derivatives (K, ..., m) of a function's numbers, one component at a time: joint (K, m)."""
    single = replace(alone, background=NoBackground())

    def number(own: Array) -> Array:
        surface = to_physical(single.surface(own), scaling)
        return function(replace(map_components(surface, jnp.asarray), background=None))[0]

    return jax.vmap(jax.jacfwd(number))(joint)
