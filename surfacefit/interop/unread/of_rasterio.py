"""Rasters of rasterio: one band, with its coordinates, reference system and places without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._data.unread_map import UnreadMap
from ..files.geotiff import layer_of, opened_raster
from ..files.layer import Request, package


def unread(raster: Any, key: str | None = None) -> UnreadMap:
    """A band of an open raster, ``key`` by its name or number from 1; one with a single band needs none."""
    layer = layer_of(raster, Path(raster.name), Request(key))
    rows, columns = raster.block_shapes[0]
    return UnreadMap(
        layer.shape, layer.dtype, layer.values, (int(rows), int(columns)), layer.coords, layer.labels, "raster"
    )


def of_path(path: Path, key: str | None) -> UnreadMap:
    """A band of a GeoTIFF."""
    return unread(opened_raster(package("rasterio", "geo", path), path), key)
