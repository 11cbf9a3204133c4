"""What `fit_mixture` returns: a Gaussian mixture with its likelihood, how it was reached; tables, files and plots.

The fields and what follows from them directly stand in `record`. Here are the methods that need other modules, which
are imported when they are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._base.checks import count
from .record import MixtureNumbers

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class MixtureResult(MixtureNumbers):
    """A fitted Gaussian mixture p(x) = sum_k w_k N(x; mu_k, Sigma_k).

    All numbers are in the user's units, all arrays are NumPy, and components keep the order of the start.

    Attributes
    ----------
    weights : (K,) w_k, which sum to one.
    means : (K, d) mu_k.
    covariances : (K, d, d) Sigma_k, whatever the covariance type.
    covariance_type : "full", "diag", "spherical" or "tied".
    log_likelihood : sum over the points of weight times log p.
    total_weight : sum of the weights of the points; `bic` takes it for their number.
    history : dict of arrays with one entry for each iterate, the start first. "log_likelihood" and "objective" (prior
        included) are per unit weight. "restarted" is True where the iterate does not follow from the one before: a
        component was reset, or the best iterate was restored. Elsewhere the objective does not fall, unless
        ``reg_covar`` was used.
    status, steps : a `Status` code, and the number of steps taken.
    at_floor : (K,) True for components that ``min_width`` keeps from getting narrower.
    resets : (K,) how often each component had collapsed and was placed again.
    points, point_weights : (N, d) the points of positive weight that were fitted, in float32 if they were given so, and
        (N,) their weights; None for a mixture from scikit-learn without points.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> mixture = sf.fit_mixture(np.r_[-5.1, -5.0, -4.9, 4.8, 5.0, 5.2], 2)
    >>> mixture.weights.round(6), sorted(mixture.means[:, 0].round(6))
    (array([0.5, 0.5]), [np.float64(-5.0), np.float64(5.0)])
    >>> mixture.n_parameters
    5
    """

    def summary(self, n_rows: int = 10) -> str:
        """A table to print: the fit in a few lines, then the ``n_rows`` components of largest weight."""
        from .report import summary

        return summary(self, count("n_rows", n_rows, 0)).text()

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        how = f"{self.status.name.lower()}, {self.steps} steps"
        return f"<MixtureResult: K={self.n_components}, log_likelihood={self.log_likelihood:.6g}, {how}>"

    def _repr_html_(self) -> str:
        from .report import summary

        return summary(self).html()

    def plot(self, points: Any = None) -> Figure:
        """The mixture and the points, as a matplotlib Figure, for one or two dimensions.

        In 1-D the density over a histogram, in 2-D the points under the 1-sigma ellipses of the components.

        points : (N, d) points to show; None (default) shows those that were fitted.

        Needs matplotlib: ``pip install surfacefit[plot]``. Raises ValueError in more dimensions, and where there are no
        points to show.
        """
        from .._plots.mixture import plot_mixture

        return plot_mixture(self, points)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, points included, to a versioned ``.json`` file or, smaller and faster for many points,
        ``.npz``.

        `load` gives back every number exactly. Nothing is pickled. Raises ValueError for another suffix.
        """
        from .io import save

        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> MixtureResult:
        """The mixture in a file that `save` wrote, every number exact. Raises ValueError for any other file."""
        from .io import load

        return load(path)

    def to_sklearn(self) -> Any:
        """A fitted `sklearn.mixture.GaussianMixture`, on which ``predict``, ``score_samples``, ``sample`` and the rest
        work.

        Needs scikit-learn: ``pip install surfacefit[sklearn]``.
        """
        from .sklearn import to_sklearn

        return to_sklearn(self)

    @classmethod
    def from_sklearn(cls, mixture: Any, points: Any = None, weights: Any = None) -> MixtureResult:
        """The mixture in a fitted `sklearn.mixture.GaussianMixture`, for example as ``init`` of `fit_mixture`.

        mixture : the fitted `GaussianMixture`.
        points, weights : (N, d) and (N,) as in `fit_mixture`, to compute likelihood and total weight. Without points
            these are NaN and 1, since scikit-learn keeps neither.

        Raises TypeError for a mixture that is not fitted.
        """
        from .sklearn import from_sklearn

        return from_sklearn(mixture, points, weights)
