r"""Expectation-maximisation for superimposed signals, on least squares: the residual is shared out, each component
refitted alone.

The E step gives component k its own part of the fit and a share beta of the residual, y_k = f_k + beta r; the M step
refits each to its y_k by itself, here by a Gauss-Newton step with the blocks of J^T J on the diagonal, all components
in parallel:

    h_k = -beta (J_k^T J_k + mu D_k)^-1 J_k^T r.

The share is the one that lowers the quadratic model most, so a step is one iteration of the conjugate gradients with
which Levenberg-Marquardt solves a large system, preconditioned by the same blocks.

After Feder & Weinstein, Parameter estimation of superimposed signals using the EM algorithm, IEEE Trans. Acoust. Speech
Signal Process. 36 (1988) 477.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jax import Array
from jax.tree_util import register_dataclass

from .._linear.normal import ProductNormal
from .._problem.problem import Problem
from .levenberg_marquardt import LevenbergMarquardt, LevenbergMarquardtState


@register_dataclass
@dataclass(frozen=True)
class SuperimposedSignals:
    """EM for superimposed signals (Feder & Weinstein): cheap steps, each component by itself; for components that
    hardly overlap.

    Parameters
    ----------
    max_steps : limit on steps.
    damping, slack, patience and the rest : ``inner``, a `LevenbergMarquardt` whose rules for steps and for stopping are
        used.

    Overlapping components compete for the same residual, and the more they overlap the more steps it takes;
    Levenberg-Marquardt is faster in all cases that were measured, see docs/design.md.

    >>> import surfacefit as sf
    >>> sf.SuperimposedSignals(max_steps=100).max_steps
    100
    """

    max_steps: Any = 2000
    inner: LevenbergMarquardt = field(default_factory=lambda: LevenbergMarquardt(slack=1e-3, patience=40))

    @property
    def fallback(self) -> None:
        return None

    def init(self, problem: Problem, params: Array) -> LevenbergMarquardtState:
        return self.inner.init(Separated(problem), params)

    def step(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        return self.inner.step(Separated(problem), state)

    def replanned(self, problem: Problem, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        return self.inner.replanned(Separated(problem), state)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Separated:
    """A problem whose components are refitted each by itself."""

    problem: Any

    def residuals(self, params: Array) -> Array:
        return self.problem.residuals(params)

    def linearize(self, params: Array) -> tuple[Array, SeparatedJacobian]:
        residuals, jacobian = self.problem.linearize(params)
        return residuals, SeparatedJacobian(jacobian)

    def scaling(self, diagonal: Array) -> Array:
        return self.problem.scaling(diagonal)

    def within_trust_region(self, params: Array, step: Array, reach: Array) -> Array:
        return self.problem.within_trust_region(params, step, reach)

    def projected(self, params: Array) -> Array:
        return self.problem.projected(params)

    def at_bound(self, params: Array, gradient: Array) -> Array:
        return self.problem.at_bound(params, gradient)

    def active_constraints(self, params: Array, gradient: Array, scaling: Array | None = None) -> Any:
        return self.problem.active_constraints(params, gradient, scaling)

    def plan_is_valid(self, params: Array) -> Array:
        return self.problem.plan_is_valid(params)

    def rounding_cost(self) -> Array:
        return self.problem.rounding_cost()


@register_dataclass
@dataclass(frozen=True, eq=False)
class SeparatedJacobian:
    """An operator whose normal matrix is solved by its diagonal blocks, once."""

    jacobian: Any

    def mv(self, vector: Array) -> Array:
        return self.jacobian.mv(vector)

    def rmv(self, residuals: Array) -> Array:
        return self.jacobian.rmv(residuals)

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[ProductNormal, Array]:
        blocks, border = self.jacobian.block_diagonal()
        return ProductNormal(blocks, border, iterations=1), self.jacobian.rmv(residuals)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self.jacobian)

    def block_diagonal(self) -> tuple[Array, Array]:
        return self.jacobian.block_diagonal()

    def as_matrix(self) -> Array:
        return self.jacobian.as_matrix()
