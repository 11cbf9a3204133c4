"""
Atomic force microscope: grains and pits
========================================

A 10 x 10 um scan in nanometres (test data of SurfaceTopography, MIT licence). Amplitudes of either sign describe grains
and pits over a tilted plane; every fourth point is enough for features of this size.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
heights = np.load(DATA / "afm_zsensor_10um.npz")["z"][::4, ::4]  # nm
axis = np.linspace(0, 10, len(heights))  # um

result = sf.fit(heights, 24, coords=(axis, axis), background="plane", amplitudes="signed", search=0)
print(f"R2 {result.r2:.3f}; {np.sum(result.surface.amplitudes < 0)} pits")
figure = result.plot()  # figure.savefig("fit.png") keeps it
