"""The contract of a normal matrix."""

from __future__ import annotations

from typing import Any, Protocol

from jax import Array


class Normal(Protocol):
    """J^T J (P, P) at one point, a pytree that a solver's state may carry."""

    @property
    def least_damping(self) -> float:
        """The smallest damping with which a solution stands clear of rounding."""
        ...

    def bound(self, jacobian: Any) -> Normal:
        """With the Jacobian operator put back, where it is used but not carried."""
        ...

    def with_blocks(self, own: Array, corner: Array) -> Normal:
        """With blocks (K, p, p) added on the diagonal, and one (b, b) at its end."""
        ...

    def with_penalty(self, own: Array, corner: Array) -> Normal:
        """With blocks that the Jacobian operator does not have."""
        ...

    def mv(self, vector: Array) -> Array:
        """J^T J v: (P,) -> (P,)."""
        ...

    def diagonal(self) -> Array:
        """Diagonal (P,)."""
        ...

    def solve(self, gradient: Array, scaling: Array, damping: Array) -> tuple[Array, Array]:
        """Step h (P,) of (J^T J + damping scaling) h = -gradient, and whether it can be trusted; damping () or (P,).

        A step that is not finite is never trusted: no solver may then use it.
        """
        ...

    def as_matrix(self) -> Array:
        """The matrix itself: for tests and small problems."""
        ...
