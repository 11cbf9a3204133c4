r"""The gradient of the cost, g = J^T e' with the scores e' of the loss, and its derivatives by all but the parameters.

At a minimum g(p, theta) = 0, where theta are the inputs: points, heights, weights, the numbers of the
parameterisation, of the prior and of the loss. `pushed` is B dtheta with B = dg/dtheta, and `pulled` is B^T w. Forward
differentiation goes through every engine. Backwards it would hold whole arrays of points times components, or fail
at loops of unknown length, so B^T w is written with the engine's own J and J^T:

    B^T w = d/dtheta sum_j e'_j (J w)_j,

in which e' and J w depend on heights, weights and the loss point by point, and on points and parameterisation through
V(p; s) = d/dtheta sum_j s_j f_j, whose change along (w, de') is a forward derivative again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._engines.jacobian import Jacobian
from .._model.parameters import ChainRule, Components, Parameterization, n_monomials
from .._problem.base import half_square
from .._problem.problem import SurfaceProblem

# The parts of a problem that a minimum depends on, but for its limits; the order is that of `inputs`.
INPUTS = ("points", "heights", "weights", "parameterization", "penalty", "loss")


def inputs(problem: SurfaceProblem) -> dict[str, Any]:
    """What the minimum of a problem depends on, but for its limits, as a pytree."""
    return {name: getattr(problem, name) for name in INPUTS}


def unweighted_jacobian(problem: SurfaceProblem, params: Array, components: Components) -> Jacobian:
    """df/dp of the model alone, without weights and prior."""
    chain = problem.parameterization.chain(params, components)
    return problem.engine.jacobian(problem.points, jnp.ones_like(problem.points[:, 0]), components, chain)


def gradient(problem: SurfaceProblem, params: Array) -> Array:
    """dE/dp (P,), which JAX can differentiate forwards by everything."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    scores = problem.loss.scores(model, problem.heights, problem.weights)
    return unweighted_jacobian(problem, params, components).rmv(scores) + _penalty_slope(problem, params)


def pushed(problem: SurfaceProblem, params: Array, change: dict[str, Any]) -> Array:
    """B dtheta (P,) for a change of some of the `inputs`, by name."""
    some = {name: getattr(problem, name) for name in change}
    return jax.jvp(lambda given: gradient(replace(problem, **given), params), (some,), (change,))[1]


def pulled(problem: SurfaceProblem, params: Array, vector: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """B^T w for w (P,), of the `inputs` with these names."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    change = unweighted_jacobian(problem, params, components).mv(vector)
    scores, pull = jax.vjp(
        lambda model, heights, weights, loss: loss.scores(model, heights, weights),
        model,
        problem.heights,
        problem.weights,
        problem.loss,
    )
    of_model, heights, weights, loss = pull(change)
    found = {"heights": heights, "weights": weights, "loss": loss}
    if {"points", "parameterization"} & set(names):
        along = ((params, scores), (vector, of_model))
        points, parts = jax.jvp(lambda p, s: _pulled_through_model(problem, p, s), *along)[1]
        found |= {"points": points, "parameterization": parts}
    if problem.penalty is not None and {"penalty", "parameterization"} & set(names):
        parts, penalty = _pulled_through_penalty(problem, params, vector)
        found["penalty"] = penalty
        if "parameterization" in names:
            found["parameterization"] = jax.tree.map(jnp.add, found["parameterization"], parts)
    return {name: found[name] for name in names}


def input_slopes(problem: SurfaceProblem, params: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """dE/dtheta at fixed parameters, of the `inputs` with these names."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)

    def misfit(heights: Array, weights: Array, loss: Any) -> Array:
        return half_square(loss.residuals(model, heights, weights))

    found = dict(
        zip(
            ("heights", "weights", "loss"),
            jax.grad(misfit, argnums=(0, 1, 2))(problem.heights, problem.weights, problem.loss),
            strict=True,
        )
    )
    if {"points", "parameterization"} & set(names):
        scores = problem.loss.scores(model, problem.heights, problem.weights)
        found["points"], found["parameterization"] = _pulled_through_model(problem, params, scores)
    if problem.penalty is not None and {"penalty", "parameterization"} & set(names):
        parts, found["penalty"] = jax.grad(penalty_cost, argnums=(0, 1))(
            problem.parameterization, problem.penalty, params
        )
        if "parameterization" in names:
            found["parameterization"] = jax.tree.map(jnp.add, found["parameterization"], parts)
    return {name: found[name] for name in names}


def penalty_cost(parts: Parameterization, penalty: Any, params: Array) -> Array:
    """What a prior adds to the cost."""
    rows = penalty.rows(parts, params)
    return half_square(rows.own.ravel()) + half_square(rows.border)


def _penalty_slope(problem: SurfaceProblem, params: Array) -> Array:
    if problem.penalty is None:
        return jnp.zeros_like(params)
    return jax.grad(penalty_cost, argnums=2)(problem.parameterization, problem.penalty, params)


def _pulled_through_penalty(problem: SurfaceProblem, params: Array, vector: Array) -> tuple[Any, Any]:
    """B^T w through the rows of a prior, by the parameterisation and by the prior."""

    def slope_along(parts: Parameterization, penalty: Any) -> Array:
        return jax.jvp(lambda p: penalty_cost(parts, penalty, p), (params,), (vector,))[1]

    slopes: tuple[Any, Any] = jax.grad(slope_along, argnums=(0, 1))(problem.parameterization, problem.penalty)
    return slopes


def monomial_jacobian(problem: SurfaceProblem, components: Components, weights: Array) -> Jacobian:
    """The operator whose columns are g_k Phi(u_k), in place of those of the parameters."""
    count, size = len(components.amplitudes), n_monomials(problem.parameterization.n_dim)
    identity = jnp.broadcast_to(jnp.eye(size, dtype=weights.dtype), (count, size, size))
    chain = ChainRule(identity, jnp.zeros((count, size, 0), weights.dtype))
    return problem.engine.jacobian(problem.points, weights, components, chain)


def _pulled_through_model(problem: SurfaceProblem, params: Array, scores: Array) -> tuple[Array, Parameterization]:
    """V(p; s): derivatives of sum_j s_j f(x_j) by the points (N, d) and by the numbers of the parameterisation."""
    parts, points, n_dim = problem.parameterization, problem.points, problem.parameterization.n_dim
    components, pull = jax.vjp(lambda parts: parts.components(params), parts)
    sums = monomial_jacobian(problem, components, jnp.ones_like(scores)).rmv(scores)
    size = n_monomials(n_dim)
    moments = sums[: len(components.amplitudes) * size].reshape(-1, size)
    of_background = jax.vjp(lambda background: background(points), components.background)[1](scores)[0]
    (of_parts,) = pull(_of_components(components, moments, of_background))
    slopes = [
        jax.jvp(lambda x: problem.engine.model(x, components), (points,), (jnp.zeros_like(points).at[:, i].set(1),))[1]
        for i in range(n_dim)
    ]
    return scores[:, None] * jnp.stack(slopes, axis=1), of_parts


def _of_components(components: Components, moments: Array, background: Any) -> Components:
    """Derivatives by amplitudes, centres and inverse factors, from moments (K, q) of the scores.

    With u = M (x - c) and M = L^-1: df/dc = a g M^T u, and df/dM = -a g u u^T L^T.
    """
    n_dim, heights = components.centers.shape[1], components.amplitudes[:, None]
    first, second = moments[:, 1 : 1 + n_dim], _symmetric(moments[:, 1 + n_dim :], n_dim)
    centers = heights * jnp.einsum("kij,ki->kj", components.inverse_factors, first, precision="highest")
    inverses = -heights[:, :, None] * jnp.einsum("kij,klj->kil", second, components.factors, precision="highest")
    return Components(moments[:, 0], centers, jnp.zeros_like(components.factors), inverses, background)


def _symmetric(entries: Array, n_dim: int) -> Array:
    """Matrices (K, d, d) of their lower triangles (K, T), row by row."""
    places = [(i, j) for i in range(n_dim) for j in range(i + 1)]
    index = [[places.index((max(i, j), min(i, j))) for j in range(n_dim)] for i in range(n_dim)]
    return jnp.stack([jnp.stack([entries[:, n] for n in row], axis=1) for row in index], axis=1)
