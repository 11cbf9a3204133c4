r"""Starts of mixtures by scikit-learn's names, and those that a user gives in part.

Each name stands for responsibilities r_nk of the components for the points x_n, from which one M step makes the start,

.. math:: w_k = \sum_n v_n r_{nk} / \sum_n v_n, \quad \mu_k = \sum_n v_n r_{nk} x_n / \sum_n v_n r_{nk},

and covariances around the means likewise, with ``reg_covar`` on their diagonals. The random numbers are drawn as
`sklearn.mixture.GaussianMixture` draws them: the same ``random_state`` gives the same start.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus

from .._base.checks import finite, one_of, real_array
from .._mixture.starts import POOLED_VARIANCE_FLOOR, WEIGHT_SUM_TOLERANCE, Start, expanded, restricted
from .._model.surface import are_covariances

# Names that the parameter ``init_params`` takes.
INIT_PARAMS = ("kmeans", "k-means++", "random", "random_from_data")

# Mass added to each component, in units in the last place of one, as scikit-learn does: none is divided by zero.
SPARE_MASS_UNITS = 10


class Given(NamedTuple):
    """What a user gives of a start, checked: weights (K,), means (K, d), covariances (K, d, d), each possibly None."""

    weights: np.ndarray | None
    means: np.ndarray | None
    covariances: np.ndarray | None

    def completed(self, start: Start) -> Start:
        """The start, with what is given in its place."""
        return Start(*(drawn if own is None else own for own, drawn in zip(self, start, strict=True)))


def given_start(weights: Any, means: Any, precisions: Any, n_components: int, n_dim: int, kind: str) -> Given:
    """The parameters ``weights_init``, ``means_init`` and ``precisions_init``, checked."""
    found_weights = None if weights is None else _array("weights_init", weights, (n_components,))
    if found_weights is not None and (
        (found_weights < 0).any() or not abs(found_weights.sum() - 1) <= WEIGHT_SUM_TOLERANCE
    ):
        raise ValueError(
            f"`weights_init` must be zero or positive and sum to one, got {found_weights.tolist()}: divide by the sum"
        )
    found_means = None if means is None else _array("means_init", means, (n_components, n_dim))
    if precisions is None:
        return Given(found_weights, found_means, None)
    return Given(found_weights, found_means, _covariances(precisions, n_components, n_dim, kind))


def _covariances(precisions: Any, n_components: int, n_dim: int, kind: str) -> np.ndarray:
    shapes = {
        "full": (n_components, n_dim, n_dim),
        "tied": (n_dim, n_dim),
        "diag": (n_components, n_dim),
        "spherical": (n_components,),
    }
    array = expanded(_array("precisions_init", precisions, shapes[kind]), n_components, n_dim, kind)
    bad = ~are_covariances(array)
    if bad.any():
        raise ValueError(
            "`precisions_init` must be symmetric positive definite (positive where they are numbers), got"
            f" {array[int(bad.argmax())].tolist()}"
        )
    inverses = np.linalg.inv(array)
    return (inverses + inverses.swapaxes(1, 2)) / 2


def _array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = finite(name, np.asarray(real_array(name, value), np.float64))
    if array.shape != shape:
        raise ValueError(f"`{name}` must have shape {shape}, got {array.shape}")
    return array


def drawn_start(
    name: str, points: np.ndarray, weights: np.ndarray | None, model: tuple[int, str, float], random: Any
) -> Start:
    """The start of a name for points (N, d) of weights (N,) or None; ``model`` holds K, the covariance type and
    ``reg_covar``.
    """
    n_components, kind, added = model
    shares = _shares(one_of("init_params", name, INIT_PARAMS), points, weights, n_components, random)
    masses = shares if weights is None else shares * weights[:, None]
    points, spare = points.astype(np.float64), SPARE_MASS_UNITS * float(np.finfo(points.dtype).eps)
    mass = masses.sum(axis=0) + spare
    means = masses.T @ points / mass[:, None]
    scatter = [((points - mean).T * share) @ (points - mean) for mean, share in zip(means, masses.T, strict=True)]
    full = np.stack(scatter) / mass[:, None, None]
    covariances = restricted(full, mass, kind) + added * np.eye(points.shape[1])
    if not are_covariances(covariances).all():
        covariances = covariances + POOLED_VARIANCE_FLOOR * np.diag(_variances(points))
        covariances = restricted(covariances, mass, kind)
    return Start(mass / mass.sum(), means, covariances)


def _shares(name: str, points: np.ndarray, weights: np.ndarray | None, n_components: int, random: Any) -> np.ndarray:
    """Responsibilities (N, K)."""
    if name == "random":
        shares = random.uniform(size=(len(points), n_components))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    shares = np.zeros((len(points), n_components))
    if name == "kmeans":
        labels = KMeans(n_components, n_init=1, random_state=random).fit(points, sample_weight=weights).labels_
        shares[np.arange(len(points)), labels] = 1
        return shares
    if name == "k-means++":
        _, chosen = kmeans_plusplus(points, n_components, sample_weight=weights, random_state=random)
    else:
        chances = None if weights is None else weights / weights.sum()
        chosen = random.choice(len(points), size=n_components, replace=False, p=chances)
    shares[chosen, np.arange(n_components)] = 1
    return shares


def _variances(points: np.ndarray) -> np.ndarray:
    """Variances (d,) of the data; of flat axes that of the widest, and one where all are flat."""
    found = points.var(axis=0)
    return np.where(found > 0, found, found.max() or 1.0)
