"""Standard errors of numbers that depend on one component each, from that component's block of the covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._model.surface import GaussianSurface
from .component_slopes import ComponentSlopes
from .covariance_root import UNDETERMINED_SHARE


@dataclass(frozen=True, eq=False)
class ComponentErrors:
    """Covariances of each component's parameters, and of the background's, without those between components.

    slopes : derivatives of the numbers by these parameters.
    blocks : (K, m, m) for each component's block and the shape that all share.
    undetermined : (K, m, q) directions that the data do not determine, or that a limit holds.
    background, background_undetermined : (b, b) and (b, q), the same for the background.
    """

    slopes: ComponentSlopes
    blocks: np.ndarray
    undetermined: np.ndarray
    background: np.ndarray
    background_undetermined: np.ndarray

    def surface(self) -> GaussianSurface:
        """Standard errors of the surface's own numbers, in its structure and the user's units."""
        slopes = self.slopes
        amplitudes, centers, covariances = (
            self.by_component(number) for number in (slopes.amplitudes, slopes.centers, slopes.covariances)
        )
        return GaussianSurface(amplitudes, centers, covariances, self._background())

    def by_component(self, slopes: np.ndarray) -> np.ndarray:
        """Standard errors (K, ...) of numbers with derivatives (K, ..., m) by their own component's parameters."""
        flat = slopes.reshape(len(slopes), int(np.prod(slopes.shape[1:-1])), slopes.shape[-1])
        variances = np.einsum("knp,kpq,knq->kn", flat, self.blocks, flat, optimize=True)
        return _errors(flat, variances, self.undetermined).reshape(slopes.shape[:-1])

    def _background(self) -> Any:
        if not len(self.background):
            return None
        slopes = self.slopes.background
        variances = np.einsum("np,pq,nq->n", slopes, self.background, slopes)
        errors = _errors(slopes[None], variances[None], self.background_undetermined[None])[0]
        return self.slopes.background_zero.with_vector(errors)


def _errors(slopes: np.ndarray, variances: np.ndarray, undetermined: np.ndarray) -> np.ndarray:
    """Square roots of variances (K, n) of numbers with slopes (K, n, m); infinite where these meet undetermined
    directions (K, m, q).
    """
    sizes = np.maximum(np.linalg.norm(slopes, axis=2), np.finfo(float).tiny)
    shares = np.linalg.norm(np.matmul(slopes, undetermined), axis=2)
    unknown = (shares > UNDETERMINED_SHARE * sizes) | ~np.isfinite(slopes).all(axis=2) | ~np.isfinite(variances)
    return np.where(unknown, np.inf, np.sqrt(np.maximum(variances, 0, where=~unknown, out=np.zeros_like(variances))))
