"""The suite `statistics`: errors against certified and published ones and SciPy's, coverage, outliers, bounds."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import surfacefit as sf

from . import against_scipy, calibration, terrain_coverage
from .options import Options
from .recovery import rendered

# Real surfaces with published answers, beside the repository; what is not there is skipped.
DATA_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"
# Tolerances at rounding: what is compared is the optimum, not where a fit stops before it.
TO_THE_END = sf.LevenbergMarquardt(slack=0.0, ftol=1e-15, xtol=1e-15, gtol=1e-15)
# Starts with a parameter on a bound: some twenty of each kind in BOUNDS.
N_STARTS = 200
# Pixels a side of the part of Jacksboro on which 500 components have exact errors, too.
EXCERPT_SIDE = 110
# Maps with outliers: 120 centre coordinates.
N_SCENES = 20


def run(options: Options) -> str:
    """All figures as a list; the certified and published ones need their folder beside the repository."""
    lines = []
    for line in _lines(options):
        print(f"- {line}", flush=True)
        lines.append(f"- {line}")
    return "\n".join(lines)


def _lines(options: Options) -> Iterator[str]:
    if DATA_FOLDER.is_dir():
        yield from nist()
        if not options.quick:
            yield lidar()
    yield from against_scipy.lines(5 if options.quick else 50)
    yield from calibration.lines(50 if options.quick else 2000, 20 if options.quick else 500)
    yield from terrain_coverage.lines(20 if options.quick else 2000)
    yield from outliers()
    yield from bounds(10 if options.quick else N_STARTS)
    if not options.quick:
        yield from many()


def nist() -> Iterator[str]:
    """Gauss1 and Gauss2 with all eight parameters, two of them a background function, from both official starts."""
    entries = json.loads((DATA_FOLDER / "nist_certified.json").read_text())
    for name in ("Gauss1", "Gauss2"):
        with (DATA_FOLDER / f"nist_{name}.csv").open() as file:
            rows = np.array([[float(row["x"]), float(row["y"])] for row in csv.DictReader(file)])
        for start in ("start1", "start2"):
            yield _nist(name, start, entries[name], *rows.T)


def _nist(name: str, start: str, entry: dict[str, list[float]], x: np.ndarray, y: np.ndarray) -> str:
    b = entry[start]
    first = sf.GaussianSurface([b[2], b[5]], [[b[3]], [b[6]]], [[[b[4] ** 2 / 2]], [[b[7] ** 2 / 2]]])
    background = (lambda q, points: q[0] * jnp.exp(-q[1] * points[..., 0]), b[:2])
    result = sf.fit(y, 2, coords=x, background=background, init=first, solver=TO_THE_END)
    surface, errors, order = result.surface, result.uncertainty(), np.argsort(result.surface.centers[:, 0])

    def numbers(source: sf.GaussianSurface | sf.Uncertainty) -> np.ndarray:
        widths = np.sqrt(2) * source.principal_widths
        columns = np.column_stack([np.asarray(source.amplitudes)[order], source.centers[order, 0], widths[order, 0]])
        return np.concatenate([np.asarray(source.background.parameters), columns.ravel()])

    off, sd_off = (
        np.abs(numbers(found) / entry[certified] - 1).max()
        for found, certified in ((surface, "certified"), (errors, "certified_sd"))
    )
    rss = abs(2 * result.cost / entry["certified_rss"] - 1)  # type: ignore[operator]
    return (
        f"NIST {name} {start}, exponential background, 8 parameters: parameters within {off:.1e}, standard deviations"
        f" within {sd_off:.1e},"
        f" residual sum of squares within {rss:.1e} (relative), {result.steps} steps"
    )


def lidar() -> str:
    """Published standard errors against ours, where the fit ends in the published minimum."""
    waves = np.load(DATA_FOLDER / "lidar_waveforms_odd.npz")
    numbers = np.genfromtxt(DATA_FOLDER / "lidar_gaussians_published_odd.csv", delimiter=",", names=True)
    published = np.genfromtxt(DATA_FOLDER / "lidar_published_rss_odd.csv", delimiter=",", names=True)
    off, same, begun = [], 0, time.perf_counter()
    for heights, name in zip(waves["z"], waves["waveform"], strict=True):
        rows, rss = numbers[numbers["waveform"] == name], published["rss"][published["waveform"] == name]
        if len(rss) == 0:
            continue
        start = sf.GaussianSurface(rows["A"], rows["u"][:, None], (rows["sigma"] ** 2)[:, None, None])
        x = np.arange(1.0, len(heights) + 1)
        bounds = {"amplitudes": "signed", "min_width": 0.05}
        result = sf.fit(heights, len(rows), coords=x, background=None, init=start, solver=TO_THE_END, **bounds)
        if abs(2 * result.cost / rss[0] - 1) > 1e-6:
            continue
        same += 1
        order, theirs = np.argsort(result.surface.centers[:, 0]), np.argsort(rows["u"])
        errors = result.uncertainty()
        found = np.column_stack([errors.amplitudes, errors.centers[:, 0], errors.principal_widths[:, 0]])[order]
        expected = np.column_stack([rows["A_se"], rows["u_se"], rows["sigma_se"]])[theirs]
        off.append(np.abs(found / expected - 1).ravel())
    deviations = np.concatenate(off)
    return (
        f"lidar: the published minimum in {same} of {len(published)} waveforms; there"
        f" {100 * np.mean(deviations <= 1e-4):.2f} % of"
        f" {deviations.size} published standard errors within 1e-4 (relative), median {np.median(deviations):.1e},"
        f" worst"
        f" {deviations.max():.1e}; {time.perf_counter() - begun:.0f} s"
    )


def outliers() -> Iterator[str]:
    """How far centres are off where a tenth of the heights is off by 50 sigma, a line a loss.

    In sandwich standard errors of the same fit, and in those of the soft_l1 fit.
    """
    losses = ("linear", "huber", "soft_l1", "cauchy")
    own: dict[str, list[np.ndarray]] = {loss: [] for loss in losses}
    robust: dict[str, list[np.ndarray]] = {loss: [] for loss in losses}
    for seed in range(N_SCENES):
        fits = {loss: _with_outliers(seed, loss) for loss in losses}
        for loss, (away, errors) in fits.items():
            own[loss].append(np.abs(away / errors))
            robust[loss].append(np.abs(away / fits["soft_l1"][1]))
    for loss in losses:
        mine, theirs = np.concatenate(own[loss]), np.concatenate(robust[loss])
        yield (
            f"10 % outliers of 50 sigma, {N_SCENES} maps, own start, loss {loss}: {100 * np.mean(mine <= 3):.1f} % of"
            f" {mine.size} centre"
            f" coordinates within 3 standard errors, worst {mine.max():.1f}; in those of soft_l1"
            f" {100 * np.mean(theirs <= 3):.1f} %,"
            f" worst {theirs.max():.1f}"
        )


def _with_outliers(seed: int, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Distances of centres from the true ones, and their standard errors."""
    rng, sigma = np.random.default_rng(seed), 0.05
    truth = _scene(rng, 3)
    heights = rendered(truth, (40, 40)) + sigma * rng.normal(size=(40, 40))
    bad = rng.random(heights.shape) < 0.1
    heights[bad] += 50 * sigma * rng.choice([-1, 1], bad.sum())
    robust = {} if loss == "linear" else {"loss": loss, "f_scale": 2.0}
    result = sf.fit(heights, 3, background=None, sigma=sigma, absolute_sigma=True, progress=False, **robust)
    order = np.linalg.norm(result.surface.centers[:, None] - truth.centers, axis=2).argmin(axis=0)
    return (result.surface.centers[order] - truth.centers).ravel(), result.uncertainty("sandwich").centers[
        order
    ].ravel()


def bounds(count: int) -> Iterator[str]:
    """How many fits reach an optimum inside the bounds from a start on a bound."""
    reached: dict[str, list[bool]] = {}
    begun = time.perf_counter()
    for seed in range(count):
        kind = BOUNDS[seed % len(BOUNDS)]
        reached.setdefault(kind, []).append(_reaches(kind, np.random.default_rng(seed)))
    each = ", ".join(f"{kind} {sum(found)}/{len(found)}" for kind, found in reached.items())
    total = sum(map(sum, reached.values()))
    yield (
        f"starts on a bound with the optimum inside: {total} of {count} reach it ({each});"
        f" {time.perf_counter() - begun:.0f} s"
    )


# What stands on a bound at the start.
BOUNDS = (
    "amplitude high",
    "amplitude low",
    "amplitude zero",
    "centre",
    "corner",
    "width high",
    "width low",
    "min_width",
    "background",
)


def _reaches(kind: str, rng: np.random.Generator) -> bool:
    truth = _scene(rng, int(rng.integers(1, 4)))
    heights = 1 + rendered(truth, (40, 40))
    heights += 0.01 * rng.normal(size=heights.shape)
    options = {"progress": False, "solver": sf.LevenbergMarquardt(slack=0.0)}
    best = sf.fit(heights, truth.n_components, init=sf.GaussianSurface(*_arrays(truth), 1.0), **options)
    amplitudes, centers, covariances = _arrays(best.surface)
    limits, least = _on_bound(kind, amplitudes, centers, covariances)
    level = 1.3 if kind == "background" else 1.0
    start = sf.GaussianSurface(amplitudes, centers, covariances, level)
    result = sf.fit(heights, truth.n_components, init=start, bounds=limits, min_width=least, **options)
    return result.cost <= best.cost * (1 + 1e-6)


def _on_bound(
    kind: str, amplitudes: np.ndarray, centers: np.ndarray, covariances: np.ndarray
) -> tuple[sf.Bounds | None, float]:
    """Limits around the optimum, and `min_width`; puts the first component of the arrays, in place, on a limit."""
    widths = np.sqrt(np.linalg.eigvalsh(covariances))
    if kind == "amplitude high":
        amplitudes[0] = 2 * amplitudes.max()
        return sf.Bounds(amplitudes=(0, amplitudes[0])), 0.25
    if kind == "amplitude low":
        amplitudes[0] = amplitudes.min() / 2
        return sf.Bounds(amplitudes=(amplitudes[0], None)), 0.25
    if kind == "amplitude zero":
        amplitudes[0] = 0.0
        return None, 0.25
    if kind in ("centre", "corner"):
        low, high = centers.min(axis=0) - 2, centers.max(axis=0) + 2
        centers[0, 0] = low[0] if centers[0, 0] - low[0] < high[0] - centers[0, 0] else high[0]
        if kind == "corner":
            centers[0, 1] = low[1] if centers[0, 1] - low[1] < high[1] - centers[0, 1] else high[1]
        return sf.Bounds(centers=(low, high)), 0.25
    if kind == "width high":
        covariances[0] = np.eye(2) * (1.5 * widths.max()) ** 2
        return sf.Bounds(widths=(None, 1.5 * widths.max())), 0.25
    if kind == "width low":
        covariances[0] = np.eye(2) * (widths.min() / 1.5) ** 2
        return sf.Bounds(widths=(widths.min() / 1.5, None)), 0.25
    if kind == "min_width":
        covariances[0] = np.eye(2) * (widths.min() / 1.5) ** 2
        return None, float(widths.min() / 1.5)
    return sf.Bounds(background=(0.5, 1.3)), 0.25


def _arrays(surface: sf.GaussianSurface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.array(a, float) for a in (surface.amplitudes, surface.centers, surface.covariances))  # type: ignore[return-value]


def _scene(rng: np.random.Generator, count: int) -> sf.GaussianSurface:
    """Components well apart on 40 x 40 pixels."""
    places = np.array([[12.0, 12.0], [27.0, 26.0], [11.0, 29.0]])[:count]
    roots = rng.normal(size=(count, 2, 2))
    roots /= np.linalg.norm(roots, axis=(1, 2), keepdims=True)
    covariances = 4 * np.eye(2) + 12 * roots @ roots.swapaxes(1, 2)
    return sf.GaussianSurface(rng.uniform(1, 3, count), places + rng.uniform(-2, 2, (count, 2)), covariances)


def many() -> Iterator[str]:
    """The time of errors of 10,000 components, and the accuracy of nested dissection at 500."""
    from surfacefit._statistics import covariance_methods

    heights = np.asarray(sf.example_map("jacksboro"), float)
    few = sf.fit(heights[:EXCERPT_SIDE, :EXCERPT_SIDE], 500, init="grid", progress=False, max_time=60)
    begun = time.perf_counter()
    exact = few.uncertainty()
    whole = [np.asarray(a) for a in (exact.amplitudes, exact.centers, exact.covariances)]
    seconds, most = time.perf_counter() - begun, covariance_methods.MAX_EXACT_PARAMETERS
    try:
        covariance_methods.MAX_EXACT_PARAMETERS = 0
        near = covariance_methods.uncertainty(few, "hessian")
    finally:
        covariance_methods.MAX_EXACT_PARAMETERS = most
    ratios = [b / a for a, b in zip(whole, (near.amplitudes, near.centers, near.covariances), strict=True)]
    off = np.concatenate([np.abs(r[np.isfinite(r)] - 1).ravel() for r in ratios])
    yield (
        f"K = 500 (Jacksboro, {EXCERPT_SIDE} x {EXCERPT_SIDE}): errors by nested dissection within 5 % of the"
        f" exact ones for {100 * np.mean(off <= 0.05):.2f} %"
        f" of {off.size} numbers, median {np.median(off):.1e}, worst {off.max():.1e}; exact ones in {seconds:.1f} s"
    )
    result = sf.fit(heights, 10_000, init="grid", progress=False, max_time=150)
    begun = time.perf_counter()
    errors = result.uncertainty()
    known = np.isfinite(errors.covariances).all(axis=(1, 2))
    seconds = time.perf_counter() - begun
    yield (
        f"K = 10,000 (Jacksboro, RMSE {result.rmse:.2f} m): all standard errors in {seconds:.1f} s,"
        f" {known.sum()} components determined"
    )
