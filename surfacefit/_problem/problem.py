"""The problem that is fitted: an objective, and how far a step may go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._constraints.active_constraints import ActiveConstraints
from .._constraints.box import Box
from .._constraints.convolved import with_idle
from .._constraints.width_limits import WidthLimits
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import background_model
from .._model.covariance import COVARIANCE_TYPES
from .._model.covariance.base import GIVEN_EXCESS, LEAST_EXCESS
from .._model.parameters import Parameterization, surface_of
from .._model.step_lengths import floor_slopes, from_floor, near_floor, relative_change, within_extent
from .._model.surface import GaussianSurface
from .objective import SurfaceObjective

# Part of the mean scale of a kind of parameter that a component's own scale counts at least, without unit. Twelve cases
# gave a relative RMS of 0.2299 with 1e-3, 0.2334 with 1e-2 and 0.2337 with 0.1.
SCALING_FLOOR = 1e-3

# Of the least excess of a width over its floor: up to this the width counts as at the floor. Single precision rounds
# the free number there by a hundred-thousandth.
AT_FLOOR = 1.1


def positive_scaling(diagonal: Array, floor: Array) -> Array:
    """max(diagonal, floor), with 1 where both vanish."""
    largest = jnp.maximum(diagonal, floor)
    return jnp.where(largest > 0, largest, jnp.ones_like(largest))


@register_dataclass
@dataclass(frozen=True, eq=False)
class SurfaceProblem(SurfaceObjective):
    r"""Sum of Gaussians against heights: r_j = w_j (f(x_j) - z_j), or the residual of another loss, and below these the
    rows of a prior.

    The pure core under `surfacefit.fit`, for those who write JAX: a pytree of points (N, d), heights (N,), weights
    (N,) = 1 / sigma and a parameterisation, to be made by `from_start` and minimised by `surfacefit.solve`. Nothing is
    scaled or checked here: give points and heights of order one.
    """

    box: Box | None = None
    width_limits: WidthLimits | None = None

    @classmethod
    def from_start(
        cls,
        points: Array,
        heights: Array,
        start: GaussianSurface,
        *,
        sigma: Array | None = None,
        covariance_type: str = "full",
        amplitudes: str = "positive",
        min_width: Array | float = 1e-3,
    ) -> tuple[SurfaceProblem, Array]:
        """A problem on JAX arrays and the parameters of its start, for use under ``jit`` and ``vmap``.

        ``min_width`` is the smallest width, in the units of the points, as a number or one an axis. All is computed in
        the wider precision of points and heights. Axes have the periods of the start.

        >>> import jax, jax.numpy as jnp, surfacefit as sf
        >>> x = jnp.linspace(-3, 3, 61)[:, None]
        >>> start = sf.GaussianSurface(jnp.array([0.8]), jnp.array([[0.3]]), jnp.array([[[0.5]]]))
        >>> def fitted_center(z):
        ...     problem, params = sf.SurfaceProblem.from_start(x, z, start)
        ...     return problem.surface(sf.solve(problem, params, sf.LevenbergMarquardt()).params).centers[0, 0]
        >>> maps = jnp.stack([jnp.exp(-0.5 * (x[:, 0] - c) ** 2) for c in (-0.5, 0.0, 0.5)])
        >>> [round(float(c), 4) + 0.0 for c in jax.jit(jax.vmap(fitted_center))(maps)]
        [-0.5, 0.0, 0.5]
        """
        dtype = _common_float(jnp.asarray(points), jnp.asarray(heights))
        points, heights = jnp.asarray(points, dtype), jnp.asarray(heights, dtype)
        floor = jnp.broadcast_to(jnp.asarray(min_width, dtype), points.shape[1:])
        background = background_model(start.background)
        parameterization = Parameterization(
            floor=floor,
            background=background,
            n_active=jnp.asarray(start.n_components, dtype),
            covariance=COVARIANCE_TYPES[covariance_type],
            n_components=start.n_components,
            amplitude=AMPLITUDE_TYPES[amplitudes],
            periods=start.periods and tuple(p if p is None else jnp.asarray(p, dtype) for p in start.periods),
        )
        weights = jnp.ones_like(heights) if sigma is None else 1 / jnp.asarray(sigma, dtype)
        problem = cls(points, heights, weights, parameterization)
        return problem, parameterization.pack(start).astype(dtype)

    def scaling(self, params: Array, diagonal: Array) -> Array:
        """The diagonal, not below SCALING_FLOOR of its mean over the components for that kind of parameter.

        Without this floor components of nearly no height take giant steps, and every step is rejected. It falls with
        the slopes of widths near `min_width`, which could not leave it otherwise.
        """
        blocks, shared, background = self.parameterization.layout.split(diagonal)
        mean = blocks.sum(axis=0) / jnp.maximum(self.parameterization.n_active, 1).astype(diagonal.dtype)
        floor = jnp.broadcast_to(SCALING_FLOOR * mean, blocks.shape)
        border = jnp.zeros(shared.size + background.size, diagonal.dtype)
        slopes = floor_slopes(self.parameterization, params)
        return positive_scaling(diagonal, slopes**2 * concatenated([floor.ravel(), border]))

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        """The step inside the trust region: each component's part shortened to move it by at most ``reach`` widths.

        The step then ends inside the limits, and near enough to the data that nothing runs off to infinity.
        """
        change = relative_change(self.parameterization, params, step)
        factor = jnp.minimum(1.0, reach / jnp.maximum(change, np.finfo(step.dtype).tiny))
        blocks, shared, background = self.parameterization.layout.split(step)
        shortened = concatenated([(blocks * factor[:, None]).ravel(), shared * factor.min(), background])
        shortened = from_floor(self.parameterization, params, shortened)
        shortened = within_extent(self.parameterization, params, shortened, jnp.abs(self.points).max(initial=0))
        free = self.box is None and self.width_limits is None
        return shortened if free else self.projected(params + shortened) - params

    def projected(self, params: Any) -> Any:
        """The parameters (P,) moved onto the limits that they exceed."""
        inside = params if self.width_limits is None else self.width_limits.clipped(self.parameterization, params)
        return inside if self.box is None else self.box.clipped(self.parameterization, inside)

    def active_constraints(
        self, params: Array, gradient: Array, scaling: Array | None = None
    ) -> ActiveConstraints | None:
        """The limits of principal widths that hold at these parameters; None where no widths are limited."""
        if self.width_limits is None:
            return None
        return self.width_limits.active_constraints(self.parameterization, params, gradient, scaling)

    def at_bound(self, params: Any, gradient: Any, near: float = 0.0) -> Any:
        """Which parameters (P,) stand at a bound of the box, or widths at their floor, and would cross it; or are
        fixed. In a fit that has ended, a number counts as at a bound ``near`` it, in units of order one.
        """
        excess = AT_FLOOR * (GIVEN_EXCESS if near else LEAST_EXCESS)
        at_floor = (params <= near_floor(self.parameterization, excess)) & (gradient >= 0)
        at_floor = with_idle(self.parameterization, at_floor)
        if self.box is None:
            return at_floor
        return at_floor | self.box.at_bound(self.parameterization, params, gradient, near)

    def noise_variance(self, cost: Array) -> Array:
        """The known one, or 2 cost / (n - P) with n points of some weight and P parameters in use."""
        if self.variance is not None:
            return jnp.asarray(self.variance, cost.dtype)
        layout = self.parameterization.layout
        in_use = jnp.asarray(self.parameterization.n_active, cost.dtype) * layout.block_size + layout.n_border
        freedom = jnp.count_nonzero(self.weights).astype(cost.dtype) - in_use
        return jnp.where(freedom > 0, 2 * cost / jnp.maximum(freedom, 1), jnp.inf)

    def surface(self, params: Array) -> GaussianSurface:
        """The surface at the parameters (P,), in the units of the problem's points and heights."""
        return surface_of(self.parameterization, params)


def _common_float(*arrays: Array) -> Any:
    """The widest floating type among arrays, or JAX's own where there is none."""
    floating = [array.dtype for array in arrays if jnp.issubdtype(array.dtype, jnp.floating)]
    return jnp.result_type(float) if not floating else np.result_type(*floating)
