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
from .._problem.base import Problem
from .base import SolverBase
from .levenberg_marquardt import LevenbergMarquardt
from .quadratic_steps import QuadraticState


@register_dataclass
@dataclass(frozen=True)
class SuperimposedSignals(SolverBase):
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
    def needs_whole_jacobian(self) -> bool:
        return self.inner.needs_whole_jacobian

    def check_settings(self, name: str = "solver") -> None:
        super().check_settings(name)
        self.inner.check_settings(f"{name}.inner")

    def init(self, problem: Problem, params: Array) -> QuadraticState:
        return self.inner.init(_separated(problem), params)

    def step(self, problem: Problem, state: QuadraticState) -> QuadraticState:
        return self.inner.step(_separated(problem), state)

    def replanned(self, problem: Problem, state: QuadraticState) -> QuadraticState:
        return self.inner.replanned(_separated(problem), state)


def _separated(problem: Problem) -> Any:
    return Separated(problem)


class Forwarding:
    """Gives whatever it has no method for itself as the ``whole`` gives it."""

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
