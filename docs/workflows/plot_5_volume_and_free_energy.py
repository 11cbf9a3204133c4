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
period = "".join(
    f"\n#! SET {end}_{name} {sign}pi" for name in ("phi", "psi") for end, sign in (("min", "-"), ("max", ""))
)
header = f"! FIELDS phi psi file.free{period}"
np.savetxt(
    folder / "fes.dat", np.stack([x, y, -fes["z_periodic"]], axis=-1).reshape(-1, 3), header=header, comments="#"
)

# %%
# Density
# -------

volume = sf.fit(sf.read(folder / "emd_3197.mrc"), 12, init="growth")
volume.surface.export(folder / "atoms.pdb")
volume.predict().save(folder / "model.mrc")
print(volume.table("pandas")[["z", "y", "x", "amplitude", "fwhm_major"]].head(3).round(1))

# %%
# Free energy
# -----------

result = sf.fit(sf.read(folder / "fes.dat"), 12, amplitudes="signed", init="growth")
turn = (-np.pi, np.pi)
periodic = {"phi": turn, "psi": turn}
result.surface.export(folder / "HILLS", names=("psi", "phi"), free_energy=True, periodic=periodic)
back = sf.GaussianSurface.from_hills(folder / "HILLS", free_energy=True)
print(f"{result.n_components} hills for 94: RMSE {result.rmse:.2f} of {np.ptp(fes['z_periodic']):.2f} kJ/mol")
print((folder / "HILLS").read_text().splitlines()[0])
density, free_energy = volume.plot(), result.plot()
