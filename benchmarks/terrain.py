"""Fractal terrain with the spectrum of a real map, of any size, and fits of it from no guess.

``python -m benchmarks.terrain 2000 20000 1260`` fits 20,000 components to 2,000 x 2,000 points within 1,260 seconds,
and prints CPU seconds, seconds, steps and RMSE in metres on the way.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import surfacefit as sf

from . import maps
from .large import peak_gigabytes

# Cycles a sample below which the spectrum of the real map, of some hundred samples a side, is not known.
LEAST_KNOWN_FREQUENCY = 0.01
# Exponent of the power there: that of natural terrain over large distances.
LARGE_SCALE_EXPONENT = -3.0
# Bins of the spectrum between there and the highest frequency.
BINS = 14


def fractal_terrain(size: int, seed: int = 0) -> np.ndarray:
    """Heights (size, size), lowest at zero: Gaussian noise with the radial power spectrum of the Jacksboro map."""
    middles, power = spectrum()
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequencies[0, 0] = np.inf
    below = np.minimum(frequencies / LEAST_KNOWN_FREQUENCY, 1) ** LARGE_SCALE_EXPONENT
    levels = below * np.exp(np.interp(np.log(frequencies), np.log(middles), np.log(power)))
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=(size, size)))
    noise[0, 0] = levels[0, 0] = 0
    heights = np.fft.irfft2(noise * np.sqrt(levels), (size, size))
    return heights - heights.min()


def spectrum() -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in cycles a sample, and the mean power of Jacksboro's heights there, under a Hann window."""
    path = maps.DATA_FOLDER / "dem_jacksboro.npz"
    with_file = path.exists()
    heights = np.asarray(np.load(path, allow_pickle=False)["z"] if with_file else sf.example_map("jacksboro"), float)
    side = min(heights.shape)
    window = np.hanning(side)[:, None] * np.hanning(side)
    part = heights[:side, :side] - heights[:side, :side].mean()
    power = np.abs(np.fft.fft2(part * window)) ** 2 / (window**2).sum()
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    edges = np.geomspace(LEAST_KNOWN_FREQUENCY, np.sqrt(0.5), BINS + 1)
    number = np.digitize(frequencies, edges)
    means = [power[number == n].mean() for n in range(1, BINS + 1)]
    return np.sqrt(edges[1:] * edges[:-1]), np.array(means)


def fitted(size: int, n_components: int, max_time: float | None = None) -> dict[str, Any]:
    """How a fit from no guess ended; prints how it goes."""
    heights = fractal_terrain(size)
    wall, cpu = time.perf_counter(), time.process_time()
    shown = ""

    def show(now: sf.Progress) -> None:
        nonlocal shown
        stage = now.stage.split(",")[0]
        if stage != shown or not now.stage:
            seconds = time.process_time() - cpu
            print(f"{seconds:9.1f} {now.elapsed:9.1f} {now.steps:5d} {now.rmse:10.4f} {now.stage}", flush=True)
        shown = stage

    result = sf.fit(heights, n_components, max_time=max_time, callback=show, progress=False)
    return {
        "heights m": float(heights.std()),
        "rmse m": result.rmse,
        "status": result.status.name,
        "steps": result.steps,
        "s": time.perf_counter() - wall,
        "cpu s": time.process_time() - cpu,
        "peak GB": peak_gigabytes(),
    }


if __name__ == "__main__":
    print(fitted(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else None))
