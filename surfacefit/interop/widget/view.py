"""`surfacefit.view`: the widget of a fit or of heights."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..._base.checks import check_options
from ..._fit.fit import fit
from ..._model.surface import GaussianSurface
from ..._results.result import FitResult
from ..arrays.opening import opened, opened_points
from .fitters import Fitter, OptionsFitter, ResultFitter

if TYPE_CHECKING:
    from .surface_view import SurfaceView

# Options of `fit` that say what the data are, and go to the data.
OF_DATA = ("coords", "mask", "sigma", "absolute_sigma")


def view(what: Any, n_components: Any = "auto", *, points: Any = None, **options: Any) -> SurfaceView:
    """A fit, or heights that are to be fitted, as a widget in a notebook.

    It shows data, model and residual with the components as ellipses, and a table of them. A click adds a component,
    drags move it, Delete removes it; "Refit" fits from what is shown, "Fit" from nothing. A fit shows its best so far
    while it runs, at most ten times a second.

    Parameters
    ----------
    what : `FitResult` or array_like
        A fit, which is then refitted with what it was made with; or heights, as for `fit`.
    n_components : int or "auto"
        For heights: how many components "Fit" and `SurfaceView.fit` look for.
    points : array_like, shape (N, d), optional
        For heights at scattered points, as for `fit_points`.
    **options
        For heights: all other options of `fit` but ``callback``.

    Returns
    -------
    SurfaceView
        A widget with ``fit()``, ``refit()``, ``surface`` and ``result``. Show it as the last line of a cell. Curves,
        maps, points in 2-D and slices of grids in 3-D. Of large maps each pixel is an average over a block. Where
        there is no JavaScript a picture takes its place.

    Raises
    ------
    ValueError, TypeError
        If an option is not valid, or there is no view of such data.
    ImportError
        Without anywidget: ``pip install surfacefit[widget]``.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> y, x = np.mgrid[:20, :30]
    >>> view = sf.view(np.exp(-((y - 8) ** 2 + (x - 12) ** 2) / 18), 1, init="peaks", background=None)
    >>> view.fit().surface.centers.round(6)
    array([[ 8., 12.]])
    >>> view
    <SurfaceView: 1 components, 20 x 30 heights>
    """
    fitter: Fitter
    if isinstance(what, FitResult):
        given = [*options, *(["points"] if points is not None else [])]
        if given or not (isinstance(n_components, str) and n_components == "auto"):
            raise ValueError(
                f"a fit brings its own options, got {', '.join(given) or 'n_components'}: leave them out, or give the"
                " heights"
            )
        fitter, surface, result = ResultFitter(what), what.surface, what
    else:
        own = _fitter(what, n_components, points, options)
        fitter, surface, result = own, own.start(), None
    try:
        from .surface_view import SurfaceView
    except ImportError as error:
        raise ImportError("a view needs anywidget: pip install 'surfacefit[widget]'") from error
    return SurfaceView(fitter, surface, result)


def _fitter(heights: Any, n_components: Any, points: Any, options: dict[str, Any]) -> OptionsFitter:
    """Checked data and options."""
    if "callback" in options:
        raise ValueError("`callback` is what a view shows a fit by: leave it out")
    of_data = {name: options.pop(name) for name in OF_DATA if name in options}
    absolute = of_data.pop("absolute_sigma", False)
    if points is None:
        found = opened(heights, **of_data)
    else:
        if "coords" in of_data:
            raise ValueError("`coords` are for a grid, got them with `points`: leave them out")
        found = opened_points(points, heights, **of_data)
    check_options("view", options, [name for name in inspect.signature(fit).parameters if name not in OF_DATA])
    init = options.get("init")
    if isinstance(init, GaussianSurface | FitResult) and isinstance(n_components, str):
        n_components = init.n_components
    fitter = OptionsFitter(found.surface_data(absolute), n_components, options)
    fitter.check()
    return fitter
