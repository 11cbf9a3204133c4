"""The contract of a Jacobian operator and of the engine that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jax import Array

if TYPE_CHECKING:
    from ..._linear.normal import Normal
    from ..._model.parameters import ChainRule, Components


class Jacobian(Protocol):
    """J (N, P): derivatives of N weighted residuals with respect to P parameters.

    Parameters come as ``n_blocks`` blocks of ``block_size``, one a component, and a border: what the
    components share, and the background.
    """

    def mv(self, vector: Array) -> Array:
        """J v: (P,) -> (N,)."""
        ...

    def rmv(self, residuals: Array) -> Array:
        """J^T r: (N,) -> (P,)."""
        ...

    def normal(self, residuals: Array, error: Any = 0.0) -> tuple[Normal, Array]:
        """J^T J as this engine holds it, and J^T r (P,), in one pass over the points.

        ``error`` in an entry (i, j) of J^T J, relative to |J_i| |J_j|, is allowed to an engine that saves time by it.
        """
        ...

    def restored(self, normal: Normal) -> Normal:
        """A normal matrix of this operator, after being carried through a loop."""
        ...

    def block_diagonal(self) -> tuple[Array, Array]:
        """Blocks (n_blocks, block_size, block_size) of J^T J on the diagonal, and the border's block."""
        ...

    def as_matrix(self) -> Array:
        """J itself (N, P): for tests and for small problems."""
        ...


class ColumnJacobian(Jacobian, Protocol):
    """The operator of an engine, J = G T: columns G = w g_k Phi(u_k) of the components, and the chain rule T."""

    def column_blocks(self, factors: Array) -> Array:
        """sum_n factors_n G_kn G_kn^T (K, q, q) of each component's q columns, for factors (N,) of either sign."""
        ...


class Engine(Protocol):
    """Evaluates the sum of components and linearises it. Engines are pytrees."""

    @property
    def has_plan(self) -> bool:
        """Whether it works by a plan, which may have to be renewed; without one it serves for all components. With one
        it also says by ``left_out()`` which height that leaves out at a point at most.
        """
        ...

    def plan_is_valid(self, components: Components) -> Array:
        """Whether the engine's plan serves for these components."""
        ...

    def curvature_is_valid(self, components: Components) -> Array:
        """Whether it serves for J^T J of these components too, which asks for more where J^T J is held as blocks."""
        ...

    def model(self, points: Array, components: Components) -> Array:
        """Heights (N,) of components and background at points (N, d)."""
        ...

    def jacobian(self, points: Array, weights: Array, components: Components, chain: ChainRule) -> ColumnJacobian:
        """The operator of d (weights * model) / d parameters."""
        ...
