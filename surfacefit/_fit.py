"""`fit` and `fit_points`: the way of the data from a user's arrays to a `FitResult`. Read this first.

user arrays -> _data (checks) -> _prepare (units of order one, the problem on the device)
            -> _beginning (a start from _initial, or growth and search)
            -> _parameters (free numbers) -> _solvers (the loop) over _problem and _jacobian -> _result
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._beginning import INITS, Plan, beginning
from ._checks import count, names_its_options, one_of, positive_number
from ._compile_clock import compile_clock, seconds
from ._covariance import COVARIANCE_TYPES
from ._data import SurfaceData, fit_dtype, grid_data, point_data
from ._engines import EngineChoice, engine_choice
from ._initial import StartRequest
from ._prepare import Model, Prepared, precision, prepare
from ._progress import Progress, ProgressBar
from ._result import FitResult, Settings, Timings
from ._solvers import SOLVERS, LevenbergMarquardt, Limits, Solution, Solver, run
from ._status import Status
from ._surface import GaussianSurface, checked_surface
from ._threads import calm_blas
from ._workbench import Workbench


@dataclass(frozen=True)
class Running:
    """How a model is fitted, from where, and who watches."""

    init: Any
    search: float | None
    seed: int
    solver: Solver
    engine: EngineChoice
    dtype: np.dtype
    progress: bool | None
    callback: Callable[[Progress], Any] | None
    max_time: float | None


@names_its_options
def fit(
    heights: Any,
    n_components: int,
    *,
    coords: Any = None,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    init: Any = "auto",
    search: float | None = None,
    min_width: float = 0.25,
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

    Minimises over amplitudes a_k >= 0, centres c_k, covariances Sigma_k and the background b

    .. math:: \tfrac12 \sum_j \bigl((b(x_j) + \sum_k a_k e^{-(x_j-c_k)^T \Sigma_k^{-1} (x_j-c_k)/2} - z_j) / \sigma_j\bigr)^2 .

    Parameters
    ----------
    heights : array of any dimension d >= 1: real numbers, integers or booleans; a list, NumPy, masked or JAX array.
        NaN is ignored and counted; infinity is an error.
    n_components : number K of Gaussians.
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
    init : where to start: "auto" (default: "growth", then a short search), "growth" (components are added where they win most,
        with joint refits between), "peaks" (from the data at once, over all scales), "grid" (an even lattice), "random",
        "em" (expectation-maximisation from the peaks, heights read as a density), or a `GaussianSurface` with K components.
    search : seconds in which to look for a better minimum: components are taken from where they are of little use and put
        where the residual is, or split, or thrown off their places, and what is better after a joint refit is kept. Default
        with ``init="auto"``: until some rounds in a row have found nothing, 10 s or as long as growth took at most; else 0, none.
    min_width : smallest width of a component, in units of the sampling distance.
    solver : "lm" (default), "adam", or an object: ``sf.LevenbergMarquardt(max_steps=..., ftol=...)``.
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
    """
    begun = time.perf_counter()
    data = grid_data(heights, coords, mask, sigma, absolute_sigma)
    model = _model(n_components, background, covariance_type, min_width)
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
    return _fit(data, model, running, begun)


@names_its_options
def fit_points(
    points: Any,
    heights: Any,
    n_components: int,
    *,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    init: Any = "auto",
    search: float | None = None,
    min_width: float = 0.25,
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
    model = _model(n_components, background, covariance_type, min_width)
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
    return _fit(data, model, running, begun)


def _fit(data: SurfaceData, model: Model, running: Running, begun: float) -> FitResult:
    with precision(running.dtype), compile_clock() as spans:
        prepared = prepare(data, model, running.dtype, running.engine, running.init)
        if prepared.planner is not None and getattr(running.solver, "method", None) == "qr":
            raise ValueError("`solver.method`='qr' needs the whole Jacobian: use it with engine='dense', or leave it at 'cholesky'")
        bar = ProgressBar(running.progress, int(running.solver.max_steps), f"fit K={model.n_components}")
        limits = _limits(prepared, running, bar, begun)
        try:
            with calm_blas(prepared.problem.parameterization.n_parameters):
                bench = Workbench(prepared, _request(prepared, running), limits.deadline, limits.callback)
                start = beginning(bench, _plan(prepared, running))
                stepping = time.perf_counter()
                solution, history = run(prepared.problem, start.params, running.solver, limits, prepared.planner, start.halted)
        finally:
            bar.close()
        ended = time.perf_counter()
        compiling = [seconds([s for s in spans if s[0] < stepping]), seconds([s for s in spans if s[0] >= stepping])]
        timings = Timings(
            start=stepping - begun - compiling[0],
            compile=sum(compiling),
            run=ended - stepping - compiling[1],
            total=time.perf_counter() - begun,
        )
        return _result(solution, prepared, running, history._asdict(), timings)


def _plan(prepared: Prepared, running: Running) -> Plan:
    init = running.init
    if isinstance(init, GaussianSurface):
        start = checked_surface("init", init, prepared.model.n_components, prepared.data.n_dim)
        init = prepared.scaling.surface_to_internal(replace(start, background=None))
    return Plan(init, running.search, running.seed)


def _request(prepared: Prepared, running: Running) -> StartRequest:
    """What a start works from, in the units of the fit: heights above the background at its start."""
    data, scaling = prepared.data, prepared.scaling
    with precision(np.dtype(np.float64)):
        background = np.asarray(prepared.background(jnp.asarray(data.used_points)))
    if not np.isfinite(background).all():
        raise ValueError("`background` must be finite at its start at every point, got NaN or infinity: choose another start")
    return StartRequest(
        points=scaling.points(data.used_points),
        heights=(data.used_heights - background) / scaling.height_scale,
        n_components=prepared.model.n_components,
        spacing=data.spacing / scaling.point_scale,
        rng=np.random.default_rng(running.seed),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        weights=prepared.by_point(prepared.problem.weights).astype(float),
    )


def _limits(prepared: Prepared, running: Running, bar: ProgressBar, begun: float) -> Limits:
    def watch(solution: Solution) -> bool:
        cost = float(solution.cost) * prepared.cost_unit
        rmse = float(np.sqrt(2 * float(solution.cost) / prepared.data.n_used)) * prepared.scaling.height_scale
        elapsed = time.perf_counter() - begun
        progress = Progress(int(solution.steps), cost, rmse, elapsed, lambda: prepared.surface(solution.params).sorted())
        bar.update(progress)
        return bool(running.callback is not None and running.callback(progress))

    return Limits(begun + (running.max_time or float("inf")), watch)


def _result(solution: Solution, prepared: Prepared, running: Running, history: dict[str, np.ndarray], timings: Timings) -> FitResult:
    model, data = prepared.model, prepared.data
    surface = prepared.surface(solution.params).sorted()
    cost = float(solution.cost) * prepared.cost_unit
    if not np.isfinite(cost):  # in single precision a cost can overflow where in double it does not
        cost = 0.5 * float(np.sum(((surface(data.used_points) - data.used_heights) * data.weights) ** 2))
    return FitResult(
        surface=surface,
        data=data,
        cost=cost,
        status=Status(int(solution.status)),
        steps=int(solution.steps),
        history={**history, "cost": history["cost"].astype(float) * prepared.cost_unit},
        timings=timings,
        settings=Settings(
            solver=type(running.solver).__name__,
            dtype=running.dtype.name,
            covariance_type=model.covariance_type,
            min_width=model.min_width,
            n_parameters=prepared.n_parameters,
            engine="dense" if prepared.planner is None else "tiled",
        ),
    )


def _model(n_components: Any, background: Any, covariance_type: Any, min_width: Any) -> Model:
    kind = one_of("covariance_type", covariance_type, COVARIANCE_TYPES)
    return Model(count("n_components", n_components), background, kind, positive_number("min_width", min_width))


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
