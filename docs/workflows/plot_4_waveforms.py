"""
Lidar: 500 waveforms to one table
=================================

A forester has 500 laser pulses that came back from trees and ground, and wants each as a few Gaussians, in one table.
The 250 waveforms are those of the R package waveformlidar (GPL); each is there twice, once with noise added.
"""

import os
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import find_peaks

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
waves = np.load(DATA / "lidar_waveforms_odd.npz")["z"]  # NaN after the end of a pulse
waves = np.concatenate([waves, waves + np.random.default_rng(0).normal(scale=2, size=waves.shape)])

# %%
# From array to table
# -------------------
# Each waveform has as many components as it has peaks that stand out by a tenth of its highest; 0.15 m is a sample.

begun = time.perf_counter()
# begin
counts = [len(find_peaks(wave[np.isfinite(wave)], prominence=0.1 * np.nanmax(wave))[0]) for wave in waves]
batch = sf.fit_many(waves, np.maximum(counts, 1), coords=(0.15 * np.arange(208),), background=None)
table = pd.DataFrame(batch.table())
table.to_csv(Path(tempfile.mkdtemp()) / "echoes.csv", index=False)
# end
print(f"{len(batch)} waveforms, {len(table)} echoes, {time.perf_counter() - begun:.1f} s")
print(batch)
print(table.head(4).round(2).to_string(index=False))

# %%
# ``batch[i]`` is the whole result of one.

figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, n in zip(axes, np.argsort(counts)[[10, 250, 490]], strict=True):
    ax.plot(0.15 * np.arange(208), waves[n], ".", color="0.6", ms=3)
    ax.plot(0.15 * np.arange(208), batch[n].predict())
    ax.set(xlabel="range (m)", title=f"waveform {n}")
plt.show()
