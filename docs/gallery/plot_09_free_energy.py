"""
Free energy: 94 hills said with twelve
======================================

The bias of a metadynamics run of alanine dipeptide is a sum of 94 small hills (PLUMED, LGPL-3), in kJ/mol over two
angles. Far fewer Gaussians say nearly the same.
"""

import os
from pathlib import Path

import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
hills = np.genfromtxt(DATA / "metad_ala2_94_hills.csv", delimiter=",", names=True)
shapes = np.stack([hills["Cyy"], hills["Cxy"], hills["Cxy"], hills["Cxx"]], axis=1).reshape(-1, 2, 2)
bias = sf.GaussianSurface(hills["height"], np.stack([hills["y"], hills["x"]], axis=1), shapes)

psi, phi = np.linspace(-np.pi, np.pi, 49), np.linspace(-np.pi, np.pi, 49)
heights = bias(np.stack(np.meshgrid(psi, phi, indexing="ij"), axis=-1))
result = sf.fit(heights, 12, coords=(psi, phi), background=None, search=0)
print(f"12 for 94: RMSE {result.rmse:.3f} of {heights.max():.2f} kJ/mol")
figure = result.plot()  # figure.savefig("fit.png") keeps it
