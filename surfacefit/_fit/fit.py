"""`fit` and `fit_points`: from a user's arrays to a `FitResult`. Read this first.

The way of the data is told in docs/design.md, "The way of the data". The options go the same way: `fit` names and
documents them, `options` checks them and puts them into two records, `ModelSpec` (what is fitted) and `RunSpec` (how).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from .._base.checks import names_its_options
from .._base.progress import Progress
from .._constraints.bounds import Bounds
from .._constraints.prior import SurfacePrior
from .._results.criteria import AutoComponents
from .._results.result import FitResult
from ..interop.arrays.opening import opened, opened_points
from ..interop.unread.streaming import streamed_map
from .fitting import fitted
from .options import checked_options


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
    shape: Any = None,
    periods: Any = None,
    beam: Any = None,
    sampling: str = "points",
    amplitudes: str = "positive",
    loss: str = "linear",
    f_scale: float | None = None,
    bounds: Bounds | None = None,
    contained: bool | None = None,
    fixed: Any = None,
    tie: dict[str, Any] | None = None,
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
    r"""Fit a sum of scaled Gaussians to heights on a grid of any dimension.

    The fit minimises the weighted sum of squares

    .. math:: \tfrac12 \sum_j \bigl((b(x_j) + \sum_k a_k e^{-(x_j-c_k)^T \Sigma_k^{-1} (x_j-c_k)/2} - z_j) /
        \sigma_j\bigr)^2

    over the amplitudes a_k, centres c_k and covariances Sigma_k of K components and over the background b.

    Parameters
    ----------
    heights : array_like, shape (n_1, ..., n_d), d >= 1
        The heights z: real numbers, integers or booleans; a list, NumPy, masked or JAX array. NaN is ignored and
        counted; infinity raises an error. Arrays of xarray, pandas, polars, astropy, torch and dask bring what they
        know (coordinates, units, mask, errors), and model and residuals come back as the same kind. A table with
        columns x, y, z holds scattered points. A map on disk (a `numpy.memmap`, an array of zarr, a data set of h5py, a
        raster of rasterio) that is too large for ``max_memory`` is read window by window, see `Streamed`.
    n_components : int, "auto" or `AutoComponents`
        The number K of components. "auto" (default) chooses it: the lowest BIC, where residuals that are
        correlated count as fewer points, and no component below five of its errors. It may be 0. `AutoComponents`
        chooses by another criterion.
    coords : sequence of d arrays, optional
        The coordinates of the grid, one 1-D array for each axis of ``heights``, in the same order, which strictly rises
        or falls. Default: 0, 1, 2, ... Centres and covariances are in these units.
    mask : boolean array, shape of ``heights``, optional
        True where a point is to be ignored, as in `numpy.ma`.
    sigma : float or array, shape of ``heights``, optional
        Standard deviation of each height. Points with NaN or infinity here are ignored: their weight is zero.
        Default: the same for all points.
    absolute_sigma : bool
        True: ``sigma`` is in the units of the heights. False (default): only its ratios matter, and standard errors are
        scaled by the residuals, as in `scipy.optimize.curve_fit`.
    background : {"constant", "plane"}, float, background object, (function, start) or None
        What the components stand on. "constant" is the default. A number is a constant that starts at this value, and
        an object (`ConstantBackground`, `PlaneBackground`, `FunctionBackground`) starts at its own values.
        ``function(parameters, points)`` is a JAX function of parameters (m,) and points (N, d), in the units of
        ``coords``, that returns heights (N,); its parameters start at ``start`` (m,) and are fitted.
    covariance_type : {"full", "diag", "spherical", "tied", "beam"}
        Shapes of the components: any ellipsoid (default), axes along the coordinate axes, spheres, or one ellipsoid
        that all components share. The names are those of scikit-learn's `GaussianMixture`. "beam" means point sources:
        all have the shape of the ``beam``, and no width of their own.
    tied : "covariances", optional
        Another name for ``covariance_type="tied"``. Nothing else can be tied.
    shape : float, (d,) or (d, d), optional
        The shape of all components, held while their number, places and amplitudes are fitted, as of stars under one
        beam: a covariance (d, d), standard deviations (d,) along the axes, or one for all, in the units of ``coords``.
        `covariance_from_fwhm` makes it from widths and an angle. A start keeps its centres and amplitudes.
    periods : float or sequence of d, optional
        Lengths after which the axes repeat, None for an open axis, in the units of ``coords``: ``(2 * np.pi, None)``.
        A component is then the sum of its images at shifts by whole periods, which is smooth everywhere, and its
        centre is reported in the period that begins at the lowest coordinate. Deviations along such an axis stay below
        about a third of the period, beyond which a component is level.
    beam : float, (d,), (d, d) or "map", optional
        What the components were seen through: a covariance (d, d), standard deviations (d,) along the axes, or one for
        all, in the units of ``coords``; "map" is that of an image of the sky (BMAJ, BMIN, BPA). Components are then
        own covariances plus that of the beam, so that none is narrower than the beam, whatever ``min_width`` says. The
        surface, and a start, are what is seen; `FitResult.deconvolved` has the own sizes.
    sampling : {"points", "integrated"}
        What a height is: the surface at its point (default), or its mean over the pixel around it, as a detector
        counts: stars and molecules narrower than a pixel then keep their flux. The mean is a sum over Gauss-Legendre
        nodes, with an error below 1e-4 of an amplitude at the least width, if that is a tenth of a pixel or more. Needs
        an even grid and one device; a step takes the exponentials at all nodes. ``predict()`` gives means over pixels,
        the surface is that at points.
    amplitudes : {"positive", "signed"}
        "positive" (default): peaks only, a_k >= 0. "signed": peaks and pits.
    loss : {"linear", "huber", "soft_l1", "cauchy", "poisson"}
        The cost of a misfit u = (f - z) / sigma. "linear" (default) is least squares, u^2 / 2. "huber", "soft_l1" and
        "cauchy" give less weight to outliers: C^2 rho(u^2 / C^2) / 2, with rho as in `scipy.optimize.least_squares`.
        "poisson" is for counts: half the deviance, so that the fit has the maximum likelihood.
    f_scale : float, optional
        C of the robust losses: the misfit beyond which a point counts as an outlier, in units of ``sigma`` (without
        ``sigma``, in units of the heights). Default: 1.
    bounds : `Bounds`, optional
        Limits of amplitudes, centres, widths, aspect ratio and background. A start outside is moved to the limits.
    contained : bool, optional
        True: centres stay over the data, up to half a sampling distance beyond the outermost points, and deviations
        along each axis stay within the largest extent of the data, counted in samples. Otherwise components that
        explain a slope or a level run away, with errors above their values. ``bounds`` on centres or widths take the
        place of these limits. False: no such limits. Default: True, but False if ``init`` is a `GaussianSurface` with a
        component outside.
    fixed : str, list of str or dict, optional
        What keeps the value it has at the start: "amplitudes", "centers", "covariances", "background", or a list of
        these. A dict fixes them for some components: ``fixed={"centers": [True, False]}``. Needs a start, given as
        ``init``; the result keeps its order. A fixed background needs a value, in ``init`` or ``background``.
    tie : dict, optional
        What numbers follow from others by. A name with groups makes them equal: ``{"centers": [[0, 1]], "widths":
        True}`` gives components 0 and 1 one centre and all one set of widths. A number with a formula follows from
        others: ``{"amplitudes[1]": "amplitudes[0] / 3", "centers[1]": "centers[0] + 14.4"}``. A function of the
        surface, in jax.numpy, stands for a formula of any kind, a number for itself, and "fixed" for the value at the
        start: ``{"angles[0]": "fixed"}``. Names are "amplitudes", "centers", "widths" (principal ones, in the order of
        the start's), "angles" and "aspects" (in 2-D), "covariances", "volumes", "background"; ``{"spacing": [[0, 1,
        2]]}`` spaces centres evenly, ``{"volume": 10.0}`` fixes the sum of all volumes. Units are the user's. Needs a
        start, given as ``init``; the result keeps its order, and its errors know what is tied.
    init : {"auto", "growth", "peaks", "grid", "random", "em"}, `RandomStarts` or `GaussianSurface`
        Where the fit starts. "growth" adds components where they lower the cost most, and refits all between additions;
        "auto" (default) is growth and then a short search. Both grow 2,000 or more components on a grid by regions, in
        least squares with nothing fixed: groups of neighbours are refitted on the cells around them, then in turns with
        joint steps, in place of the short search. "peaks" finds peaks of all sizes in the data, "grid" is an even
        lattice, "random" puts components at random points, and "em" runs expectation-maximisation from the peaks,
        with heights as a density. `RandomStarts` fits from several random starts and keeps the best. A
        `GaussianSurface` with K components is a start of your own; positive amplitudes of 0 then begin at 1 % of the
        heights' standard deviation.
    search : float, optional
        Seconds to search for a better minimum after the start. The search moves components of little use to where the
        residual is large, splits components, combines parts of different minima, grows parts of the surface anew, and
        keeps what is better after a joint refit. 0: no search. Default with ``init="auto"``: until several rounds in a
        row find nothing better, or an amount of work is done: about 0.9 CPU seconds a component in two dimensions and
        4 in three, up to 60 and 100, or twice the work of growth; the same data and seed then give the same result on
        any machine, however busy. Default with any other ``init``: 0.
    reset : bool, optional
        True: when the fit has converged, components that explain no more than noise are put where the residual is
        largest and all are refitted. The new fit is kept if its cost is lower, and up to three resets are tried.
        ``result.resets`` counts them. No component is reset if some are fixed or have limits of their own. Default:
        True, but False if ``init`` is a `GaussianSurface`.
    min_width : float
        Lower limit of the widths, in sampling distances. It limits the diagonal of each covariance's Cholesky factor.
        For ellipsoids along the axes these are the principal widths; other ellipsoids can be narrower.
        ``Bounds(widths=(low, None))`` limits principal widths. Default: 0.25.
    prior : `SurfacePrior`, optional
        Prior knowledge of covariances, amplitudes, centres and the background; the fit then is the maximum of the
        posterior density. Needs ``absolute_sigma=True``; centres need a start, given as ``init``, whose order the
        result keeps.
    solver : str or solver object
        "lm" (default) is Levenberg-Marquardt. Of the others, which the message for an unknown name lists, "dogleg" is
        Powell's dogleg, which ends lower on some maps and higher on others, "adam" takes many first-order steps, and
        "superimposed" is expectation-maximisation for superimposed signals. An object has settings:
        ``sf.LevenbergMarquardt(max_steps=..., ftol=...)``. Growth, the search and the choice of a number of components
        always use Levenberg-Marquardt; ``solver`` takes the steps after them.
    engine : {"auto", "dense", "tiled"} or engine object
        "dense" computes every component at every point, "tiled" only where the component is above a cutoff, which is
        faster for large problems. "auto" (default) chooses by size. An object has settings: ``sf.Tiled(cutoff=...)``.
        ``sf.Streamed(checkpoint=...)`` reads the heights window by window, and goes on after it was killed.
    max_memory : float, optional
        Largest memory to use, in GB (1e9 bytes). The work is divided to fit into it; if that is not possible, an error
        says how much is needed. Default: 60 % of the memory of the machine or device.
    dtype : {"float32", "float64"}, optional
        Precision. Default: float32 for heights of float32 (in either byte order), float16 or bfloat16, float64 for all
        others. JAX's global settings are neither needed nor changed.
    max_time : float, optional
        Seconds after which the fit stops with the best surface so far.
    callback : callable, optional
        Called with a `Progress` after each chunk of steps. The fit stops if it returns True.
    progress : bool, optional
        Whether to show a progress bar. Default: only if a person is watching (a terminal or a notebook).
    seed : int
        Seed of the random numbers of starts and search. Default: 0.

    Returns
    -------
    FitResult
        With ``surface``, ``rmse``, ``summary()``, ``plot()``, ``save()`` and more. A fit that stops early, at a limit
        or by Ctrl-C, returns the best surface so far; ``message`` says why it stopped.

    Raises
    ------
    ValueError, TypeError
        If an argument is not valid. This is checked before any work; the message names the argument, the rule and the
        value.

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
    options = dict(locals())  # all keywords by name: no list of them can get out of step with the signature
    begun = time.perf_counter()
    on_disk = streamed_map(heights, engine, max_memory)
    if on_disk is not None:
        from .._streamed.fit_streamed import fit_streamed

        return fit_streamed(on_disk, options, begun)
    data = opened(heights, coords, mask, sigma).surface_data(absolute_sigma)
    model, run, auto = checked_options(options, data)
    return fitted(data, model, run, begun=begun, auto=auto)


def _with_options_of_fit(function: Callable[..., FitResult]) -> Callable[..., FitResult]:
    """The function, with the keywords of `fit` that it does not name in its signature, for `help` and completion."""
    own = dict(inspect.signature(function).parameters)
    own.pop("options")
    more = {name: one for name, one in inspect.signature(fit).parameters.items() if name not in {*own, "coords"}}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*own.values(), *more.values()], return_annotation="FitResult"
    )
    return function


@names_its_options
@_with_options_of_fit
def fit_points(
    points: Any,
    heights: Any,
    n_components: int | str | AutoComponents = "auto",
    *,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    **options: Any,
) -> FitResult:
    """Fit a sum of scaled Gaussians to heights at scattered points.

    Parameters
    ----------
    points : array_like, shape (N, d) or (N,) for d = 1
        Coordinates, one row for each point. Points may repeat.
    heights : array_like, shape (N,)
        The heights. NaN is ignored and counted.
    n_components, mask, sigma, absolute_sigma, **options
        All other parameters of `fit` but ``coords``. ``min_width`` is in distances within which a point has two
        neighbours for each axis, but not more than if as many points were spread evenly over the box that holds them;
        for points on a lattice in its steps.

    Returns
    -------
    FitResult
        As from `fit`, which also says what is minimised.

    Raises
    ------
    ValueError, TypeError
        If an argument is not valid, before any work.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.random.default_rng(0).uniform(-5, 5, size=(300, 2))
    >>> z = 2 * np.exp(-0.5 * ((x - [1, -1]) ** 2).sum(axis=1))
    >>> sf.fit_points(x, z, 1, background=None).surface.centers.round(6)
    array([[ 1., -1.]])
    """
    begun = time.perf_counter()
    data = opened_points(points, heights, mask, sigma).surface_data(absolute_sigma)
    defaults = {name: one.default for name, one in inspect.signature(fit).parameters.items()}
    model, run, auto = checked_options({**defaults, **options, "n_components": n_components}, data)
    return fitted(data, model, run, begun=begun, auto=auto)
