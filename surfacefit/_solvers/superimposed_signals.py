r"""Expectation-maximisation for superimposed signals: the residual is shared out, and each component refitted alone.

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

import numpy as np
from jax import Array
from jax.tree_util import register_dataclass

from .._linear.normal import ProductNormal
from .._problem.base import Problem
from .base import SolverBase
from .levenberg_marquardt import LevenbergMarquardt
from .quadratic_state import QuadraticState


@register_dataclass
@dataclass(frozen=True)
class SuperimposedSignals(SolverBase):
    """EM for superimposed signals (Feder & Weinstein): cheap steps, for components that hardly overlap.

    Each step refits every component by itself to its share of the residual.

    Parameters
    ----------
    max_steps : limit on steps.
    inner : a `LevenbergMarquardt` with the damping and the rules for stopping.

    Overlapping components compete for the same residual: the more they overlap, the more steps it takes.
    Levenberg-Marquardt was faster in all cases measured, see docs/experiments/solvers.md.

    >>> import surfacefit as sf
    >>> sf.SuperimposedSignals(max_steps=100).max_steps
    100
    """

    max_steps: Any = 2000
    inner: LevenbergMarquardt = field(
        default_factory=lambda: LevenbergMarquardt(slack=1e-3, patience=40, distance=np.inf)
    )

    @property
    def needs_whole_jacobian(self) -> bool:
        return self.inner.needs_whole_jacobian

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        if not isinstance(self.inner, LevenbergMarquardt):
            raise TypeError(f"`{name}.inner` must be a LevenbergMarquardt(...), got {self.inner!r}")
        self.inner.check_settings(f"{name}.inner")

    def init(self, problem: Problem, params: Array) -> QuadraticState:
        """The state at the start."""
        return self.inner.init(_separated(problem), params)

    def step(self, problem: Problem, state: QuadraticState) -> QuadraticState:
        """The state after one step, or with status REPLAN where the trial lies outside the plan."""
        return self.inner.step(_separated(problem), state)

    def unevaluated(self, problem: Problem, params: Array, state: QuadraticState | None = None) -> QuadraticState:
        return self.inner.unevaluated(_separated(problem), params, state)


def _separated(problem: Problem) -> Any:
    return Separated(problem)


class Forwarding:
    """A record that forwards every method it does not define to ``whole``."""

    whole: Any

    def __getattr__(self, name: str) -> Any:
        if name == "whole" or name.startswith("__"):  # not there yet while a record is unpacked
            raise AttributeError(name)
        return getattr(self.whole, name)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Separated(Forwarding):
    """A problem whose components are refitted each by itself."""

    whole: Any

    def linearize(self, params: Array) -> tuple[Array, SeparatedJacobian]:
        residuals, jacobian = self.whole.linearize(params)
        return residuals, SeparatedJacobian(jacobian)


@register_dataclass
@dataclass(frozen=True, eq=False)
class SeparatedJacobian(Forwarding):
    """An operator whose normal matrix is solved by its diagonal blocks, once."""

    whole: Any

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[ProductNormal, Array]:
        blocks, border = self.whole.block_diagonal()
        return ProductNormal(blocks, border, iterations=1), self.whole.rmv(residuals)

    def restored(self, normal: Any) -> Any:
        return normal.bound(self.whole)
