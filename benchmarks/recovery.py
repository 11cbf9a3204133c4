"""How often the number of components is found where it is known: random maps, and photutils' image of 100 sources."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import surfacefit as sf

# Pixels a side: room for twenty components that can be told apart.
MAP_SIDE = 64
# Random maps: 99.5 % is one wrong.
N_MAPS = 200
# Components of the fullest map.
MOST_COMPONENTS = 20
# Distance of two centres in widths of their mean covariance: closer pairs can be one hump.
LEAST_DISTANCE_WIDTHS = 2.0
# Standard deviation of the noise over that of the map.
RELATIVE_NOISE = 0.01
# A true source counts as found this near to a fitted centre; sources are 39 pixels apart on average.
FOUND_WITHIN_PIXELS = 3.0


def random_maps(count: int = N_MAPS) -> Iterator[str]:
    """How often K is right, and how far centres are off, on maps of 1 to 20 components.

    Heights span two decades, centres are more than two widths apart, noise is 1 % of the map's standard deviation.
    """
    right = worst_seconds = 0.0
    deviations, begun = [], time.perf_counter()
    wrong = []
    for seed in range(count):
        heights, truth = scene(seed)
        tick = time.perf_counter()
        result = sf.fit(heights, background=None, progress=False)
        worst_seconds = max(worst_seconds, time.perf_counter() - tick)
        if result.n_components != truth.n_components:
            wrong.append(f"{truth.n_components} as {result.n_components}")
            continue
        right += 1
        rows, columns = matched(result.surface, truth)
        deviations.append(
            ((result.surface.centers[rows] - truth.centers[columns]) / result.standard_errors.centers[rows]).ravel()
        )
    sizes = np.abs(np.concatenate(deviations))
    seconds = (time.perf_counter() - begun) / count
    yield (
        f"recovery: K right in {right:.0f} of {count} maps ({100 * right / count:.1f} %); wrong:"
        f" {', '.join(wrong) or 'none'};"
        f" {seconds:.1f} s a map, at most {worst_seconds:.0f} s"
    )
    yield (
        f"recovery, centres where K is right: {100 * np.mean(sizes <= 3):.2f} % of {sizes.size} coordinates within 3"
        f" standard errors"
        f" (99.73 % expected), {100 * np.mean(sizes <= 1):.1f} % within 1 (68.3 % expected)"
    )


def scene(seed: int) -> tuple[np.ndarray, sf.GaussianSurface]:
    """A noisy map (MAP_SIDE, MAP_SIDE) and its true components."""
    rng = np.random.default_rng([seed, 2])
    n_components = int(rng.integers(1, MOST_COMPONENTS + 1))
    centers: list[np.ndarray] = []
    covariances: list[np.ndarray] = []
    while len(centers) < n_components:
        center, widths, angle = rng.uniform(4, MAP_SIDE - 5, 2), rng.uniform(2, 5, 2), rng.uniform(0, np.pi)
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariance = axes @ np.diag(widths**2) @ axes.T
        offsets = [(center - c, (covariance + s) / 2) for c, s in zip(centers, covariances, strict=True)]
        if all(d @ np.linalg.solve(s, d) > LEAST_DISTANCE_WIDTHS**2 for d, s in offsets):
            centers.append(center)
            covariances.append(covariance)
    truth = sf.GaussianSurface(10 ** rng.uniform(-2, 0, n_components), np.array(centers), np.array(covariances))
    heights = rendered(truth, (MAP_SIDE, MAP_SIDE))
    return heights + RELATIVE_NOISE * heights.std() * rng.normal(size=heights.shape), truth


def rendered(surface: sf.GaussianSurface, shape: tuple[int, int]) -> np.ndarray:
    """Heights of a surface on pixels of this shape, in plain NumPy."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    heights = np.zeros(shape)
    for amplitude, center, covariance in zip(surface.amplitudes, surface.centers, surface.covariances, strict=True):
        (p, q), (_, r) = np.linalg.inv(covariance)
        v, u = y - center[0], x - center[1]
        heights += amplitude * np.exp(-0.5 * (p * v * v + 2 * q * v * u + r * u * u))
    return heights


def matched(found: sf.GaussianSurface, truth: sf.GaussianSurface) -> tuple[np.ndarray, np.ndarray]:
    """Indices of found and of true components in pairs with the least sum of distances."""
    distances = np.linalg.norm(found.centers[:, None] - truth.centers[None], axis=-1)
    rows, columns = linear_sum_assignment(distances)
    return rows, columns


def hundred(folder: Path) -> Iterator[str]:
    """How many of 100 sources are found, how many invented: 300 x 500 pixels, heights 3.9 to 121, noise 2."""
    with (folder / "synth_photutils_100gaussians.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    centers = np.array([[row["y_mean"], row["x_mean"]] for row in rows])
    heights = rendered(
        sf.GaussianSurface(np.array([row["amplitude"] for row in rows]), centers, _covariances(rows)), (300, 500)
    )
    heights += np.random.default_rng(0).normal(5, 2, heights.shape)
    begun = time.perf_counter()
    result = sf.fit(heights, progress=False)
    distances = np.linalg.norm(result.surface.centers[:, None] - centers[None], axis=-1)
    found, invented = (
        int((distances.min(axis=0) < FOUND_WITHIN_PIXELS).sum()),
        int((distances.min(axis=1) >= FOUND_WITHIN_PIXELS).sum()),
    )
    yield (
        f"image of 100 sources: K = {result.n_components}, {found} found within {FOUND_WITHIN_PIXELS:.0f} pixels,"
        f" {invented} invented,"
        f" RMSE {result.rmse:.4f} (noise 2) in {time.perf_counter() - begun:.0f} s"
    )


def _covariances(rows: list[dict[str, float]]) -> np.ndarray:
    """Covariances (K, 2, 2) in the order (y, x); theta turns x towards y."""
    matrices = []
    for row in rows:
        c, s = np.cos(row["theta"]), np.sin(row["theta"])
        axes = np.array([[s, c], [c, -s]])  # columns: the x_stddev axis and the y_stddev axis, as (y, x)
        matrices.append(axes @ np.diag([row["x_stddev"] ** 2, row["y_stddev"] ** 2]) @ axes.T)
    return np.array(matrices)
