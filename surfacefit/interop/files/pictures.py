"""Gray pictures: PNG and TIFF, with the missing places of a GeoTIFF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.array_files import reason
from ..._base.layout import counted
from ..._data.map import Map
from .arrangement import CannotRead, Table, only_grid
from .layer import Request, cut, no_key
from .text import as_number

# Pixels that a byte of a picture can unfold to: deflate and LZW reach about a thousand bytes, of at least one pixel.
MOST_PIXELS_A_BYTE = 2000
# Tag of a TIFF that says how samples are stored (TIFF 6.0, section 19).
SAMPLE_FORMAT = 339
# Tag of a TIFF with the value of places without data (GDAL's own).
GDAL_NODATA = 42113


def read(path: Path, request: Request) -> Map:
    """The gray values (rows, columns) of a PNG or TIFF as heights, in the numbers that are stored, without coordinates.

    Raises CannotRead for colours, for a ``request.key``, for bytes that are no picture, and without pillow.
    """
    if request.key is not None:
        raise no_key(path)
    return cut(only_grid(picture(path), path, request.layout), request.window)


def picture(path: Path) -> Table:
    """The gray values of a picture as they are stored; places without data in a GeoTIFF are NaN."""
    try:
        from PIL import Image
    except ImportError:
        raise CannotRead(f"reading {str(path)!r} needs pillow: pip install pillow") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large maps, and tags that pillow does not know
            with Image.open(path) as image:
                _check_size(path, image.size)
                array, tags, mode = np.array(image), dict(getattr(image, "tag_v2", {})), str(image.mode)
                n_frames = getattr(image, "n_frames", 1)
    except Exception as error:  # decoders raise anything for bytes that can be anything
        raise CannotRead(f"cannot read {str(path)!r} as a picture: {reason(error)}") from None
    if array.ndim != 2 or mode == "P":
        raise CannotRead(
            f"{str(path)!r} has colours (mode {mode}), and heights need one channel: convert it to gray first"
        )
    array, how = _without_gaps(_signed(array, tags), tags)
    return Table(array, how=how + (f"first of {n_frames} pictures, " if n_frames > 1 else ""))


def _check_size(path: Path, size: tuple[int, int]) -> None:
    """Refuses a picture that claims more pixels than its bytes can unfold to, before memory is taken for them."""
    n_pixels, n_bytes = size[0] * size[1], path.stat().st_size
    if n_pixels > MOST_PIXELS_A_BYTE * n_bytes:
        raise ValueError(f"{size[0]} x {size[1]} pixels in {n_bytes} bytes")


def _signed(array: np.ndarray, tags: dict[int, Any]) -> np.ndarray:
    """Integers with the sign that the TIFF declares, where pillow has read the bits with another."""
    wanted = {1: "u", 2: "i"}.get((tags.get(SAMPLE_FORMAT) or (0,))[0], array.dtype.kind)
    differs = array.dtype.kind in "iu" and wanted != array.dtype.kind
    return array.view(f"{wanted}{array.dtype.itemsize}") if differs else array


def _without_gaps(array: np.ndarray, tags: dict[int, Any]) -> tuple[np.ndarray, str]:
    nodata = as_number(str(tags.get(GDAL_NODATA, "")).strip(" \0"))
    if nodata is None or np.isnan(nodata):
        return array, ""
    floats = array if array.dtype.kind == "f" else array.astype(float)
    gaps = floats == floats.dtype.type(nodata)
    how = f"{counted(int(gaps.sum()), 'place')} without data ({nodata:g}), "
    return np.where(gaps, floats.dtype.type(np.nan), floats), how
