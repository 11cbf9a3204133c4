"""
Cryo-electron microscopy: a density map as 20 Gaussians
=======================================================

EMD-3197 (EMDB, CC0) on a coarse grid of 20 x 20 x 20 voxels of 11.4 Angstrom: heights in three dimensions.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
density = np.load(DATA / "vol_emd3197_20.npz")["z"].astype(float)
axis = 11.4 * np.arange(20)  # Angstrom

result = sf.fit(density, 20, coords=(axis, axis, axis), search=0)
print(f"relative RMS {result.rmse / density.std():.3f}; widths {result.surface.principal_widths[0].round(1)} Angstrom")
figure = result.plot()  # figure.savefig("fit.png") keeps it
