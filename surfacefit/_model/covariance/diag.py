"""Axis-parallel ellipsoids: one width per axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from ..._base.devices import namespace
from .base import above_floor, floors, for_each, positive


@register_dataclass
@dataclass(frozen=True)
class Diag:
    shared: bool = field(default=False, metadata={"static": True})

    def n_parameters(self, n_dim: int) -> int:
        return n_dim

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        widths = floors(floor, parameters) + positive(parameters)
        return widths[..., None] * for_each(np.eye(floor.shape[-1], dtype=widths.dtype), widths)

    def parameters(self, covariance: Any, floor: Any) -> Any:
        xp = namespace(covariance, floor)
        widths = xp.sqrt(xp.diagonal(covariance, axis1=-2, axis2=-1))
        return above_floor(widths, floors(floor, widths))
