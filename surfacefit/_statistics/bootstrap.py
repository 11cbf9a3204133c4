"""Parametric bootstrap: refits to simulated data, as a check of linearised errors.

Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._base.compile import quick_jit
from .._base.devices import on_cpu
from .._base.precision import precision
from .._base.status import STATUS, Status
from .._model.scaling import root_mean_square
from .._model.surface import GaussianSurface
from .._problem.prepared import Prepared
from .._problem.problem import SurfaceProblem
from .._results.record import MAX_EXACT_PARAMETERS
from .._solvers import LevenbergMarquardt, solve
from .linearization import check_untied, linearized_at

if TYPE_CHECKING:
    from .._results.result import FitResult

# Refits of one call: as many arrays of heights are on the device at once, and the last call is filled up to it.
REFITS_AT_ONCE = 16


class NumberErrors(NamedTuple):
    """Errors of amplitudes (K,), centers (K, d), covariances (K, d, d), and the background's in its structure."""

    amplitudes: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    background: Any


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits to n sets of heights simulated from a fit; `FitResult.bootstrap` makes it.

    surfaces : a `GaussianSurface` whose arrays have one more axis (n,) in front; components are in the order of the
        fit.
    converged : (n,) whether each refit converged; those that did not are among ``surfaces``, too.
    """

    surfaces: GaussianSurface
    converged: np.ndarray

    @cached_property
    def standard_errors(self) -> NumberErrors:
        """Standard deviations over the refits; of what follows from the numbers take those over ``surfaces``."""
        errors: GaussianSurface = jax.tree.map(lambda leaf: np.std(leaf, axis=0, ddof=1), self.surfaces)
        return NumberErrors(errors.amplitudes, errors.centers, errors.covariances, errors.background)

    def interval(self, level: float = 0.683) -> tuple[GaussianSurface, GaussianSurface]:
        """Two surfaces of lower and upper limits between which a share ``level`` of the refits lies, number by number.

        Raises ValueError unless 0 < level < 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1, got {level!r}")
        low, high = (
            jax.tree.map(lambda leaf, q=q: np.quantile(leaf, q, axis=0), self.surfaces)
            for q in ((1 - level) / 2, (1 + level) / 2)
        )
        return low, high


def bootstrap(result: FitResult, n_samples: int, seed: int) -> Bootstrap:
    """See `FitResult.bootstrap`."""
    if result.n_parameters > MAX_EXACT_PARAMETERS:
        raise ValueError(
            f"`bootstrap` refits {result.n_parameters} parameters {n_samples} times: the limit is"
            f" {MAX_EXACT_PARAMETERS}"
        )
    check_untied(result, "bootstrap")
    if result.n_points <= result.n_parameters:
        raise ValueError(
            f"`bootstrap` estimates the noise from the residuals, which needs more points than parameters, got"
            f" {result.n_points} points and {result.n_parameters} parameters: use fewer components"
        )
    with precision(np.dtype(np.float64)):
        prepared, params = linearized_at(result)
        heights = _simulated(result, prepared, n_samples, np.random.default_rng(seed))
        problem = prepared.fixing(params)
        found, ended, at_once = [], [], min(REFITS_AT_ONCE, n_samples)
        for first in range(0, n_samples, at_once):
            some = heights[first : first + at_once]
            padded = np.concatenate([some, np.repeat(some[-1:], at_once - len(some), axis=0)])
            rows, status = refits(problem, jnp.asarray(params), jnp.asarray(padded))
            found.append(np.asarray(rows)[: len(some)])
            ended += [STATUS[Status(int(code))].success for code in status[: len(some)]]
        surfaces = [prepared.surface(jnp.asarray(one)) for one in np.concatenate(found)]
        return Bootstrap(
            jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *surfaces), np.array(ended)
        )


def _simulated(result: FitResult, prepared: Prepared, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Heights (n, N) in the units of the problem: the fit plus the noise that its loss assumes."""
    data, scaling, used = result.data, prepared.scaling, result.data.n_used
    fitted = result.fitted[data.used]
    shape, own = (n_samples, used), result.misfits[data.used] * data.weights
    spread = np.sqrt(result.n_points / (result.n_points - result.n_parameters))
    if result.settings.loss == "poisson":
        heights = rng.poisson(np.maximum(fitted, 0), shape).astype(float)
    elif result.settings.loss == "linear":
        deviation = 1.0 if data.absolute_sigma else spread * root_mean_square(own)
        heights = fitted + deviation / data.weights * rng.normal(size=shape)
    else:  # a robust loss assumes no distribution: that of the residuals serves
        heights = fitted + rng.choice(spread * (own - own.mean()), shape) / data.weights
    inner = scaling.heights(heights)
    return np.pad(inner, [(0, 0), (0, prepared.problem.heights.size - used)], mode="edge")


def refits(problem: SurfaceProblem, params: Array, heights: Array) -> tuple[Array, Array]:
    """Parameters (n, P) of fits to heights (n, N), all from the same start, and their statuses (n,)."""
    return (_refits_one_by_one if on_cpu(problem) else _refits_at_once)(problem, params, heights)


def refits_one_by_one(problem: SurfaceProblem, params: Array, heights: Array) -> tuple[Array, Array]:
    """For a CPU, which takes batched small products one by one."""
    return jax.lax.map(lambda z: _refit(problem, params, z), heights)


def refits_at_once(problem: SurfaceProblem, params: Array, heights: Array) -> tuple[Array, Array]:
    """For an accelerator."""
    return jax.vmap(lambda z: _refit(problem, params, z))(heights)


def _refit(problem: SurfaceProblem, params: Array, heights: Array) -> tuple[Array, Array]:
    solution = solve(replace(problem, heights=heights), params, LevenbergMarquardt(slack=0.0))
    return solution.params, solution.status


_refits_one_by_one, _refits_at_once = quick_jit(refits_one_by_one), quick_jit(refits_at_once)
