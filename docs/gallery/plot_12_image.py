"""
A photograph from 100 Gaussians
===============================

A quarter of the pixels of the camera man (scikit-image, CC0). A start from peaks of all sizes is quick where
hundreds of components are asked for.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
image = np.load(DATA / "img_camera.npz")["z"].astype(float)

result = sf.fit(image, 100, init="peaks", amplitudes="signed", solver=sf.LevenbergMarquardt(max_steps=15))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), layout="compressed")
left.imshow(image, cmap="gray")
right.imshow(result.predict(), cmap="gray", clim=left.images[0].get_clim())
right.set_title(f"100 Gaussians, RMSE {result.rmse:.1f} of 255")
plt.show()
