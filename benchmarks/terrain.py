"""Fractal terrain with the spectrum of a real map, of any size: heights in metres on its sampling distance."""

from __future__ import annotations

import numpy as np

from . import maps

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
    import surfacefit as sf

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
