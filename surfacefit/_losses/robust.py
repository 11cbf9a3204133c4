r"""Losses that hardly feel outliers: C^2 rho((w (f - z) / C)^2) / 2, with a rho that grows ever more slowly.

As a square: with u = w (f - z) and s = (u / C)^2 the residual is r = u (rho(s) / s)^(1/2), whose derivative by u is
rho'(s) (s / rho(s))^(1/2). Definitions of rho and of C, there ``f_scale``, are those of `scipy.optimize.least_squares`;
so is the curvature rho' + 2 s rho'', kept positive (Triggs et al., Vision Algorithms, LNCS 1883 (2000) 298).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass


class Shape(NamedTuple):
    """Of rho at s >= 0: ``ratio`` rho(s) / s, ``slope`` rho'(s), and ``bend`` rho'(s) + 2 s rho''(s)."""

    ratio: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]


@register_dataclass
@dataclass(frozen=True)
class Robust:
    """A loss of this shape; ``scale`` C parts small misfits from large ones, in units of sigma."""

    scale: Any
    shape: Shape = field(metadata={"static": True})

    @property
    def known_errors(self) -> bool:
        return False

    def residuals(self, model: Array, heights: Array, weights: Array) -> Array:
        misfits = weights * (model - heights)
        return misfits * jnp.sqrt(self.shape.ratio(self._squares(misfits)))

    def slopes(self, model: Array, heights: Array, weights: Array) -> Array:
        squares = self._squares(weights * (model - heights))
        return weights * self.shape.slope(squares) / jnp.sqrt(self.shape.ratio(squares))

    def scores(self, model: Array, heights: Array, weights: Array) -> Array:
        misfits = weights * (model - heights)
        return weights * misfits * self.shape.slope(self._squares(misfits))

    def secants(self, model: Array, heights: Array, weights: Array) -> Array:
        return weights * jnp.sqrt(self.shape.ratio(self._squares(weights * (model - heights))))

    def information(self, model: Array, heights: Array, weights: Array) -> Array:
        bend = self.shape.bend(self._squares(weights * (model - heights)))
        return weights**2 * jnp.maximum(bend, np.finfo(model.dtype).eps)

    def scaled(self, shift: float, scale: float, cost_unit: float) -> Robust:
        return replace(self, scale=self.scale / np.sqrt(cost_unit))

    def _squares(self, misfits: Array) -> Array:
        return (misfits / jnp.asarray(self.scale, misfits.dtype)) ** 2
