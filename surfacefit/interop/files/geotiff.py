"""GeoTIFF by rasterio: coordinates at the centres of pixels, coordinate reference system, places without data.

Without rasterio, and for a TIFF that has no georeference, `pictures` reads the gray values.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import Labels
from ..._data.map import Map
from . import pictures
from .arrangement import CannotRead
from .layer import IDENTITY, Layer, Request, chosen, of_dims, package, steps


def read(path: Path, request: Request) -> Map:
    """A band of a GeoTIFF (OGC 19-008r4), ``request.key`` by its name or number from 1.

    Heights (rows, columns) in the band's unit, NaN without data, with coordinates y, x of the pixels' centres in the
    units of its coordinate reference system. A TIFF without georeference is a picture. Raises CannotRead for several
    bands without a key and for a raster that is rotated, ImportError where a band is chosen without rasterio.
    """
    if importlib.util.find_spec("rasterio") is None:
        if request.key is not None:
            package("rasterio", "geo", path)
        found = pictures.read(path, request)
        return replace(found, how=f"{found.how}; coordinates would need rasterio: pip install 'surfacefit[geo]'")
    rasterio = package("rasterio", "geo", path)
    try:
        raster = opened_raster(rasterio, path)
    except rasterio.errors.RasterioError:
        return pictures.read(path, request)  # which says what is wrong with it
    with raster:
        if raster.crs is None and raster.transform.is_identity and request.key is None:
            return pictures.read(path, request)
        return layer_of(raster, path, request).map(path, request.window)


def opened_raster(rasterio: Any, path: Path) -> Any:
    """The raster of a file, without a warning where it has no georeference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


def layer_of(raster: Any, path: Path, request: Request) -> Layer:
    """The band of an open raster that is asked for, not read."""
    names = [name or str(band + 1) for band, name in enumerate(raster.descriptions)]
    if raster.count > 1 and request.key is None:
        raise CannotRead(
            f"{str(path)!r} has {raster.count} bands ({', '.join(names[:10])}), and heights are one of them: choose"
            f" with `key`, 1 to {raster.count}"
        )
    band = chosen(names, request.key, path, "band", first=1)
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    if b or d:
        raise CannotRead(
            f"{str(path)!r} is rotated against its coordinates: make it upright first, `gdalwarp in.tif out.tif`"
        )
    rows, columns = raster.shape
    unit = "degree" if raster.crs is not None and raster.crs.is_geographic else _linear_unit(raster.crs)
    labels = Labels(
        dims=("y", "x"),
        units=(unit, unit),
        name=raster.descriptions[band] or "",
        unit=raster.units[band] or "",
        crs="" if raster.crs is None else raster.crs.to_wkt(),
        transform=(a, b, c, d, e, f),
    )
    reference = "no coordinate reference system" if raster.crs is None else raster.crs.to_string()[:40]
    return Layer(
        (rows, columns),
        np.dtype(raster.dtypes[band]),
        lambda window: _heights(raster, band + 1, window),
        coords=(f + e * (np.arange(rows) + 0.5), c + a * (np.arange(columns) + 0.5)),
        labels=labels,
        how=f"band {names[band]!r}, {reference}, 2-D grid of {rows} x {columns} heights",
    )


def _linear_unit(crs: Any) -> str:
    return "" if crs is None else {"metre": "m", "meter": "m"}.get(str(crs.linear_units), str(crs.linear_units))


def _heights(raster: Any, band: int, window: tuple[slice, ...]) -> np.ndarray:
    """Heights with scale and offset; NaN where the band has no data."""
    bounds = tuple((side.start, side.stop) for side in window)
    heights = raster.read(band, window=bounds, masked=True)
    scale, offset = raster.scales[band - 1], raster.offsets[band - 1]
    missing = np.ma.getmaskarray(heights)
    values = heights.data
    if (scale, offset) != (1.0, 0.0):
        values = values * scale + offset
    if not missing.any():
        return np.asarray(values)
    return np.where(missing, np.nan, values if values.dtype.kind == "f" else values.astype(float))


def write(found: Map, path: Path) -> None:
    """A GeoTIFF of one band, places without data NaN, with the transform and reference system of the labels."""
    rasterio = package("rasterio", "geo", path)
    (y, dy), (x, dx) = steps(of_dims(found, 2, path), path)
    labels = found.labels
    transform = labels.transform if labels is not None and labels.transform else ()
    if not transform:
        transform = IDENTITY if found.coords is None else (dx, 0.0, x[0] - dx / 2, 0.0, dy, y[0] - dy / 2)
    heights = found.heights if found.heights.dtype.kind == "f" else found.heights.astype(float)
    profile = {
        "driver": "GTiff",
        "height": len(y),
        "width": len(x),
        "count": 1,
        "dtype": heights.dtype,
        "nodata": np.nan,
        "transform": rasterio.Affine(*transform),
        "crs": rasterio.crs.CRS.from_wkt(labels.crs) if labels is not None and labels.crs else None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as raster:
            raster.write(heights, 1)
            if labels is not None:
                raster.set_band_description(1, labels.name)
                raster.set_band_unit(1, labels.unit)
