"""How often error intervals cover the truth, for five known components under independent and correlated noise."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

import surfacefit as sf

from .recovery import rendered

# Pixels a side: room for five components that overlap, at a few hundredths of a second a fit.
MAP_SIDE = 48
# Components a map: one in each corner and one that overlaps with all four.
N_COMPONENTS = 5
# Standard deviation of the noise; amplitudes are 1 to 2, so that errors are in the linear range.
NOISE_SIGMA = 0.05
# Height of the constant background.
BACKGROUND_LEVEL = 0.4
# Pixels, of the Gaussian kernel of correlated noise: narrower than any component, as in smoothed images.
KERNEL_FWHM = 3.0
KINDS = ("amplitudes", "centers", "covariances", "principal_widths", "orientation", "volumes", "background")
# Half-widths in standard errors, by the share of a normal distribution that they hold.
INTERVALS = {"68.3 %": 1.0, "95.4 %": 2.0}


def lines(independent: int, correlated: int) -> Iterator[str]:
    """Coverage over so many fits with independent and with correlated noise, a line a method and interval."""
    yield from _coverage("independent noise", independent, 0.0, ("hessian", "sandwich"))
    yield from _coverage(
        f"noise of a kernel of {KERNEL_FWHM:.0f} pixels", correlated, KERNEL_FWHM, ("hessian", "correlated")
    )


def _coverage(label: str, count: int, fwhm: float, methods: tuple[str, ...]) -> Iterator[str]:
    begun = time.perf_counter()
    pulls: dict[tuple[str, str], list[np.ndarray]] = {(method, kind): [] for method in methods for kind in KINDS}
    for seed in range(count):
        truth = scene(seed)
        noise = np.random.default_rng([seed, 1]).normal(size=(MAP_SIDE, MAP_SIDE))
        if fwhm:
            noise = ndimage.gaussian_filter(
                noise, fwhm / sf.GaussianSurface([1.0], [[0.0]], [[[1.0]]]).fwhm[0, 0], mode="wrap"
            )
        heights = BACKGROUND_LEVEL + rendered(truth, (MAP_SIDE, MAP_SIDE)) + NOISE_SIGMA * noise / noise.std()
        start = sf.GaussianSurface(truth.amplitudes, truth.centers, truth.covariances, BACKGROUND_LEVEL)
        result = sf.fit(heights, N_COMPONENTS, init=start, progress=False, solver=sf.LevenbergMarquardt(slack=0.0))
        order = np.linalg.norm(result.surface.centers[:, None] - truth.centers, axis=2).argmin(axis=0)
        for method in methods:
            for kind, pull in _pulls(result, method, truth, order).items():
                pulls[method, kind].append(pull)
    for method in methods:
        for name, limit in INTERVALS.items():
            cells = [
                f"{kind} {100 * np.mean(np.abs(np.concatenate(pulls[method, kind])) <= limit):.1f}" for kind in KINDS
            ]
            yield f"calibration, {label}, {count} fits, {method}: {name} intervals cover {', '.join(cells)} %"
    yield f"calibration, {label}: {(time.perf_counter() - begun) / count:.2f} s a fit"


def scene(seed: int) -> sf.GaussianSurface:
    """Five overlapping components on a map of MAP_SIDE x MAP_SIDE, elongated so that their angles are determined."""
    rng = np.random.default_rng([seed, 0])
    places = np.array([[12.0, 12.0], [14.0, 35.0], [35.0, 13.0], [34.0, 34.0], [24.0, 24.0]]) + rng.uniform(
        -2, 2, (N_COMPONENTS, 2)
    )
    angles, widths = (
        rng.uniform(0, np.pi, N_COMPONENTS),
        np.column_stack([rng.uniform(4.5, 6, N_COMPONENTS), rng.uniform(2, 3, N_COMPONENTS)]),
    )
    axes = np.stack(
        [np.stack([np.sin(angles), np.cos(angles)], -1), np.stack([np.cos(angles), -np.sin(angles)], -1)], axis=1
    )
    covariances = np.einsum("kni,kn,knj->kij", axes, widths**2, axes)
    return sf.GaussianSurface(rng.uniform(1, 2, N_COMPONENTS), places, covariances)


def _pulls(result: sf.FitResult, method: str, truth: sf.GaussianSurface, order: np.ndarray) -> dict[str, np.ndarray]:
    """(found - true) / standard error, by kind."""
    errors, found = result.uncertainty(method), {}
    for kind in KINDS[:-1]:
        difference = np.asarray(getattr(result.surface, kind))[order] - np.asarray(getattr(truth, kind))
        if kind == "orientation":
            difference = (difference + np.pi / 2) % np.pi - np.pi / 2
        found[kind] = _distinct(difference / getattr(errors, kind)[order])
    found["background"] = np.atleast_1d((result.surface.background.value - BACKGROUND_LEVEL) / errors.background.value)
    return found


def _distinct(pulls: np.ndarray) -> np.ndarray:
    """Without the upper triangles of covariances, which repeat the lower ones."""
    if pulls.ndim < 3:
        return pulls.ravel()
    return np.concatenate([pulls[:, i, j] for i in range(pulls.shape[1]) for j in range(i + 1)])
