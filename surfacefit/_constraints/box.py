"""Limits and fixed parameters as a box in the parameters of a fit.

A box keeps each free number between a lower and an upper limit; for a fixed number both equal its start. A solver
projects its steps into the box. It does not move a number at a bound while the negative gradient points outside
(`Box.at_bound`); this is decided anew at each step, so nothing sticks to a bound.

Bertsekas, SIAM J. Control Optim. 20 (1982) 221.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._base.devices import namespace
from .._model.background import BackgroundModel
from .._model.block_layout import ALPHA
from .._model.covariance.base import positive_inverse
from .._model.parameters import Parameterization
from .._model.scaling import Scaling
from .bounds import Bounds
from .containment import Region
from .convolved import Convolved

# Distance to a bound, in units of rounding of a number of order one, at which a solver takes it as met: a few, since
# clipping gives the bound itself and only the units in between round.
BOUND_ROUNDINGS = 8
# Distance to a bound, in units of order one, at which a fit that has ended counts as at the bound, in double
# precision: the digits to which fits end, that is about the root of the rounding.
DOUBLE_BOUND_TOLERANCE = 1e-7
# The same in single precision.
SINGLE_BOUND_TOLERANCE = 2e-4


def _size(side: Any) -> Any:
    """|side|, 0 where there is no limit: infinity less infinity is a warning on the host."""
    xp = namespace(side)
    return xp.abs(xp.where(xp.isfinite(side), side, 0))


@register_dataclass
@dataclass(frozen=True, eq=False)
class Box:
    """Least and largest values of the components' own parameters (1, p) or (K, p), and of the border's (s + b,)."""

    low: Any
    high: Any
    border_low: Any
    border_high: Any

    def clipped(self, parts: Parameterization, params: Any) -> Any:
        return namespace(params).clip(params, *self.sides(parts))

    def at_bound(self, parts: Parameterization, params: Any, gradient: Any, near: float = 0.0) -> Any:
        """Which parameters (P,) are at a bound that the negative gradient would cross, or are fixed."""
        (low, high), xp = self.sides(parts), namespace(params, self.low)
        eps = max(near, BOUND_ROUNDINGS * float(np.finfo(params.dtype).eps))
        near_low, near_high = (eps * xp.minimum(xp.maximum(1, _size(side)), high - low) for side in (low, high))
        at_low, at_high = params <= low + near_low, params >= high - near_high
        return (at_low & (gradient >= 0)) | (at_high & (gradient <= 0)) | (low == high)

    def nearest_bounds(self, parts: Parameterization, params: Any) -> Any:
        """The nearer bound of each parameter (P,)."""
        (low, high), xp = self.sides(parts), namespace(params, self.low)
        return xp.where(params - low <= high - params, low, high)

    def fixing(self, parts: Parameterization, params: Any, fixed: dict[str, Any]) -> Box:
        """The box with both limits of everything fixed set to the parameters (P,)."""
        own, border = fixed_masks(fixed, parts)
        layout = parts.layout
        blocks, rest = np.asarray(layout.blocks(params)), np.asarray(params)[layout.n_own :]
        sides = [np.where(own, blocks, side) for side in (self.low, self.high)]
        return Box(*sides, *(np.where(border, rest, side) for side in (self.border_low, self.border_high)))

    def some(self, which: Any) -> Box:
        """The box of some components (k,), given by their numbers."""
        low, high = (side if len(side) == 1 else side[which] for side in (self.low, self.high))
        return Box(low, high, self.border_low, self.border_high)

    def sides(self, parts: Parameterization) -> list[Any]:
        """Least and largest values of all parameters (P,)."""
        shape, xp = (parts.n_components, parts.layout.block_size), namespace(self.low)
        pairs = ((self.low, self.border_low), (self.high, self.border_high))
        return [concatenated([xp.broadcast_to(own, shape).ravel(), border]) for own, border in pairs]


def bound_tolerance(dtype: Any) -> float:
    """How near a bound, in units of order one, a number counts as at the bound after a fit in that precision."""
    return DOUBLE_BOUND_TOLERANCE if np.dtype(dtype) == np.float64 else SINGLE_BOUND_TOLERANCE


def fixed_masks(fixed: dict[str, Any], parts: Parameterization) -> tuple[np.ndarray, np.ndarray]:
    """Which parameters are fixed, of the components (1, p) or (K, p) with room, and of the border (s + b,)."""
    n_rows = parts.n_components if any(np.ndim(mask) for name, mask in fixed.items() if name != "background") else 1
    layout = parts.layout
    own, border = np.zeros((n_rows, layout.block_size), bool), np.zeros(layout.n_border, bool)
    columns: dict[str, Any] = {"amplitudes": [ALPHA], "centers": layout.centers, "covariances": layout.shapes}
    for name, mask in fixed.items():
        if not np.any(mask):
            continue
        if name == "background":
            border[layout.background] = True
        elif name == "covariances" and parts.covariance.shared:
            border[layout.shared_shape] = True
        else:
            rows = np.zeros(n_rows, bool)
            rows[: len(mask) if np.ndim(mask) else n_rows] = mask
            own[:, columns[name]] |= rows[:, None]
    return own, border


def contained(limits: Box, region: Region, bounds: Bounds, parts: Parameterization, scaling: Scaling) -> Box:
    """The limits (in NumPy) with those of a region, for what ``bounds`` do not limit."""
    layout, shared = parts.layout, parts.covariance.shared
    own, borders = (limits.low, limits.high), (limits.border_low, limits.border_high)
    for n, (side, border) in enumerate(zip(own, borders, strict=True)):
        if bounds.centers is None:
            side[:, layout.centers] = scaling.points((region.low, region.high)[n])
        if bounds.widths is None:
            shape = border[layout.shared_shape] if shared else side[:, layout.shapes]
            shape[...] = _factor_limits(parts, region.widest / scaling.point_scale)[n]
    return limits


def narrowed(limits: Box, region: Region, parts: Parameterization, scaling: Scaling) -> Box:
    """The limits (in NumPy), with no width above that of a region, whatever bounds say."""
    layout, shared = parts.layout, parts.covariance.shared
    least, most = _factor_limits(parts, region.widest / scaling.point_scale)
    for side, border, end, nearer in (
        (limits.low, limits.border_low, least, np.maximum),
        (limits.high, limits.border_high, most, np.minimum),
    ):
        shape = border[layout.shared_shape] if shared else side[:, layout.shapes]
        shape[...] = nearer(shape, end)
    return limits


def _factor_limits(parts: Parameterization, widest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the free numbers (s,) of a shape: no entry of the Cholesky factor's row i above ``widest`` (d,) of i.

    The deviation along an axis is the length of that row.
    """
    if isinstance(parts.covariance, Convolved):
        return parts.covariance.limits(widest)
    size, floor = parts.covariance.n_parameters(parts.n_dim), np.asarray(parts.floor, float)
    if size < parts.n_dim:
        widest, floor = widest.min(keepdims=True), floor.max(keepdims=True)
    diagonal = positive_inverse(np.maximum(widest - floor, floor))
    below = widest[np.tril_indices(parts.n_dim, -1)[0]] if size > parts.n_dim else np.zeros(0)
    return np.concatenate([np.full(len(diagonal), -np.inf), -below]), np.concatenate([diagonal, below])


def box(bounds: Bounds, parts: Parameterization, scaling: Scaling, background: BackgroundModel) -> Box:
    """The limits in the parameters of a fit, in NumPy; ``background`` is the user's."""
    room, layout = parts.n_components, parts.layout
    n_rows = room if max(np.ndim(side) for side in bounds.amplitudes or (0,)) == 1 or _rank(bounds.centers) == 2 else 1
    own = [np.full((n_rows, layout.block_size), end) for end in (-np.inf, np.inf)]
    for n, side in enumerate(own):
        if bounds.amplitudes is not None:
            _limit_amplitudes(side, bounds.amplitudes[n], parts, scaling)
        if bounds.centers is not None:
            inner = (bounds.centers[n] - scaling.point_shift) / scaling.point_scale
            side[: len(inner) if np.ndim(inner) == 2 else None, layout.centers] = inner
        if bounds.widths is not None and _has_width_parameters(parts):
            _limit_widths(side, bounds.widths[n], parts, scaling)
    return Box(*own, *(_border(bounds, parts, scaling, background, n) for n in (0, 1)))


def _limit_amplitudes(side: np.ndarray, limits: Any, parts: Parameterization, scaling: Scaling) -> None:
    """Writes the free numbers of amplitudes at their limits into one side (1, p) or (K, p) of a box."""
    values = np.atleast_1d(limits) / scaling.height_scale
    some = np.isfinite(values) & (parts.amplitude.signed | (values > 0))
    free = np.where(
        some,
        parts.amplitude.free(np.where(some, values, 1.0)),
        np.copysign(np.inf, side[0, ALPHA]),
    )
    side[: len(values) if len(values) > 1 else None, ALPHA] = free


def _has_width_parameters(parts: Parameterization) -> bool:
    """Whether the parameters of a shape are its widths, so that a box can limit them."""
    return not parts.covariance.shared and parts.covariance.n_parameters(parts.n_dim) <= parts.n_dim


def _limit_widths(side: np.ndarray, limit: Any, parts: Parameterization, scaling: Scaling) -> None:
    """Writes the free numbers of widths at their limit into one side (1, p) or (K, p) of a box."""
    size, floor = parts.covariance.n_parameters(parts.n_dim), np.asarray(parts.floor)
    floor = floor if size == parts.n_dim else floor.max()
    above = limit / scaling.point_scale[:size] - floor
    some = np.isfinite(above) & (above > 0)
    free = np.where(some, positive_inverse(np.where(some, above, 1.0)), np.copysign(np.inf, side[0, -1]))
    side[:, parts.layout.shapes] = free


def _border(
    bounds: Bounds, parts: Parameterization, scaling: Scaling, background: BackgroundModel, side: int
) -> np.ndarray:
    open_end = (-np.inf, np.inf)[side]
    size = background.n_parameters
    if bounds.background is None:
        inner = np.full(size, open_end)
    else:
        values = bounds.background[side]
        if np.ndim(values) and np.shape(values) != (size,):
            raise ValueError(f"`bounds.background` must be numbers or have shape ({size},), got {np.shape(values)}")
        values = np.broadcast_to(values, (size,))
        some = np.isfinite(values)
        moved = background.with_vector(np.where(some, values, 0.0)).to_internal(scaling).vector()
        inner = np.where(some, moved, open_end)
    return np.concatenate([np.full(parts.layout.n_shared, open_end), inner])


def _rank(pair: Any) -> int:
    return 0 if pair is None else max(np.ndim(side) for side in pair)


def n_fixed(fixed: dict[str, Any], parts: Parameterization, n_components: int) -> int:
    """How many parameters of a model with so many components are fixed; without any there is no shape to share."""
    own, border = fixed_masks(fixed, parts)
    border = border if n_components else border[parts.layout.background]
    rows = np.broadcast_to(own, (max(n_components, len(own)), own.shape[1]))[:n_components]
    return int(rows.sum() + border.sum())
