"""
Terrain: a GeoTIFF in UTM to volumes and back
=============================================

A geologist has an elevation model and wants hills with volumes, and maps of model and error for a GIS. The file is made
here from Maunga Whau in Auckland (R's ``volcano``), 87 x 61 samples of 10 m.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio

import surfacefit as sf

DATA = Path(os.environ["SURFACEFIT_DATA"])
folder = Path(tempfile.mkdtemp())
heights = np.load(DATA / "dem_volcano.npz")["z"].astype("float32")
heights[:3, :5] = -9999  # no data in a corner
kind = {"driver": "GTiff", "height": 87, "width": 61, "count": 1, "dtype": "float32", "nodata": -9999}
where = {"crs": "EPSG:32760", "transform": rasterio.Affine(10, 0, 301_500, 0, -10, 5_917_500)}
with rasterio.open(folder / "dem.tif", "w", **kind, **where) as raster:
    raster.write(heights, 1)

# %%
# From file to file
# -----------------
# Coordinates are northing and easting in metres, so volumes are cubic metres. Residuals of terrain are correlated,
# which ``errors="auto"`` sees.

# begin
result = sf.fit(sf.read(folder / "dem.tif"), 8)
hills = result.table("pandas", errors="auto")
result.predict().save(folder / "model.tif")
result.uncertainty("auto").band().save(folder / "error.tif")
hills.to_csv(folder / "hills.csv", index=False)
# end
print(hills[["y", "x", "amplitude", "fwhm_major", "volume", "volume_error"]].head(3).round(0))

# %%
# The rasters have the georeference of the input.

for name in ("model.tif", "error.tif"):
    with rasterio.open(folder / name) as raster:
        print(name, raster.crs, raster.shape, raster.transform == where["transform"])
figure = result.plot("error")
