"""
Land and sea floor: heights of either sign
==========================================

Elevation and depth in metres on longitude and latitude (sample data of matplotlib). Amplitudes of either sign describe
islands and basins.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
map_ = np.load(DATA / "dem_topobathy.npz")
heights, axes = map_["z"], (map_["latitude"], map_["longitude"])

result = sf.fit(heights, 20, coords=axes, amplitudes="signed", search=0)
land = result.surface.amplitudes > 0
print(f"{land.sum()} hills, {(~land).sum()} basins, R2 {result.r2:.4f}")
figure = result.plot()  # figure.savefig("fit.png") keeps it
