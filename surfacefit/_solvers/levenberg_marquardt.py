r"""Levenberg-Marquardt.

At parameters p with residuals r and Jacobian J each step solves

    (J^T J + mu D) h = -J^T r,         D = diag(J^T J), floored by the problem.

The damping mu follows Nielsen's rule from the gain rho, the fall in cost over the fall that the quadratic model
predicts: mu <- mu max(1/3, 1 - (2 rho - 1)^3) after success and mu <- mu nu, nu <- 2 nu after failure. It reacts
smoothly where factors of ten overshoot. Everything else about a step is in `quadratic_steps`.

References: Marquardt, SIAM J. Appl. Math. 11 (1963) 431; Moré, Lecture Notes in Mathematics 630 (1978) 105;
Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, Technical University of Denmark.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._base.checks import one_of, positive_number
from .._base.devices import namespace
from .._constraints.active_constraints import ActiveConstraints
from .._linear.linear_solve import solve_qr
from .._linear.normal import DenseNormal, Normal
from .._problem.base import Problem
from .quadratic_state import Outcome, QuadraticState
from .quadratic_steps import FIXED_DAMPING, QuadraticSteps, constrained_system

# Entries of J, points times parameters, up to which a fit may go on by QR, which holds J and some copies of it: 2^25
# doubles are 256 MiB each.
LARGEST_QR = 2**25


class Damping(NamedTuple):
    """Nielsen's damping mu, and the factor nu by which it grows at the next failure."""

    value: Array
    growth: Array


@register_dataclass
@dataclass(frozen=True)
class LevenbergMarquardt(QuadraticSteps):
    r"""Levenberg-Marquardt with Nielsen's damping: the right choice in nearly every fit.

    Parameters
    ----------
    max_steps : limit on steps, accepted or not.
    ftol : stop when a full step lowers the cost by less than this fraction, as predicted and in fact.
    xtol : stop when a step changes the parameters by less than this fraction, in the metric of D.
    gtol : stop when no column of the Jacobian makes a larger cosine than this with the residuals.
    slack, patience : stop when ``patience`` steps (rounded up to a multiple of 4) together lower the cost by less than
        the fraction ``slack``, and the minimum is near (``distance``). ``slack=0`` ends no fit so.
    distance : how far the minimum may be where a fit ends by `slack` or `xtol`, in standard errors of the parameters
        together: d = sqrt(g^T N^-1 g) / s, with gradient g, N = J^T J and s^2 the variance of a residual. The fall of
        chi2 / s^2 that the quadratic model still promises is d^2. Where d stays larger although chi2 / s^2 has fallen
        by less than 0.1 in `patience` steps, the fit ends as VALLEY. Infinity asks nothing.
    damping : initial mu.
    reach : how far a step may move a component, in its own widths: at first and at least, and at most. It doubles while
        the linear model holds (gain above 3/4) and halves where a step fails.
    method : "cholesky" on the normal equations, which hands over to "qr" where they are too ill-conditioned.

    `ftol`, `xtol` and `gtol` mean what they mean in MINPACK; below the rounding of the dtype they have no effect, and
    `slack` ends most fits before them. The method and its sources are in the module's text.

    >>> import surfacefit as sf
    >>> sf.LevenbergMarquardt(max_steps=20).max_steps
    20
    """

    damping: Any = 0.1
    method: str = field(default="cholesky", metadata={"static": True})

    @property
    def fallback(self) -> LevenbergMarquardt | None:
        """The solver that takes over where the normal equations are too ill-conditioned."""
        return replace(self, method="qr") if self.method == "cholesky" else None

    @property
    def needs_whole_jacobian(self) -> bool:
        return self.method == "qr"

    @property
    def bears_wrong_curvature(self) -> bool:
        """Yes: the gain ratio refuses a step from a wrong J^T J, and the damping grows until the gradient, which is
        exact, decides. That saves a new plan after each failed trial.
        """
        return True

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        positive_number(f"{name}.damping", self.damping)
        one_of(f"{name}.method", self.method, ("cholesky", "qr"))

    def _first_control(self, dtype: Any) -> Damping:
        xp = namespace(self.damping)
        return Damping(xp.asarray(self.damping, dtype), xp.asarray(2.0, dtype))

    def _damping(self, state: QuadraticState) -> Array:
        return state.control.value

    def _solved(
        self,
        problem: Problem,
        state: QuadraticState,
        normal: Normal,
        constraints: ActiveConstraints | None,
        scaling: Array,
    ) -> tuple[Array, Array]:
        """The damped Gauss-Newton step; where QR could take over, whether the pivots stand clear of rounding."""
        damping = jnp.where(state.linearization.at_bound, FIXED_DAMPING, self._damping_now(state))
        if self.method == "qr":
            matrix, residuals = problem.linearize(state.params)[1].as_matrix(), state.position.residuals
            if constraints is not None:
                matrix, residuals = constraints.augmented_rows(matrix, residuals, scaling)
            return solve_qr(matrix, residuals, scaling, damping), jnp.asarray(True)
        normal, gradient = constrained_system(state, normal, constraints, scaling)
        step, trusted = normal.solve(gradient, scaling, damping)
        return step, trusted | (not _fits_qr(state))

    def _next_control(self, state: QuadraticState, outcome: Outcome) -> Damping:
        """Nielsen's rule, with the damping kept above rounding."""
        damping, growth = state.control
        accepted = outcome.accepted
        gain = jnp.where(accepted, outcome.actual, 0.0) / jnp.where(accepted, outcome.predicted, 1.0)
        eased = damping * jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
        return Damping(
            jnp.where(accepted, jnp.maximum(eased, _least_damping(state)), damping * growth),
            jnp.where(accepted, jnp.full_like(growth, 2.0), 2 * growth),
        )


def _fits_qr(state: QuadraticState) -> bool:
    """Whether J and its copies fit in memory; where not, the damping stays where the solution can be trusted."""
    dense = isinstance(state.linearization.normal, DenseNormal)
    return dense and state.position.residuals.size * state.params.size <= LARGEST_QR


def _least_damping(state: QuadraticState) -> float:
    return float(np.finfo(state.params.dtype).eps) if _fits_qr(state) else state.linearization.normal.least_damping
