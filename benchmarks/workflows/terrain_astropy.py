"""Terrain with astropy and photutils: a GeoTIFF to hills with volumes, maps of model and error.

A sum of `Gaussian2D` on a constant from the highest peaks that photutils finds, within limits: without them Gaussians
leave the map. Box and width of the start are the best of nine that were tried. Volumes, their errors and the error
map are the user's own arithmetic on ``param_cov``, for noise without correlation.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from astropy.modeling import fitting, models
from photutils.detection import find_peaks

folder = Path(sys.argv[1])

# begin
with rasterio.open(folder / "dem.tif") as raster:
    heights, profile, transform = raster.read(1, masked=True).astype(float), raster.profile, raster.transform
rows, columns = np.nonzero(~heights.mask)
values = heights.compressed()
peaks = find_peaks(heights.filled(values.min()), values.mean(), box_size=15, n_peaks=8)
start = models.Const2D(values.min())
limits = {"amplitude": (0, None), "x_mean": (0, 60), "y_mean": (0, 86), "x_stddev": (1, 60), "y_stddev": (1, 60)}
for peak in peaks:
    height = peak["peak_value"] - values.min()
    start += models.Gaussian2D(height, peak["x_peak"], peak["y_peak"], 8, 8, bounds=limits)
fitter = fitting.TRFLSQFitter(calc_uncertainties=True)
fitted = fitter(start, columns, rows, values, maxiter=1000)
covariance, best = fitter.fit_info["param_cov"], fitted.parameters
grid = np.indices(heights.shape)[::-1]
jacobian = []
for k, step in enumerate(1e-6 * np.maximum(np.abs(best), 1)):
    above, below = best.copy(), best.copy()
    above[k], below[k] = best[k] + step, best[k] - step
    jacobian.append((fitted.evaluate(*grid, *above) - fitted.evaluate(*grid, *below)) / (2 * step))
variance = np.einsum("i...,ij,j...", jacobian, covariance, jacobian)
profile.update(dtype="float32")
for name, raster_values in (("model.tif", fitted(*grid)), ("error.tif", np.sqrt(variance))):
    with rasterio.open(folder / name, "w", **profile) as raster:
        raster.write(raster_values.astype("float32"), 1)
table = []
for n in range(1, len(peaks) + 1):
    amplitude, column, row, width, height, _ = best[6 * n - 5 : 6 * n + 1]
    volume = 2 * np.pi * amplitude * width * height * abs(transform.determinant)
    slope = np.zeros(len(best))
    slope[[6 * n - 5, 6 * n - 2, 6 * n - 1]] = volume / amplitude, volume / width, volume / height
    east, north = transform * (column + 0.5, row + 0.5)
    table.append((north, east, amplitude, abs(volume), np.sqrt(slope @ covariance @ slope)))
hills = pd.DataFrame(table, columns=["y", "x", "amplitude", "volume", "volume_error"])
hills.to_csv(folder / "hills.csv", index=False)
# end
