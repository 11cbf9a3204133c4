"""Balls: one width for all axes (`_model/scaling` scales all axes alike for this type)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from ..._base.devices import namespace
from .base import above_floor, floors, for_each, positive


@register_dataclass
@dataclass(frozen=True)
class Spherical:
    shared: bool = field(default=False, metadata={"static": True})

    def n_parameters(self, n_dim: int) -> int:
        return 1

    def cholesky(self, parameters: Any, floor: Any) -> Any:
        widths = floors(floor.max(axis=-1, keepdims=True), parameters) + positive(parameters)
        return widths[..., None] * for_each(np.eye(floor.shape[-1], dtype=floor.dtype), parameters)

    def parameters(self, covariance: Any, floor: Any) -> Any:
        xp = namespace(covariance, floor)
        widths = xp.sqrt(xp.trace(covariance, axis1=-2, axis2=-1) / floor.shape[-1])[..., None]
        return above_floor(widths, floors(floor.max(axis=-1, keepdims=True), widths))
