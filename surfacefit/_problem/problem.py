"""What a solver sees: residuals, cost, a linearisation, and how far a step may go.

A solver knows nothing of Gaussians. Any record with the methods of `Problem` will do; `SurfaceProblem` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.compile import concatenated
from .._constraints.active_constraints import ActiveConstraints
from .._constraints.box import Box
from .._constraints.prior import Penalty
from .._constraints.width_limits import WidthLimits
from .._engines.jacobian import DenseEngine, Engine, Jacobian, PenalizedJacobian
from .._losses import Linear, Loss
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.background import background_model
from .._model.covariance import COVARIANCE_TYPES
from .._model.parameters import Components, Parameterization
from .._model.step_lengths import relative_change, within_extent
from .._model.surface import GaussianSurface

SCALING_FLOOR = 1e-3


class Problem(Protocol):
    """A least-squares problem: minimise 1/2 |r(p)|^2 over parameters p (P,). Implementations are pytrees."""

    def residuals(self, params: Array) -> Array:
        """r(p) (N,)."""
        ...

    def linearize(self, params: Array) -> tuple[Array, Jacobian]:
        """r(p) and the operator J(p) = dr/dp."""
        ...

    def scaling(self, diagonal: Array) -> Array:
        """Squared scales (P,) of the parameters, positive, from the diagonal of J^T J."""
        ...

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        """The part of a step that moves nothing by more than ``reach`` of its own size."""
        ...

    def projected(self, params: Array) -> Array:
        """The nearest parameters that are allowed."""
        ...

    def at_bound(self, params: Array, gradient: Array) -> Array:
        """Which parameters (P,) stand at a limit that the negative gradient would cross."""
        ...

    def active_constraints(
        self, params: Array, gradient: Array, scaling: Array | None = None
    ) -> ActiveConstraints | None:
        """Directions that the step must leave alone, for limits that are no box; None where there are none.

        With ``scaling`` (P,) also of limits that are near, which the step is to reach.
        """
        ...

    def plan_is_valid(self, params: Array) -> Array:
        """Whether residuals may be asked for here, or the host must renew a plan first."""
        ...

    def rounding_cost(self) -> Array:
        """A cost so small that the residuals are mere rounding."""
        ...


def half_square(residuals: Array) -> Array:
    """Cost 1/2 |r|^2."""
    return 0.5 * jnp.vdot(residuals, residuals, precision="highest")


def positive_scaling(diagonal: Array, floor: Array) -> Array:
    """max(diagonal, floor), with 1 where both vanish."""
    largest = jnp.maximum(diagonal, floor)
    return jnp.where(largest > 0, largest, jnp.ones_like(largest))


@register_dataclass
@dataclass(frozen=True, eq=False)
class SurfaceProblem:
    r"""Sum of Gaussians against heights: r_j = w_j (f(x_j) - z_j), or the residual of another loss, and below these the
    rows of a prior.

    The pure core under `surfacefit.fit`, for those who write JAX: a pytree of points (N, d), heights (N,), weights
    (N,) = 1 / sigma and a parameterisation, to be made by `from_start` and minimised by `surfacefit.solve`. Nothing is
    scaled or checked here: give points and heights of order one.
    """

    points: Array
    heights: Array
    weights: Array
    parameterization: Parameterization
    engine: Engine = field(default_factory=DenseEngine)
    penalty: Penalty | None = None
    loss: Loss = field(default_factory=Linear)
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

        ``min_width`` is the smallest width, in the units of the points, as a number or one an axis.

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
        points, heights = jnp.asarray(points), jnp.asarray(heights)
        floor = jnp.broadcast_to(jnp.asarray(min_width, points.dtype), points.shape[1:])
        background = background_model(start.background)
        parameterization = Parameterization(
            floor=floor,
            background=background,
            n_active=jnp.asarray(start.n_components, floor.dtype),
            covariance=COVARIANCE_TYPES[covariance_type],
            n_components=start.n_components,
            amplitude=AMPLITUDE_TYPES[amplitudes],
        )
        weights = jnp.ones_like(heights) if sigma is None else 1 / jnp.asarray(sigma, heights.dtype)
        problem = cls(points, heights, weights, parameterization)
        return problem, parameterization.pack(start)

    def residuals(self, params: Array) -> Array:
        components = self.parameterization.components(params)
        model = self.engine.model(self.points, components)
        return self._with_rows(self.loss.residuals(model, self.heights, self.weights), params)

    def linearize(self, params: Array) -> tuple[Array, Jacobian]:
        components = self.parameterization.components(params)
        model = self.engine.model(self.points, components)
        residuals = self._with_rows(self.loss.residuals(model, self.heights, self.weights), params)
        return residuals, self._jacobian(params, components, self.loss.slopes(model, self.heights, self.weights))

    def informed(self, params: Array) -> Jacobian:
        """J whose J^T J is what the data say of the parameters: rows weighted by the loss' information."""
        components = self.parameterization.components(params)
        information = self.loss.information(self.engine.model(self.points, components), self.heights, self.weights)
        return self._jacobian(params, components, jnp.sqrt(information))

    def scores(self, params: Array) -> Jacobian:
        """J whose rows are the derivatives of the cost of each point."""
        components = self.parameterization.components(params)
        model = self.engine.model(self.points, components)
        slopes = self.loss.residuals(model, self.heights, self.weights) * self.loss.slopes(
            model, self.heights, self.weights
        )
        return self.engine.jacobian(self.points, slopes, components, self.parameterization.chain(params))

    def secants(self, params: Array) -> Array:
        """Weights (N,) of plain least squares of the same cost here."""
        model = self.engine.model(self.points, self.parameterization.components(params))
        return self.loss.secants(model, self.heights, self.weights)

    def _jacobian(self, params: Array, components: Components, weights: Array) -> Jacobian:
        jacobian = self.engine.jacobian(self.points, weights, components, self.parameterization.chain(params))
        if self.penalty is None:
            return jacobian
        return PenalizedJacobian(jacobian, *self.penalty.slopes(self.parameterization, params))

    def penalty_cost(self, params: Array) -> Array:
        """What the prior adds to the cost, 0 without one."""
        if self.penalty is None:
            return jnp.zeros((), params.dtype)
        return sum(
            (half_square(rows) for rows in self.penalty.rows(self.parameterization, params)),
            jnp.zeros((), params.dtype),
        )

    def _with_rows(self, residuals: Array, params: Array) -> Array:
        """Residuals (N,), and below them what a prior adds."""
        if self.penalty is None:
            return residuals
        own, border = self.penalty.rows(self.parameterization, params)
        return jnp.concatenate([residuals, own.ravel(), border])

    def scaling(self, diagonal: Array) -> Array:
        """The diagonal, not below a fraction of the mean over components of that kind of parameter.

        Without this floor nearly dead components take giant steps, and everything is rejected.
        """
        blocks, shared, background = self.parameterization.layout.split(diagonal)
        mean = blocks.sum(axis=0) / jnp.maximum(self.parameterization.n_active, 1).astype(diagonal.dtype)
        floor = jnp.broadcast_to(SCALING_FLOOR * mean, blocks.shape)
        border = jnp.zeros(shared.size + background.size, diagonal.dtype)
        return positive_scaling(diagonal, concatenated([floor.ravel(), border]))

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        """Each component's part of the step, shortened to move it by at most ``reach`` of its own widths; in reach and
        inside the box.
        """
        change = relative_change(self.parameterization, params, step)
        factor = jnp.minimum(1.0, reach / jnp.maximum(change, np.finfo(step.dtype).tiny))
        blocks, shared, background = self.parameterization.layout.split(step)
        shortened = concatenated([(blocks * factor[:, None]).ravel(), shared * factor.min(), background])
        shortened = within_extent(self.parameterization, params, shortened, jnp.abs(self.points).max(initial=0))
        free = self.box is None and self.width_limits is None
        return shortened if free else self.projected(params + shortened) - params

    def projected(self, params: Array) -> Array:
        inside = params if self.width_limits is None else self.width_limits.clipped(self.parameterization, params)
        return inside if self.box is None else self.box.clipped(self.parameterization, inside)

    def active_constraints(
        self, params: Array, gradient: Array, scaling: Array | None = None
    ) -> ActiveConstraints | None:
        return (
            None
            if self.width_limits is None
            else self.width_limits.active_constraints(self.parameterization, params, gradient, scaling)
        )

    def at_bound(self, params: Array, gradient: Array) -> Array:
        return (
            jnp.zeros(params.shape, bool)
            if self.box is None
            else self.box.at_bound(self.parameterization, params, gradient)
        )

    def plan_is_valid(self, params: Array) -> Array:
        return self.engine.plan_is_valid(self.parameterization.components(params))

    def rounding_cost(self) -> Array:
        """Residuals of four units in the last place of heights of order one."""
        eps = float(np.finfo(self.heights.dtype).eps)
        flat = jnp.zeros_like(self.heights)  # far from it an outlier's height is nothing that rounding could spoil
        met, unmet = (self.loss.slopes(model, self.heights, self.weights) for model in (self.heights, flat))
        slopes = jnp.minimum(met, unmet)
        return half_square(slopes * 4 * eps * jnp.maximum(1.0, jnp.abs(self.heights)))

    def surface(self, params: Array) -> GaussianSurface:
        """The surface at the parameters (P,), in the units of the problem's points and heights."""
        return self.parameterization.surface(params)
