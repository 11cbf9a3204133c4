"""The quadratic model of the cost at a state, made where it is needed, and where it is large in the place of the last.

A branch of a program gives its results in memory of their own, so that J^T J of very many components would lie there
twice. Such a matrix is therefore renewed without a branch, by loops that end before they begin where nothing is needed.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._linear.normal import BlockNormal
from .._problem.base import Problem
from .base import cosine_optimality
from .quadratic_state import Linearization, QuadraticState

# Error allowed in an entry of J^T J, relative to its scale and to the damping: 1 % of the damping changes no step much,
# and lets an engine take the product in single precision. The gradient stays exact.
CURVATURE_ERROR = 0.01


def linearized(problem: Problem, state: QuadraticState, needed: Array, damping: Array) -> Linearization:
    """The model at the state's parameters where that is ``needed``, for steps of so much damping; else the last one."""
    last: Linearization = state.linearization
    jacobian: Any = problem.linearize(state.params)[1] if _is_renewed_in_place(last.normal) else None
    if not hasattr(jacobian, "renewed"):
        return jax.lax.cond(needed, lambda: _made(problem, state, damping), lambda: last)
    normal, gradient = jacobian.renewed(last.normal, state.position.residuals, last.gradient, needed)
    made = _with_model(problem, state, normal, gradient, normal.diagonal())
    rest = jax.tree.map(lambda a, b: jnp.where(needed, a, b), made._replace(normal=None), last._replace(normal=None))
    return rest._replace(normal=normal)


def _is_renewed_in_place(normal: Any) -> bool:
    """Whether a normal matrix is one of systems that are not solved directly."""
    return isinstance(normal, BlockNormal) and normal.pattern.once


def _made(problem: Problem, state: QuadraticState, damping: Array) -> Linearization:
    _, jacobian = problem.linearize(state.params)
    normal, gradient = jacobian.normal(state.position.residuals, CURVATURE_ERROR * damping)
    return _with_model(problem, state, normal, gradient, jacobian.restored(normal).diagonal())


def _with_model(
    problem: Problem, state: QuadraticState, normal: Any, gradient: Array, diagonal: Array
) -> Linearization:
    params, diagonal = state.params, diagonal.astype(gradient.dtype)
    at_bound = problem.at_bound(params, gradient)
    constraints = problem.active_constraints(params, gradient)
    free = jnp.where(at_bound, 0, gradient if constraints is None else constraints.tangential(gradient))
    optimality = cosine_optimality(free, diagonal, state.cost)
    return Linearization(jnp.asarray(False), optimality, gradient, at_bound, normal)
