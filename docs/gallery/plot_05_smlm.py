"""
Localisation microscopy: molecules that blink
=============================================

100 frames of 32 x 32 pixels (test data of picasso, MIT licence). Bright spots are cut out and fitted in one call.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
movie = np.load(DATA / "smlm_picasso_100x32x32.npz")["z"].astype(float)
smooth = ndimage.gaussian_filter(movie, (0, 1, 1))
frame, row, column = np.nonzero((smooth == ndimage.maximum_filter(smooth, (1, 7, 7))) & (smooth > 600))
strip = movie.transpose(1, 0, 2).reshape(32, -1)  # the frames side by side
spots = sf.fit_cutouts(strip, np.stack([row, 32 * frame + column], axis=1), 7, covariance_type="spherical")
y, x = (spots.centers[:, 0] - np.stack([0 * frame, 32 * frame], axis=1)).T
errors = spots.standard_errors.centers[:, 0]
plt.imshow(movie.max(axis=0), cmap="gray")
plt.errorbar(x, y, errors[:, 0], errors[:, 1], "r.", ms=3)
plt.title(f"{len(x)} spots, median error {np.median(errors):.3f} pixels")
plt.show()
