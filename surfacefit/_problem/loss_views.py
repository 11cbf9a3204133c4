"""What the loss of a problem says at some parameters, for error bars, searches and criteria."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from .._engines.jacobian import Jacobian
from .base import half_square
from .objective import SurfaceObjective


def information_jacobian(problem: SurfaceObjective, params: Array) -> Jacobian:
    """J whose J^T J is the information of the data on the parameters: rows weighted by the loss' information."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    information = problem.loss.information(model, problem.heights, problem.weights)
    return problem.jacobian(params, components, jnp.sqrt(information))


def information_ratios(problem: SurfaceObjective, params: Array) -> Array:
    """What to multiply the rows of J (N,) by for rows of `information_jacobian`: 1 for least squares."""
    model = problem.engine.model(problem.points, problem.parameterization.components(params))
    slopes = problem.loss.slopes(model, problem.heights, problem.weights)
    information = problem.loss.information(model, problem.heights, problem.weights)
    return jnp.where(slopes > 0, jnp.sqrt(information) / jnp.where(slopes > 0, slopes, 1), 0)


def score_jacobian(problem: SurfaceObjective, params: Array) -> Jacobian:
    """J whose rows are the derivatives of the cost of each point."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    slopes = problem.loss.residuals(model, problem.heights, problem.weights) * problem.loss.slopes(
        model, problem.heights, problem.weights
    )
    return problem.engine.jacobian(
        problem.points, slopes, components, problem.parameterization.chain(params, components)
    )


def secant_weights(problem: SurfaceObjective, params: Array) -> Array:
    """Weights (N,) with which plain least squares have the same cost here."""
    model = problem.engine.model(problem.points, problem.parameterization.components(params))
    return problem.loss.secants(model, problem.heights, problem.weights)


def penalty_cost(problem: SurfaceObjective, params: Array) -> Array:
    """What the prior adds to the cost, 0 without one."""
    none = jnp.zeros((), params.dtype)
    if problem.penalty is None:
        return none
    return sum((half_square(rows) for rows in problem.penalty.rows(problem.parameterization, params)), none)
