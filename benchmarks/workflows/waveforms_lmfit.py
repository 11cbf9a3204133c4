"""Waveforms with lmfit: 500 pulses of a laser to a table.

A sum of `GaussianModel` for each pulse, which starts at its peaks; lmfit has no call for many fits.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lmfit.models import GaussianModel
from scipy.signal import find_peaks, peak_widths

folder = Path(sys.argv[1])
waves = np.load(Path(os.environ["SURFACEFIT_DATA"]) / "lidar_waveforms_odd.npz")["z"]
waves = np.concatenate([waves, waves + np.random.default_rng(0).normal(scale=2, size=waves.shape)])

# begin
table = []
for number, wave in enumerate(waves):
    heights = wave[np.isfinite(wave)]
    x = 0.15 * np.arange(len(heights))
    peaks = find_peaks(heights, prominence=0.1 * heights.max())[0]
    peaks = peaks if len(peaks) else [np.argmax(heights)]
    sigmas = 0.15 * np.maximum(peak_widths(heights, peaks)[0], 2) / 2.355
    models = [GaussianModel(prefix=f"g{n}_") for n in range(len(peaks))]
    model = sum(models[1:], models[0])
    params = model.make_params()
    for n, (peak, sigma) in enumerate(zip(peaks, sigmas, strict=True)):
        params[f"g{n}_amplitude"].set(heights[peak] * sigma * np.sqrt(2 * np.pi), min=0)
        params[f"g{n}_center"].set(x[peak])
        params[f"g{n}_sigma"].set(sigma)
    fitted = model.fit(heights, params, x=x).params
    for n in range(len(peaks)):
        found = [fitted[f"g{n}_{name}"] for name in ("height", "center", "sigma", "amplitude")]
        table.append((number, n, *[value for one in found for value in (one.value, one.stderr)]))
names = [name + end for name in ("amplitude", "center_0", "width_0", "volume") for end in ("", "_error")]
pd.DataFrame(table, columns=["map_0", "component", *names]).to_csv(folder / "echoes.csv", index=False)
# end
