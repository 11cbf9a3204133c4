"""Digests of twelve fits, which a change that is meant to change no number must leave as they are.

    python -m benchmarks.bits            # a line a fit: its name, steps, cost and a digest of all its numbers

Run it before and after a change, on one machine with one JAX, and compare the lines: other processors round
differently.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import surfacefit as sf


def hills(shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
    """A noisy sum of Gaussians on a grid."""
    rng = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    heights = 0.02 * rng.normal(size=shape)
    for _ in range(count):
        center, widths = rng.uniform(0.1, 0.9, len(shape)) * shape, rng.uniform(0.06, 0.15, len(shape)) * shape
        heights += rng.uniform(1, 3) * np.exp(-0.5 * (((points - center) / widths) ** 2).sum(axis=-1))
    return heights


def digest(*arrays: Any) -> str:
    """Sixteen hexadecimal digits that change with any bit of the arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(np.asarray(array, float)).tobytes())
    return total.hexdigest()[:16]


def fitted(result: sf.FitResult) -> str:
    surface, errors = result.surface, result.standard_errors
    arrays = [getattr(one, name) for one in (surface, errors) for name in ("amplitudes", "centers", "covariances")]
    arrays += [surface.volumes, surface.principal_widths, result.predict(), result.residuals, result.history["cost"]]
    return f"{result.steps:5d} steps  cost {result.cost!r}  {digest(*arrays)}"


def mixed(result: sf.MixtureResult) -> str:
    return f"{result.steps:5d} steps  {digest(result.weights, result.means, result.covariances, result.log_likelihood)}"


def cases() -> Iterator[tuple[str, Callable[[], str]]]:
    """Names and fits: both engines, one to three dimensions, masks, losses, limits, tied shapes, a prior, mixtures."""
    rng = np.random.default_rng(5)
    line, plane, volume = hills((300,), 4), hills((60, 70), 7), hills((16, 18, 20), 3)
    masked = np.ma.masked_array(plane, rng.random(plane.shape) < 0.2)
    outliers = plane + 8 * (rng.random(plane.shape) < 0.03)
    points = rng.uniform(-5, 5, (700, 2))
    scattered = 2 * np.exp(-0.5 * ((points - [1, -1]) ** 2).sum(axis=1)) + 0.01 * rng.normal(size=700)
    counts = rng.poisson(20 * np.maximum(plane, 0) + 2)
    bounds = sf.Bounds(widths=(3, 8), centers=(0, 60))
    cloud = np.concatenate([rng.normal(c, 1 + 0.2 * abs(c), (400, 2)) for c in (-3, 0, 4)])
    narrow = sf.SurfacePrior(scale=np.eye(2) * 30, amplitude=3.0)
    terrain = sf.example_map("jacksboro")[::2, ::2]
    yield "line, dense", lambda: fitted(sf.fit(line, 4, search=0))
    yield "plane, masked, plane background", lambda: fitted(sf.fit(masked, 7, search=0, background="plane"))
    yield "volume, spherical", lambda: fitted(sf.fit(volume, 3, search=0, covariance_type="spherical"))
    yield (
        "outliers, soft_l1, float32",
        lambda: fitted(sf.fit(outliers.astype(np.float32), 7, search=0, loss="soft_l1", f_scale=0.1)),
    )
    yield "counts, poisson", lambda: fitted(sf.fit(counts, 6, search=0, loss="poisson"))
    yield "limits of widths and centres", lambda: fitted(sf.fit(plane, 6, search=0, bounds=bounds))
    yield "tied, signed", lambda: fitted(sf.fit(plane, 6, search=0, covariance_type="tied", amplitudes="signed"))
    yield "prior, peaks", lambda: fitted(sf.fit(plane, 6, init="peaks", sigma=0.02, absolute_sigma=True, prior=narrow))
    yield "terrain, tiled", lambda: fitted(sf.fit(terrain, 80, search=0, engine="tiled", solver=steps(40)))
    yield "volume, tiled", lambda: fitted(sf.fit(volume, 3, search=0, engine="tiled"))
    yield (
        "scattered, tiled, adam",
        lambda: fitted(sf.fit_points(points, scattered, 3, init="peaks", engine="tiled", solver=sf.Adam(max_steps=60))),
    )
    yield "mixture", lambda: mixed(sf.fit_mixture(cloud, 3))


def steps(count: int) -> sf.LevenbergMarquardt:
    return sf.LevenbergMarquardt(max_steps=count)


def main(arguments: list[str] | None = None) -> None:
    wanted = sys.argv[1:] if arguments is None else arguments
    for name, fit in cases():
        if not wanted or any(word in name for word in wanted):
            print(f"{name:34s} {fit()}", flush=True)


if __name__ == "__main__":
    main()
