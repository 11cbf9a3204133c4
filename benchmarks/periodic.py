"""Periodic axes: free-energy surfaces of alanine over one and two dihedral angles.

``python -m benchmarks.periodic`` prints how far fits with fewer components than hills are from the surfaces, how far a
fit moves beside data that are shifted round by parts of the period, and what a component on the seam has in common with
the same one in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import surfacefit as sf

from .maps import DATA_FOLDER

# A turn in radians, which is the period of dihedral angles.
TURN = 2 * np.pi
# Hills that the surfaces are sums of: over two angles, and over one.
HILLS_OF_TWO, HILLS_OF_ONE = 94, 30_000
# Cells by which a map of 24 x 24 is shifted so that a component in its middle stands on both seams.
TO_THE_SEAM = 12


def main() -> None:
    for line in (*two_angles((5, 8, 12, 16)), *one_angle((4, 6, 8, 12)), *seam()):
        print(line, flush=True)


def two_angles(counts: tuple[int, ...]) -> Iterator[str]:
    """The sum of 94 hills over phi and psi, on 20 x 20 points."""
    heights = np.load(DATA_FOLDER / "metad_ala2_94_surface.npz")["z_periodic"]
    for count in counts:
        yield _fitted("two angles", heights, count, HILLS_OF_TWO)
    yield _shifted("two angles", heights, counts[1])
    yield _open("two angles", heights, counts[1])


def one_angle(counts: tuple[int, ...]) -> Iterator[str]:
    """The sum of 30,000 hills over phi, on 256 points; PLUMED's, which is periodic, with the sign of hills."""
    table = np.genfromtxt(DATA_FOLDER / "metad_ala1d_30000hills_fes256.csv", delimiter=",", names=True)
    heights = -table["plumed_fes"]
    for count in counts:
        yield _fitted("one angle", heights, count, HILLS_OF_ONE)
    yield _shifted("one angle", heights, counts[1])
    yield _open("one angle", heights, counts[1])


def seam() -> Iterator[str]:
    """A noisy map of two components, one of them in the middle, and the same with that one on both seams."""
    axis = np.arange(24) * TURN / 24
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    covariances = [[[0.3, 0.12], [0.12, 0.4]], [[0.9, -0.3], [-0.3, 0.5]]]
    truth = sf.GaussianSurface([2.0, 1.0], [[3.1, 3.2], [4.6, 5.2]], covariances, 0.5, periods=(TURN, TURN))
    heights = truth(points) + 0.02 * np.random.default_rng(0).normal(size=(24, 24))
    fits = [_fit(np.roll(heights, (by, by), (0, 1)), 2) for by in (0, TO_THE_SEAM)]
    errors = [one.standard_errors for one in fits]
    names = ("amplitudes", "centers", "covariances", "volumes")
    apart = max(np.abs(getattr(errors[0], name) / getattr(errors[1], name) - 1).max() for name in names)
    yield f"periodic, seam: centre {fits[1].surface.centers[0].round(3)}, errors differ by {apart:.1e} of their size"
    engines = [_fit(heights, 2, engine=one, init=truth) for one in ("dense", sf.Tiled(cutoff=1e-12, tile_size=64))]
    apart = max(_differences(engines[0].surface, engines[1].surface, np.zeros(2)))
    yield f"periodic, seam: dense and tiled engine differ by {apart:.1e}"


def _fit(heights: np.ndarray, count: int, **options: Any) -> sf.FitResult:
    axes = tuple(-np.pi + np.arange(n) * TURN / n for n in heights.shape)
    options = {"periods": (TURN,) * heights.ndim, "progress": False, **options}
    return sf.fit(heights, count, coords=axes, **options)


def _fitted(name: str, heights: np.ndarray, count: int, hills: int) -> str:
    result, extent = _fit(heights, count), np.ptp(heights)
    largest = np.abs(result.residuals).max()
    return (
        f"periodic, {name}: {count} components for {hills} hills, RMSE {result.rmse / extent:.2e} and largest error"
        f" {largest / extent:.2e} of the range"
    )


def _open(name: str, heights: np.ndarray, count: int) -> str:
    result = _fit(heights, count, periods=None)
    return f"periodic, {name}: {count} components with open axes, RMSE {result.rmse / np.ptp(heights):.2e} of the range"


def _shifted(name: str, heights: np.ndarray, count: int) -> str:
    """Over shifts of the data by parts of the period."""
    whole, worst = _fit(heights, count), 0.0
    for part in (1, heights.shape[0] // 3, heights.shape[0] // 2):
        by = part * np.arange(1, heights.ndim + 1)
        other = _fit(np.roll(heights, tuple(by), tuple(range(heights.ndim))), count)
        worst = max(worst, *_differences(whole.surface, other.surface, by * TURN / np.array(heights.shape)))
    return f"periodic, {name}: {count} components of shifted data differ by at most {worst:.1e}"


def _differences(one: sf.GaussianSurface, other: sf.GaussianSurface, step: np.ndarray) -> Iterator[float]:
    """Of centres, in radians, and of amplitudes and covariances, relative to the largest."""
    yield float(np.abs((other.centers - one.centers - step + np.pi) % TURN - np.pi).max())
    for name in ("amplitudes", "covariances"):
        values = getattr(one, name)
        yield float(np.abs(getattr(other, name) - values).max() / np.abs(values).max())


if __name__ == "__main__":
    main()
