"""A surface as a table, and back from one."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._model.surface import GaussianSurface
    from ..interop.tables.record import ComponentTable


class SurfaceExchange:
    """The ways of a `GaussianSurface` to and from other programs."""

    @staticmethod
    def from_table(
        table: Any | str | PathLike[str], columns: Mapping[str, str] | None = None, background: Any = None
    ) -> GaussianSurface:
        """The surface whose components stand in a table, one a row.

        table : a dict of columns, a table of pandas, polars, astropy or pyarrow, or a path to a .csv, .ecsv, .fits,
            .vot or .parquet.
        columns : the columns of numbers that are called otherwise, by our names: ``{"amplitude": "A", "x": "X"}``.
        background : of the surface; a table holds components alone.

        Columns ``covariance_y_y``, ... as in `FitResult.table` give the surface exactly. Without them it is made from
        ``amplitude`` (or ``flux``, the volume), ``x``, ``y``, and ``sigma_major``, ``sigma_minor`` or
        ``fwhm_major``, ``fwhm_minor`` with ``angle`` (degrees counter-clockwise from +x), or from ``sigma`` or
        ``fwhm`` alone; centres are then in the order (y, x). Other spellings that are known: ``peak``, ``height``,
        ``Peak_flux``; ``x_mean``, ``x_fit``, ``x_0``, ``xcentroid``, ``Xposn``; ``x_stddev``, ``x_fwhm`` (along
        ``theta``, in radians unless the column has a unit), ``semimajor_sigma`` with ``orientation``; ``Cxx``,
        ``Cxy``, ``Cyy``. Raises ValueError naming the column that is missing.

        >>> import surfacefit as sf
        >>> table = {"amplitude": [2.0], "x": [4.0], "y": [3.0], "fwhm_major": [2.4], "fwhm_minor": [1.2]}
        >>> sf.GaussianSurface.from_table(table).principal_widths.round(2)
        array([[1.02, 0.51]])
        """
        from ..interop.tables.reading import surface_of

        return surface_of(table, columns, background)

    def table(self, kind: str | None = None) -> ComponentTable | Any:
        """The components as columns, one row each, with their widths, angles and volumes, as in `FitResult.table` but
        without errors.

        kind : None (default) for a dict of NumPy columns, or "pandas", "polars", "astropy", "arrow".

        >>> import numpy as np, surfacefit as sf
        >>> surface = sf.GaussianSurface([2.0], [[3.0, 4.0]], [np.diag([1.0, 4.0])])
        >>> again = sf.GaussianSurface.from_table(surface.table())
        >>> bool(np.all(again.covariances == surface.covariances))
        True
        """
        from ..interop.tables.columns import surface_table

        table = surface_table(self)  # type: ignore[arg-type]
        return table if kind is None else table.to(kind)
