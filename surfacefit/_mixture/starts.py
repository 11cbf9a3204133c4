"""Where the components of a mixture stand before the first step: drawn from the data, or given.

"kmeans++" is from Arthur & Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, 1027, with the best
of a few candidates for each seed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._base.checks import finite, one_of, real_array
from .._model.surface import GaussianSurface, are_covariances
from .result import MixtureResult

# Names that the option ``init`` takes.
NAMES = ("kmeans++", "random")

# Distance of the sum of start weights from one that counts as rounding, in single precision too.
WEIGHT_SUM_TOLERANCE = 1e-5

# Variance added to the pooled covariance, in the units of a fit: keeps it regular where each point is a seed.
POOLED_VARIANCE_FLOOR = 1e-6


class Start(NamedTuple):
    """Weights (K,), means (K, d), covariances (K, d, d)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def checked_init(init: Any, n_components: int, n_dim: int, kind: str, argument: str = "init") -> str | Start:
    """One of NAMES, or a start in the user's units from a triple, a `MixtureResult` or a `GaussianSurface`.

    ``argument`` is what errors call it.
    """
    if not isinstance(init, MixtureResult) and isinstance(getattr(init, "surface", None), GaussianSurface):
        init = init.surface  # the result of a fit
    if isinstance(init, str) or not isinstance(init, MixtureResult | GaussianSurface | tuple | list):
        try:
            return one_of("init", init, NAMES)
        except ValueError as error:
            raise ValueError(
                f"{error}; or give (weights, means, covariances), a MixtureResult or a GaussianSurface"
            ) from None
    if isinstance(init, MixtureResult):
        init = init.weights, init.means, init.covariances
    elif isinstance(init, GaussianSurface):
        init = init.volumes / init.volume, init.centers, init.covariances
    if len(init) != 3:
        raise ValueError(f"`init` must hold three arrays (weights, means, covariances), got {len(init)}")
    return _checked(argument, init, n_components, n_dim, kind)


def _checked(argument: str, init: Any, n_components: int, n_dim: int, kind: str) -> Start:
    names = ("weights", "means", "covariances")
    weights, means, covariances = (
        finite(f"{argument}.{name}", np.asarray(real_array(f"{argument}.{name}", array), np.float64))
        for name, array in zip(names, init, strict=True)
    )
    covariances = expanded(covariances, n_components, n_dim, kind)
    if n_dim == 1 and means.shape == (n_components,):
        means = means[:, None]
    shapes = [(n_components,), (n_components, n_dim), (n_components, n_dim, n_dim)]
    for name, array, shape in zip(names, (weights, means, covariances), shapes, strict=True):
        if array.shape != shape:
            raise ValueError(
                f"`{argument}.{name}` must have shape {shape} for K={n_components} components in d={n_dim}, got"
                f" {array.shape}"
            )
    if (weights < 0).any() or not abs(weights.sum() - 1) <= WEIGHT_SUM_TOLERANCE:
        raise ValueError(
            f"`{argument}.weights` must be zero or positive and sum to one, got {weights.tolist()} with the sum"
            f" {weights.sum():g}: divide them by it"
        )
    bad = ~are_covariances(covariances)
    if bad.any():
        raise ValueError(
            f"`{argument}.covariances` must be symmetric positive definite, got"
            f" {covariances[int(bad.argmax())].tolist()}"
        )
    return Start(weights, means, restricted(covariances, weights, kind))


def expanded(covariances: np.ndarray, n_components: int, n_dim: int, kind: str) -> np.ndarray:
    """Covariances (K, d, d) from scikit-learn's shape for their type; other shapes are returned unchanged."""
    identity, shape = np.eye(n_dim), covariances.shape
    if kind == "spherical" and shape == (n_components,):
        return covariances[:, None, None] * identity
    if kind == "diag" and shape == (n_components, n_dim):
        return covariances[:, :, None] * identity
    if kind == "tied" and shape == (n_dim, n_dim):
        return np.tile(covariances, (n_components, 1, 1))
    return covariances


def drawn(name: str, points: np.ndarray, weights: np.ndarray, n_components: int, rng: np.random.Generator) -> Start:
    """The start of a name, for points (N, d) with variance about one and weights (N,)."""
    return (_seeded if name == "kmeans++" else _random)(points, weights, n_components, rng)


def _random(points: np.ndarray, weights: np.ndarray, n_components: int, rng: np.random.Generator) -> Start:
    """Means at distinct points of the data, drawn by weight; equal weights; the covariance is that of the data,
    shrunk to one K-th of its volume.
    """
    places, first = np.unique(points, axis=0, return_inverse=True)
    masses = np.bincount(first.ravel(), weights, len(places))
    chosen = rng.choice(len(places), n_components, replace=False, p=masses / masses.sum())
    return _alike(places[chosen], np.eye(points.shape[1]) / n_components ** (2 / points.shape[1]))


def _seeded(points: np.ndarray, weights: np.ndarray, n_components: int, rng: np.random.Generator) -> Start:
    """Means around seeds; each seed is drawn by weight times squared distance to the nearest seed before it.

    Of a few candidates the one that lowers the sum of squared distances most is taken. The means are those of the
    points nearest to each seed, and so are the weights; all covariances are the pooled one around the means.
    """
    tries = 2 + int(np.log(n_components))
    seeds = [points[rng.choice(len(points), p=weights / weights.sum())]]
    nearest = _squares(points, seeds[0])
    labels = np.zeros(len(points), int)
    while len(seeds) < n_components:
        chances = weights * nearest
        candidates = rng.choice(len(points), tries, p=chances / chances.sum())
        distances = [_squares(points, points[candidate]) for candidate in candidates]
        best = int(np.argmin([weights @ np.minimum(nearest, distance) for distance in distances]))
        labels[distances[best] < nearest] = len(seeds)
        nearest = np.minimum(nearest, distances[best])
        seeds.append(points[candidates[best]])
    masses = np.bincount(labels, weights, n_components)
    means = (
        np.stack([np.bincount(labels, weights * column, n_components) for column in points.T], axis=1) / masses[:, None]
    )
    offsets = points - means[labels]
    pooled = (offsets * weights[:, None]).T @ offsets / weights.sum()
    start = _alike(means, pooled + POOLED_VARIANCE_FLOOR * np.eye(points.shape[1]))
    return start._replace(weights=masses / masses.sum())


def _alike(means: np.ndarray, covariance: np.ndarray) -> Start:
    count = len(means)
    return Start(np.full(count, 1 / count), means, np.tile(covariance, (count, 1, 1)))


def _squares(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    return ((points - place) ** 2).sum(axis=1)


def restricted(covariances: np.ndarray, weights: np.ndarray, kind: str) -> np.ndarray:
    """The covariances (K, d, d) of a type that are nearest to those given."""
    identity = np.eye(covariances.shape[-1])
    if kind == "tied":
        return np.tile(np.average(covariances, axis=0, weights=weights), (len(covariances), 1, 1))
    if kind == "diag":
        return covariances * identity
    if kind == "spherical":
        return np.trace(covariances, axis1=1, axis2=2)[:, None, None] / len(identity) * identity
    return covariances
