"""
A galaxy as a multi-Gaussian expansion
======================================

An elliptical galaxy with de Vaucouleurs' profile, made here with noise that is known. All Gaussians share one centre,
which is held, and the widths grow from a pixel to the whole image.
"""

import matplotlib.pyplot as plt
import numpy as np

import surfacefit as sf

y, x = np.mgrid[-60:61, -60:61]
radius = np.hypot(x, (y - 0.3 * x) / 0.6)
galaxy = 100 * np.exp(-7.67 * ((np.hypot(radius, 1.0) / 20) ** 0.25 - 1))
image = galaxy + np.random.default_rng(0).normal(size=galaxy.shape) * np.sqrt(galaxy)

widths = np.geomspace(1, 40, 7)
start = sf.GaussianSurface(image.max() / widths, np.zeros((7, 2)), widths[:, None, None] ** 2 * np.eye(2))
result = sf.fit(image, 7, coords=(y[:, 0], x[0]), sigma=np.sqrt(galaxy), init=start, fixed="centers", background=None)
print("widths", result.surface.principal_widths.round(1).tolist())
row = result.predict()[60]
plt.semilogy(x[0], image[60], ".", x[0], row, "-", x[0], galaxy[60], "k--", lw=1)
plt.legend(["data", "seven Gaussians", "truth"])
plt.xlabel("pixels from the centre")
plt.show()
