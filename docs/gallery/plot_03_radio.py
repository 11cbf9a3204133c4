"""
Radio sky: a published catalogue, refined
=========================================

A radio image and the 48 Gaussians that PyBDSF found in it (test data of PyBDSF, GPL-3). The catalogue is the start; all
48 are then fitted jointly.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
image = np.load(DATA / "radio_pybdsf_129.npz")["z"].astype(float)  # Jy / beam
rows = np.genfromtxt(DATA / "radio_pybdsf_gaussians48.csv", delimiter=",", names=True)
shapes = np.stack([rows["Cyy"], rows["Cxy"], rows["Cxy"], rows["Cxx"]], axis=1).reshape(-1, 2, 2)
start = sf.GaussianSurface(rows["peak"], np.stack([rows["y"], rows["x"]], axis=1), shapes)

catalogue_rms = np.sqrt(np.mean((start(np.stack(np.indices(image.shape, float), axis=-1)) - image) ** 2))
result = sf.fit(image, 48, background=None, init=start)
print(f"residual: catalogue {catalogue_rms:.2e}, fitted jointly {result.rmse:.2e} Jy/beam")
figure = result.plot()  # figure.savefig("fit.png") keeps it
