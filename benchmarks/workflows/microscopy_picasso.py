"""Localisation microscopy with picasso: a movie to molecules.

Maximum likelihood of a round Gaussian, a box of 7 pixels and the gradient of picasso's own file of this movie. It reads
movies of its own formats alone, so the movie is first written as one.
"""

import os
import sys
from pathlib import Path

import numpy as np
from picasso import io, localize

folder = Path(sys.argv[1])
counts = np.load(Path(os.environ["SURFACEFIT_DATA"]) / "smlm_picasso_100x32x32.npz")["z"]
kind = {"Byte Order": "<", "Data Type": "uint16", "Frames": 100, "Height": 32, "Width": 32, "Pixelsize": 160}
io.save_raw(str(folder / "movie.raw"), counts, [kind])

# begin
movie, info = io.load_movie(str(folder / "movie.raw"))
camera = {"Baseline": 0, "Sensitivity": 1, "Gain": 1, "Pixelsize": 160}
spots = {"Box Size": 7, "Min. Net Gradient": 3000}
table, info = localize.localize(
    movie,
    camera_info=camera,
    identification_parameters=spots,
    movie_info=info,
    fitting_method="gaussmle-spherical",
)
table = table.rename(columns={"lpx": "x_error", "lpy": "y_error", "photons": "light", "sx": "width"})
table[["x", "y", "x_error", "y_error", "width"]] *= 160
table.to_csv(folder / "molecules.csv", index=False)
# end
