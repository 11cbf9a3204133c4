"""`fit` and `fit_points`: the way of the data from a user's arrays to a `FitResult`. Read this first.

user arrays -> _data (checks) -> _fitting: _prepare (units of order one, the problem on the device)
            -> _choosing (the number of components, where it is open)
            -> _beginning (a start from _initial, or growth and search)
            -> _parameters (free numbers) -> _solvers (the loop) over _problem and _jacobian -> _result
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .._base.checks import names_its_options
from .._base.progress import Progress
from .._constraints.bounds import Bounds
from .._constraints.prior import SurfacePrior
from .._data.data import grid_data, point_data
from .._results.criteria import AutoComponents
from .._results.result import FitResult
from .fitting import fitted
from .options import Options


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
    tied: str | None = None,
    amplitudes: str = "positive",
    loss: str = "linear",
    f_scale: float | None = None,
    bounds: Bounds | None = None,
    fixed: Any = None,
    init: Any = "auto",
    search: float | None = None,
    reset: bool | None = None,
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

    .. math:: \tfrac12 \sum_j \bigl((b(x_j) + \sum_k a_k e^{-(x_j-c_k)^T \Sigma_k^{-1} (x_j-c_k)/2} - z_j) /
    \sigma_j\bigr)^2 .

    Parameters
    ----------
    heights : array of any dimension d >= 1: real numbers, integers or booleans; a list, NumPy, masked or JAX array.
        NaN is ignored and counted; infinity is an error.
    n_components : number K of Gaussians; "auto" (default): chosen by the lowest BIC, or as `AutoComponents` says.
    coords : one strictly increasing 1-D array an axis, in the order of the array's axes; default 0, 1, 2, ...
        Centres and covariances come in these units.
    mask : boolean array of the shape of ``heights``, True = ignore (as in `numpy.ma`).
    sigma : standard deviation of each height, a number or an array of the shape of ``heights``; where it is NaN the
        point is ignored.
    absolute_sigma : True: ``sigma`` is in the units of the heights; False (default): only its ratios count, and
        standard errors are scaled by the misfit, as in `scipy.optimize.curve_fit`.
    background : "constant" (default), "plane", None, a number (a constant that starts there), or ``(function, start)``
        with a JAX function ``function(parameters, points)`` of parameters (m,) and points (N, d) in the user's units,
        giving (N,).
    covariance_type : "full" (default), "diag", "spherical" or "tied" (one full covariance for all), as in
        scikit-learn's GaussianMixture.
    tied : None, or "covariances": another name for ``covariance_type="tied"``, beside ``fixed``. Nothing else can be
        tied.
    amplitudes : "positive" (default, a_k >= 0) or "signed": pits as well as peaks.
    loss : what a misfit u = (f - z) / sigma costs: "linear" (default, u^2 / 2), "huber", "soft_l1" or "cauchy" (C^2
        rho(u^2 / C^2) / 2 of `scipy.optimize.least_squares`: outliers pull less, or not at all), or "poisson" (heights
        are counts: half their deviance, the maximum of the likelihood).
    f_scale : C, the misfit that parts good points from outliers, in units of ``sigma`` (of the heights without it);
        default 1.
    bounds : limits of amplitudes, centres, widths, background and aspect ratio, as `Bounds`. A start outside is moved
        on to them.
    fixed : what keeps the values of its start: "amplitudes", "centers", "covariances", "background", a list of these,
        or a dict of True or boolean arrays (K,) by these names: ``fixed={"centers": [True, False]}``. Needs a start, as
        ``init``; for a background its value, there or as ``background``.
    init : where to start: "auto" (default: "growth", then a short search), "growth" (components are added where they
        win most, with joint refits between), "peaks" (from the data at once, over all scales), "grid" (an even
        lattice), "random", "em" (expectation-maximisation from the peaks, heights read as a density), `RandomStarts`
        (the best of several, the baseline; growth and search are better), or a `GaussianSurface` with K components
        (positive amplitudes of 0 begin at 1 % of the heights' spread).
    search : seconds in which to look for a better minimum: components are taken from where they are of little use and
        put where the residual is, or split, minima are spliced, parts of them grown anew, few components begin
        anywhere, and what is better after a joint refit is kept. Default with ``init="auto"``: until some rounds in a
        row have found nothing, 9 s or twice as long as growth took at most; else 0, none.
    reset : True: components that have collapsed when the fit has ended by itself, worth no more than noise, are put
        where the residual is highest and all are refitted, as long as that ends lower, three times at most. Not where
        components are held or have limits of their own. ``result.resets`` says which were. False: the fit stays as it
        ends. Default: True, unless ``init`` is a surface, whose components may be meant however faint they are.
    min_width : lower limit, in sampling distances, of the pivots of a component's covariance (the diagonal of its
        Cholesky factor): its width along each axis with the axes after it left open and those before it held. These are
        the principal widths where those lie along the axes; an ellipse aslant can be narrower across.
        ``Bounds(widths=(low, None))`` limits principal widths.
    prior : what is known of covariances and amplitudes beforehand, as a `SurfacePrior`; the fit then is MAP. Needs
        ``absolute_sigma``.
    solver : "lm" (default), "adam", "superimposed" (EM for superimposed signals), or an object:
        ``sf.LevenbergMarquardt(max_steps=..., ftol=...)``.
    engine : "dense" (every component at every point), "tiled" (only where it is felt), "auto" (default; by size), or an
        object: ``sf.Tiled(cutoff=...)``.
    max_memory : GB (1e9 bytes) that the fit may take, default 60 % of what the machine or device has. Work is cut to
        fit; where that is not possible an error says how much is needed.
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
    options = Options(
        n_components, background, covariance_type, tied, amplitudes, loss, f_scale, bounds, fixed, init, search,
        reset, min_width, prior,
        solver, engine, max_memory, dtype, max_time, callback, progress, seed,
    )  # fmt: skip
    return fitted(data, *options.checked(data), begun)


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
    tied: str | None = None,
    amplitudes: str = "positive",
    loss: str = "linear",
    f_scale: float | None = None,
    bounds: Bounds | None = None,
    fixed: Any = None,
    init: Any = "auto",
    search: float | None = None,
    reset: bool | None = None,
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
    options = Options(
        n_components, background, covariance_type, tied, amplitudes, loss, f_scale, bounds, fixed, init, search,
        reset, min_width, prior,
        solver, engine, max_memory, dtype, max_time, callback, progress, seed,
    )  # fmt: skip
    return fitted(data, *options.checked(data), begun)
