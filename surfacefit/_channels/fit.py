"""`fit_channels`: several maps as one set of Gaussians with amplitudes of their own. Read this first."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .._base.checks import count, names_its_options, one_of, positive_number, yes_or_no
from .._base.precision import precision
from .._base.threads import blas_limits_kept, single_threaded_blas
from .._data.data import fit_dtype
from .._engines.engines import EngineChoice, engine_choice
from .._fit.run_spec import checked_search
from .._linear.normal import DIRECT_SOLVE_PARAMETERS
from .._model.amplitudes import AMPLITUDE_TYPES
from .._model.surface import GaussianSurface, checked_surface
from .._problem.model_spec import checked_min_width
from .._results.result import FitResult
from .._search.initialization import INITS
from .._solvers import SOLVERS, Limits, checked_solver, run
from .._solvers.quadratic_steps import QuadraticSteps
from .maps import ChannelMaps, channel_maps
from .result import ChannelResult, channel_result
from .setup import ChannelModel, PreparedChannels, channel_setup
from .starts import common_map, grown_start, spread

# Share of `max_time` that the start may take: the joint steps win more than the last of growth.
START_TIME_SHARE = 0.6
# Shapes of components: one ellipsoid for all would stand in the border, where channels have their backgrounds.
CHANNEL_SHAPES = ("full", "diag", "spherical")


@names_its_options
def fit_channels(
    maps: Any,
    n_components: int,
    *,
    coords: Any = None,
    points: Any = None,
    mask: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    background: Any = "constant",
    covariance_type: str = "full",
    amplitudes: str = "positive",
    init: Any = "growth",
    search: float | None = 0,
    min_width: float = 0.25,
    solver: Any = "lm",
    engine: Any = "auto",
    max_memory: float | None = None,
    dtype: Any = None,
    max_time: float | None = None,
    seed: int = 0,
) -> ChannelResult:
    r"""Fit several maps by one set of Gaussians, with amplitudes of their own in each.

    The bands of an image, spectra at several times, polarisations: C channels show the same components with different
    strengths. The fit minimises

    .. math:: \tfrac12 \sum_c \sum_j \bigl((b_c(x_j) + \sum_k a_{kc}
        e^{-(x_j-c_k)^T \Sigma_k^{-1} (x_j-c_k)/2} - z_{cj}) / \sigma_{cj}\bigr)^2

    over a matrix of amplitudes a_kc, centres c_k and covariances Sigma_k that all channels share, and a background b_c
    of each. Without ``sigma`` the channels count as they are, in the units of their heights.

    Parameters
    ----------
    maps : list of C arrays of one shape, or array_like, shape (n_1, ..., n_d, C)
        The heights of the channels. A list (or tuple) is a list of channels; an array has them along its last axis. NaN
        is ignored, in each channel by itself. Arrays of xarray and other libraries bring their coordinates, as in
        `fit`.
    n_components : int
        The number K of components.
    coords, points : optional
        The axes of a grid as in `fit`, or scattered points (N, d) as in `fit_points`; not both.
    mask : boolean array or list of C, optional
        True where a height is to be ignored: of the shape of a map (for all channels), of all maps, or a list.
    sigma : float, array or list of C, optional
        Standard deviations: a number, of the shape of a map, of all maps, or a list with one (number or array) for each
        channel. Default: the same for all heights of all channels.
    absolute_sigma : bool
        Whether ``sigma`` is in the units of the heights, as in `fit`.
    background : {"constant", "plane"}, float, background object, (function, start) or None
        What the components stand on: of this kind in each channel, with numbers of its own.
    covariance_type : {"full", "diag", "spherical"}
        Shapes of the components.
    amplitudes : {"positive", "signed"}
        "positive" (default): a_kc >= 0. "signed": of either sign, in each channel by itself.
    init : str, `GaussianSurface`, `FitResult` or `ChannelResult`
        Where the fit starts. A name is a start of `fit`, made on the one map that explains all channels best (their
        first principal component, over sigma); default "growth". A surface gives places and shapes, a `ChannelResult`
        amplitudes as well.
    search : float, optional
        Seconds to search for a better minimum of that map; default 0. Not beside a start that is given.
    min_width, engine, max_memory, dtype, seed : as in `fit`; float32 only where all channels are
        "auto" takes the tiled engine for large problems, which passes once over the exponentials for all channels.
    solver : "lm", "dogleg" or an object of one of them
        Solver of the joint steps.
    max_time : float, optional
        Seconds after which the fit stops with the best so far.

    Returns
    -------
    ChannelResult
        With ``amplitudes`` (K, C), ``centers``, ``covariances``, ``background`` (C, b), ``standard_errors``,
        ``surface(c)``, ``summary()``, ``table()``, ``plot()`` and ``save()``.

    Raises
    ------
    ValueError, TypeError
        If an argument is not valid, before any work: maps of different shapes, a channel without a single height, ...

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:30, :40]
    >>> hill = np.exp(-((y - 12) ** 2 + (x - 25) ** 2) / 32)
    >>> result = sf.fit_channels([3 * hill + 1, 0.5 * hill + 2], 1)
    >>> result.amplitudes.round(4)
    array([[3. , 0.5]])
    >>> result.background.round(4).ravel()
    array([1., 2.])
    >>> result.surface(1).centers.round(4)
    array([[12., 25.]])
    """
    begun = time.perf_counter()
    model = ChannelModel(
        n_components=count("n_components", n_components),
        covariance_type=one_of("covariance_type", covariance_type, CHANNEL_SHAPES),
        amplitudes=one_of("amplitudes", amplitudes, AMPLITUDE_TYPES),
        background=background,
        min_width=positive_number("min_width", min_width),
    )
    data = channel_maps(maps, coords, points, mask, sigma, yes_or_no("absolute_sigma", absolute_sigma))
    chosen = _checked_engine(engine, max_memory)
    steps = _checked_solver(solver)
    start = _checked_init(init, data, model)
    _check_search(checked_search("search", search), start)
    count("seed", seed, 0, None)
    checked_min_width("min_width", min_width, data.together)
    limit = None if max_time is None else positive_number("max_time", max_time)
    kind = fit_dtype(dtype, np.empty(0, np.result_type(*(one.heights for one in data.channels))))
    with precision(kind), blas_limits_kept():
        prepared = channel_setup(data, model, kind, chosen)
        options = {"init": init, "search": search, "seed": seed, "dtype": kind, "max_memory": max_memory}
        if limit is not None:
            options["max_time"] = START_TIME_SHARE * limit
        params = _start(prepared, start, options)
        deadline = float("inf") if limit is None else begun + limit
        rows = prepared.parts.n_parameters
        with single_threaded_blas(rows if prepared.planner is None else min(rows, DIRECT_SOLVE_PARAMETERS)):
            solution, history = run(prepared.problem, params, steps, Limits(deadline), prepared.planner)
        return channel_result(prepared, solution, history, keeps_order=start is not None)


def _start(prepared: PreparedChannels, start: Any, options: dict[str, Any]) -> Any:
    """The parameters (P,) of the start."""
    data, model, backgrounds = prepared.maps, prepared.model, prepared.backgrounds
    if isinstance(start, ChannelResult):
        heights, surface = start.amplitudes, start.surface(0)
        if [type(b) for b in start.backgrounds] == [type(b) for b in backgrounds]:
            backgrounds = start.backgrounds
    elif start is not None:
        surface = start
        heights = spread(surface, common_map(data, model.signed), model.signed)
    else:
        heights, surface = grown_start(data, model, options)
    return prepared.packed(heights, np.asarray(surface.centers), np.asarray(surface.covariances), backgrounds)


def _checked_init(init: Any, data: ChannelMaps, model: ChannelModel) -> GaussianSurface | ChannelResult | None:
    """The start that is given; None where it is to be made."""
    if isinstance(init, str):
        one_of("init", init, INITS)
        return None
    if isinstance(init, ChannelResult):
        if init.amplitudes.shape != (model.n_components, data.n_channels):
            raise ValueError(
                f"`init` must have amplitudes of shape {(model.n_components, data.n_channels)}, one a component and"
                f" channel, got {init.amplitudes.shape}"
            )
        surface = init.surface(0)
    elif isinstance(init, GaussianSurface | FitResult):
        surface = init.surface if isinstance(init, FitResult) else init
    else:
        raise TypeError(
            f"`init` must be the name of a start, a GaussianSurface, a FitResult or a ChannelResult, got {init!r}"
        )
    if surface.periods is not None:
        raise ValueError(
            f"`init.periods` must be None for channels, whose axes are open, got {surface.periods}: fit the channels"
            " one by one with `fit(..., periods=...)`, or give `replace(init, periods=None)`"
        )
    checked = checked_surface("init", surface, model.n_components, data.together.n_dim, True)
    return init if isinstance(init, ChannelResult) else checked


def _check_search(search: float | None, start: Any) -> None:
    if search and start is not None:
        raise ValueError(
            f"`search` looks for a better start than one that is made, got search={search:g} with a start that is"
            " given: leave one out"
        )


def _checked_engine(engine: Any, max_memory: Any) -> EngineChoice:
    chosen = engine_choice(engine, max_memory)
    if chosen.mesh is not None:
        raise ValueError(f"`engine.devices` must be None for channels, which are fitted on one device, got {engine!r}")
    return chosen


def _checked_solver(solver: Any) -> Any:
    found = checked_solver(solver, SOLVERS)
    if not isinstance(found, QuadraticSteps):
        raise ValueError(f"`solver` must be 'lm', 'dogleg' or an object of one of them for channels, got {solver!r}")
    if found.needs_whole_jacobian:
        raise ValueError(f"`solver` must not need the whole Jacobian of all channels, got {solver!r}: leave `method`")
    return found
