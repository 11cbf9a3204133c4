"""Conjugate gradients that end where a direction has no positive curvature: plain ones, and those whose preconditioner
may change a little from one iteration to the next.

Golub & Van Loan, Matrix Computations (2013), section 11.5; Notay, SIAM J. Sci. Comput. 22 (2000) 1444.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def conjugate_gradients(
    product: Callable[[Array], Array], precondition: Callable[[Array], Array], target: Array, rtol: float, most: int
) -> Array:
    """The solution, of which the residual is ``rtol`` of the target in the norm of the preconditioner, or the best
    after so many iterations.
    """
    turned = precondition(target)
    size = _dot(target, turned)

    def more(loop: Any) -> Any:
        *_, left, count, sound = loop
        return sound & (left > rtol**2 * size) & (count < most)

    def iterate(loop: Any) -> Any:
        solution, residual, direction, left, count, _ = loop
        image = product(direction)
        length, sound = _length(left, _dot(direction, image))
        residual = residual - length * image
        turned = precondition(residual)
        rest = _dot(residual, turned)
        return solution + length * direction, residual, turned + rest / left * direction, rest, count + 1, sound

    start = (jnp.zeros_like(target), target, turned, size, jnp.asarray(0), size > 0)
    solution: Array = jax.lax.while_loop(more, iterate, start)[0]
    return solution


def flexible_conjugate_gradients(
    product: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    measure: Callable[[Array], Array],
    target: Array,
    rtol: float,
    most: int,
) -> tuple[Array, Array]:
    """The solution, and whether its residual is ``rtol`` of the target in the norm of ``measure``."""

    def square(vector: Array) -> Array:
        return _dot(vector, measure(vector))

    size = square(target)

    def more(loop: Any) -> Any:
        *_, left, count, sound = loop
        return sound & (left > rtol**2 * size) & (count < most)

    def iterate(loop: Any) -> Any:
        solution, residual, direction, image, curvature, _, count, _ = loop
        turned = precondition(residual)
        direction = turned - _dot(turned, image) / curvature * direction
        image = product(direction)
        curvature = _dot(direction, image)
        length, sound = _length(_dot(direction, residual), curvature)
        residual = residual - length * image
        curvature = jnp.where(sound, curvature, 1)
        return solution + length * direction, residual, direction, image, curvature, square(residual), count + 1, sound

    none, one = jnp.zeros_like(target), jnp.ones((), target.dtype)
    start = (none, target, none, none, one, size, jnp.asarray(0), jnp.asarray(True))
    solution, *_, left, _, sound = jax.lax.while_loop(more, iterate, start)
    return solution, sound & (left <= rtol**2 * size)


def _length(fall: Array, curvature: Array) -> tuple[Array, Array]:
    """How far to go, not at all without a positive curvature, and whether there is one."""
    sound = curvature > 0
    return jnp.where(sound, fall / jnp.where(sound, curvature, 1), 0), sound


def _dot(one: Array, other: Array) -> Array:
    return jnp.vdot(one, other, precision="highest")
