"""What a fit gives back: the surface, how good it is, how it was reached, and views for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.status import STATUS, Status
from .._constraints.bounds import Constraints
from .._constraints.prior import SurfacePrior
from .._data.data import SurfaceData
from .._model.surface import GaussianSurface
from .criteria import ComponentPath

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure

    from .._statistics.bootstrap import Bootstrap
    from .._statistics.diagnostics import ResidualDiagnostics
    from .._statistics.statistics import FitStatistics
    from .._statistics.uncertainty import Uncertainty


AT_FLOOR = 0.01


@dataclass(frozen=True)
class Timings:
    """Seconds: preparing data and start, compiling, running compiled steps, and all together."""

    start: float
    compile: float
    run: float
    total: float


@dataclass(frozen=True)
class Settings:
    """What was fitted, and with what."""

    solver: str
    dtype: str
    covariance_type: str
    amplitudes: str
    min_width: float
    n_parameters: int
    engine: str
    prior: SurfacePrior | None = None
    loss: str = "linear"
    f_scale: float = 1.0
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted surface with its quality and history; all numbers in the user's units, all arrays NumPy.

    Attributes
    ----------
    surface : `GaussianSurface`, components in the order of falling volume (of the start, where each has limits of its
        own or masks of what is fixed); callable at any points.
    cost : 1/2 sum(((f - z) / sigma)^2) over the points used, or what another ``loss`` makes of them.
    status, steps : a `Status` code, and the number of steps taken, those of growth and search among them.
    penalty : what a prior added to the cost that was minimised: -log p, less its least value over all covariances; 0
        without one.
    history : dict of arrays, one entry a step after growth and search (of a reset, where it was kept): "cost" (with the
        penalty), "optimality" (largest cosine of residuals with a column of the Jacobian; for Adam the largest slope)
        and "damping" (for Adam the learning rate).
    timings : seconds as `Timings`, compilation apart from running.
    settings : what was asked for, as `Settings`.
    data : the data as they were fitted.
    resets : integers (K,): how often each component had collapsed and was placed anew (``reset`` of `fit`).
    starts : of `RandomStarts` the costs (n,), with the penalty, that all ended at, before any reset, NaN where a limit
        came first; or None.
    path : what was tried where the number of components was chosen, as `ComponentPath`; None where it was given.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> x = np.linspace(-4, 4, 81)
    >>> result = sf.fit(2 * np.exp(-0.5 * x**2), 1, coords=x, background=None)
    >>> round(float(result.surface.principal_widths[0, 0]), 6), result.n_parameters
    (1.0, 3)
    """

    surface: GaussianSurface
    data: SurfaceData
    cost: float
    status: Status
    steps: int
    history: dict[str, np.ndarray]
    timings: Timings
    settings: Settings
    path: ComponentPath | None = None
    penalty: float = 0.0
    starts: np.ndarray | None = None
    resets: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.resets is None:
            object.__setattr__(self, "resets", np.zeros(self.n_components, int))

    @property
    def success(self) -> bool:
        """Whether the fit converged."""
        return STATUS[self.status].success

    @property
    def message(self) -> str:
        """Why the fit ended, what to do next where it did not converge, and what to know of a number of components that
        was chosen.
        """
        entry = STATUS[self.status]
        ended = f"{entry.message}. {entry.advice}" if entry.advice else entry.message
        note = "" if self.path is None else self.path.note
        return f"{ended.rstrip('.')}. {note}" if note else ended

    @property
    def n_components(self) -> int:
        return self.surface.n_components

    @property
    def n_points(self) -> int:
        """Points used."""
        return self.data.n_used

    @property
    def n_masked(self) -> int:
        """Points left out by the mask."""
        return self.data.n_masked

    @property
    def n_nan(self) -> int:
        """Points left out because their height or sigma is NaN."""
        return self.data.n_nan

    @property
    def n_parameters(self) -> int:
        return self.settings.n_parameters

    def predict(self, points: Any = None) -> np.ndarray:
        """Fitted heights at points (..., d), or in the shape of the data: there, masked and NaN places are filled
        in.
        """
        if points is not None:
            return np.asarray(self.surface(points))
        return self._fitted.copy()

    @property
    def residuals(self) -> np.ndarray:
        """Heights minus fit, in the shape of the data; NaN where a point was not used."""
        return np.where(self.data.used, self.data.heights - self._fitted, np.nan)

    @cached_property
    def rmse(self) -> float:
        """Root mean square of the residuals over the points used, not weighted."""
        return float(np.sqrt(np.mean(self.residuals[self.data.used] ** 2)))

    @cached_property
    def r2(self) -> float:
        """1 - sum(residuals^2) / sum((z - mean z)^2); for a map without variation 1 if met, else 0."""
        heights = self.data.used_heights.astype(float)
        spread = float(np.mean((heights - heights.mean()) ** 2))
        rounding = (8 * float(np.finfo(float).eps)) ** 2 * float(np.mean(heights**2))
        if spread <= rounding:
            return 1.0 if self.rmse <= 1e-6 * float(np.sqrt(np.mean(heights**2))) else 0.0
        return 1 - self.rmse**2 / spread

    @cached_property
    def standard_errors(self) -> GaussianSurface:
        """Standard errors of amplitudes, centres, covariances and background, in the shape of ``surface``.

        From the inverse of J^T J at the solution and the delta method; infinite where the data do not determine a
        number. With a prior J holds its rows: these are widths of the posterior. Scaled by the misfit unless
        ``absolute_sigma`` was set, as in `scipy.optimize.curve_fit`. `uncertainty` says more, and in other ways.
        """
        return self.uncertainty().surface

    def uncertainty(self, method: str = "hessian") -> Uncertainty:
        """Standard errors of parameters, widths, FWHM, angles, volumes, of the surface at any point, and of any
        function of it.

        method : "hessian" (default; independent errors, as `scipy.optimize.curve_fit`), "sandwich" (errors that differ
            from point to point in an unknown way, and outliers), or "correlated" (on a grid, noise alike in
            neighbouring points, as seen in the residuals).

        With a prior "hessian" gives the widths of the posterior, the others how much the estimate scatters from data
        set to data set. Above 5000 parameters only what is quoted of single components is computed, by nested
        dissection ("hessian" only).
        """
        from .._base.checks import one_of
        from .._statistics.uncertainty import METHODS, uncertainty

        one_of("method", method, METHODS)
        if method not in self._uncertainties:
            self._uncertainties[method] = uncertainty(self, method)
        return self._uncertainties[method]

    @cached_property
    def _uncertainties(self) -> dict[str, Uncertainty]:
        return {}

    def bootstrap(self, n_samples: int = 200, *, seed: int = 0) -> Bootstrap:
        """Refits to ``n_samples`` sets of heights simulated from this fit: a check of the errors, without their
        linearisation.

        Noise is Gaussian with the standard deviation that the errors take; Poisson's for counts; for a robust loss
        drawn from the residuals. Every refit starts from this surface, and keeps a prior as it is: the scatter is that
        of the estimate, narrower than the posterior. Raises ValueError above 5000 parameters, and where there are no
        more points than parameters.
        """
        from .._base.checks import count
        from .._statistics.bootstrap import bootstrap

        return bootstrap(self, count("n_samples", n_samples, 2), count("seed", seed, 0))

    @cached_property
    def statistics(self) -> FitStatistics:
        """Chi-squared, degrees of freedom, likelihood, AIC, AICc, BIC and more, as `FitStatistics`."""
        from .._statistics.statistics import statistics

        return statistics(self)

    @cached_property
    def diagnostics(self) -> ResidualDiagnostics:
        """Whether the residuals look like noise, as `ResidualDiagnostics`, with a picture."""
        from .._statistics.diagnostics import diagnostics

        return diagnostics(self)

    @cached_property
    def flags(self) -> np.ndarray:
        """`ComponentFlag` values (K,): what to know of a component before using its numbers. Of more than 5000
        parameters REDUNDANT is not looked for; summaries, files and pictures of more than 600 leave out UNDETERMINED,
        too, unless this was asked for before.
        """
        from .flags import flags

        return flags(self)

    @cached_property
    def worth(self) -> np.ndarray:
        """The rise in cost (K,) if a component were lost and all others adapted, by the quadratic model at the
        solution.

        Its amplitude goes to zero with its centre and shape held: a^2 [C^-1]_aa / 2, with C its block of (J^T J)^-1. Of
        two components that can stand in for each other either is worth next to nothing. With a prior the cost holds its
        penalty.
        """
        from .._statistics.redundancy import worth

        return worth(self)

    @cached_property
    def redundant(self) -> np.ndarray:
        """Which components (K,) the data do not call for: without that one the BIC would be lower.

        More than one may be so only because of each other: `merged` takes one away, fits again, and looks again.
        """
        from .._statistics.redundancy import redundant

        return redundant(self)

    @cached_property
    def at_floor(self) -> np.ndarray:
        """Which components (K,) are as narrow as ``min_width`` allows, or narrower aslant: not resolved by the
        sampling, or noise.

        Their smallest principal width, with every axis in units of its sampling distance, is within a hundredth of
        ``min_width`` or below.
        """
        spacing = self.data.spacing
        squares = np.linalg.eigvalsh(np.asarray(self.surface.covariances, float) / np.outer(spacing, spacing))
        return np.asarray(squares[:, 0] < ((1 + AT_FLOOR) * self.settings.min_width) ** 2)

    def merged(self) -> FitResult:
        """The fit without its `redundant` components: one at a time is merged with its neighbour into one of the same
        volume, mean and covariance, then all are refitted (Levenberg-Marquardt, the engine by its name), as long as the
        BIC falls. What is fixed of the neighbour stays, and limits and masks of single components go along. The result
        itself if there is nothing to merge; Ctrl-C gives the last number of components that was done.
        """
        from .._fit.merging import merged

        return merged(self)

    @cached_property
    def _fitted(self) -> np.ndarray:
        return self.surface(self.data.all_points).reshape(self.data.heights.shape)

    def summary(self, n_rows: int = 10) -> str:
        """A table to print: the fit in a few lines, then the ``n_rows`` components of largest volume."""
        from .report import summary

        return summary(self, n_rows).text()

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return (
            f"<FitResult: K={self.n_components}, rmse={self.rmse:.4g}, {self.status.name.lower()}, {self.steps} steps>"
        )

    def _repr_html_(self) -> str:
        from .report import summary

        return summary(self).html()

    def plot(self, *, ellipses: bool | None = None) -> Figure:
        """Data, model and residual side by side (d = 1: curve with components; d = 3: middle slices); a Figure.

        ``ellipses`` draws the 1-sigma ellipse of each component in 2-D; None (default) does so up to 300. Needs
        matplotlib: ``pip install surfacefit[plot]``.
        """
        from .plot import plot_result

        return plot_result(self, ellipses)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, data included, to a versioned ``.json`` or, smaller and faster for large data, ``.npz``.

        No pickle; `load` gives back every number exactly. Of a background function only the name is kept.
        """
        from .io import save

        save(self, path)
