"""
Lidar: many waveforms in one call
=================================

Laser pulses that came back from trees and ground (R package waveformlidar, GPL), with as many Gaussians each as were
published for them.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
waves = np.load(DATA / "lidar_waveforms_odd.npz")
published = np.genfromtxt(DATA / "lidar_gaussians_published_odd.csv", delimiter=",", names=True)["waveform"]
heights, counts = waves["z"][::5], np.array([np.sum(published == name) for name in waves["waveform"][::5]])
batch = sf.fit_many(heights[counts > 0], counts[counts > 0], background=None)  # NaN at the ends is ignored
print(batch)
figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained", sharex=True)
for ax, n in zip(axes.ravel(), np.argsort(batch.n_components)[:: len(batch) // 6], strict=False):
    ax.plot(heights[counts > 0][n], ".", color="0.6", ms=3)
    x = np.linspace(0, 120, 500)[:, None]
    for k in range(batch.n_components[n]):
        ax.fill_between(x[:, 0], batch[n].surface.component(k)(x), alpha=0.5)
plt.show()
