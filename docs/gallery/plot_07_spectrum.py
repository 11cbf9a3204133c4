"""
A spectrum: two lines on a decay, to certified digits
=====================================================

NIST's Gauss2 (public domain): two overlapping lines on an exponential background, a problem whose answer is certified.
The background is a function of your own, fitted together with the lines.
"""

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
x, counts, _ = np.loadtxt(DATA / "nist_Gauss2.csv", delimiter=",", skiprows=1).T


def decay(b, x):
    return b[0] * jnp.exp(-b[1] * x[..., 0])


result = sf.fit(counts, 2, coords=x, background=(decay, [100.0, 0.01]))
print(result.summary())
figure = result.plot()  # figure.savefig("fit.png") keeps it
