"""What `fit` returns: the surface, how good it is, how it was reached; errors, statistics, tables, files and plots.

The fields and what follows from them directly stand in `record`. Here are the methods that need other modules, which
are imported when they are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import count, one_of
from .own_sizes import FitSizes

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure

    from .._derivatives.sensitivity import Sensitivity
    from .._statistics.bootstrap import Bootstrap
    from .._statistics.diagnostics import ResidualDiagnostics
    from .._statistics.statistics import FitStatistics
    from .._statistics.uncertainty import Uncertainty
    from ..interop.widget.surface_view import SurfaceView


@dataclass(frozen=True, eq=False)
class FitResult(FitSizes):
    """A fitted surface with its quality and history; all numbers in the user's units, all arrays NumPy.

    Attributes
    ----------
    surface : the fitted `GaussianSurface`, callable at any points. Components are in the order of falling volume, or in
        the order of the start where components have limits of their own, or anything of them is fixed.
    data : the data as they were fitted.
    cost : 1/2 sum(((f - z) / sigma)^2) over the points used; for another ``loss`` what takes the place of the squares.
    penalty : what the prior adds to the cost in the objective: -log p minus its lowest value over all covariances; 0
        without a prior.
    status : a `Status` code; `message` says what it means.
    steps : number of steps taken, those of growth and search included.
    history : dict of arrays with one entry for each step after growth and search (of a reset, where its fit was kept):
        "cost" (penalty included), "optimality" (largest cosine between the residuals and a column of the Jacobian; for
        Adam the largest component of the gradient) and "damping" (for Adam the learning rate).
    timings : seconds, as `Timings`; compiling is counted apart from running.
    settings : what was fitted and with what, as `Settings`.
    resets : (K,) integers: how often each component had collapsed and was placed again (option ``reset`` of `fit`).
    starts : (n,) costs, penalty included, at which the starts of `RandomStarts` ended, before any reset; NaN where a
        limit stopped a start. None for other starts.
    path : a `ComponentPath` of the numbers of components that were tried; None where ``n_components`` was given.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> result = sf.fit(2 * np.exp(-0.5 * x**2), 1, coords=x, background=None)
    >>> round(float(result.surface.principal_widths[0, 0]), 6), result.n_parameters
    (1.0, 3)
    """

    @property
    def standard_errors(self) -> Uncertainty:
        """Standard errors under the names of ``surface``: amplitudes, centers, covariances, background, volumes, ...

        From the inverse of J^T J at the solution and the delta method; infinite where the data do not determine a
        number. Scaled by s^2 = 2 cost / (n - P) unless ``absolute_sigma`` was set, as in `scipy.optimize.curve_fit`.
        With a prior, J includes the rows of the prior, and the errors are widths of the posterior. The same as
        ``uncertainty()``, which has other methods, too.
        """
        return self.uncertainty()

    def uncertainty(self, method: str = "hessian") -> Uncertainty:
        """Standard errors of parameters, widths, FWHM, angles and volumes, of the surface at any point, and of any
        function of it.

        method : "hessian" (default): independent errors, as in `scipy.optimize.curve_fit`. "sandwich": errors that
            differ from point to point in an unknown way, and outliers. "correlated": on a grid, noise that is
            correlated between neighbours, as estimated from the residuals. "auto": the one of these whose assumptions
            the residuals meet, `diagnostics.errors`; its name is then `Uncertainty.method`. It is not the default
            since it need not stay the same when data change a little.

        With a prior, "hessian" gives the widths of the posterior; the other methods give the scatter of the estimate
        from data set to data set. Above 5000 parameters only the errors of single components are computed, by nested
        dissection, and only by "hessian". Raises ValueError where a method does not apply.
        """
        return self._errors_by("method", method)

    def _errors_by(self, argument: str, method: str) -> Uncertainty:
        """Standard errors by a method, which a user has given as ``argument``."""
        from .._statistics.covariance_methods import METHODS, uncertainty

        one_of(argument, method, METHODS)
        if method not in self._uncertainties:
            self._uncertainties[method] = uncertainty(self, method, argument)
        return self._uncertainties[method]

    @cached_property
    def _uncertainties(self) -> dict[str, Uncertainty]:
        return {}

    def sensitivity(self, hessian: str = "exact") -> Sensitivity:
        """How the fitted surface, and any number that follows from it, would change with the heights.

        hessian : "exact" (default), or "gauss-newton", which leaves out second derivatives of the residuals and is
            right only where residuals are small.

        The derivatives belong to the minimum: a few Newton steps lead there from where the fit ended. They hold at
        this number of components and for heights near these; whatever a limit holds does not move.
        """
        from .._derivatives.sensitivity import sensitivity

        return sensitivity(self, hessian)

    def bootstrap(self, n_samples: int = 200, *, seed: int = 0) -> Bootstrap:
        """Refits to ``n_samples`` sets of heights simulated from this fit, as a check of the linearised errors.

        The noise is Gaussian with the standard deviation that the errors use, Poisson's for counts, and drawn from the
        residuals for a robust loss. Every refit starts from this surface. A prior stays as it is, so that the refits
        scatter as the estimate does, which is less than the width of the posterior. Raises ValueError above 5000
        parameters, and where there are no more points than parameters.
        """
        from .._statistics.bootstrap import bootstrap

        return bootstrap(self, count("n_samples", n_samples, 2), count("seed", seed, 0, None))

    @cached_property
    def statistics(self) -> FitStatistics:
        """Chi-squared, degrees of freedom, likelihood, AIC, AICc, BIC and more, as `FitStatistics`."""
        from .._statistics.statistics import statistics

        return statistics(self)

    @cached_property
    def diagnostics(self) -> ResidualDiagnostics:
        """Whether the residuals look like noise, as `ResidualDiagnostics`, which can be plotted."""
        from .._statistics.diagnostics import diagnostics

        return diagnostics(self)

    @cached_property
    def flags(self) -> np.ndarray:
        """`ComponentFlag` values (K,), which print as names: what to know of a component before using its numbers.

        REDUNDANT is not looked for above 5000 parameters. Above 600, summaries, files and plots also leave out
        UNDETERMINED, and UNRESOLVED as far as errors tell it, unless ``flags`` was computed before.
        """
        from .flags import flags

        return flags(self)

    @cached_property
    def worth(self) -> np.ndarray:
        """The rise in cost (K,) if a component were removed and all others adapted, by the quadratic model at the
        solution.

        Removal takes the amplitude a to zero while centre and shape stay: a^2 [C^-1]_aa / 2, where C is the block of
        (J^T J)^-1 for this component. Of two components that can stand in for each other, each is worth almost nothing.
        With a prior the cost includes its penalty. Raises ValueError above 5000 parameters.
        """
        from .._statistics.redundancy import worth

        return worth(self)

    @cached_property
    def redundant(self) -> np.ndarray:
        """Which components (K,) the data do not support: without any one of them alone the BIC would be lower.

        Two components may each be redundant only because the other is there; `merged` removes one at a time, fits
        again, and looks again. Raises ValueError above 5000 parameters.
        """
        from .._statistics.redundancy import redundant

        return redundant(self)

    def merged(self) -> FitResult:
        """The fit without its `redundant` components, or this result if there is nothing to merge.

        One component at a time is merged with its neighbour into one of the same volume, mean and covariance. Then all
        are refitted by Levenberg-Marquardt with the same engine. This goes on as long as the BIC falls. Fixed numbers
        of the neighbour stay, and limits and masks of single components are kept. Ctrl-C returns the last fit that was
        completed.
        """
        from .._fit.merging import merged

        return merged(self)

    def summary(self, n_rows: int = 10, *, errors: str = "hessian") -> str:
        """A table to print: the fit in a few lines, then the ``n_rows`` components of largest volume.

        errors : the method of the errors, as of `uncertainty`.
        """
        from .._statistics.covariance_methods import METHODS
        from .report import summary

        one_of("errors", errors, METHODS)
        return summary(self, errors).shown(count("n_rows", n_rows, 0)).text()

    def table(self, kind: str | None = None, *, errors: str | None = "hessian", sky: bool = True) -> Any:
        """One row a component, as columns with their units: a dict of NumPy arrays, or the table of another library.

        kind : None (default) for a `dict` with ``units``, ``meta`` and ``save(path)`` (.csv, .ecsv, .fits, .vot,
            .parquet, DS9 .reg); "pandas", "polars", "astropy" (a QTable with units) or "arrow".
        errors : how standard errors count, as of `uncertainty`; None for a table without.
        sky : whether images with world coordinates get positions on the sky; needs astropy.

        "component", "amplitude", the centre along each axis by its name ("y", "x") or as "center_0", ..., "sigma_major"
        and "fwhm_major" (likewise "_minor"), "angle" of the major axis (degrees counter-clockwise from +x, in 2-D),
        "volume", "volume_over_data" (the share over the data counts as known), "background" at the centre, "flags" in
        words, and the entries of the covariances. Standard errors stand in "amplitude_error" and so on; what the data
        do not determine has an infinite one. With world coordinates also "ra", "dec" (their errors are of these
        numbers: to the east that of "ra" is smaller by cos dec), "sky_fwhm_major" and "_minor", "position_angle" (east
        of north), and "flux" where the heights are per beam and the beam is known. A fit with a ``beam`` of up to 5000
        parameters has what is left without it, by the errors of `deconvolved` whatever ``errors`` says:
        "deconvolved_fwhm_major", "deconvolved_limit_major" (an upper limit of that full width) and "deconvolved_angle",
        on the sky "deconvolved_sky_fwhm_major", "deconvolved_sky_limit_major" and "deconvolved_position_angle".
        `GaussianSurface.from_table` reads a table back.
        """
        from ..interop.tables.columns import table

        return table(self, kind, errors, sky)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return (
            f"<FitResult: K={self.n_components}, rmse={self.rmse:.4g}, {self.status.name.lower()}, {self.steps} steps>"
        )

    def _repr_html_(self) -> str:
        from .report import summary

        return summary(self).shown(10).html()

    def plot(self, kind: str = "fit", *, ellipses: bool | None = None) -> Figure:
        """A picture of the fit as a matplotlib Figure.

        kind : "fit" (default): data, model and residual side by side; in 1-D a curve with its components, in 3-D the
            middle slices of a grid or the points in space. "3d": data and model in perspective (2-D). "components":
            what each component contributes, with its number. "error": the standard error of the model at every place.
            "path": how the number of components was chosen, or, where it was given, the cost step by step.
        ellipses : whether "fit" draws the 1-sigma ellipse of each component in 2-D; None (default): up to 300.

        Axes and colour bars have the names and units of the data. Needs matplotlib: ``pip install surfacefit[plot]``.
        Raises ValueError in more than three dimensions, and where a kind does not apply.
        """
        from .._plots.result import plot_result

        return plot_result(self, kind, ellipses)

    def view(self) -> SurfaceView:
        """The fit as a widget in a notebook, to look at and to touch; see `surfacefit.view`.

        Needs anywidget: ``pip install surfacefit[widget]``.
        """
        from ..interop.widget.view import view

        return view(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the whole result, data included, to a versioned ``.json`` file or, smaller and faster for large data,
        ``.npz``.

        `load` gives back every number exactly. Nothing is pickled; of a background function only the name is kept.
        Raises ValueError for another suffix.
        """
        from .io import save

        save(self, path)
