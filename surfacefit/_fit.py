"""`fit` and `fit_points`: the way of the data from a user's arrays to a `FitResult`. Read this first.

user arrays -> _data (checks) -> _fitting: _prepare (units of order one, the problem on the device)
            -> _choosing (the number of components, where it is open)
            -> _beginning (a start from _initial, or growth and search)
            -> _parameters (free numbers) -> _solvers (the loop) over _problem and _jacobian -> _result
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ._amplitudes import AMPLITUDE_TYPES
from ._beginning import GROWN, INITS
from ._checks import count, names_its_options, one_of, positive_number
from ._covariance import COVARIANCE_TYPES
from ._criteria import AutoComponents, auto_components
from ._data import fit_dtype, grid_data, point_data
from ._engines import engine_choice
from ._fitting import Running, fitted
from ._prepare import Model
from ._prior import SurfacePrior, checked_prior
from ._progress import Progress
from ._result import FitResult
from ._solvers import SOLVERS, LevenbergMarquardt, Solver
from ._surface import GaussianSurface


@names_its_options
def fit(
    heights: Any,
    n_components: int | str | AutoComponents = "auto",
    *,
    coords: Any = None,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    amplitudes: str = "positive",
    init: Any = "auto",
    search: float | None = None,
    min_width: float = 0.25,
    prior: SurfacePrior | None = None,
    solver: Any = "lm",
    engine: Any = "auto",
    max_memory: float | None = None,
    dtype: Any = None,
    max_time: float | None = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> FitResult:
    r"""Fit a sum of scaled Gaussians to heights on a grid of any dimension, by least squares.

    Minimises over amplitudes a_k (>= 0 unless signed), centres c_k, covariances Sigma_k and the background b

    .. math:: \tfrac12 \sum_j \bigl((b(x_j) + \sum_k a_k e^{-(x_j-c_k)^T \Sigma_k^{-1} (x_j-c_k)/2} - z_j) / \sigma_j\bigr)^2 .

    Parameters
    ----------
    heights : array of any dimension d >= 1: real numbers, integers or booleans; a list, NumPy, masked or JAX array.
        NaN is ignored and counted; infinity is an error.
    n_components : number K of Gaussians; "auto" (default): chosen by the lowest BIC, or as `AutoComponents` says.
    coords : one strictly increasing 1-D array an axis, in the order of the array's axes; default 0, 1, 2, ...
        Centres and covariances come in these units.
    mask : boolean array of the shape of ``heights``, True = ignore (as in `numpy.ma`).
    sigma : standard deviation of each height, a number or an array of the shape of ``heights``.
    absolute_sigma : True: ``sigma`` is in the units of the heights; False (default): only its ratios count, and
        standard errors are scaled by the misfit, as in `scipy.optimize.curve_fit`.
    background : "constant" (default), "plane", None, or ``(function, start)`` with a JAX function
        ``function(parameters, points)`` of parameters (m,) and points (N, d) in the user's units, giving (N,).
    covariance_type : "full" (default), "diag", "spherical" or "tied" (one full covariance for all), as in
        scikit-learn's GaussianMixture.
    amplitudes : "positive" (default, a_k >= 0) or "signed": pits as well as peaks.
    init : where to start: "auto" (default: "growth", then a short search), "growth" (components are added where they win most,
        with joint refits between), "peaks" (from the data at once, over all scales), "grid" (an even lattice), "random",
        "em" (expectation-maximisation from the peaks, heights read as a density), or a `GaussianSurface` with K components.
    search : seconds in which to look for a better minimum: components are taken from where they are of little use and put
        where the residual is, or split, or thrown off their places, and what is better after a joint refit is kept. Default
        with ``init="auto"``: until some rounds in a row have found nothing, 8 s or as long as growth took at most; else 0, none.
    min_width : smallest width of a component, in units of the sampling distance.
    prior : what is known of covariances and amplitudes beforehand, as a `SurfacePrior`; the fit then is MAP. Needs ``absolute_sigma``.
    solver : "lm" (default), "adam", "superimposed" (EM for superimposed signals), or an object:
        ``sf.LevenbergMarquardt(max_steps=..., ftol=...)``.
    engine : "dense" (every component at every point), "tiled" (only where it is felt), "auto" (default; by size), or an
        object: ``sf.Tiled(cutoff=...)``.
    max_memory : GB (1e9 bytes) that the fit may take, default 60 % of what the machine or device has. Work is cut to fit;
        where that is not possible an error says how much is needed.
    dtype : "float32" or "float64"; default float32 for float32 heights, else float64. JAX's global settings are
        neither needed nor changed.
    max_time : seconds after which the best surface so far is returned.
    callback : called with a `Progress` after each chunk of steps; if it returns True the fit stops.
    progress : show a bar: True, False, or None (default) for "where a person is watching".
    seed : of the random numbers, where a start uses them.

    Returns
    -------
    FitResult : with ``surface``, ``rmse``, ``summary()``, ``plot()``, ``save()`` and more. A fit that stops early,
        at a limit or by Ctrl-C, returns the best surface so far and says why in ``message``.

    Raises
    ------
    ValueError, TypeError : before any work, for arguments that cannot be meant; the message names the argument,
        the rule and the value.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:40, :50]
    >>> hill = 3 * np.exp(-((y - 15) ** 2 / 50 + (x - 30) ** 2 / 128)) + 1
    >>> result = sf.fit(hill, 1)
    >>> result.success, result.surface.amplitudes.round(6), result.surface.centers.round(6)
    (True, array([3.]), array([[15., 30.]]))
    >>> noise = 0.01 * np.random.default_rng(0).normal(size=hill.shape)
    >>> sf.fit(hill + noise).n_components
    1
    """
    begun = time.perf_counter()
    data = grid_data(heights, coords, mask, sigma, absolute_sigma)
    auto, number = _number(n_components, init)
    model = _model(number, background, covariance_type, min_width, amplitudes)
    model = replace(model, prior=checked_prior(prior, data.n_dim, data.absolute_sigma))
    running = Running(
        _init(init),
        _search_time(search),
        count("seed", seed, 0),
        _solver(solver),
        engine_choice(engine, max_memory),
        fit_dtype(dtype, data.heights),
        progress,
        _callback(callback),
        _limit(max_time),
    )
    return fitted(data, model, auto, running, begun)


@names_its_options
def fit_points(
    points: Any,
    heights: Any,
    n_components: int | str | AutoComponents = "auto",
    *,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    amplitudes: str = "positive",
    init: Any = "auto",
    search: float | None = None,
    min_width: float = 0.25,
    prior: SurfacePrior | None = None,
    solver: Any = "lm",
    engine: Any = "auto",
    max_memory: float | None = None,
    dtype: Any = None,
    max_time: float | None = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> FitResult:
    """Fit a sum of scaled Gaussians to heights at scattered points.

    Parameters
    ----------
    points : (N, d) coordinates, one row a point; (N,) for d = 1. Points may repeat.
    heights : (N,) heights. NaN is ignored and counted.

    All other parameters, what is minimised, what is returned and what is raised are as in `fit`. The sampling
    distance that ``min_width`` refers to is that of the same number of points spread evenly over their box.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.random.default_rng(0).uniform(-5, 5, size=(300, 2))
    >>> z = 2 * np.exp(-0.5 * ((x - [1, -1]) ** 2).sum(axis=1))
    >>> sf.fit_points(x, z, 1, background=None).surface.centers.round(6)
    array([[ 1., -1.]])
    """
    begun = time.perf_counter()
    data = point_data(points, heights, mask, sigma, absolute_sigma)
    auto, number = _number(n_components, init)
    model = _model(number, background, covariance_type, min_width, amplitudes)
    model = replace(model, prior=checked_prior(prior, data.n_dim, data.absolute_sigma))
    running = Running(
        _init(init),
        _search_time(search),
        count("seed", seed, 0),
        _solver(solver),
        engine_choice(engine, max_memory),
        fit_dtype(dtype, data.heights),
        progress,
        _callback(callback),
        _limit(max_time),
    )
    return fitted(data, model, auto, running, begun)


def _number(n_components: Any, init: Any) -> tuple[AutoComponents | None, int]:
    """How a number of components is to be chosen, or the number."""
    number = auto_components(n_components)
    if not isinstance(number, AutoComponents):
        return None, number
    if isinstance(init, GaussianSurface) or init not in GROWN:
        given = "a surface" if isinstance(init, GaussianSurface) else repr(init)
        raise ValueError(f"`n_components` that is to be chosen grows from nothing, got init={given}: leave `init` out, or give a number")
    return number, 1


def _model(n_components: int, background: Any, covariance_type: Any, min_width: Any, amplitudes: Any) -> Model:
    return Model(
        n_components,
        background,
        one_of("covariance_type", covariance_type, COVARIANCE_TYPES),
        positive_number("min_width", min_width),
        one_of("amplitudes", amplitudes, AMPLITUDE_TYPES),
    )


def _init(init: Any) -> Any:
    return init if isinstance(init, GaussianSurface) else one_of("init", init, INITS)


def _callback(callback: Any) -> Any:
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of one `Progress`, got {callback!r}")
    return callback


def _limit(max_time: Any) -> float | None:
    return None if max_time is None else positive_number("max_time", max_time)


def _search_time(search: Any) -> float | None:
    if isinstance(search, bool):
        raise TypeError(f"`search` must be seconds, got {search!r}: 0 does not search at all")
    if search is None or (isinstance(search, (int, float)) and search == 0):
        return search
    return positive_number("search", search)


def _solver(solver: Any) -> Solver:
    if not isinstance(solver, str) and hasattr(solver, "init") and hasattr(solver, "step") and not isinstance(solver, type):
        count("solver.max_steps", solver.max_steps, 0)
        if isinstance(solver, LevenbergMarquardt):
            positive_number("solver.damping", solver.damping)
            count("solver.patience", solver.patience)
            if np.shape(solver.reach) != (2,) or not 0 < solver.reach[0] <= solver.reach[1]:
                raise ValueError(f"`solver.reach` must be two increasing positive numbers, got {solver.reach!r}")
        return solver
    return SOLVERS[one_of("solver", solver, SOLVERS)]()
