"""
Molecules: a volume from MRC, and a free energy to HILLS
========================================================

A structural biologist has a density map and wants pseudo-atoms in Angstrom; a modeller has a free-energy surface over
two angles and wants it as few hills for PLUMED. The map is EMD-3197 (EMDB, CC0) on 20 x 20 x 20 voxels of 11.4
Angstrom; the free energy is that of 94 hills of alanine dipeptide (PLUMED, LGPL-3).
"""

import os
import tempfile
from pathlib import Path

import mrcfile
import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
folder = Path(tempfile.mkdtemp())
with mrcfile.new(folder / "emd_3197.mrc") as file:
    file.set_data(np.load(DATA / "vol_emd3197_20.npz")["z"])
    file.voxel_size = 11.4
fes = np.load(DATA / "metad_ala2_94_surface.npz")
y, x = np.meshgrid(fes["y"], fes["x"], indexing="ij")
lines = ["#! FIELDS phi psi file.free"]
for name in ("phi", "psi"):
    lines += [f"#! SET min_{name} -pi", f"#! SET max_{name} pi"]
    lines += [f"#! SET nbins_{name} 20", f"#! SET periodic_{name} true"]
table = np.stack([x, y, -fes["z_periodic"]], axis=-1).reshape(-1, 3)
np.savetxt(folder / "fes.dat", table, header="\n".join(lines), comments="")

# %%
# Density
# -------

# begin
volume = sf.fit(sf.read(folder / "emd_3197.mrc"), 20, init="growth")
volume.surface.export(folder / "atoms.pdb")
volume.predict().save(folder / "model.mrc")
# end
print(volume.table("pandas")[["z", "y", "x", "amplitude", "fwhm_major"]].head(3).round(1))

# %%
# Free energy
# -----------

# begin
surface = sf.read(folder / "fes.dat")  # axes (psi, phi), as rows and columns
result = sf.fit(surface, 12, amplitudes="signed", background=None, init="growth")
result.surface.export(folder / "HILLS", names=("psi", "phi"), free_energy=True)
# end
points = np.stack(np.meshgrid(*surface.coords, indexing="ij"), axis=-1)
back = sf.GaussianSurface.from_hills(folder / "HILLS", free_energy=True)
print(f"{result.n_components} hills for 94: RMSE {result.rmse:.2f} of {np.ptp(fes['z_periodic']):.2f} kJ/mol")
print(f"of their sum in HILLS: {np.sqrt(np.mean((back(points) + fes['z_periodic']) ** 2)):.2f}")
density, free_energy = volume.plot(), result.plot()
