"""To and from scikit-learn's `GaussianMixture`, which is imported only here and only when called for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._base.checks import one_of, real_array
from .._base.status import Status
from .._model.covariance import COVARIANCE_TYPES
from .mixture_data import weighted_points
from .result import MixtureResult
from .starts import checked_init, expanded


def to_sklearn(result: MixtureResult) -> Any:
    """A fitted `sklearn.mixture.GaussianMixture` with the same parameters, in the shapes of the covariance type."""
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ImportError("`to_sklearn` needs scikit-learn: pip install surfacefit[sklearn]") from error
    kind = result.covariance_type
    mixture = GaussianMixture(result.n_components, covariance_type=kind)
    mixture.weights_, mixture.means_ = result.weights.copy(), result.means.copy()
    mixture.covariances_ = _reduced(result.covariances, kind)
    mixture.precisions_cholesky_ = _precision_factors(mixture.covariances_, kind)
    factors = mixture.precisions_cholesky_
    mixture.precisions_ = factors @ factors.swapaxes(-1, -2) if kind in ("full", "tied") else factors**2
    mixture.converged_, mixture.n_iter_ = result.converged, result.steps
    mixture.lower_bound_ = result.log_likelihood / result.total_weight
    mixture.lower_bounds_ = list(result.history["log_likelihood"])
    mixture.n_features_in_ = result.n_dim
    return mixture


def from_sklearn(mixture: Any, points: Any = None, weights: Any = None) -> MixtureResult:
    """A result with the parameters of a fitted `GaussianMixture`; see `MixtureResult.from_sklearn`."""
    if not hasattr(mixture, "means_") or not hasattr(mixture, "covariance_type"):
        raise TypeError(
            f"`mixture` must be a fitted sklearn.mixture.GaussianMixture, got {mixture!r}: call its `fit` first"
        )
    kind = one_of("mixture.covariance_type", mixture.covariance_type, COVARIANCE_TYPES)
    means = np.asarray(real_array("mixture.means_", mixture.means_), np.float64)
    if means.ndim != 2:
        raise ValueError(f"`mixture.means_` must have shape (K, d), got {means.shape}: in 1-D that is (K, 1)")
    data = None if points is None else weighted_points(points, weights)
    covariances = expanded(np.asarray(mixture.covariances_, np.float64), len(means), means.shape[1], kind)
    checked_init((mixture.weights_, means, covariances), len(means), means.shape[1], kind, "mixture")
    bounds = np.asarray(getattr(mixture, "lower_bounds_", [mixture.lower_bound_]), np.float64)
    result = MixtureResult(
        weights=np.array(mixture.weights_, np.float64),
        means=means.copy(),
        covariances=covariances.copy(),
        covariance_type=kind,
        log_likelihood=float("nan"),
        total_weight=1.0 if data is None else data.total,
        history={"log_likelihood": bounds, "objective": bounds, "restarted": np.arange(len(bounds)) == 0},
        status=Status.CONVERGED_COST if mixture.converged_ else Status.MAX_STEPS,
        steps=int(mixture.n_iter_),
        at_floor=np.zeros(len(means), bool),
        resets=np.zeros(len(means), int),
    )
    if data is None:
        return result
    likelihood = float(data.weights @ result.log_density(data.points))
    return replace(result, log_likelihood=likelihood, points=data.points, point_weights=data.weights)


def _reduced(covariances: np.ndarray, kind: str) -> np.ndarray:
    """Covariances (K, d, d) in scikit-learn's shape for a type."""
    if kind == "tied":
        return covariances[0].copy()
    if kind == "full":
        return covariances.copy()
    diagonals = np.diagonal(covariances, axis1=1, axis2=2)
    return diagonals.copy() if kind == "diag" else diagonals.mean(axis=1)


def _precision_factors(covariances: np.ndarray, kind: str) -> np.ndarray:
    """Upper triangular L^{-T}, the Cholesky factors of the precisions as scikit-learn writes them."""
    if kind in ("diag", "spherical"):
        return 1 / np.sqrt(covariances)
    return np.ascontiguousarray(np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2))
