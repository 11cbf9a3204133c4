"""What `fit_mixture` gives back: a Gaussian mixture with its likelihood, how it was reached, and views for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import count, positive_number
from .._base.status import MIXTURE_STATUS, Status
from .._model.gaussian import log_integrals
from .._model.surface import GaussianSurface
from .expectation_maximization import log_density, log_responsibilities

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class MixtureResult:
    """A fitted Gaussian mixture; all numbers in the user's units, all arrays NumPy, components in the order of the
    start.

    Attributes
    ----------
    weights, means, covariances : (K,), (K, d) and (K, d, d), whatever the covariance type.
    covariance_type : "full", "diag", "spherical" or "tied".
    log_likelihood : sum over the points of weight times log-density.
    total_weight : sum of the points' weights; `bic` takes it for their number.
    history : dict of arrays, one entry an iterate, the start first: "log_likelihood" and "objective" (with the prior,
        if any) per unit weight, and "restarted", True where a component was placed anew, or the best iterate taken up
        again. The objective does not fall from one entry to the next unless that one is a restart (or `reg_covar` was
        used).
    status, steps : a `Status` code, and the number of steps taken.
    at_floor : boolean (K,): components that ``min_width`` keeps from being narrower.
    resets : integers (K,): how often each component was placed anew.
    points, point_weights : the points (N, d) of positive weight that were fitted, and their weights; None from
        scikit-learn.

    Examples
    --------
    >>> import numpy as np, surfacefit as sf
    >>> mixture = sf.fit_mixture(np.r_[-5.1, -5.0, -4.9, 4.8, 5.0, 5.2], 2)
    >>> mixture.weights.round(6), sorted(mixture.means[:, 0].round(6))
    (array([0.5, 0.5]), [np.float64(-5.0), np.float64(5.0)])
    >>> mixture.n_parameters
    5
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str
    log_likelihood: float
    total_weight: float
    history: dict[str, np.ndarray]
    status: Status
    steps: int
    at_floor: np.ndarray
    resets: np.ndarray
    points: np.ndarray | None = None
    point_weights: np.ndarray | None = None

    @property
    def converged(self) -> bool:
        return MIXTURE_STATUS[self.status].success

    @property
    def message(self) -> str:
        """Why the fit ended, what to do next where it did not converge, and which components needed a remedy."""
        entry = MIXTURE_STATUS[self.status]
        parts = [entry.message, entry.advice.rstrip(".")]
        if self.at_floor.any():
            parts.append(f"At the floor `min_width`: components {_listed(self.at_floor)}")
        if self.resets.any():
            times = int(self.resets.sum())
            parts.append(f"Placed anew, {times} time{'s' * (times > 1)} in all: components {_listed(self.resets > 0)}")
        return ". ".join(part for part in parts if part)

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def n_dim(self) -> int:
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Free numbers: K - 1 weights, K d means, and the covariances of the type."""
        k, d = self.means.shape
        form = d * (d + 1) // 2
        return k - 1 + k * d + {"full": k * form, "diag": k * d, "spherical": k, "tied": form}[self.covariance_type]

    @property
    def aic(self) -> float:
        """Akaike's criterion 2 p - 2 log L."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion p log N - 2 log L, with the sum of the weights for N: give weights as numbers of
        points.
        """
        return self.n_parameters * float(np.log(self.total_weight)) - 2 * self.log_likelihood

    def log_density(self, points: Any) -> np.ndarray:
        """log p (...) at points (..., d); for d = 1 a plain array (...) of positions will do."""
        return self._at(log_density, points)

    def responsibilities(self, points: Any) -> np.ndarray:
        """Probabilities (..., K) that each component made a point of (..., d)."""
        return np.exp(np.moveaxis(self._at(log_responsibilities, points), 0, -1))

    def predict(self, points: Any) -> np.ndarray:
        """Index (...) of the component that most probably made each point of (..., d)."""
        return np.asarray(self.responsibilities(points).argmax(axis=-1))

    def sample(self, n_points: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random points (n, d) of the mixture, and the component (n,) of each."""
        rng, n_points = np.random.default_rng(count("seed", seed, 0)), count("n_points", n_points)
        labels = rng.choice(self.n_components, n_points, p=self.weights / self.weights.sum())
        factors = np.linalg.cholesky(self.covariances)
        return self.means[labels] + np.einsum(
            "nij,nj->ni", factors[labels], rng.normal(size=(n_points, self.n_dim))
        ), labels

    def surface(self, total: float | None = None) -> GaussianSurface:
        """The density times ``total`` (default: the points' total weight) as a `GaussianSurface` of that volume."""
        total = self.total_weight if total is None else positive_number("total", total)
        heights = total * self.weights * np.exp(-log_integrals(self.covariances))
        return GaussianSurface(heights, self.means.copy(), self.covariances.copy())

    def summary(self, n_rows: int = 10) -> str:
        """A table to print: the fit in a few lines, then the ``n_rows`` components of largest weight."""
        from .._results.plot_mixture import summary

        return summary(self, n_rows).text()

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        how = f"{self.status.name.lower()}, {self.steps} steps"
        return f"<MixtureResult: K={self.n_components}, log_likelihood={self.log_likelihood:.6g}, {how}>"

    def _repr_html_(self) -> str:
        from .._results.plot_mixture import summary

        return summary(self).html()

    def plot(self, points: Any = None) -> Figure:
        """d = 1: the density over a histogram; d = 2: the points under 1-sigma ellipses; a Figure.

        ``points`` are those fitted unless given. Needs matplotlib: ``pip install surfacefit[plot]``.
        """
        from .._results.plot_mixture import plot_mixture

        return plot_mixture(self, points)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything, points included, to a versioned ``.json`` or, smaller and faster for many points, ``.npz``;
        no pickle.
        """
        from .io import save

        save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> MixtureResult:
        """Read a mixture that `save` wrote, every number exact. Raises `ValueError` for a file that is none."""
        from .io import load

        return load(path)

    def to_sklearn(self) -> Any:
        """A fitted `sklearn.mixture.GaussianMixture`: ``predict``, ``score_samples``, ``sample`` and the rest work on
        it.

        Needs scikit-learn: ``pip install surfacefit[sklearn]``.
        """
        from .sklearn import to_sklearn

        return to_sklearn(self)

    @classmethod
    def from_sklearn(cls, mixture: Any, points: Any = None, weights: Any = None) -> MixtureResult:
        """A mixture fitted by scikit-learn, for example as `fit_mixture`'s ``init``.

        Likelihood and total weight are those of ``points``; without them NaN and 1, since scikit-learn keeps neither.
        """
        from .sklearn import from_sklearn

        return from_sklearn(mixture, points, weights)

    def _at(self, function: Any, points: Any) -> np.ndarray:
        from .._results.plot_mixture import evaluated

        return evaluated(self, function, points)


def _listed(flags: np.ndarray) -> str:
    return ", ".join(str(k) for k in np.flatnonzero(flags))
