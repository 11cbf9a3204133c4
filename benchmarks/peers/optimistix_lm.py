"""optimistix's Levenberg-Marquardt in float64, compiled, on residuals in plain JAX that it differentiates itself."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax import Array

from . import _gaussians
from ._contract import PeerFit, PeerProblem, scaled

# Steps, so that K = 32 ends in minutes.
MAX_STEPS = 500
# Its first fit compiles, so that the second is always timed, too.
COMPILES = True


def fit(problem: PeerProblem) -> PeerFit:
    begun = time.perf_counter()
    inner = scaled(problem)
    with jax.enable_x64(True):
        start = jnp.asarray(_gaussians.pack(inner.start, inner.floor))
        data = tuple(jnp.asarray(array) for array in (inner.points, inner.heights, inner.floor))
        solver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-8)
        solution = optx.least_squares(_residuals, solver, start, args=data, max_steps=MAX_STEPS, throw=False)
        params = np.asarray(solution.value)
    seconds = time.perf_counter() - begun
    remark = "" if solution.result == optx.RESULTS.successful else f"stopped at max_steps={MAX_STEPS}"
    return PeerFit(_gaussians.heights(params, inner), seconds, int(solution.stats["num_steps"]), remark)


def _residuals(params: Array, data: tuple[Array, Array, Array]) -> Array:
    points, heights, floor = data
    alpha, c0, c1, first, second, q = params.reshape(-1, _gaussians.PARAMETERS).T[:, :, None]
    u0 = (points[:, 0] - c0) / (floor[0] + jax.nn.softplus(first))
    u1 = (points[:, 1] - c1 - q * u0) / (floor[1] + jax.nn.softplus(second))
    return jax.nn.softplus(alpha[:, 0]) @ jnp.exp(-0.5 * (u0**2 + u1**2)) - heights
