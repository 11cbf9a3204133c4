"""A picture of what a widget shows, for where there is no JavaScript: pages of notebooks, exports, mail."""

from __future__ import annotations

from importlib.util import find_spec

from ..._base.status import Status
from ..._data.data import SurfaceData
from ..._model.surface import GaussianSurface
from ..._results.flags import MAX_SHOWN_PARAMETERS
from ..._results.record import Settings, Timings
from ..._results.result import FitResult


def picture(data: SurfaceData, surface: GaussianSurface, result: FitResult | None) -> bytes | None:
    """A PNG of data, model and residual; None without matplotlib. ``result`` is the fit, if the surface is its."""
    if find_spec("matplotlib") is None:
        return None
    found = _unfitted(data, surface) if result is None else result
    png: bytes = found.plot()._repr_png_()  # type: ignore[attr-defined]
    return png


def _unfitted(data: SurfaceData, surface: GaussianSurface) -> FitResult:
    """A record of a surface that no fit has made, good enough to be drawn: no errors are taken of it."""
    settings = Settings(solver="", dtype="float64", n_parameters=MAX_SHOWN_PARAMETERS + 1, engine="dense")
    return FitResult(surface, data, 0.0, Status.UNEVALUATED, 0, {}, Timings(0, 0, 0, 0), settings)
