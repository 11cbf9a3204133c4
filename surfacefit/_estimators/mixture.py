"""`GaussianMixtureEM`: `fit_mixture` with the interface of scikit-learn's `GaussianMixture`."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._base.checks import count, not_negative, one_of, yes_or_no
from .._base.information_criteria import aic, bic
from .._mixture.fit import fit_mixture
from .._mixture.result import MixtureResult
from .._mixture.sklearn import to_sklearn
from .._mixture.starts import Start
from .._model.covariance import COVARIANCE_TYPES
from .mixture_starts import INIT_PARAMS, Given, drawn_start, given_start
from .options import MOST_SEED
from .sample_weights import Samples, checked_weights, merged_samples

# Attributes of a fitted `GaussianMixture` that this estimator has with the same meaning and shape.
ATTRIBUTES = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "converged_",
    "n_iter_",
    "lower_bound_",
    "lower_bounds_",
)


class GaussianMixtureEM(DensityMixin, BaseEstimator):
    r"""A Gaussian mixture of points by expectation-maximisation, as scikit-learn's `GaussianMixture`.

    It maximises the log-likelihood

    .. math:: \sum_n v_n \log \sum_k w_k \mathcal N(x_n; \mu_k, \Sigma_k)

    over weights w_k, means mu_k and covariances Sigma_k of K components, with the weights v of ``sample_weight``. Steps
    are those of scikit-learn, from the same start for the same ``random_state``; beyond it there are weights of
    samples, a floor of widths, a prior, and new places for components that have collapsed.

    Parameters
    ----------
    n_components : int
        The number K of components.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Shapes of the components.
    tol : float
        The fit has converged when the mean log-likelihood changes by less in one step.
    reg_covar : float
        Added to the diagonal of every covariance, in squared units of the points.
    max_iter : int
        Largest number of steps. 0 gives the start as it is.
    n_init : int
        Number of starts, of which the one with the highest likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
        How a start is drawn.
    weights_init, means_init, precisions_init : array_like, optional
        What is known of the start: (K,), (K, d), and inverses of the covariances in the shape of ``precisions_``.
    random_state : int, RandomState instance or None
        Random numbers of starts and resets. None (default): other ones at each call.
    warm_start : bool
        True: `fit` goes on from the last fit, where K, the covariance type and the number of features are the same;
        ``n_init`` then counts at the first call only.
    min_width : float
        No component is narrower than this share of the data's width (`surfacefit.fit_mixture`). Default: 0, no floor
        but ``reg_covar``. With a floor and ``sample_weight`` for points on an even grid, no component is narrower than
        half a cell.
    prior : `MixturePrior`, optional
        The fit is then the maximum of the posterior.
    reset : bool
        True (default): components that have collapsed are placed again. False: as in scikit-learn.
    dtype : {"float32", "float64"}, optional
        Precision of the work over points. Default: that of the points.
    verbose : int
        A progress bar where it is not 0.

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : as in `GaussianMixture`.
    converged_, n_iter_, lower_bound_, lower_bounds_ : whether the best start has converged, its number of steps, and
        the mean log-likelihood of the fitted mixture and of all iterates, the start first.
    result_ : the `MixtureResult`, with plots, files and a surface.
    n_features_in_, feature_names_in_ : as in all estimators of scikit-learn.

    Raises
    ------
    ValueError, TypeError
        From `fit`, before any work, for a parameter or data that are not valid.

    Notes
    -----
    A sample of weight two counts as the sample twice, and rows that repeat are merged into one of their number. Where
    there are such, starts differ from those of scikit-learn; so do those of tied covariances from single points
    ("k-means++" and "random_from_data"), which there depend on the origin of the coordinates. ``n_iter_`` may be one
    less than in scikit-learn, which looks at the change of the likelihood one step later.

    Examples
    --------
    >>> import numpy as np
    >>> from surfacefit.sklearn import GaussianMixtureEM
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal([0, 0], 0.1, (300, 2)), rng.normal([3, 1], 0.2, (100, 2))])
    >>> mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    >>> mixture.converged_, np.sort(mixture.weights_).round(3)
    (True, array([0.25, 0.75]))
    >>> mixture.predict_proba([[3.0, 1.0]]).max().round(6)
    np.float64(1.0)
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        min_width: float = 0.0,
        prior: Any = None,
        reset: bool = True,
        dtype: Any = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.min_width = min_width
        self.prior = prior
        self.reset = reset
        self.dtype = dtype
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture to points X (N, d) with weights (N,) >= 0; y is ignored."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        self._check_parameters()
        samples = merged_samples(X, sample_weight)
        if self.n_components > len(samples.rows):
            raise ValueError(
                f"`n_components`={self.n_components} is more than the {len(samples.rows)} distinct samples of positive"
                f" weight, with n_samples={len(X)}: use at most {len(samples.rows)}"
            )
        self.result_ = self._best_of_starts(samples)
        theirs = to_sklearn(self.result_)
        for name in ATTRIBUTES:
            setattr(self, name, getattr(theirs, name))
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(self.result_.message, ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit the mixture, and the component (N,) that most probably made each of the points X (N, d)."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def predict(self, X: Any) -> np.ndarray:
        """The component (N,) that most probably made each of the points X (N, d)."""
        points = self._points(X)
        return self.result_.predict(points)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, K) of each component to have made each of the points X (N, d)."""
        points = self._points(X)
        return self.result_.responsibilities(points)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-densities (N,) at points X (N, d)."""
        points = self._points(X)
        return self.result_.log_density(points)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The mean log-density at points X (N, d), weighted where weights (N,) are given; y is ignored."""
        densities = self.score_samples(X)
        weights = None if sample_weight is None else checked_weights(sample_weight, len(densities))
        return float(np.average(densities, weights=weights))

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Random points (n, d) of the mixture and the component (n,) of each, ordered by component."""
        check_is_fitted(self)
        theirs = to_sklearn(self.result_).set_params(random_state=self.random_state)
        points, labels = theirs.sample(count("n_samples", n_samples))
        return points, labels

    def bic(self, X: Any) -> float:
        """Schwarz's criterion p log N - 2 log L of points X (N, d) with p free numbers; lower is better."""
        densities = self.score_samples(X)
        return bic(-2 * float(densities.sum(dtype=float)), self.result_.n_parameters, len(densities))

    def aic(self, X: Any) -> float:
        """Akaike's criterion 2 p - 2 log L of points X (N, d) with p free numbers; lower is better."""
        return aic(-2 * float(self.score_samples(X).sum(dtype=float)), self.result_.n_parameters)

    def _points(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

    def _check_parameters(self) -> None:
        count("n_components", self.n_components)
        one_of("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        one_of("init_params", self.init_params, INIT_PARAMS)
        count("n_init", self.n_init)
        count("max_iter", self.max_iter, 0)
        not_negative("reg_covar", self.reg_covar)
        yes_or_no("warm_start", self.warm_start)

    def _best_of_starts(self, samples: Samples) -> MixtureResult:
        given, random = self._given(samples.rows.shape[1]), check_random_state(self.random_state)
        if self._goes_on(samples.rows.shape[1]):
            return self._fitted(samples, self.result_, random)
        starts = [self._start(given, samples, random) for _ in range(self.n_init)]
        results = [self._fitted(samples, start, random) for start in starts]
        return max(results, key=lambda result: float(result.history["objective"][-1]))

    def _start(self, given: Given, samples: Samples, random: Any) -> Start:
        weights, means, covariances = given
        if weights is not None and means is not None and covariances is not None:
            return Start(weights, means, covariances)
        model = self.n_components, self.covariance_type, float(self.reg_covar)
        return given.completed(drawn_start(self.init_params, *samples, model, random))

    def _given(self, n_dim: int) -> Given:
        starts = self.weights_init, self.means_init, self.precisions_init
        return given_start(*starts, self.n_components, n_dim, self.covariance_type)

    def _goes_on(self, n_dim: int) -> bool:
        """Whether the fit continues the last one."""
        last = getattr(self, "result_", None) if self.warm_start else None
        asked = self.n_components, n_dim, self.covariance_type
        return last is not None and (last.n_components, last.n_dim, last.covariance_type) == asked

    def _fitted(self, samples: Samples, init: Any, random: Any) -> MixtureResult:
        return fit_mixture(
            samples.rows,
            self.n_components,
            weights=samples.weights,
            covariance_type=self.covariance_type,
            init=init,
            min_width=self.min_width,
            reg_covar=self.reg_covar,
            prior=self.prior,
            reset=self.reset,
            tol=self.tol,
            max_steps=self.max_iter,
            dtype=self.dtype,
            progress=bool(self.verbose),
            seed=int(random.randint(MOST_SEED)),
        )
