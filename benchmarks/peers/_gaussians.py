r"""Residuals and Jacobian of a sum of Gaussians in two dimensions, in plain NumPy: shares no code with surfacefit.

Six parameters a component: alpha, c_0, c_1, lambda_0, lambda_1, q, with amplitude a = softplus(alpha) and

    L = [[p, 0], [q, r]],    p = floor_0 + softplus(lambda_0),    r = floor_1 + softplus(lambda_1).

With u = L^{-1} (x - c), w = L^{-T} u and g = exp(-|u|^2 / 2) the derivatives of a g are

    d/da = g,    d/dc = a g w,    d/dp = a g w_0 u_0,    d/dq = a g w_1 u_0,    d/dr = a g w_1 u_1.
"""

from __future__ import annotations

import numpy as np

import surfacefit as sf

from ._contract import ScaledProblem

# Free numbers a component: alpha, two of the centre, three of the Cholesky factor.
PARAMETERS = 6


def pack(start: sf.GaussianSurface, floor: np.ndarray) -> np.ndarray:
    """Parameters (6 K,) of a surface whose widths are above the floor."""
    factors = np.linalg.cholesky(start.covariances)
    widths = np.diagonal(factors, axis1=1, axis2=2) - floor
    columns = [_softplus_inverse(start.amplitudes), *start.centers.T, *_softplus_inverse(widths).T, factors[:, 1, 0]]
    return np.stack(columns, axis=1).ravel()


def residuals(params: np.ndarray, problem: ScaledProblem) -> np.ndarray:
    """Model minus heights (N,)."""
    amplitudes, _, u = _components(params, problem)
    return amplitudes @ _bells(u) - problem.heights


def jacobian_rows(params: np.ndarray, problem: ScaledProblem) -> np.ndarray:
    """Transposed Jacobian (6 K, N): the columns of the Jacobian lie contiguous in memory, as LAPACK and MINPACK want
    them.
    """
    amplitudes, (p, q, r), (u0, u1) = _components(params, problem)
    slopes = _sigmoid(params.reshape(-1, PARAMETERS)[:, [0, 3, 4]])
    g = _bells((u0, u1))
    rows = np.empty((len(amplitudes), PARAMETERS, len(problem.points)))
    np.multiply(slopes[:, :1], g, out=rows[:, 0])
    g *= amplitudes[:, None]
    np.multiply(g, u1 / r, out=rows[:, 2])
    np.multiply(rows[:, 2], u0, out=rows[:, 5])
    np.multiply(rows[:, 2], u1 * slopes[:, 2:], out=rows[:, 4])
    np.multiply(g * u0 - q * rows[:, 2], 1 / p, out=rows[:, 1])
    np.multiply(rows[:, 1], u0 * slopes[:, 1:2], out=rows[:, 3])
    return rows.reshape(-1, len(problem.points))


def jacobian(params: np.ndarray, problem: ScaledProblem) -> np.ndarray:
    """Jacobian (N, 6 K) of the residuals, in Fortran order."""
    return jacobian_rows(params, problem).T


def heights(params: np.ndarray, problem: ScaledProblem) -> np.ndarray:
    """Model (N,) in metres."""
    return (residuals(params, problem) + problem.heights) * problem.unit


def check_jacobian(params: np.ndarray, problem: ScaledProblem) -> None:
    """Raises unless the Jacobian agrees with central differences along a random direction."""
    direction = np.random.default_rng(0).standard_normal(params.size)
    step = 1e-6 * direction
    difference = (residuals(params + step, problem) - residuals(params - step, problem)) / 2e-6
    np.testing.assert_allclose(
        jacobian(params, problem) @ direction, difference, rtol=1e-6, atol=1e-6 * np.abs(difference).max()
    )


def _components(
    params: np.ndarray, problem: ScaledProblem
) -> tuple[np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, np.ndarray]]:
    """Amplitudes (K,), Cholesky entries p, q, r (K, 1) and u (K, N) along both axes."""
    alpha, c0, c1, first, second, q = params.reshape(-1, PARAMETERS).T[:, :, None]
    p, r = problem.floor[0] + _softplus(first), problem.floor[1] + _softplus(second)
    u0 = (problem.points[:, 0] - c0) / p
    u1 = (problem.points[:, 1] - c1 - q * u0) / r
    return _softplus(alpha)[:, 0], (p, q, r), (u0, u1)


def _bells(u: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.exp(-0.5 * (u[0] * u[0] + u[1] * u[1]))


def _softplus(free: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, free)


def _softplus_inverse(value: np.ndarray) -> np.ndarray:
    return value + np.log(-np.expm1(-value))


def _sigmoid(free: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * free))
