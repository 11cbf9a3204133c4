"""Compares mixtures with scikit-learn's step by step, and counts failures with and without remedies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import surfacefit as sf

# Bad starts, each with clusters of its own.
N_STARTS = 100
# Clusters a map, and components fitted to it.
N_CLUSTERS = 10
# Enough that the likelihood of the truth is known to a hundredth a point.
POINTS_PER_CLUSTER = 1000
# Standard deviation of a cluster in a square of side 20: tight, so that covariances collapse on the way.
CLUSTER_WIDTH = 0.02
# Steps a fit may take.
MAX_STEPS = 300
# A fall of the objective by less than this fraction is rounding of a sum over 10,000 points.
RELATIVE_ROUNDING = 1e-9
# (dimensions, clusters) of the comparison step by step.
PROBLEMS = ((1, 3), (2, 3), (2, 8), (3, 5), (6, 4))
# Covariance types, by scikit-learn's names.
TYPES = ("full", "diag", "spherical", "tied")


class Trial(NamedTuple):
    """Points (N, d), a start (weights, means, covariances), and the true mixture's log-likelihood per point."""

    points: np.ndarray
    start: tuple[np.ndarray, np.ndarray, np.ndarray]
    truth: float


def mixtures(quick: bool = False) -> Iterator[str]:
    """All figures, a line each; needs scikit-learn."""
    yield against_sklearn(PROBLEMS[:2] if quick else PROBLEMS)
    yield from tight_clusters(5 if quick else N_STARTS)


def against_sklearn(problems: tuple[tuple[int, int], ...] = PROBLEMS, n_steps: int = 40) -> str:
    """The largest difference of the log-likelihood per point over all steps from the same start and `reg_covar`."""
    largest, compared = 0.0, 0
    for n_dim, count in problems:
        for kind in TYPES:
            points, start = _blobs(n_dim, count)
            ours = sf.fit_mixture(
                points,
                count,
                init=start,
                covariance_type=kind,
                reg_covar=1e-6,
                tol=0,
                max_steps=n_steps,
                reset=False,
                progress=False,
            ).history["log_likelihood"]
            theirs = _sklearn(points, start, kind, n_steps, 1e-6)
            shared = min(len(ours), len(theirs))
            largest = max(largest, float(np.abs(ours[:shared] - theirs[:shared]).max()))
            compared += shared
    return (
        f"mixtures: log-likelihood per point and step within {largest:.1e} of scikit-learn's,"
        f" {compared} steps of {len(problems) * 4} fits"
    )


def tight_clusters(seeds: int = N_STARTS) -> Iterator[str]:
    """How many starts at random integers fail with the remedies, without them, and in scikit-learn."""
    trials = [tight_trial(seed) for seed in range(seeds)]
    fits = [sf.fit_mixture(t.points, N_CLUSTERS, init=t.start, max_steps=MAX_STEPS, progress=False) for t in trials]
    failed = sum(fails(fit) for fit in fits)
    reset = sum(fit.resets.any() for fit in fits)
    met = sum(fit.log_likelihood / len(t.points) > t.truth - 0.01 for fit, t in zip(fits, trials, strict=True))
    converged = sum(fit.converged for fit in fits)
    yield (
        f"mixtures, {N_CLUSTERS} tight clusters, {seeds} starts, remedies on: {failed} fail (error, NaN or falling"
        f" likelihood);"
        f" {converged} converge within {MAX_STEPS} steps, {reset} had components placed anew, {met} come within 0.01 a"
        f" point of the truth"
    )
    bare = [
        sf.fit_mixture(
            t.points, N_CLUSTERS, init=t.start, max_steps=MAX_STEPS, min_width=0, reset=False, progress=False
        )
        for t in trials
    ]
    singular = sum(fit.status == sf.Status.SINGULAR for fit in bare)
    lost = sum(fit.status != sf.Status.SINGULAR and bool((fit.weights * len(fit.points) < 1e-6).any()) for fit in bare)
    met = sum(fit.log_likelihood / len(t.points) > t.truth - 0.01 for fit, t in zip(bare, trials, strict=True))
    yield (
        f"the same, remedies off: {singular} stop at a singular covariance, {lost} more end with components that hold"
        f" no point,"
        f" {met} reach the truth"
    )
    errors = 0
    for trial in trials:
        try:
            _sklearn(trial.points, trial.start, "full", MAX_STEPS, 0.0)
        except ValueError:
            errors += 1
    yield f"the same in scikit-learn with reg_covar=0: {errors} raise an error"


def tight_trial(seed: int) -> Trial:
    """Ten clusters of 1,000 points, 0.02 wide in a square of side 20, under a random linear map.

    The start has unit covariances at random integer places.
    """
    rng = np.random.default_rng(seed)
    centers, linear = rng.uniform(-10, 10, (N_CLUSTERS, 2)), rng.normal(size=(2, 2))
    labels = np.repeat(np.arange(N_CLUSTERS), POINTS_PER_CLUSTER)
    offsets = CLUSTER_WIDTH * rng.normal(size=(len(labels), 2))
    points = (centers[labels] + offsets) @ linear.T
    density = np.exp(-0.5 * (offsets**2).sum(axis=1) / CLUSTER_WIDTH**2) / (
        2 * np.pi * CLUSTER_WIDTH**2 * abs(np.linalg.det(linear)) * N_CLUSTERS
    )
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    means = rng.integers(low, high + 1, (N_CLUSTERS, 2)).astype(float)
    start = np.full(N_CLUSTERS, 1 / N_CLUSTERS), means, np.tile(np.eye(2), (N_CLUSTERS, 1, 1))
    return Trial(points, start, float(np.log(density).mean()))


def fails(fit: sf.MixtureResult) -> bool:
    """Whether a number is not finite, or the objective falls although no component was placed anew."""
    arrays = (fit.weights, fit.means, fit.covariances, fit.history["objective"], fit.log_likelihood)
    if not all(np.isfinite(array).all() for array in arrays):
        return True
    falls = np.diff(fit.history["objective"]) < -RELATIVE_ROUNDING * np.abs(fit.history["objective"][1:])
    return bool((falls & ~fit.history["restarted"][1:]).any())


def _blobs(n_dim: int, count: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(10 * n_dim + count)
    centers, widths = rng.uniform(-4, 4, (count, n_dim)), rng.uniform(0.4, 1.5, count)
    points = np.concatenate(
        [center + width * rng.normal(size=(400, n_dim)) for center, width in zip(centers, widths, strict=True)]
    )
    means = points[rng.choice(len(points), count, replace=False)]
    return points, (np.full(count, 1 / count), means, np.tile(2.0 * np.eye(n_dim), (count, 1, 1)))


def _sklearn(
    points: np.ndarray, start: tuple[np.ndarray, ...], kind: str, n_steps: int, reg_covar: float
) -> np.ndarray:
    """scikit-learn's log-likelihood per point, step by step."""
    from sklearn.mixture import GaussianMixture

    weights, means, covariances = start
    precisions = np.linalg.inv(covariances)
    shaped = {
        "full": precisions,
        "diag": np.diagonal(precisions, axis1=1, axis2=2),
        "spherical": precisions[:, 0, 0],
        "tied": precisions[0],
    }
    mixture = GaussianMixture(
        len(weights),
        covariance_type=kind,
        weights_init=weights,
        means_init=means,
        precisions_init=shaped[kind],
        reg_covar=reg_covar,
        max_iter=n_steps,
        tol=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(mixture.fit(points).lower_bounds_)


if __name__ == "__main__":
    for line in mixtures():
        print(line)
