"""The contract between a problem and a solver: residuals, a linearisation, and how far a step may go.

A solver knows nothing of Gaussians. Any pytree with the methods of `Problem` can be minimised; `SurfaceProblem` is the
one of this package.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from .._constraints.active_constraints import ActiveConstraints
from .._engines.jacobian import Jacobian


class Problem(Protocol):
    """A least-squares problem: minimise 1/2 |r(p)|^2 over parameters p (P,). Implementations are pytrees."""

    def residuals(self, params: Array) -> Array:
        """r(p) (N,)."""
        ...

    def linearize(self, params: Array) -> tuple[Array, Jacobian]:
        """r(p) and the operator J(p) = dr/dp."""
        ...

    def scaling(self, params: Array, diagonal: Array) -> Array:
        """Squared scales (P,) of the parameters, positive, from the diagonal of J^T J at them."""
        ...

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        """The step shortened to the trust region: here a problem limits how far a step may go.

        ``reach`` is how far one step may move a component, in its own widths.
        """
        ...

    def projected(self, params: Array) -> Array:
        """The nearest parameters that are allowed."""
        ...

    def at_bound(self, params: Array, gradient: Array) -> Array:
        """Which parameters (P,) stand at a bound that the negative gradient would cross."""
        ...

    def active_constraints(
        self, params: Array, gradient: Array, scaling: Array | None = None
    ) -> ActiveConstraints | None:
        """Constraints that act on the next step, of limits that are no bounds of single parameters; None without such.

        With squared scales ``scaling`` (P,) also those of nearby limits, which the step is to meet exactly.
        """
        ...

    def plan_is_valid(self, params: Array) -> Array | bool:
        """Whether residuals may be asked for here, or the host must renew a plan first; True itself without plans."""
        ...

    def curvature_is_valid(self, params: Array) -> Array | bool:
        """Whether J^T J may be asked for here as well, with an error too small to mislead an undamped step."""
        ...

    def noise_variance(self, cost: Array) -> Any:
        """Variance s^2 of a residual where the cost is so large: infinite where there is none to measure by."""
        ...

    def is_exact(self, residuals: Array) -> Array:
        """Whether residuals (N,) are mere rounding, all of them."""
        ...

    def is_negligible(self, residuals: Array) -> Array:
        """Whether residuals (N,) are so small that no more is worth winning where the cost creeps."""
        ...


def half_square(residuals: Any) -> Array:
    """Cost 1/2 |r|^2 of residuals (N,), or of a record that takes their place and knows its ``cost``."""
    if hasattr(residuals, "cost"):
        return jnp.asarray(residuals.cost)
    return 0.5 * jnp.vdot(residuals, residuals, precision="highest")
