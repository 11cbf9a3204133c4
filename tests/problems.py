"""Least-squares problems with known answers, none of them a sum of Gaussians in our code."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_static

from surfacefit._engines.jacobian import MatrixJacobian


@register_static
@dataclass(frozen=True, eq=False)
class FunctionProblem:
    """Any residual function, with its Jacobian from JAX: shows that solvers know nothing of Gaussians."""

    function: Any

    def residuals(self, params):
        return self.function(params)

    def linearize(self, params):
        return self.function(params), MatrixJacobian(jax.jacfwd(self.function)(params))

    def scaling(self, params, diagonal):
        return jnp.where(diagonal > 0, diagonal, 1.0)

    def within_trust_region(self, params, step, reach):
        return step

    def projected(self, params):
        return params

    def at_bound(self, params, gradient):
        return jnp.zeros(params.shape, bool)

    def active_constraints(self, params, gradient, scaling=None):
        return None

    def plan_is_valid(self, params):
        return jnp.asarray(True)

    def curvature_is_valid(self, params):
        return jnp.asarray(True)

    def noise_variance(self, cost):
        return jnp.inf

    def is_exact(self, residuals):
        return jnp.all(residuals == 0)

    def is_negligible(self, residuals):
        return jnp.all(residuals == 0)


def rosenbrock(p):
    return jnp.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])


def powell(p):
    """Singular Jacobian at the minimum."""
    return jnp.stack(
        [p[0] + 10 * p[1], np.sqrt(5) * (p[2] - p[3]), (p[1] - 2 * p[2]) ** 2, np.sqrt(10) * (p[0] - p[3]) ** 2]
    )


def helical_valley(p):
    theta = jnp.arctan2(p[1], p[0]) / (2 * np.pi)
    return jnp.stack([10 * (p[2] - 10 * theta), 10 * (jnp.sqrt(p[0] ** 2 + p[1] ** 2) - 1), p[2]])


def line_with_misfit(p):
    x = np.linspace(0, 1, 7)
    return p[0] + p[1] * x - np.array([0.1, 0.3, 0.2, 0.6, 0.5, 0.9, 0.8])


LINE = np.polyfit(np.linspace(0, 1, 7), [0.1, 0.3, 0.2, 0.6, 0.5, 0.9, 0.8], 1)[::-1]

KNOWN = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
    "powell": (powell, [3.0, -1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]),
    "helical valley": (helical_valley, [-1.0, 0.5, 0.5], [1.0, 0.0, 0.0]),
    "line with misfit": (line_with_misfit, [5.0, -5.0], LINE),
}
