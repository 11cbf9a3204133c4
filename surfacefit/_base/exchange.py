"""A surface as a table or for other programs, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    @staticmethod
    def from_hills(path: str | PathLike[str], *, free_energy: bool = False, images: bool = True) -> GaussianSurface:
        """The sum of the hills in a HILLS file of PLUMED, diagonal or multivariate.

        free_energy : False (default) for the bias V, the sum of the hills; True for the free energy F = -V.
        images : whether hills near the ends of a variable that the file names periodic (``min_phi``, ``max_phi``) get
            images beyond, so that the plain sum is the periodic one.

        Axes are the variables in reverse, as of the grids that `surfacefit.read` opens. PLUMED cuts its hills off and
        stretches them, so that its own grids differ from this sum by 0.2 % of a hill.
        """
        from pathlib import Path

        from ..interop.exports.hills import read

        return read(Path(path), free_energy, images)

    def to_source(self, language: str, names: Sequence[str] | None = None) -> str:
        """The surface as a function for where there is no surfacefit: "numpy", "c" or "latex".

        names : of the axes, in the order of the centres; None for ("y", "x") and the like.

        Sources of NumPy and C have all digits, and a function ``surface``; the formula in LaTeX has six. Raises
        ValueError for a background function, whose source is not known.

        >>> import surfacefit as sf
        >>> surface = sf.GaussianSurface([2.0], [[3.0]], [[[4.0]]], background=1.0)
        >>> print(surface.to_source("latex").splitlines()[2])
          & + 2 \\exp\\left[-\\frac{1}{2} \\left(0.25 (x - 3)^2\\right)\\right]
        """
        from ..interop.exports.formats import source

        return source(self, language, names)  # type: ignore[arg-type]

    def export(
        self,
        path: str | PathLike[str],
        *,
        names: Sequence[str] | None = None,
        free_energy: bool = False,
        periodic: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Write the surface for another program: a source (.py, .c, .tex), HILLS of PLUMED (a file HILLS, or .hills),
        or in 3-D pseudo-atoms (.pdb) or markers of ChimeraX (.cmm).

        names : of the axes, in the order of the centres: those of the collective variables, for HILLS.
        free_energy : for HILLS: whether the surface is a free energy F, whose hills are those of the bias -F.
        periodic : for HILLS: the ends of the period of variables, ``{"phi": (-np.pi, np.pi)}``, for a surface whose
            components are to be repeated. One with ``periods`` says so itself, from half a period below zero to half a
            period above; one fitted to a whole period without them holds both ends already: leave it out.

        HILLS, .pdb and .cmm hold the components without the background.
        """
        from ..interop.exports.formats import export

        export(self, path, names, free_energy, periodic)  # type: ignore[arg-type]
