"""
Localisation microscopy: a movie to molecules
=============================================

A microscopist has 100 frames of blinking molecules (test data of picasso, MIT licence) and wants a place in nanometres
with an error for each blink.
"""

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import ndimage

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
folder = Path(tempfile.mkdtemp())

# %%
# From movie to table
# -------------------
# Bright spots are found, a box around each is cut out of its frame, and one call fits all: each with a status and
# errors of its own. The movie counts photons, on a background of about 250, so that ``loss="poisson"`` is its
# likelihood.

# begin
movie = np.load(DATA / "smlm_picasso_100x32x32.npz")["z"].astype(float)
smooth = ndimage.gaussian_filter(movie - np.median(movie), (0, 1, 1))
frame, y, x = np.nonzero((smooth == ndimage.maximum_filter(smooth, (1, 7, 7))) & (smooth > 100))
keep = (np.minimum(y, x) >= 3) & (np.maximum(y, x) < 29)
frame, y, x = frame[keep], y[keep], x[keep]
boxes = np.array([movie[f, r - 3 : r + 4, c - 3 : c + 4] for f, r, c in zip(frame, y, x, strict=True)])
spots = sf.fit_many(boxes, 1, covariance_type="spherical", init="peaks", loss="poisson")
# end

# %%
# The rest is arithmetic of arrays: 160 nm a pixel, 7 x 7 boxes from their corner.

# begin
centers, errors = spots.centers[:, 0], spots.standard_errors.centers[:, 0]
table = pd.DataFrame({"frame": frame, "x": 160 * (x - 3 + centers[:, 1]), "y": 160 * (y - 3 + centers[:, 0])})
table[["x_error", "y_error"]] = 160 * errors[:, ::-1]
table["light"], table["width"] = spots.volumes[:, 0], 160 * np.sqrt(spots.covariances[:, 0, 0, 0])
table.to_csv(folder / "molecules.csv", index=False)
# end
print(spots)
print(table.head(4).round(1).to_string(index=False))
figure, ax = plt.subplots()
ax.imshow(movie.max(axis=0), cmap="gray", extent=(-80, 5040, 5040, -80))
ax.errorbar(table["x"], table["y"], table["y_error"], table["x_error"], "r.", ms=3)
ax.set(xlabel="x (nm)", ylabel="y (nm)", title=f"{len(table)} blinks, median error {np.median(errors) * 160:.1f} nm")
plt.show()
