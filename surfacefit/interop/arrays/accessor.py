"""Fits as an attribute of every DataArray; ``import surfacefit.xarray`` registers it.

Above `fit` and `fit_many`, which are imported when a fit is made.
"""

from __future__ import annotations

from typing import Any

import xarray

import surfacefit


@xarray.register_dataarray_accessor("surfacefit")
class Accessor:
    """What `surfacefit` does with a DataArray.

    >>> import numpy as np, xarray as xr, surfacefit.xarray
    >>> x = np.linspace(-4, 4, 81)
    >>> line = xr.DataArray(2 * np.exp(-0.5 * x**2), {"x": x}, name="line")
    >>> fit = line.surfacefit.fit(1, background=None, init="peaks")
    >>> fit.predict().dims, round(float(fit.surface.amplitudes[0]), 6)
    (('x',), 2.0)
    """

    def __init__(self, heights: Any):
        self._heights = heights

    def fit(self, n_components: Any = "auto", **options: Any) -> Any:
        """`surfacefit.fit` of this array: a `FitResult` whose model and residuals are arrays like this one."""
        return surfacefit.fit(self._heights, n_components, **options)

    def fit_many(self, n_components: Any = "auto", *, over: str | list[str], **options: Any) -> Any:
        """`surfacefit.fit_many` of the maps along a dimension, or several, that ``over`` names: a `BatchResult`."""
        leading = [over] if isinstance(over, str) else list(over)
        missing = [name for name in leading if name not in self._heights.dims]
        if missing or len(leading) >= self._heights.ndim:
            raise ValueError(
                f"`over` must name dimensions of {tuple(self._heights.dims)} and leave at least one, got {over!r}"
            )
        own = [name for name in self._heights.dims if name not in leading]
        maps = self._heights.transpose(*leading, *own)
        return surfacefit.fit_many(maps, n_components, ndim=len(own), **options)
