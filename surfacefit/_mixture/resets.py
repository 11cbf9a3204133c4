"""Which components of a mixture have collapsed, and where they are placed again.

A component that has less mass than its covariance needs points, or that stands on too few distinct points, is moved to
where the density of the others is low (`_constraints/mixture_regularization.fresh_component`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._base.compile import quick_jit
from .._constraints.mixture_regularization import collapsed, fresh_component, lifted
from .mixture_model import Mixture, log_density, log_responsibilities
from .setup import Task
from .starts import restricted

# Of the largest eigenvalue of a fresh covariance: its others are at least this, or points on a line would make it
# collapse again at once.
MIN_EIGENVALUE_RATIO = 1e-2


def has_collapsed(task: Task, mixture: Mixture, mass: float, k: int) -> bool:
    """Whether component ``k`` has too little mass, or stands on too few distinct points."""
    if mass < task.min_mass:
        return True
    shares = np.exp(_at_points(_log_responsibilities, task, mixture)[k])
    return collapsed(task.points, task.weights * shares, task.needed)


def with_fresh_components(
    task: Task, mixture: Mixture, chosen: list[int], min_eigenvalue: float, rng: np.random.Generator
) -> Mixture:
    """The mixture with the ``chosen`` components placed where the density of the others is low, 1/K of the weight each.

    No eigenvalue of a fresh covariance is below ``min_eigenvalue``.
    """
    weights, means, factors = (np.array(array, np.float64) for array in mixture)
    weights[chosen] = 0
    share = 1 / len(weights)
    for k in chosen:
        densities = np.zeros(len(task.points))
        if weights.sum() > 0:
            densities = _at_points(_log_density, task, double_mixture(weights, means, factors))
        means[k], covariance = fresh_component(task.points, task.weights, densities, share, rng)
        if task.regularization.kind != "tied":
            factors[k] = _factor(covariance, task.regularization.kind, min_eigenvalue)
        others = weights.sum()
        weights *= (1 - share) / others if others > 0 else 0
        weights[k] = share if others > 0 else 1
    return double_mixture(weights, means, factors)


def double_mixture(*arrays: np.ndarray) -> Mixture:
    """A mixture in double precision, of NumPy's weights, means and Cholesky factors."""
    return Mixture(*(np.asarray(array, np.float64) for array in arrays))


def _factor(covariance: np.ndarray, kind: str, min_eigenvalue: float) -> np.ndarray:
    """Cholesky factor (d, d) of a covariance of the type, neither at the floor nor too flat."""
    shaped = restricted(covariance[None], np.ones(1), kind)
    lowest = max(min_eigenvalue, MIN_EIGENVALUE_RATIO * np.linalg.eigvalsh(shaped[0])[-1])
    return np.linalg.cholesky(lifted(shaped, lowest).covariances)[0]


def _at_points(function: Callable[..., Any], task: Task, mixture: Mixture) -> np.ndarray:
    """A function's values (..., N) at all points, a chunk at a time."""
    parts = [np.asarray(function(chunk, mixture), np.float64) for chunk in np.asarray(task.chunks.points)]
    return np.concatenate(parts, axis=-1)[..., : len(task.points)]


_log_density = quick_jit(log_density)
_log_responsibilities = quick_jit(log_responsibilities)
