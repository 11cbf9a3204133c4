"""Components in 3-D as pseudo-atoms in the format of the Protein Data Bank (version 3.3).

An atom stands at each centre, whose axes are (z, y, x) as those of volumes are. The occupancy is the amplitude over
the largest one. The B factor is 8 pi^2 times the mean variance, and ANISOU records hold the covariance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._model.surface import GaussianSurface

# Angstrom: what eight characters with three decimals hold.
LEAST_PDB_COORDINATE, MOST_PDB_COORDINATE = -999.999, 9999.999
# Numbers of atoms and residues of the format, which begin anew beyond.
MOST_ATOMS, MOST_RESIDUES = 99999, 9999  # as five and four characters hold
# Squared Angstrom: what six characters hold of a B factor, and seven of a covariance in units of 1e-4.
MOST_B_FACTOR, MOST_PDB_VARIANCE = 999.99, 999.0


def text(surface: GaussianSurface, names: Sequence[str]) -> str:
    """The text of a file."""
    del names
    centers, covariances = reversed_axes(surface)
    if len(centers) and (centers.min() < LEAST_PDB_COORDINATE or centers.max() > MOST_PDB_COORDINATE):
        raise ValueError("'.pdb' holds coordinates from -999.999 to 9999.999 Angstrom: write .cmm")
    amplitudes = np.asarray(surface.amplitudes, float)
    shares = amplitudes / max(np.abs(amplitudes).max(initial=0.0), np.finfo(float).tiny)
    b_factors = np.minimum(8 * np.pi**2 * np.trace(covariances, axis1=1, axis2=2) / 3, MOST_B_FACTOR)
    lines = ["REMARK   Gaussians: occupancy = amplitude / largest, ANISOU = covariance"]
    for k in range(len(centers)):
        atom = f"{k % MOST_ATOMS + 1:>5}  C   GAU A{k % MOST_RESIDUES + 1:>4}"
        place = "".join(f"{x:8.3f}" for x in centers[k])
        lines.append(f"HETATM{atom}    {place}{shares[k]:6.2f}{b_factors[k]:6.2f}           C")
        if np.abs(covariances[k]).max() <= MOST_PDB_VARIANCE:
            entries = np.rint(1e4 * covariances[k][[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]).astype(int)
            lines.append(f"ANISOU{atom}  {''.join(f'{entry:7d}' for entry in entries)}       C")
    return "\n".join([*lines, "END", ""])


def reversed_axes(surface: GaussianSurface) -> tuple[np.ndarray, np.ndarray]:
    """Centres and covariances with their axes in the order (x, y, z); ValueError but in 3-D."""
    if surface.n_dim != 3:
        raise ValueError(f"'.pdb' and '.cmm' hold components in 3-D, and these have {surface.n_dim} dimensions")
    centers, covariances = np.asarray(surface.centers, float), np.asarray(surface.covariances, float)
    return centers[:, ::-1], covariances[:, ::-1, ::-1]
