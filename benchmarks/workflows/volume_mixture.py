"""Volume with scikit-learn: an MRC map to Gaussians by expectation maximization, in place of gmconvert.

gmconvert is no package of PyPI. This is what ``create_gmm.py`` of IMP does by its defaults: a million points drawn from
the density above zero, then a mixture of full covariances, 100 iterations at most.
"""

import sys
from pathlib import Path

import mrcfile
import numpy as np
from sklearn.mixture import GaussianMixture

folder = Path(sys.argv[1])

# begin
with mrcfile.open(folder / "emd_3197.mrc") as file:
    density, size = file.data.astype(float), float(file.voxel_size.x)
rng = np.random.default_rng(0)
weights = np.maximum(density, 0).ravel()
drawn = rng.choice(weights.size, 1_000_000, p=weights / weights.sum())
voxels = np.stack(np.unravel_index(drawn, density.shape), axis=-1)
points = size * (voxels + rng.uniform(-0.5, 0.5, voxels.shape))
mixture = GaussianMixture(20, max_iter=100, random_state=0).fit(points)
places = size * np.stack(np.indices(density.shape), axis=-1).reshape(-1, 3)
model = np.exp(mixture.score_samples(places)).reshape(density.shape) * weights.sum() * size**3
with mrcfile.new(folder / "model.mrc") as file:
    file.set_data(model.astype("float32"))
    file.voxel_size = size
atoms = []
for n, ((z, y, x), weight) in enumerate(zip(mixture.means_, mixture.weights_, strict=True)):
    atoms.append(f"HETATM{n + 1:5d}  C   GAU A{n + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}{weight:6.2f}{0:6.2f}")
(folder / "atoms.pdb").write_text("\n".join([*atoms, "END", ""]))
# end
