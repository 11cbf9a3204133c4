"""The suite `choosing`: how many components the default choice finds where the number is known, published, or none.

Lidar pulses made from published Gaussians, under white and under correlated noise; the waveforms themselves; a radio
map beside its catalogue; terrain; frames of nothing but noise. White noise on random maps is `benchmarks.recovery`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

import surfacefit as sf

from .maps import DATA_FOLDER
from .options import Options

# Standard deviation of the noise on lidar pulses, before a running mean.
LIDAR_NOISE = 5.0
# Samples of the running mean under which noise is correlated.
RUNNING_MEAN = 3
# Pixels within which a component is the source of the catalogue: about two of the beam's widths.
MATCHED_WITHIN_PIXELS = 3.0
# 1 / Phi^-1(3/4): standard deviation of a Gaussian in units of its median absolute deviation.
DEVIATION_PER_MAD = 1.4826
# Errors above which an amplitude is to stand.
N_SIGMA = 5.0
# Frames of noise.
N_FRAMES = 100
# Waveforms of a quick run: every so many.
QUICK_STEP = 16


def run(options: Options) -> str:
    """All figures as a list."""
    lines = [line for part in PARTS.values() for line in part(QUICK_STEP if options.quick else 1)]
    return "\n".join(f"- {line}" for line in lines)


def mean_noise(step: int) -> Iterator[str]:
    """Pulses under noise with a running mean."""
    yield _pulses("noise of 5 under a 3-point running mean", lambda white: _smoothed(white), step)


def mean_noise_of_five(step: int) -> Iterator[str]:
    """The same, scaled so that the standard deviation stays what it was."""
    yield _pulses("the same times sqrt(3)", lambda white: np.sqrt(RUNNING_MEAN) * _smoothed(white), step)


def white_noise(step: int) -> Iterator[str]:
    """Pulses under white noise."""
    yield _pulses("white noise of 5", lambda white: white[1:-1], step)


def _smoothed(white: np.ndarray) -> np.ndarray:
    return np.convolve(white, np.full(RUNNING_MEAN, 1 / RUNNING_MEAN), "valid")


def _pulses(name: str, noise: Callable[[np.ndarray], np.ndarray], step: int) -> str:
    """How often the published number is found on pulses made of the published Gaussians."""
    off: Counter[int] = Counter()
    begun = time.process_time()
    for waveform, heights, published in _waveforms(step):
        white = np.random.default_rng(waveform).normal(size=len(heights) + RUNNING_MEAN - 1) * LIDAR_NOISE
        result = sf.fit(_rendered(published, len(heights)) + noise(white), background=None, progress=False)
        off[result.n_components - len(published)] += 1
    count, seconds = sum(off.values()), time.process_time() - begun
    table = ", ".join(f"{excess:+d}: {off[excess]}" for excess in sorted(off))
    return (
        f"lidar pulses, {name}: number right in {off[0]} of {count} ({100 * off[0] / count:.1f} %); found less"
        f" published, how often: {table}; {seconds / count:.2f} CPU s a fit"
    )


def waveforms(step: int) -> Iterator[str]:
    """The real pulses: the number beside the published, and how far components stand above their errors."""
    for name, auto in (("default", "auto"), ("tolerance=0.05", sf.AutoComponents(tolerance=0.05))):
        excess: Counter[int] = Counter()
        weak, least, begun = 0, np.inf, time.process_time()
        for _, heights, published in _waveforms(step):
            result = sf.fit(heights, auto, background=None, progress=False)
            excess[result.n_components - len(published)] += 1
            ratios = result.surface.amplitudes / result.uncertainty("correlated").amplitudes
            weak += int(np.count_nonzero(ratios < N_SIGMA))
            least = min(least, ratios.min(initial=np.inf))
        count = sum(excess.values())
        table = ", ".join(f"{more:+d}: {excess[more]}" for more in sorted(excess))
        yield (
            f"real waveforms, {name}: found less published, how often: {table}; components below"
            f" {N_SIGMA:.0f} of their correlated errors: {weak} (least ratio {least:.1f});"
            f" {(time.process_time() - begun) / count:.2f} CPU s a fit"
        )


def _waveforms(step: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, heights and published rows (A, u, sigma) of every ``step``-th waveform."""
    numbers = np.genfromtxt(DATA_FOLDER / "lidar_gaussians_published_odd.csv", delimiter=",", names=True)
    with np.load(DATA_FOLDER / "lidar_waveforms_odd.npz") as members:
        heights = {int(n): row[np.isfinite(row)] for n, row in zip(members["waveform"], members["z"], strict=True)}
    for waveform in np.unique(numbers["waveform"]).astype(int)[::step]:
        rows = numbers[numbers["waveform"] == waveform]
        yield waveform, heights[waveform].astype(float), np.stack([rows["A"], rows["u"], rows["sigma"]], axis=1)


def _rendered(published: np.ndarray, count: int) -> np.ndarray:
    x = np.arange(count)
    return np.asarray(sum(a * np.exp(-0.5 * ((x - u) / s) ** 2) for a, u, s in published))


def radio(step: int) -> Iterator[str]:
    """The radio map beside its catalogue, by the default and by significance."""
    with np.load(DATA_FOLDER / "radio_pybdsf_129.npz") as members:
        heights = members["z"].astype(float)
    rows = np.genfromtxt(DATA_FOLDER / "radio_pybdsf_gaussians48.csv", delimiter=",", names=True)
    catalogue = np.stack([rows["y"], rows["x"]], axis=1)
    for name, auto in (("default", "auto"), ("significance", sf.AutoComponents("significance", n_sigma=N_SIGMA))):
        begun = time.process_time()
        result = sf.fit(heights, auto, progress=False)
        residuals = result.residuals
        noise = DEVIATION_PER_MAD * float(np.median(np.abs(residuals - np.median(residuals))))
        distances = np.linalg.norm(result.surface.centers[:, None] - catalogue, axis=-1)
        pairs = linear_sum_assignment(np.minimum(distances, 2 * MATCHED_WITHIN_PIXELS))
        matched = int((distances[pairs] < MATCHED_WITHIN_PIXELS).sum())
        faint = int(np.count_nonzero(result.surface.amplitudes < N_SIGMA * noise))
        yield (
            f"radio map, {name}: K = {result.n_components}; of {len(catalogue)} of the catalogue {matched} matched,"
            f" {len(catalogue) - matched} missed, {result.n_components - matched} others; below {N_SIGMA:.0f} times the"
            f" noise ({noise:.2e} Jy/beam): {faint}; least amplitude over its correlated error"
            f" {result.path.significance[result.path.n_components == result.n_components][0]:.1f}; RMSE"  # type: ignore[union-attr]
            f" {result.rmse:.3e}; {time.process_time() - begun:.0f} CPU s"
        )


def terrain(step: int) -> Iterator[str]:
    """What the default says of surfaces that are no sums of few Gaussians."""
    with np.load(DATA_FOLDER / "dem_volcano.npz") as members:
        maps = {"volcano": members["z"].astype(float)}
    maps["Jacksboro, every fourth row and column"] = np.asarray(sf.example_map("jacksboro"), float)[::4, ::4]
    for name, heights in maps.items():
        begun = time.process_time()
        result = sf.fit(heights, progress=False)
        volume = result.path.correlation_volume  # type: ignore[union-attr]
        yield (
            f"{name}: K = {result.n_components}, R2 {result.r2:.4f}, RMSE {result.rmse:.3f} m, {volume:.1f} samples"
            f" count as one; {time.process_time() - begun:.0f} CPU s"
        )


def frames(step: int) -> Iterator[str]:
    """Frames of white noise, and of noise under a running mean of 3 x 3."""
    for name, smoothed in (("white noise", False), ("noise under a 3 x 3 running mean", True)):
        numbers: Counter[int] = Counter()
        begun, count = time.process_time(), max(1, N_FRAMES // step)
        for seed in range(count):
            frame = np.random.default_rng([seed, 17]).normal(size=(34, 34))
            if smoothed:
                frame = sum(np.roll(frame, (i, j), (0, 1)) for i in range(3) for j in range(3))
            numbers[sf.fit(frame[1:-1, 1:-1], progress=False).n_components] += 1
        table = ", ".join(f"{number}: {numbers[number]}" for number in sorted(numbers))
        seconds = (time.process_time() - begun) / count
        yield f"{count} frames of {name}: K, how often: {table}; {seconds:.2f} CPU s a fit"


# Parts by name: ``python -m benchmarks.choosing radio`` runs one.
PARTS: dict[str, Callable[[int], Iterator[str]]] = {
    "mean": mean_noise,
    "mean5": mean_noise_of_five,
    "white": white_noise,
    "waveforms": waveforms,
    "radio": radio,
    "terrain": terrain,
    "frames": frames,
}


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        for line in PARTS[part](1):
            print(f"- {line}", flush=True)
