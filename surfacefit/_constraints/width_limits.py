r"""Limits of the principal widths of full covariances, and of their ratio.

Widths are the singular values s_i = v_i^T F w_i of the Cholesky factor F in the user's units, with the gradients
grad s_i = v_i^T (dF) w_i. A step is projected by clipping them. A limit that is met, and beyond which the cost falls,
is an active constraint with the gradient as its normal: all else moves as if that width were fixed. A limit nearby is
active as well if -D^-1 g, in the solver's squared scales D, leads far beyond it, and the step then ends on it.
Otherwise every step would be cut, and a cut step need not lower the cost (Bertsekas, SIAM J. Control Optim. 20 (1982)
221, on sets of active limits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.devices import namespace
from .._base.precision import product
from .._model.block_layout import shape_numbers, with_shape_numbers
from .._model.covariance.base import for_each
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .active_constraints import ActiveConstraints, GroupConstraints
from .active_width_limits import (
    NEARBY_LIMIT,
    CandidateLimits,
    CostSlope,
    WidthFrame,
    active_limits,
    undetermined_changes,
    width_frame,
    with_fixed_angles,
)
from .bounds import Bounds

# Distance to a limit, in units of rounding of the width, up to which it counts as met: room for the rounding of a
# singular value and of what clipping makes of it.
AT_LIMIT_ROUNDINGS = 1e3


@register_dataclass
@dataclass(frozen=True)
class WidthLimits:
    """Limits on all principal widths of full covariances.

    scales (d,) : units of the coordinates, which lead to the user's units.
    low, high : least and largest width, in the user's units.
    aspect : largest ratio of two widths of a component, infinite for no limit.
    """

    scales: Any
    low: Any
    high: Any
    aspect: Any

    def clipped(self, parts: Parameterization, params: Any) -> Any:
        xp, shapes = namespace(params), shape_numbers(parts.layout, params)
        scales = for_each(self.scales, shapes)
        vectors, widths, _ = xp.linalg.svd(scales[:, :, None] * parts.covariance.cholesky(shapes, parts.floor))
        inside = xp.clip(widths, *self._limits(widths))
        roots = vectors * inside[:, None, :] / scales[:, :, None]
        covariances = product(roots, roots.swapaxes(1, 2))
        kept = xp.all(inside == widths, axis=1)[:, None]
        projected = xp.where(kept, shapes, parts.covariance.parameters(covariances, parts.floor))
        return with_shape_numbers(parts.layout, params, projected)

    def are_near(self, parts: Parameterization, params: np.ndarray, near: float) -> bool:
        """Whether a width or a ratio of any component comes within ``near`` of a limit, as a part of the width."""
        factors = parts.covariance.cholesky(shape_numbers(parts.layout, params), parts.floor)
        widths = np.linalg.svd(self.scales[:, None] * factors, compute_uv=False)
        low, high = self._limits(widths)
        return bool((widths <= (1 + near) * low).any() or (widths >= (1 - near) * high).any())

    def active_constraints(
        self, parts: Parameterization, params: Array, gradient: Array, scaling: Array | None = None, near: float = 0.0
    ) -> ActiveConstraints:
        """The active constraints at parameters (P,) with this gradient (P,).

        Active are limits that are met and that the negative gradient would cross. With the solver's squared scales
        ``scaling`` (P,) also limits nearby that the next step would cross.
        """
        near = max(near, AT_LIMIT_ROUNDINGS * float(np.finfo(params.dtype).eps))
        layout = parts.layout
        shapes, slopes = shape_numbers(layout, params), shape_numbers(layout, gradient)
        scales = jnp.full_like(shapes, jnp.inf) if scaling is None else shape_numbers(layout, scaling)
        found = jax.vmap(lambda shape, slope, scale: self._active(parts, shape, CostSlope(slope, scale, near)))(
            shapes, slopes, scales
        )
        if parts.covariance.shared:
            idle = _idle(parts.n_components, layout.block_size, found)
            return ActiveConstraints(
                idle,
                GroupConstraints(jnp.pad(found.normals, [(0, 0), (0, layout.n_background), (0, 0)]), found.gaps),
            )
        return ActiveConstraints(
            GroupConstraints(jnp.pad(found.normals, [(0, 0), (layout.shapes.start, 0), (0, 0)]), found.gaps),
            _idle(1, layout.n_border, found),
        )

    def _limits(self, widths: Any) -> tuple[Any, Any]:
        """The least and the largest value of each width (K, d), given the largest of a component."""
        xp = namespace(widths)
        largest = xp.clip(xp.max(widths, axis=1, keepdims=True), self.low, self.high)
        least = xp.maximum(self.low, largest / self.aspect)
        return xp.broadcast_to(least, widths.shape), xp.broadcast_to(self.high, widths.shape)

    def undetermined_changes(self, parts: Parameterization, params: Array, gradient: Array, near: float) -> Array:
        """Changes of each shape (K, s, m), or (1, s, m) of a shared one, that the data cannot determine at a limit."""

        def one(shape: Array, slope: Array) -> Array:
            frame, candidates, cost = self._frame_and_candidates(
                parts, shape, CostSlope(slope, jnp.full_like(shape, jnp.inf), near)
            )
            return undetermined_changes(active_limits(candidates, cost), candidates.holds, frame)

        return jax.vmap(one)(shape_numbers(parts.layout, params), shape_numbers(parts.layout, gradient))

    def _active(self, parts: Parameterization, shape: Array, cost: CostSlope) -> GroupConstraints:
        """The active constraints of one shape: unit normals (s, m) with their gaps (m,)."""
        frame, candidates, cost = self._frame_and_candidates(parts, shape, cost)
        return with_fixed_angles(active_limits(candidates, cost), candidates.holds, frame)

    def _frame_and_candidates(
        self, parts: Parameterization, shape: Array, cost: CostSlope
    ) -> tuple[WidthFrame, CandidateLimits, CostSlope]:
        factor, turn = self.scales[:, None] * parts.covariance.cholesky(shape, parts.floor), self.scales[:, None, None]
        slopes = turn * jax.jacfwd(lambda shape: parts.covariance.cholesky(shape, parts.floor))(shape)
        frame = width_frame(factor, slopes, cost, jnp.minimum(NEARBY_LIMIT, (self.aspect - 1) / 4))
        return frame, self._candidates(frame), cost

    def _candidates(self, frame: WidthFrame) -> CandidateLimits:
        widths, slopes = jnp.diag(frame.values), jnp.diagonal(frame.slopes)
        large, small = np.triu_indices(len(widths), 1)
        ratio = jnp.where(jnp.isfinite(self.aspect), self.aspect, 1.0)
        outward = jnp.concatenate([-slopes, slopes, slopes[:, large] - ratio * slopes[:, small]], axis=1)
        apart = jnp.where(jnp.isfinite(self.aspect), ratio * widths[small] - widths[large], jnp.inf)
        room = jnp.concatenate([widths - self.low, self.high - widths, apart])
        each = np.eye(len(widths), dtype=bool)
        holds = np.concatenate([each, each, each[large] | each[small]])
        return CandidateLimits(GroupConstraints(outward, room), jnp.append(jnp.tile(widths, 2), widths[large]), holds)


def width_limits(bounds: Bounds, covariance_type: str, scaling: Scaling) -> WidthLimits | None:
    """Limits that are no bounds of single parameters, as NumPy arrays; None where there are none."""
    if covariance_type not in ("full", "tied") or (bounds.widths is None and bounds.aspect is None):
        return None
    if covariance_type == "full" and len(scaling.point_scale) == 1:  # one width a component: a box holds it
        return None
    low, high = (0.0, math.inf) if bounds.widths is None else bounds.widths
    numbers = (max(float(low), 0.0), float(high), float(bounds.aspect or math.inf))
    if numbers == (0.0, math.inf, math.inf):
        return None
    return WidthLimits(np.asarray(scaling.point_scale), *(np.asarray(number) for number in numbers))


def _idle(count: int, size: int, like: GroupConstraints) -> GroupConstraints:
    return GroupConstraints(
        *(
            jnp.zeros(shape, like.gaps.dtype)
            for shape in ((count, size, like.gaps.shape[1]), (count, like.gaps.shape[1]))
        )
    )
