"""Any symmetric positive definite covariance: d widths and d (d - 1) / 2 free off-diagonal entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from ..._base.devices import namespace
from .base import above_floor, floors, positive


@register_dataclass
@dataclass(frozen=True)
class Full:
    shared: bool = field(default=False, metadata={"static": True})

    def n_parameters(self, n_dim: int) -> int:
        return n_dim * (n_dim + 1) // 2

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        xp, n_dim = namespace(parameters, floor), floor.shape[-1]
        widths = floors(floor, parameters) + positive(parameters[..., :n_dim])
        zero = xp.zeros_like(parameters[..., :1])
        return xp.concatenate([widths, parameters[..., n_dim:], zero], axis=-1)[..., _places(n_dim)]

    def parameters(self, covariance: Any, floor: Any) -> Any:
        xp = namespace(covariance, floor)
        factors, lower = xp.linalg.cholesky(covariance), np.tril_indices(floor.shape[-1], -1)
        diagonal = xp.diagonal(factors, axis1=-2, axis2=-1)
        return xp.concatenate([above_floor(diagonal, floors(floor, diagonal)), factors[..., *lower]], axis=-1)


def _places(n_dim: int) -> np.ndarray:
    """Where each entry of the factor stands among the diagonal, the rows below it, and a zero at the end."""
    places = np.full((n_dim, n_dim), n_dim * (n_dim + 1) // 2)
    np.fill_diagonal(places, np.arange(n_dim))
    places[np.tril_indices(n_dim, -1)] = np.arange(n_dim, n_dim * (n_dim + 1) // 2)
    return places
