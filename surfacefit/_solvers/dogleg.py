r"""Powell's dogleg: the Gauss-Newton step, bent towards steepest descent where it leaves a trust region.

With the model and the metric D of `quadratic_steps`, the step of length |D^(1/2) h| <= Delta lies on the path from zero
to the Cauchy point h_C = -(v^T g / v^T J^T J v) v, v = D^-1 g, the lowest of the model along steepest descent, and from
there to the Gauss-Newton step h_GN = -(J^T J + nu D)^-1 g. It is h_GN itself where that is short enough, else the point
where the path leaves the region. Delta is halved where a step gains less than a quarter of what the model predicts, and
becomes at least three steps long where it gains more than three quarters. The small, fixed nu keeps h_GN from following
components that the data hardly determine.

References: Powell, A hybrid method for nonlinear equations, in Rabinowitz (ed.), Numerical Methods for Nonlinear
Algebraic Equations (1970) 87; Nocedal & Wright, Numerical Optimization, 2nd edition (2006), section 4.1; Madsen,
Nielsen & Tingleff, Methods for Non-Linear Least Squares Problems, 2nd edition (2004), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import positive_number
from .._base.devices import namespace
from .._constraints.active_constraints import ActiveConstraints
from .._linear.normal import Normal
from .._problem.base import Problem
from .quadratic_state import Outcome, QuadraticState
from .quadratic_steps import FIXED_DAMPING, GOOD_GAIN, QuadraticSteps, constrained_system

# Damping nu of the Gauss-Newton step relative to D: with less, its direction follows parameters that hardly matter
# (Jacksboro, K = 32, even start: 500 steps without any, 76 with 1e-3, to a lower RMSE).
NEWTON_DAMPING = 1e-3
# Parts of the parameters' length between which a first trust radius is sensible: the first step of a smaller one looks
# like convergence, and squares of a larger one end in infinity in single precision.
RADIUS_LIMITS = (1e-3, 1e3)
# Part of the predicted fall in cost below which the trust region shrinks, without unit: Powell's quarter.
POOR_GAIN = 0.25


class TrustRadius(NamedTuple):
    """Delta over |D^(1/2) p|, so that it keeps its meaning while D changes."""

    value: Array


@register_dataclass
@dataclass(frozen=True)
class Dogleg(QuadraticSteps):
    """Powell's dogleg: Gauss-Newton steps in a trust region, without a damping to find.

    Parameters
    ----------
    radius : first trust radius, as a part of the length of the parameters, in the metric of D.
    the rest : as in `LevenbergMarquardt`.

    >>> import surfacefit as sf
    >>> sf.Dogleg(max_steps=20).max_steps
    20
    """

    radius: Any = 1.0

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        radius, (least, most) = positive_number(f"{name}.radius", self.radius), RADIUS_LIMITS
        if not least <= radius <= most:
            raise ValueError(f"`{name}.radius` must be between {least:g} and {most:g}, got {self.radius!r}: 1 is usual")

    def _first_control(self, dtype: Any) -> TrustRadius:
        return TrustRadius(namespace(self.radius).asarray(self.radius, dtype))

    def _damping(self, state: QuadraticState) -> Array:
        return jnp.asarray(NEWTON_DAMPING, state.params.dtype)

    def _solved(
        self,
        problem: Problem,
        state: QuadraticState,
        normal: Normal,
        constraints: ActiveConstraints | None,
        scaling: Array,
    ) -> tuple[Array, Array]:
        system, gradient = constrained_system(state, normal, constraints, scaling)
        newton_damping = jnp.maximum(self._damping_now(state), normal.least_damping)
        damping = jnp.where(state.linearization.at_bound, FIXED_DAMPING, newton_damping)
        newton, trusted = system.solve(gradient, scaling, damping.astype(scaling.dtype))
        root = jnp.sqrt(scaling)
        size = jnp.linalg.norm(root * state.params)
        radius = state.control.value * jnp.where(size > 0, size, 1)
        cauchy = _cauchy_point(state, normal, constraints, scaling, radius)
        usable = trusted & jnp.all(jnp.isfinite(newton))
        newton = jnp.where(usable, newton, cauchy)
        step = jnp.where(state.watch.is_probing, newton, _dogleg(cauchy, newton, root, radius))
        return step, usable | ~state.watch.is_probing

    def _next_control(self, state: QuadraticState, outcome: Outcome) -> TrustRadius:
        radius, length = state.control.value, state.proposal.length
        is_good, is_fair = (outcome.actual >= part * outcome.predicted for part in (GOOD_GAIN, POOR_GAIN))
        grown = jnp.where(outcome.accepted & is_good, jnp.maximum(radius, 3 * length), radius)
        # A length that is NaN would make the radius NaN.
        shrunk = 0.5 * jnp.where(length < radius, length, radius)
        return TrustRadius(jnp.where(outcome.accepted & is_fair, grown, shrunk))


def _cauchy_point(
    state: QuadraticState, normal: Normal, constraints: ActiveConstraints | None, scaling: Array, radius: Array
) -> Array:
    """The lowest point of the model along -D^-1 g, of what no constraint holds; where the model has no lowest point
    there, because J^T J is wrong, the step as long as the trust radius.
    """

    def free(vector: Array) -> Array:
        return vector if constraints is None else constraints.tangential(vector)

    gradient = free(jnp.where(state.linearization.at_bound, 0, state.linearization.gradient))
    slope = free(gradient / scaling)
    curvature = jnp.vdot(slope, normal.mv(slope), precision="highest")
    fall = jnp.vdot(gradient, slope, precision="highest")
    lowest = fall / jnp.where(curvature > 0, curvature, 1)
    at_radius = radius / jnp.sqrt(jnp.where(fall > 0, fall, 1))
    return -jnp.where(curvature > 0, lowest, at_radius).astype(slope.dtype) * slope


def _dogleg(cauchy: Array, newton: Array, root: Array, radius: Array) -> Array:
    """Where the path from zero over the Cauchy point to the Gauss-Newton step leaves the trust region, or its end."""
    a, b = root * cauchy, root * (newton - cauchy)
    aa, ab, bb = (jnp.vdot(x, y, precision="highest") for x, y in ((a, a), (a, b), (b, b)))
    room = jnp.maximum(radius**2 - aa, 0)
    # The positive root of |a + t b| = radius, in the form that does not cancel.
    t = room / jnp.maximum(ab + jnp.sqrt(ab**2 + bb * room), np.finfo(aa.dtype).tiny)
    inside = cauchy + jnp.clip(t, 0, 1) * (newton - cauchy)
    return jnp.where(aa >= radius**2, radius / jnp.sqrt(jnp.where(aa > 0, aa, 1)) * cauchy, inside)
