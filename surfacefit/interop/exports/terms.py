"""The numbers of a surface as a formula has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._model.background import ConstantBackground, PlaneBackground, background_model
from ..._model.surface import GaussianSurface, inverse_lower


@dataclass(frozen=True, eq=False)
class Terms:
    """f(x) = value + slopes . (x - origin) + sum_k amplitudes_k exp(-|factors_k (x - centers_k)|^2 / 2).

    factors : (K, d, d) lower triangular; slopes and origin (d,) : None where the background is no plane.
    """

    amplitudes: np.ndarray
    centers: np.ndarray
    factors: np.ndarray
    value: float
    slopes: np.ndarray | None
    origin: np.ndarray | None

    @property
    def precisions(self) -> np.ndarray:
        """Inverses (K, d, d) of the covariances."""
        return np.asarray(self.factors.swapaxes(1, 2) @ self.factors)


def terms_of(surface: GaussianSurface) -> Terms:
    """The terms of a surface; ValueError where its background is a function, of which only the value is known."""
    amplitudes, centers, covariances = (
        np.asarray(array, float) for array in (surface.amplitudes, surface.centers, surface.covariances)
    )
    factors = inverse_lower(np.linalg.cholesky(covariances))
    background: Any = background_model(surface.background)
    if isinstance(background, PlaneBackground):
        slopes, origin = (np.asarray(array, float) for array in (background.slopes, background.origin))
        return Terms(amplitudes, centers, factors, float(background.value), slopes, origin)
    if isinstance(background, ConstantBackground):
        return Terms(amplitudes, centers, factors, float(background.value), None, None)
    if background.n_parameters:
        raise ValueError(
            "`surface.background` is a function of yours, whose source is not known: export"
            " surface.component(slice(None)), and add the background there"
        )
    return Terms(amplitudes, centers, factors, 0.0, None, None)
