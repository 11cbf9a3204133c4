"""
Star field: how many stars, and how bright?
===========================================

A part of photutils' simulated field of 100 Gaussian sources (BSD-3), drawn here from its table with noise. Nobody
tells the fit how many there are.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
stars = np.genfromtxt(DATA / "synth_photutils_100gaussians.csv", delimiter=",", names=True)
y, x = np.mgrid[90:154, 60:140]
image = np.random.default_rng(0).normal(5, 2, y.shape)
for s in stars:
    u = np.cos(s["theta"]) * (x - s["x_mean"]) + np.sin(s["theta"]) * (y - s["y_mean"])
    v = np.cos(s["theta"]) * (y - s["y_mean"]) - np.sin(s["theta"]) * (x - s["x_mean"])
    image += s["amplitude"] * np.exp(-0.5 * ((u / s["x_stddev"]) ** 2 + (v / s["y_stddev"]) ** 2))
result = sf.fit(image)
print(f"{result.n_components} stars; fluxes {result.surface.volumes[:3].round()} +-")
print(result.standard_errors.volumes[:3].round())
figure = result.plot()  # figure.savefig("fit.png") keeps it
