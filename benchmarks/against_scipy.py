"""Compares fits of random problems (d = 1, 2, 3) with SciPy's curve_fit, least_squares and minimize."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit, least_squares, minimize, root

import surfacefit as sf

# The losses that SciPy can minimise, too.
LOSSES = ("linear", "huber", "soft_l1", "cauchy", "poisson")
# Tolerances at rounding: what is compared is the optimum, not where a fit stops before it.
TO_THE_END = sf.LevenbergMarquardt(slack=0.0, ftol=1e-16, xtol=1e-16, gtol=1e-14, max_steps=2000)


@dataclass(frozen=True)
class Case:
    """A random problem: points (N, d), heights and sigma (N,), and the true numbers in the order of `pack`."""

    points: np.ndarray
    heights: np.ndarray
    sigma: np.ndarray
    truth: np.ndarray
    n_dim: int
    n_components: int
    loss: str
    absolute: bool


def lines(count: int) -> Iterator[str]:
    """The worst relative differences over so many problems, a line a loss."""
    worst: dict[str, list[tuple[float, float, float]]] = {loss: [] for loss in LOSSES}
    for seed in range(count):
        drawn = case(seed)
        worst[drawn.loss].append(_poisson(drawn) if drawn.loss == "poisson" else _least_squares(drawn))
    for loss, found in worst.items():
        if found:
            p, c, e = np.array(found).max(axis=0)
            what = (
                "minimize and root of the gradient, covariance from its information matrix"
                if loss == "poisson"
                else "curve_fit and least_squares"
            )
            differences = f"parameters within {p:.1e}, covariance {c:.1e}, cost {e:.1e}"
            yield f"{len(found)} random problems, loss {loss}, beside scipy's {what}: {differences}"


def case(seed: int) -> Case:
    """The random problem of a seed, which also decides dimension, number of components and loss."""
    rng = np.random.default_rng(seed)
    d, k, loss = 1 + seed % 3, 1 + (seed // 3) % 4, LOSSES[seed % len(LOSSES)]
    n_points, side = 150 * d * k, 3.0 * k
    points = rng.uniform(0, side, (n_points, d))
    amplitudes, widths = rng.uniform(2, 4, k), rng.uniform(0.7, 1.0, (k, d))
    centers = (np.arange(k) + 0.5)[:, None] * side / k + rng.uniform(-0.3, 0.3, (k, d))
    roots = np.einsum("kij,kj->kij", np.broadcast_to(np.eye(d), (k, d, d)), widths) + 0.2 * np.tril(
        rng.normal(size=(k, d, d)), -1
    )
    truth = pack(amplitudes, centers, roots @ roots.swapaxes(1, 2), 1.0)
    clean = model(points, truth, k, d)
    sigma = rng.uniform(0.05, 0.2, n_points)
    heights = clean + sigma * (rng.standard_t(3, n_points) if loss != "linear" else rng.normal(size=n_points))
    if loss == "poisson":
        truth = pack(20 * amplitudes, centers, roots @ roots.swapaxes(1, 2), 10.0)
        heights = rng.poisson(model(points, truth, k, d)).astype(float)
    return Case(points, heights, sigma, truth, d, k, loss, bool(seed % 2))


def _lower(d: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tril_indices(d)


def pack(amplitudes: np.ndarray, centers: np.ndarray, covariances: np.ndarray, level: float) -> np.ndarray:
    """All numbers as a vector: of each component amplitude, centre and lower triangle, then the background level."""
    i, j = _lower(centers.shape[1])
    return np.concatenate([np.column_stack([amplitudes, centers, covariances[:, i, j]]).ravel(), [level]])


def model(points: np.ndarray, numbers: np.ndarray, k: int, d: int) -> np.ndarray:
    """Heights (N,) at points (N, d), by a loop over components."""
    rows, (i, j) = numbers[:-1].reshape(k, -1), _lower(d)
    heights = np.full(len(points), numbers[-1])
    for row in rows:
        covariance = np.zeros((d, d))
        covariance[i, j] = covariance[j, i] = row[1 + d :]
        offset = points - row[1 : 1 + d]
        heights = heights + row[0] * np.exp(-0.5 * np.einsum("ni,ni->n", offset @ np.linalg.inv(covariance), offset))
    return heights


def slopes(points: np.ndarray, numbers: np.ndarray, k: int, d: int) -> np.ndarray:
    """Analytic derivatives (N, M) of `model` by its numbers (M,)."""
    rows, (i, j) = numbers[:-1].reshape(k, -1), _lower(d)
    columns = []
    for row in rows:
        covariance = np.zeros((d, d))
        covariance[i, j] = covariance[j, i] = row[1 + d :]
        turned = (points - row[1 : 1 + d]) @ np.linalg.inv(covariance)
        g = np.exp(-0.5 * np.einsum("ni,ni->n", points - row[1 : 1 + d], turned))
        own = [g, *(row[0] * g * turned[:, n] for n in range(d))]
        own += [row[0] * g * turned[:, a] * turned[:, b] * (0.5 if a == b else 1.0) for a, b in zip(i, j, strict=True)]
        columns += own
    return np.column_stack([*columns, np.ones(len(points))])


def _surface(case: Case, numbers: np.ndarray) -> sf.GaussianSurface:
    rows, (i, j) = numbers[:-1].reshape(case.n_components, -1), _lower(case.n_dim)
    covariances = np.zeros((case.n_components, case.n_dim, case.n_dim))
    covariances[:, i, j] = covariances[:, j, i] = rows[:, 1 + case.n_dim :]
    return sf.GaussianSurface(rows[:, 0], rows[:, 1 : 1 + case.n_dim], covariances, numbers[-1])


def _fitted(case: Case, start: np.ndarray) -> tuple[sf.FitResult, np.ndarray, np.ndarray]:
    """surfacefit's result, its numbers (M,) and their covariance matrix (M, M), in the order of `pack`."""
    robust = case.loss not in ("linear", "poisson")
    options = {"loss": case.loss, **({"f_scale": 1.5} if robust else {})}
    if case.loss != "poisson":
        options |= {"sigma": case.sigma, "absolute_sigma": case.absolute}
    result = sf.fit_points(
        case.points,
        case.heights,
        case.n_components,
        init=_surface(case, start),
        solver=TO_THE_END,
        min_width=1e-3,
        progress=False,
        **options,
    )
    order = np.linalg.norm(result.surface.centers[:, None] - _surface(case, start).centers, axis=2).argmin(axis=0)
    surface, errors = result.surface, result.uncertainty()
    numbers = pack(
        surface.amplitudes[order], surface.centers[order], surface.covariances[order], float(surface.background.value)
    )
    names = []
    for n in order:
        i, j = _lower(case.n_dim)
        names += [f"amplitudes[{n}]", *(f"centers[{n}, {a}]" for a in range(case.n_dim))]
        names += [f"covariances[{n}, {a}, {b}]" for a, b in zip(i, j, strict=True)]
    index = [errors.names.index(name) for name in [*names, "background[0]"]]
    return result, numbers, errors.matrix[np.ix_(index, index)]


def _least_squares(case: Case) -> tuple[float, float, float]:
    k, d = case.n_components, case.n_dim
    loss = {} if case.loss == "linear" else {"loss": case.loss, "f_scale": 1.5}
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "x_scale": "jac", "max_nfev": 2000}
    numbers, covariance = curve_fit(
        lambda points, *q: model(points, np.array(q), k, d),
        case.points,
        case.heights,
        case.truth,
        case.sigma,
        case.absolute,
        method="trf",
        jac=lambda points, *q: slopes(points, np.array(q), k, d),
        **tight,
        **loss,
    )
    cost = least_squares(
        lambda q: (model(case.points, q, k, d) - case.heights) / case.sigma,
        numbers,
        lambda q: slopes(case.points, q, k, d) / case.sigma[:, None],
        **tight,
        **loss,
    ).cost
    return _differences(case, numbers, covariance, cost)


def _poisson(case: Case) -> tuple[float, float, float]:
    k, d, z = case.n_components, case.n_dim, case.heights

    def value(q: np.ndarray) -> float:
        f = model(case.points, q, k, d)
        return float(np.sum(f - z * np.log(f))) if (f > 0).all() else np.inf

    def gradient(q: np.ndarray) -> np.ndarray:
        return slopes(case.points, q, k, d).T @ (1 - z / model(case.points, q, k, d))

    def information(q: np.ndarray) -> np.ndarray:
        rows = slopes(case.points, q, k, d)
        return rows.T @ (rows / model(case.points, q, k, d)[:, None])

    scale = 1 / np.sqrt(np.diag(information(case.truth)))
    found = minimize(
        lambda q: value(q * scale),
        case.truth / scale,
        jac=lambda q: gradient(q * scale) * scale,
        hess=lambda q: information(q * scale) * np.outer(scale, scale),
        method="trust-exact",
        options={"gtol": 1e-9, "maxiter": 500},
    )
    # The rounding of a sum of logarithms ends minimize up to 2e-6 from where the gradient vanishes.
    ended = root(
        lambda q: gradient(q * scale) * scale,
        found.x,
        jac=lambda q: information(q * scale) * np.outer(scale, scale),
        tol=1e-14,
    )
    assert np.abs(ended.fun).max() < 1e-9, (
        ended.message
    )  # steps left, in standard errors; root may ask for more than rounding allows
    numbers = ended.x * scale
    cost = value(numbers) - float(np.sum(z[z > 0] - z[z > 0] * np.log(z[z > 0])))
    return _differences(case, numbers, np.linalg.inv(information(numbers)), cost)


def _differences(case: Case, numbers: np.ndarray, covariance: np.ndarray, cost: float) -> tuple[float, float, float]:
    """Largest relative differences of parameters, covariances and cost.

    Parameters are compared in units of their own size, or of their error where that is larger, covariances in units of
    the product of both errors.
    """
    result, ours, matrix = _fitted(case, case.truth)
    sizes = np.sqrt(np.diag(covariance))
    parameters = np.abs(ours - numbers) / np.maximum(np.abs(numbers), sizes)
    return (
        float(parameters.max()),
        float((np.abs(matrix - covariance) / np.outer(sizes, sizes)).max()),
        abs(result.cost / cost - 1),
    )
