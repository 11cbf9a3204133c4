"""Is the number of components found where it is known? Random maps, and an image of a hundred stars that others
made.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import surfacefit as sf

SIDE = 64
MAPS = 200
MOST = 20
APART = 2.0
NOISE = 0.01
NEAR = 3.0


def random_maps(count: int = MAPS) -> Iterator[str]:
    """Maps of 1 to 20 components, heights over two decades, centres more than two widths apart, noise 1 % of the map's
    deviation.
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
    """A noisy map and its components."""
    rng = np.random.default_rng([seed, 2])
    n_components = int(rng.integers(1, MOST + 1))
    centers: list[np.ndarray] = []
    covariances: list[np.ndarray] = []
    while len(centers) < n_components:
        center, widths, angle = rng.uniform(4, SIDE - 5, 2), rng.uniform(2, 5, 2), rng.uniform(0, np.pi)
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariance = axes @ np.diag(widths**2) @ axes.T
        offsets = [(center - c, (covariance + s) / 2) for c, s in zip(centers, covariances, strict=True)]
        if all(d @ np.linalg.solve(s, d) > APART**2 for d, s in offsets):
            centers.append(center)
            covariances.append(covariance)
    truth = sf.GaussianSurface(10 ** rng.uniform(-2, 0, n_components), np.array(centers), np.array(covariances))
    heights = rendered(truth, (SIDE, SIDE))
    return heights + NOISE * heights.std() * rng.normal(size=heights.shape), truth


def rendered(surface: sf.GaussianSurface, shape: tuple[int, int]) -> np.ndarray:
    """Heights by plain NumPy."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    heights = np.zeros(shape)
    for amplitude, center, covariance in zip(surface.amplitudes, surface.centers, surface.covariances, strict=True):
        (p, q), (_, r) = np.linalg.inv(covariance)
        v, u = y - center[0], x - center[1]
        heights += amplitude * np.exp(-0.5 * (p * v * v + 2 * q * v * u + r * u * u))
    return heights


def matched(found: sf.GaussianSurface, truth: sf.GaussianSurface) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the found and of the true components in pairs, least sum of distances."""
    distances = np.linalg.norm(found.centers[:, None] - truth.centers[None], axis=-1)
    rows, columns = linear_sum_assignment(distances)
    return rows, columns


def hundred(folder: Path) -> Iterator[str]:
    """300 x 500 pixels, 100 sources of 3.9 to 121, background 5 and noise 2: how many are found, how many are none."""
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
    found, invented = int((distances.min(axis=0) < NEAR).sum()), int((distances.min(axis=1) >= NEAR).sum())
    yield (
        f"image of 100 sources: K = {result.n_components}, {found} found within {NEAR:.0f} pixels, {invented} invented,"
        f" RMSE {result.rmse:.4f} (noise 2) in {time.perf_counter() - begun:.0f} s"
    )


def _covariances(rows: list[dict[str, float]]) -> np.ndarray:
    """(K, 2, 2), rows first; theta turns x towards y."""
    matrices = []
    for row in rows:
        c, s = np.cos(row["theta"]), np.sin(row["theta"])
        axes = np.array([[s, c], [c, -s]])  # columns: the x_stddev axis and the y_stddev axis, as (y, x)
        matrices.append(axes @ np.diag([row["x_stddev"] ** 2, row["y_stddev"] ** 2]) @ axes.T)
    return np.array(matrices)
