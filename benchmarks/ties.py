"""Numbers that follow from others: doublets beside lmfit's expressions, and galaxies as concentric Gaussians.

``python -m benchmarks.ties`` prints how far values and errors of 20 doublets of fixed spacing and ratio are from those
of lmfit, and the sums of squares that concentric Gaussians leave of an exponential disk, beside those of a
Multi-Gaussian expansion by non-negative least squares on evenly spaced widths (Cappellari, MNRAS 333 (2002) 400).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import nnls

import surfacefit as sf

# Wavelengths of [O III] in Angstrom, and the ratio of both lines, as atomic physics gives it.
OXYGEN_LINES, OXYGEN_RATIO = (4958.91, 5006.84), 2.98
# Angstrom a sample, and samples of a spectrum around both lines.
SPECTRUM_STEP, SPECTRUM_SAMPLES = 0.9, 160
# Effective radius of the disk in pixels, its axis ratio, angle, and pixels a side of the map.
DISK_RADIUS, DISK_ASPECT, DISK_ANGLE, DISK_SIDE = 10.0, 1.6, 0.6, 121
# Of an exponential profile: radius that holds half of the light, in scale lengths.
HALF_LIGHT = 1.67835
# Widths of the expansion by least squares, from a fifth of a pixel to twice the effective radius.
EXPANSION_WIDTHS = 20


def main() -> None:
    for line in (*doublets(20), *expansions((4, 5, 6))):
        print(line, flush=True)


def doublets(count: int) -> Iterator[str]:
    """The largest differences of values and errors over so many spectra, relative to lmfit's."""
    # From the weak line on: SciPy's differences, in parts of a number, are wrong by 1e-4 at centres of thousands.
    spacing = OXYGEN_LINES[1] - OXYGEN_LINES[0]
    wavelengths = spacing / 2 + SPECTRUM_STEP * (np.arange(SPECTRUM_SAMPLES) - SPECTRUM_SAMPLES / 2)
    worst = np.zeros(2)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(2, 6), rng.uniform(1, 9), rng.uniform(2, 5), rng.uniform(0.5, 2)
        heights = _lines(wavelengths, *truth, spacing) + 0.05 * rng.normal(size=len(wavelengths))
        ours, theirs = _tied(wavelengths, heights, truth, spacing), _by_lmfit(wavelengths, heights, truth, spacing)
        worst = np.maximum(worst, np.abs(ours / theirs - 1).max(axis=1))
    yield f"ties, {count} doublets beside lmfit: values to {worst[0]:.1e}, errors to {worst[1]:.1e} of their size"


def _lines(x: np.ndarray, weak: float, center: float, width: float, level: float, spacing: float) -> np.ndarray:
    first, second = (np.exp(-0.5 * ((x - c) / width) ** 2) for c in (center, center + spacing))
    return weak * first + OXYGEN_RATIO * weak * second + level


def _tied(x: np.ndarray, heights: np.ndarray, truth: tuple[float, ...], spacing: float) -> np.ndarray:
    """Values and errors (2, 6): amplitudes, centres, width, level."""
    center = truth[1] + 2.0
    start = sf.GaussianSurface([2.0, 5.0], [[center], [center + spacing]], np.full((2, 1, 1), 9.0))
    tie = {
        "widths": True,
        "amplitudes[1]": f"{OXYGEN_RATIO} * amplitudes[0]",
        "centers[1]": f"centers[0] + {spacing!r}",
    }
    solver = sf.LevenbergMarquardt(ftol=1e-14, slack=0.0)
    result = sf.fit(heights, 2, coords=x, init=start, tie=tie, solver=solver, progress=False)
    rows = []
    for one in (result.surface, result.standard_errors):
        level = float(one.background.value)
        rows.append([*one.amplitudes, *one.centers[:, 0], one.principal_widths[0, 0], level])
    return np.array(rows)


def _by_lmfit(x: np.ndarray, heights: np.ndarray, truth: tuple[float, ...], spacing: float) -> np.ndarray:
    import lmfit

    def model(x: np.ndarray, a0: float, a1: float, c0: float, c1: float, w: float, b: float) -> np.ndarray:
        return a0 * np.exp(-0.5 * ((x - c0) / w) ** 2) + a1 * np.exp(-0.5 * ((x - c1) / w) ** 2) + b

    one = lmfit.Model(model)
    parameters = one.make_params(a0=2.0, c0=truth[1] + 2.0, w=3.0, b=float(np.median(heights)))
    parameters["a1"].set(expr=f"{OXYGEN_RATIO} * a0")
    parameters["c1"].set(expr=f"c0 + {spacing!r}")
    # Differences on both sides: those on one side, lmfit's default, have errors of 1e-5.
    settings = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "jac": "3-point", "x_scale": "jac"}
    found = one.fit(heights, parameters, x=x, method="least_squares", fit_kws=settings).params
    names = ("a0", "a1", "c0", "c1", "w", "b")
    return np.array([[found[name].value for name in names], [found[name].stderr for name in names]])


def disk() -> tuple[np.ndarray, np.ndarray]:
    """Heights of an exponential disk, and elliptical radii of its pixels along the major axis."""
    rows, columns = np.indices((DISK_SIDE, DISK_SIDE)) - (DISK_SIDE - 1) / 2
    along = np.sin(DISK_ANGLE) * rows + np.cos(DISK_ANGLE) * columns
    across = np.cos(DISK_ANGLE) * rows - np.sin(DISK_ANGLE) * columns
    radii = np.hypot(along, DISK_ASPECT * across)
    return np.exp(-HALF_LIGHT * radii / DISK_RADIUS), radii


def expansions(numbers: tuple[int, ...]) -> Iterator[str]:
    """Sums of squares of so many concentric Gaussians, and of the expansion on evenly spaced widths."""
    heights, radii = disk()
    widths = np.geomspace(0.2, 2 * DISK_RADIUS, EXPANSION_WIDTHS)
    amplitudes, norm = nnls(np.exp(-0.5 * (radii.ravel()[:, None] / widths) ** 2), heights.ravel())
    kept = int((amplitudes > 0).sum())
    yield f"ties, disk: expansion on {EXPANSION_WIDTHS} widths keeps {kept} Gaussians, sum of squares {norm**2:.3e}"
    for number in numbers:
        result = concentric(heights, number)
        yield (
            f"ties, disk: {number} concentric Gaussians with a centre, an angle and an axis ratio of their own,"
            f" {result.n_parameters} numbers: sum of squares {2 * result.cost:.3e}, {result.steps} steps"
        )


def concentric(heights: np.ndarray, number: int) -> sf.FitResult:
    """The fit from round Gaussians of evenly spaced widths, somewhat off the centre."""
    widths = np.geomspace(1.0, 1.5 * DISK_RADIUS, number)
    shapes = [np.diag([w**2, (1.2 * w) ** 2]) for w in widths]
    start = sf.GaussianSurface(np.full(number, 1 / number), np.full((number, 2), DISK_SIDE / 2), shapes)
    tie = {"centers": True, "angles": True, "aspects": True}
    solver = sf.LevenbergMarquardt(ftol=1e-12, slack=0.0, max_steps=1000)
    return sf.fit(heights, number, init=start, tie=tie, background=None, solver=solver, progress=False)


if __name__ == "__main__":
    main()
