"""`GaussianSurfaceRegressor`: a sum of Gaussians as a regressor of scikit-learn."""

from __future__ import annotations

import time
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._base.checks import yes_or_no
from .._data.data import SurfaceData, point_data
from .._fit.fitting import fitted
from .._fit.options import checked_options
from .._problem.problem_setup import TooFewPoints
from .._results.criteria import AutoComponents
from .._results.result import FitResult
from .background_alone import background_alone
from .options import fit_options, is_zero
from .sample_weights import kept_samples, merged_samples


class GaussianSurfaceRegressor(RegressorMixin, BaseEstimator):
    r"""A sum of scaled Gaussians over a background, fitted to targets at scattered points by least squares.

    The prediction at x is

    .. math:: f(x) = b(x) + \sum_k a_k e^{-(x-c_k)^T \Sigma_k^{-1} (x-c_k)/2}

    and `fit` minimises the sum over the samples of w_j (f(x_j) - y_j)^2 / 2, or of another ``loss``, with the weights w
    of ``sample_weight``. Features are coordinates: the surface is a function of a few dimensions, and one component has
    (d + 1)(d + 2) / 2 numbers.

    Parameters
    ----------
    n_components : int >= 0, "auto" or `AutoComponents`
        The number K of components. "auto" (default) chooses it. Points too few for one component, and 0, give the
        background alone.
    covariance_type : {"full", "diag", "spherical", "tied"}
        Shapes of the components.
    shape : float, (d,) or (d, d), optional
        The shape of all components, held: a covariance, or standard deviations along the axes.
    background : {"constant", "plane"}, float, background object, (function, start) or None
        What the components stand on.
    amplitudes : {"positive", "signed"}
        Peaks only (default), or peaks and pits.
    loss, f_scale, bounds, contained, fixed, prior
        As in `surfacefit.fit`.
    init : str, `RandomStarts` or `GaussianSurface`
        Where the fit starts. "auto" (default) is growth and then a short search.
    search : float, optional
        Seconds to search for a better minimum. 0 grows components and searches no more, which is what cross-validation
        of many models has time for. None (default): until several rounds find nothing better.
    reset, min_width, solver, engine, max_memory, dtype, max_time
        As in `surfacefit.fit_points`; ``dtype=None`` takes the precision of the targets.
    absolute_sigma : bool
        True: ``sample_weight`` is 1 / sigma^2 in the units of the targets. False (default): only ratios of weights
        matter, and errors are scaled by the residuals.
    progress : bool, optional
        Whether to show a progress bar. Default: False.
    random_state : int, RandomState instance or None
        Random numbers of starts and search. Default: 0, which gives the same surface each time.

    Attributes
    ----------
    surface_ : the fitted `GaussianSurface`, callable at any points.
    result_ : the `FitResult`, with errors, statistics, flags, tables and plots. Its data are the samples as given; with
        ``sample_weight``, or where a row with its target repeats, they are the distinct ones, in rising order.
    n_components_ : number of components of the surface.
    n_iter_ : number of steps taken.
    n_features_in_, feature_names_in_ : as in all estimators of scikit-learn.

    Raises
    ------
    ValueError, TypeError
        From `fit`, before any work, for a parameter or data that are not valid.

    Notes
    -----
    A sample of weight two counts as the sample twice. For the robust losses a weight scales the misfit before the loss
    is taken, as ``sigma`` does in `surfacefit.fit`: there it is not the same as repetition.

    Examples
    --------
    >>> import numpy as np
    >>> from surfacefit.sklearn import GaussianSurfaceRegressor
    >>> X = np.random.default_rng(0).uniform(-5, 5, size=(300, 2))
    >>> y = 2 * np.exp(-0.5 * ((X - [1, -1]) ** 2).sum(axis=1)) + 0.5
    >>> model = GaussianSurfaceRegressor(1).fit(X, y)
    >>> model.surface_.centers.round(6), round(model.score(X, y), 6)
    (array([[ 1., -1.]]), 1.0)
    >>> heights, errors = model.predict([[1.0, -1.0]], return_std=True)
    >>> heights.round(6), bool(errors[0] < 1e-3)
    (array([2.5]), True)
    """

    def __init__(
        self,
        n_components: int | str | AutoComponents = "auto",
        *,
        covariance_type: str = "full",
        shape: Any = None,
        background: Any = "constant",
        amplitudes: str = "positive",
        loss: str = "linear",
        f_scale: float | None = None,
        bounds: Any = None,
        contained: bool | None = None,
        fixed: Any = None,
        init: Any = "auto",
        search: float | None = None,
        reset: bool | None = None,
        min_width: float = 0.25,
        prior: Any = None,
        solver: Any = "lm",
        engine: Any = "auto",
        max_memory: float | None = None,
        dtype: Any = None,
        max_time: float | None = None,
        absolute_sigma: bool = False,
        progress: bool | None = False,
        random_state: Any = 0,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shape = shape
        self.background = background
        self.amplitudes = amplitudes
        self.loss = loss
        self.f_scale = f_scale
        self.bounds = bounds
        self.contained = contained
        self.fixed = fixed
        self.init = init
        self.search = search
        self.reset = reset
        self.min_width = min_width
        self.prior = prior
        self.solver = solver
        self.engine = engine
        self.max_memory = max_memory
        self.dtype = dtype
        self.max_time = max_time
        self.absolute_sigma = absolute_sigma
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the surface to targets y (N,) at points X (N, d).

        sample_weight : (N,) weights w = 1 / sigma^2 of the samples; a sample of weight zero is left out. None
            (default): all alike.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True, ensure_min_samples=2)
        data = self._data(X, y, sample_weight)
        self.result_ = self._fitted(data, fit_options(self))
        self.surface_, self.n_components_ = self.result_.surface, self.result_.n_components
        self.n_iter_ = self.result_.steps
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Heights (N,) of the surface at points X (N, d); with ``return_std`` also their standard errors (N,).

        The errors are those of the surface, without the noise of a single target (`surfacefit.Uncertainty.band`). They
        are infinite where the samples do not determine the surface. Raises ValueError above 5000 parameters.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        heights = np.asarray(self.surface_(X))
        return (heights, self.result_.uncertainty().band(X)) if return_std else heights

    def _data(self, X: np.ndarray, y: np.ndarray, sample_weight: Any) -> SurfaceData:
        if yes_or_no("absolute_sigma", self.absolute_sigma) and sample_weight is None:
            raise ValueError("`absolute_sigma` says what `sample_weight` means, which is None: give both or neither")
        pick = merged_samples if self.loss == "linear" else kept_samples  # other losses do not add up over equal rows
        rows, weights = pick(np.column_stack([X, y]), sample_weight)
        if weights is not None and not self.absolute_sigma and np.ptp(weights) == 0:
            weights = None
        if weights is not None and self.loss == "poisson":
            raise ValueError(
                "`sample_weight` must be 0 or 1 for loss='poisson', where the counts give the errors, got"
                f" {weights.min():g} to {weights.max():g}: repeat rows instead"
            )
        heights = rows[:, -1].astype(np.float32 if y.dtype == np.float32 else np.float64)
        sigma = None if weights is None else 1 / np.sqrt(weights)
        return point_data(rows[:, :-1], heights, sigma=sigma, absolute_sigma=self.absolute_sigma)

    def _fitted(self, data: SurfaceData, options: dict[str, Any]) -> FitResult:
        if is_zero(self.n_components):
            return background_alone(data, options)
        begun = time.perf_counter()
        model, run, auto = checked_options(options, data)
        try:
            return fitted(data, model, run, begun=begun, auto=auto)
        except TooFewPoints as error:
            if auto is None:
                raise
            warnings.warn(f"the background alone is fitted: {error}", UserWarning, stacklevel=3)
            return background_alone(data, options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # few samples in many dimensions support no component at all
        return tags
