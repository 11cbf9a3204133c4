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

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._engines.jacobian import ColumnJacobian, Jacobian
from .._model.parameters import ChainRule, Components, Parameterization, n_monomials
from .._problem.base import half_square
from .._problem.problem import SurfaceProblem

# The parts of a problem that a minimum depends on, but for its limits.
INPUTS = ("points", "heights", "weights", "parameterization", "penalty", "loss")


@dataclass(frozen=True, eq=False)
class Point:
    """A problem at parameters (P,): its components, model (N,), scores e' (N,), and the model's Jacobian, without
    weights and prior.
    """

    problem: SurfaceProblem
    params: Array
    components: Components
    model: Array
    scores: Array
    jacobian: Jacobian

    def gradient(self) -> Array:
        """dE/dp (P,)."""
        slope = self.jacobian.rmv(self.scores)
        if self.problem.penalty is None:
            return slope
        prior = jax.grad(penalty_cost, argnums=2)
        return slope + prior(self.problem.parameterization, self.problem.penalty, self.params)

    def cost(self) -> Array:
        """E."""
        problem = self.problem
        cost = half_square(problem.loss.residuals(self.model, problem.heights, problem.weights))
        if problem.penalty is None:
            return cost
        return cost + penalty_cost(problem.parameterization, problem.penalty, self.params)


def point_at(problem: SurfaceProblem, params: Array) -> Point:
    """The problem at parameters (P,); JAX can differentiate its gradient forwards by everything."""
    components = problem.parameterization.components(params)
    model = problem.engine.model(problem.points, components)
    scores = problem.loss.scores(model, problem.heights, problem.weights)
    chain = problem.parameterization.chain(params, components)
    jacobian = problem.engine.jacobian(problem.points, jnp.ones_like(scores), components, chain)
    return Point(problem, params, components, model, scores, jacobian)


def pushed(problem: SurfaceProblem, params: Array, change: dict[str, Any]) -> Array:
    """B dtheta (P,) for a change of some of the `INPUTS`, by name."""
    some = {name: getattr(problem, name) for name in change}
    return jax.jvp(lambda given: point_at(replace(problem, **given), params).gradient(), (some,), (change,))[1]


def pulled(point: Point, vector: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """B^T w for w (P,), of the `INPUTS` with these names."""
    problem, params = point.problem, point.params

    def scores(heights: Array, weights: Array, loss: Any, model: Array) -> Array:
        return loss.scores(model, heights, weights)

    pull = jax.vjp(scores, problem.heights, problem.weights, problem.loss, point.model)[1]
    *of_data, of_model = pull(point.jacobian.mv(vector))
    found = dict(zip(("heights", "weights", "loss"), of_data, strict=True))
    if {"points", "parameterization"} & set(names):
        along = ((params, point.scores), (vector, of_model))
        through = jax.jvp(lambda p, s: _pulled_through_model(problem, p, s), *along)[1]
        found |= dict(zip(("points", "parameterization"), through, strict=True))
    if problem.penalty is None:
        return {name: found[name] for name in names}

    def slope_along(parts: Parameterization, penalty: Any) -> Array:
        return jax.jvp(lambda p: penalty_cost(parts, penalty, p), (params,), (vector,))[1]

    return _with_prior(found, names, jax.grad(slope_along, argnums=(0, 1))(problem.parameterization, problem.penalty))


def input_slopes(point: Point, names: tuple[str, ...]) -> dict[str, Any]:
    """dE/dtheta at fixed parameters, of the `INPUTS` with these names."""
    problem, params = point.problem, point.params

    def misfit(heights: Array, weights: Array, loss: Any) -> Array:
        return half_square(loss.residuals(point.model, heights, weights))

    of_data = jax.grad(misfit, argnums=(0, 1, 2))(problem.heights, problem.weights, problem.loss)
    found = dict(zip(("heights", "weights", "loss"), of_data, strict=True))
    if {"points", "parameterization"} & set(names):
        through = _pulled_through_model(problem, params, point.scores)
        found |= dict(zip(("points", "parameterization"), through, strict=True))
    if problem.penalty is None:
        return {name: found[name] for name in names}
    slopes = jax.grad(penalty_cost, argnums=(0, 1))(problem.parameterization, problem.penalty, params)
    return _with_prior(found, names, slopes)


def _with_prior(found: dict[str, Any], names: tuple[str, ...], slopes: tuple[Any, Any]) -> dict[str, Any]:
    """What was found, and by parameterisation and prior what a prior adds."""
    parts, penalty = slopes
    found = found | {"penalty": penalty}
    if "parameterization" in names:
        found["parameterization"] = jax.tree.map(jnp.add, found["parameterization"], parts)
    return {name: found[name] for name in names}


def penalty_cost(parts: Parameterization, penalty: Any, params: Array) -> Array:
    """What a prior adds to the cost."""
    rows = penalty.rows(parts, params)
    return half_square(rows.own.ravel()) + half_square(rows.border)


def monomial_jacobian(problem: SurfaceProblem, components: Components, weights: Array) -> ColumnJacobian:
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
