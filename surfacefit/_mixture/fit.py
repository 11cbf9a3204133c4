"""`fit_mixture`: Gaussian mixtures of weighted points by expectation-maximisation.

The way of the data: `mixture_data` (input validation, units) -> `setup` (task and start) -> `run` (chunks of the steps
of `expectation_maximization`, and `resets`) -> `result`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .._base.checks import MOST_MAGNITUDE, count, names_its_options, not_negative, one_of, positive_number, yes_or_no
from .._base.precision import precision
from .._base.progress import MixtureProgress, ProgressBar
from .._base.status import Status
from .._constraints.mixture_regularization import checked_prior
from .._data.data import fit_dtype
from .._model.covariance import COVARIANCE_TYPES
from .mixture_data import Units, WeightedPoints, covariance_of, definite, units_of, weighted_points
from .mixture_model import Mixture
from .result import MixtureResult
from .run import MixtureRun, RunLimits
from .setup import MixtureOptions, start_of, task_of
from .starts import Start, checked_init

# Of the data's width: the least floor in single precision, where narrower components lose their digits.
MIN_SINGLE_WIDTH = 3e-4


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
    r"""Fit a Gaussian mixture to weighted points by expectation-maximisation; returns a `MixtureResult`.

    For points x_n with weights v_n it maximises over weights w_k, means mu_k and covariances Sigma_k

    .. math:: \sum_n v_n \log \sum_k w_k \mathcal N(x_n; \mu_k, \Sigma_k) + \log p(w, \Sigma),

    where the last term is there only with a ``prior``. The maximum found is a local one, and depends on the start.

    Parameters
    ----------
    points : (N, d) points, one row each; (N,) for d = 1.
    n_components : number K of Gaussians, at most the number of distinct points.
    weights : (N,) weights v_n >= 0. A point of weight two counts as the point twice, one of weight zero not at all.
        None (default): all one.
    covariance_type : "full" (default), "diag", "spherical" or "tied" (one full covariance for all), as in scikit-learn.
    init : "kmeans++" (default), "random", or a start: ``(weights, means, covariances)``, a `MixtureResult`, which is
        continued, or a `GaussianSurface`, whose volumes are the weights. Weights must sum to one. With ``max_steps=0``
        the result is the start as it is.
    min_width : no component is narrower than this in any direction, as a share of the data's own width (standard
        deviation): in every direction for full and tied covariances, along every axis for diagonal ones, of all axes
        together for spherical ones. Where points with ``weights`` stand on an even grid, no component is narrower than
        half a cell either, since a height stands for its cell and not for a point. Only components at this floor are
        changed by it, and the objective still never falls. 0 means no floor; in single precision a floor is at least
        3e-4.
    reg_covar : added to the diagonal of every covariance in every step, in squared units of the points, as in
        scikit-learn. It widens all components, and the likelihood may fall a little. The default is 0.
    prior : None, or an `sf.MixturePrior`: the fit is then the maximum of the posterior (MAP), and the objective
        includes the prior.
    reset : True (default): a component is placed again, where the density is low, if its weight is less than that of
        as many points as its covariance needs (d + 1 if full), or if it has collapsed onto fewer distinct points; at
        most five times each. If the fit then ends lower than the best iterate before, that one is restored.
    tol : the fit has converged when the objective per unit weight changes by less in one step.
    max_steps : largest number of steps.
    dtype : "float32" or "float64", the precision of the work over points. Default: float32 for float32 points, else
        float64. The parameters are float64; at float32 points densities and probabilities are float32. JAX's global
        settings are neither needed nor changed.
    max_time : seconds after which the best mixture so far is returned; None: no limit.
    callback : called with a `MixtureProgress` after each chunk of steps; the fit stops if it returns True.
    progress : show a progress bar: True, False, or None (default), which shows it in a terminal or notebook.
    seed : of the random numbers for starts and resets.

    Returns
    -------
    MixtureResult : with ``weights``, ``means``, ``covariances``, ``log_likelihood``, ``predict``, ``surface``, ``plot``
        and more; never NaN. A fit that ends early returns the best mixture so far and says why in ``message``.

    Raises
    ------
    ValueError, TypeError : before any work, for arguments that are not valid; the message names the argument, the rule
        and the value.

    References
    ----------
    Dempster, Laird & Rubin, Journal of the Royal Statistical Society B 39 (1977) 1. Arthur & Vassilvitskii, k-means++,
    SODA 2007, 1027.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> rng = np.random.default_rng(0)
    >>> points = np.vstack([rng.normal([0, 0], 0.1, (300, 2)), rng.normal([3, 1], 0.2, (100, 2))])
    >>> mixture = sf.fit_mixture(points, 2)
    >>> mixture.converged, sorted(mixture.weights.round(3))
    (True, [np.float64(0.25), np.float64(0.75)])

    Heights >= 0 on an even grid can be fitted as a density: the height of a point is its weight, and the volume of the
    surface is the sum of the heights times the area of a cell, here 0.5 x 0.5. This is no least-squares fit, and has no
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
    options = MixtureOptions(
        n_components=n_components,
        kind=kind,
        init=checked_init(init, n_components, data.n_dim, kind),
        min_width=_min_width(min_width, precision),
        reg_covar=_reg_covar(reg_covar, data.n_dim),
        prior=checked_prior(prior, n_components, covariance_of(data)),
        reset=yes_or_no("reset", reset),
        tol=not_negative("tol", tol),
        max_steps=count("max_steps", max_steps, 0),
        dtype=precision,
        seed=count("seed", seed, 0, None),
    )
    if progress is not None:
        yes_or_no("progress", progress)
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `MixtureProgress`, got {callback!r}")
    deadline = begun + (float("inf") if max_time is None else positive_number("max_time", max_time))
    bar = ProgressBar(progress, options.max_steps, f"mixture K={n_components}")
    try:
        return _fit(data, options, callback, deadline, bar)
    finally:
        bar.close()


def _fit(
    data: WeightedPoints,
    options: MixtureOptions,
    callback: Callable[[MixtureProgress], Any] | None,
    deadline: float,
    bar: ProgressBar,
) -> MixtureResult:
    begun, units = time.perf_counter(), units_of(data, options.kind, options.min_width)
    rng = np.random.default_rng(options.seed)

    def watch(run: MixtureRun) -> bool:
        progress = MixtureProgress(
            run.steps,
            data.total * (float(run.best.log_likelihood) + units.log_volume),
            time.perf_counter() - begun,
            lambda: _result(data, options, units, run, Status.STOPPED),
        )
        bar.update(progress)
        return bool(callback is not None and callback(progress))

    with precision(np.dtype(np.float64)):
        task = task_of(data, options, units)
        run = MixtureRun(task, start_of(options, units, task, rng), RunLimits(deadline, watch), rng)
        return _result(data, options, units, run, run.run())


def _result(
    data: WeightedPoints, options: MixtureOptions, units: Units, run: MixtureRun, status: Status
) -> MixtureResult:
    """The best mixture in the user's units.

    A covariance that is singular there to double precision is raised a little, and the status says so.
    """
    best = run.best
    weights, means, covariances = _physical(best.mixture, units)
    if options.max_steps == 0 and isinstance(options.init, Start):
        weights, means, covariances = (array.copy() for array in options.init)
    result = MixtureResult(
        weights=weights,
        means=means,
        covariances=definite(covariances),
        covariance_type=options.kind,
        log_likelihood=data.total * (float(best.log_likelihood) + units.log_volume),
        total_weight=data.total,
        history=_history(data, options, units, run),
        status=status,
        steps=run.steps,
        at_floor=np.asarray(best.lowest) < units.floor**2,
        resets=run.resets.copy(),
        points=data.as_given,
        point_weights=data.weights,
    )
    if np.array_equal(result.covariances, covariances):
        return result
    likelihood = float(data.weights @ result.log_density(data.points))
    return replace(result, status=Status.SINGULAR, log_likelihood=likelihood)


def _physical(mixture: Mixture, units: Units) -> Start:
    """A mixture in the user's units."""
    weights, means, factors = (np.asarray(array, np.float64) for array in mixture)
    covariances = units.physical_covariances(factors @ factors.swapaxes(1, 2))
    return Start(weights / weights.sum(), units.physical_points(means), covariances)


def _history(data: WeightedPoints, options: MixtureOptions, units: Units, run: MixtureRun) -> dict[str, np.ndarray]:
    """In the user's units: densities gain the volume of the units, and so does the prior of each covariance."""
    entries = np.array(run.entries, float).reshape(-1, 3)
    n_shapes = 1 if options.kind == "tied" else options.n_components
    shift = units.log_volume * (1 + options.prior.pull * n_shapes / data.total)
    return {
        "log_likelihood": entries[:, 0] + units.log_volume,
        "objective": entries[:, 1] + shift,
        "restarted": entries[:, 2].astype(bool),
    }


def _reg_covar(value: Any, n_dim: int) -> float:
    added, most = not_negative("reg_covar", value), MOST_MAGNITUDE ** (1 / n_dim)
    if added > most:
        raise ValueError(f"`reg_covar` must not exceed {most:g}, so that determinants are numbers, got {added:g}")
    return added


def _min_width(value: Any, dtype: np.dtype) -> float:
    width = not_negative("min_width", value)
    if width >= 1:
        raise ValueError(f"`min_width` is a share of the data's width and must be below 1, got {width:g}")
    return max(width, MIN_SINGLE_WIDTH) if dtype == np.float32 and width > 0 else width
