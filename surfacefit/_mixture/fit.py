"""`fit_mixture`: Gaussian mixtures of weighted points by expectation-maximisation.

user arrays -> _cloud (checks, units) -> _mixture_starts -> _mixture_run (chunks of steps of _expectation_maximization,
with the remedies of mixture_regularization) -> _mixture_result
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._base.checks import count, names_its_options, not_negative, one_of, positive_number, yes_or_no
from .._base.progress import MixtureProgress, ProgressBar
from .._base.status import Status
from .._constraints.mixture_regularization import MixtureRegularization, Prior, checked_prior, lifted, points_needed
from .._data.data import fit_dtype
from .._model.covariance import COVARIANCE_TYPES
from .cloud import Units, WeightedPoints, check_enough, covariance_of, definite, packed, units_of, weighted_points
from .expectation_maximization import State
from .result import MixtureResult
from .run import Limits, MixtureRun, Task
from .starts import Start, checked_init, drawn, restricted

NARROWEST_SINGLE = 3e-4


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is asked for, checked."""

    n_components: int
    kind: str
    init: str | Start
    min_width: float
    reg_covar: float
    prior: Prior
    reset: bool
    tol: float
    max_steps: int
    dtype: np.dtype
    seed: int


@names_its_options
def fit_mixture(
    points: Any,
    n_components: int,
    *,
    weights: Any = None,
    covariance_type: str = "full",
    init: Any = "kmeans++",
    min_width: float = 1e-3,
    reg_covar: float = 0.0,
    prior: Any = None,
    reset: bool = True,
    tol: float = 1e-6,
    max_steps: int = 500,
    dtype: Any = None,
    max_time: float | None = None,
    callback: Callable[[MixtureProgress], Any] | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> MixtureResult:
    r"""Fit a Gaussian mixture to weighted points by expectation-maximisation.

    Maximises over weights w_k, means mu_k and covariances Sigma_k

    .. math:: \sum_n v_n \log \sum_k w_k \mathcal N(x_n; \mu_k, \Sigma_k) + \log p(w, \Sigma),

    the last term only with a ``prior``.

    Parameters
    ----------
    points : (N, d) points, one row each; (N,) for d = 1.
    n_components : number K of Gaussians, at most the number of distinct points.
    weights : (N,) weights v_n >= 0: a point of weight two counts as the point twice, one of weight zero not at all.
    covariance_type : "full" (default), "diag", "spherical" or "tied" (one full covariance for all), as in scikit-learn.
    init : "kmeans++" (default), "random", or a start: ``(weights, means, covariances)``, a `MixtureResult` (continues
        it), or a `GaussianSurface` (its volumes are the weights).
    min_width : no component is narrower than this in any direction, in units of the data's own width there (standard
        deviation; full and tied: along every direction, diag: along every axis, spherical: of all axes together). 0: no
        floor; in single precision 3e-4 at least, if any. Only components at the floor are changed by it, and the
        likelihood never falls.
    reg_covar : added to the diagonal of every covariance in every step, in squared units of the points, as in
        scikit-learn. It widens all components, and the likelihood may fall a little; the default is 0.
    prior : None, or an `sf.MixturePrior`: the fit is then MAP, and the objective includes the prior.
    reset : True (default): a component with less weight than as many points as its covariance needs (d + 1 if full), or
        that has collapsed on to fewer distinct ones, is placed anew where the density is low, at most five times each.
        The best iterate is kept: should the new way end lower, the old one is taken up again.
    tol : ends where the objective per unit weight changes by less in a step.
    max_steps : steps at most.
    dtype : "float32" or "float64", in which the work over points is done; default float32 for float32 points, else
        float64. JAX's global settings are neither needed nor changed.
    max_time : seconds after which the best mixture so far is returned.
    callback : called with a `MixtureProgress` after each chunk of steps; if it returns True the fit stops.
    progress : show a bar: True, False, or None (default) for "where a person is watching".
    seed : of the random numbers, for starts and for new places.

    Returns
    -------
    MixtureResult : with ``weights``, ``means``, ``covariances``, ``log_likelihood``, ``predict``, ``surface``, ``plot``
        and more; never NaN. A fit that stops early returns the best mixture so far and says why in ``message``.

    Raises
    ------
    ValueError, TypeError : before any work, for arguments that cannot be meant; the message names the argument,
        the rule and the value.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> rng = np.random.default_rng(0)
    >>> points = np.vstack([rng.normal([0, 0], 0.1, (300, 2)), rng.normal([3, 1], 0.2, (100, 2))])
    >>> mixture = sf.fit_mixture(points, 2)
    >>> mixture.converged, sorted(mixture.weights.round(3))
    (True, [np.float64(0.25), np.float64(0.75)])

    Heights >= 0 on an even grid, read as a density: each point weighs as much as it is high, and the surface's volume
    is the sum of the heights times the area of a cell, here 0.5 x 0.5. It is no least-squares fit, and has no
    background:

    >>> y, x = np.meshgrid(0.5 * np.arange(40), 0.5 * np.arange(50), indexing="ij")
    >>> hill = sf.GaussianSurface([3.0], [[9.0, 12.0]], [[[4.0, 1.0], [1.0, 5.0]]])
    >>> grid = np.column_stack([y.ravel(), x.ravel()])
    >>> heights = hill(grid)
    >>> sf.fit_mixture(grid, 1, weights=heights).surface(total=heights.sum() * 0.25).amplitudes.round(2)
    array([3.])
    """
    begun = time.perf_counter()
    data = weighted_points(points, weights)
    kind = one_of("covariance_type", covariance_type, COVARIANCE_TYPES)
    n_components, precision = count("n_components", n_components), fit_dtype(dtype, np.empty(0, data.dtype))
    wanted = Wanted(
        n_components=n_components,
        kind=kind,
        init=checked_init(init, n_components, data.n_dim, kind),
        min_width=_min_width(min_width, precision),
        reg_covar=not_negative("reg_covar", reg_covar),
        prior=checked_prior(prior, n_components, covariance_of(data)),
        reset=yes_or_no("reset", reset),
        tol=not_negative("tol", tol),
        max_steps=count("max_steps", max_steps, 0),
        dtype=precision,
        seed=count("seed", seed, 0),
    )
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `MixtureProgress`, got {callback!r}")
    deadline = begun + (float("inf") if max_time is None else positive_number("max_time", max_time))
    bar = ProgressBar(progress, wanted.max_steps, f"mixture K={n_components}")
    try:
        return _fit(data, wanted, callback, deadline, bar)
    finally:
        bar.close()


def _fit(
    data: WeightedPoints,
    wanted: Wanted,
    callback: Callable[[MixtureProgress], Any] | None,
    deadline: float,
    bar: ProgressBar,
) -> MixtureResult:
    begun, units, rng = (
        time.perf_counter(),
        units_of(data, wanted.kind, wanted.min_width),
        np.random.default_rng(wanted.seed),
    )

    def watch(run: MixtureRun) -> bool:
        likelihood = data.total * (float(run.best.log_likelihood) + units.log_volume)
        progress = MixtureProgress(
            run.steps,
            likelihood,
            time.perf_counter() - begun,
            lambda: _result(data, wanted, units, run, Status.STOPPED),
        )
        bar.update(progress)
        return bool(callback is not None and callback(progress))

    with jax.enable_x64(True):
        task = _task(data, wanted, units)
        run = MixtureRun(task, _start(wanted, units, task, rng), Limits(deadline, watch), rng)
        return _result(data, wanted, units, run, run.run())


def _task(data: WeightedPoints, wanted: Wanted, units: Units) -> Task:
    points = units.points(data.points)
    distinct, needed = check_enough(data, wanted.n_components), points_needed(wanted.kind, data.n_dim)
    prior, weight = wanted.prior, data.total / len(points)
    return Task(
        points=points,
        weights=data.weights,
        cloud=packed(points, data.weights, wanted.n_components, wanted.dtype),
        regularization=MixtureRegularization(
            floor=jnp.asarray(wanted.min_width**2, np.float64),
            added=jnp.asarray(wanted.reg_covar * units.forms(np.eye(data.n_dim)), np.float64),
            scale=jnp.asarray(units.forms(prior.scale) / weight, np.float64),
            pull=jnp.asarray(prior.pull / weight, np.float64),
            extra=jnp.asarray(prior.extra / weight, np.float64),
            kind=wanted.kind,
        ),
        least=min(needed, 0.5 * distinct / wanted.n_components) * len(points) / distinct,
        needed=needed,
        bounded=wanted.min_width > 0 or wanted.reg_covar > 0 or prior.pull > 0,
        resets=wanted.reset,
        tol=wanted.tol,
        max_steps=wanted.max_steps,
    )


def _start(wanted: Wanted, units: Units, task: Task, rng: np.random.Generator) -> Start:
    """The start in the units of the fit, no narrower than the floor."""
    if isinstance(wanted.init, str):
        start = drawn(wanted.init, task.points, task.weights, wanted.n_components, rng)
        start = start._replace(covariances=restricted(start.covariances, start.weights, wanted.kind))
    else:
        start = Start(wanted.init.weights, units.points(wanted.init.means), units.forms(wanted.init.covariances))
    wide = lifted(jnp.asarray(start.covariances), task.regularization.floor).covariances
    return start._replace(covariances=np.asarray(wide))


def _result(data: WeightedPoints, wanted: Wanted, units: Units, run: MixtureRun, status: Status) -> MixtureResult:
    """The best mixture in the user's units; one that is singular there to double precision is lifted a little, and
    told.
    """
    best: State = run.best
    weights, means, factors = (np.asarray(array, np.float64) for array in best.mixture)
    history = np.array(run.entries, float).reshape(-1, 3)
    n_shapes = 1 if wanted.kind == "tied" else wanted.n_components
    shift = units.log_volume * (1 + wanted.prior.pull * n_shapes / data.total)
    covariances = units.forms_back(factors @ factors.swapaxes(1, 2))
    result = MixtureResult(
        weights=weights / weights.sum(),
        means=units.points_back(means),
        covariances=definite(covariances),
        covariance_type=wanted.kind,
        log_likelihood=data.total * (float(best.log_likelihood) + units.log_volume),
        total_weight=data.total,
        history={
            "log_likelihood": history[:, 0] + units.log_volume,
            "objective": history[:, 1] + shift,
            "restarted": history[:, 2].astype(bool),
        },
        status=status,
        steps=run.steps,
        at_floor=np.asarray(best.lowest) < wanted.min_width**2,
        resets=run.resets.copy(),
        points=data.points,
        point_weights=data.weights,
    )
    if np.array_equal(result.covariances, covariances):
        return result
    likelihood = float(data.weights @ result.log_density(data.points))
    return replace(result, status=Status.SINGULAR, log_likelihood=likelihood)


def _min_width(value: Any, dtype: np.dtype) -> float:
    width = not_negative("min_width", value)
    if width >= 1:
        raise ValueError(f"`min_width` is a share of the data's width and must be below 1, got {width:g}")
    return max(width, NARROWEST_SINGLE) if dtype == np.float32 and width > 0 else width
