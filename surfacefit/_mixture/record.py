"""What a mixture fit found, as a record of arrays and numbers, and the quantities that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._base.checks import count, positive_number
from .._base.information_criteria import aic, bic
from .._base.status import MIXTURE_STATUS, Status
from .._model.gaussian import log_integrals
from .._model.surface import GaussianSurface
from .evaluation import evaluated
from .mixture_model import log_density, log_responsibilities


@dataclass(frozen=True, eq=False)
class MixtureRecord:
    """The fields of a `MixtureResult`; its docstring says what they hold."""

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


@dataclass(frozen=True, eq=False)
class MixtureNumbers(MixtureRecord):
    """What follows from the fields of a `MixtureResult` directly."""

    @property
    def converged(self) -> bool:
        """Whether the fit converged."""
        return MIXTURE_STATUS[self.status].success

    @property
    def message(self) -> str:
        """Why the fit ended, and what to do next where it did not converge.

        It also names the components at the floor, and those that were reset.
        """
        entry = MIXTURE_STATUS[self.status]
        parts = [entry.message, entry.advice.rstrip(".")]
        if self.at_floor.any():
            parts.append(f"At the floor `min_width`: components {_listed(self.at_floor)}")
        if self.resets.any():
            times = int(self.resets.sum())
            parts.append(f"Reset {times} time{'s' * (times > 1)} in all: components {_listed(self.resets > 0)}")
        return ". ".join(part for part in parts if part)

    @property
    def n_components(self) -> int:
        """Number K of Gaussians."""
        return len(self.weights)

    @property
    def n_dim(self) -> int:
        """Dimension d of the points."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Free numbers: K - 1 weights, K d means, and the covariances of the type."""
        k, d = self.means.shape
        entries = d * (d + 1) // 2
        shapes = {"full": k * entries, "diag": k * d, "spherical": k, "tied": entries}[self.covariance_type]
        return k - 1 + k * d + shapes

    @property
    def aic(self) -> float:
        """Akaike's criterion 2 p - 2 log L with p = ``n_parameters``; lower is better."""
        return aic(-2 * self.log_likelihood, self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion p log N - 2 log L with p = ``n_parameters``; lower is better.

        N is the sum of the weights: give weights as numbers of points.
        """
        return bic(-2 * self.log_likelihood, self.n_parameters, self.total_weight)

    def log_density(self, points: Any) -> np.ndarray:
        """log p (...) at points (..., d); for d = 1 an array (...) of positions is accepted too."""
        return self._at(log_density, points)

    def responsibilities(self, points: Any) -> np.ndarray:
        """Probabilities (..., K) of each component to have made each of the points (..., d); they sum to one."""
        return np.exp(np.moveaxis(self._at(log_responsibilities, points), 0, -1))

    def predict(self, points: Any) -> np.ndarray:
        """Index (...) of the component that most probably made each of the points (..., d)."""
        return np.asarray(self.responsibilities(points).argmax(axis=-1))

    def sample(self, n_points: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random points (n, d) of the mixture, and the component (n,) of each."""
        rng, n_points = np.random.default_rng(count("seed", seed, 0, None)), count("n_points", n_points)
        labels = rng.choice(self.n_components, n_points, p=self.weights / self.weights.sum())
        factors = np.linalg.cholesky(self.covariances)
        offsets = np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n_points, self.n_dim)))
        return self.means[labels] + offsets, labels

    def surface(self, total: float | None = None) -> GaussianSurface:
        """The density times ``total``, as a `GaussianSurface` of that volume.

        total : a positive number; None (default) takes the sum of the weights of the points.
        """
        total = self.total_weight if total is None else positive_number("total", total)
        heights = total * self.weights * np.exp(-log_integrals(self.covariances))
        return GaussianSurface(heights, self.means.copy(), self.covariances.copy())

    def _at(self, function: Any, points: Any) -> np.ndarray:
        return evaluated(function, self.weights, self.means, self.covariances, points)


def _listed(flags: np.ndarray) -> str:
    return ", ".join(str(k) for k in np.flatnonzero(flags))
