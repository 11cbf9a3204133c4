"""
Terrain: a volcano as eight hills
=================================

Maunga Whau in Auckland on a 10 m grid (R's ``volcano``, also in vega-datasets). Volumes come with errors that know how
far the residuals are correlated.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
heights = np.load(DATA / "dem_volcano.npz")["z"]  # metres
y, x = (10.0 * np.arange(n) for n in heights.shape)

result = sf.fit(heights, 8, coords=(y, x))
volumes, errors = result.surface.volumes, result.uncertainty("correlated").volumes
print(f"largest hill: {volumes[0] / 1e6:.1f} +- {errors[0] / 1e6:.1f} million cubic metres")
figure = result.plot()  # figure.savefig("fit.png") keeps it
