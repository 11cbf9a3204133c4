"""MRC and CCP4 volumes by mrcfile: coordinates in Angstrom along (z, y, x), whatever the order of axes in the file.

Origin and voxel size as of MRC2014 (Cheng and others, J. Struct. Biol. 192, 146, 2015); without an origin the start
indices place the volume, as in CCP4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import Labels, axis_names
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Layer, Request, no_key, package, steps

# Array dtypes of the modes of the format, as NumPy's names.
MODES = {0: "int8", 1: "int16", 2: "float32", 4: "complex64", 6: "uint16", 12: "float16"}


def read(path: Path, request: Request) -> Map:
    """A volume (z, y, x) of densities, or an image (y, x) where there is one section; coordinates in Angstrom.

    Raises CannotRead for a ``request.key``, complex values, a truncated file or a mode that is not known, ImportError
    without mrcfile.
    """
    mrcfile = package("mrcfile", "volumes", path)
    if request.key is not None:
        raise no_key(path)
    with mrcfile.open(path, header_only=True) as volume:
        header = volume.header.copy()
        voxel, origin = ([float(record[axis]) for axis in "zyx"] for record in (volume.voxel_size, header.origin))
    return _layer(mrcfile, header, voxel, origin, path).map(path, request.window)


def _layer(mrcfile: Any, header: Any, voxel: list[float], origin: list[float], path: Path) -> Layer:
    axes = [int(header[name]) for name in ("maps", "mapr", "mapc")]  # 1, 2, 3 for x, y, z along sections, rows, columns
    if sorted(axes) != [1, 2, 3]:
        axes = [3, 2, 1]
    sizes = [int(header[name]) for name in ("nz", "ny", "nx")]
    starts = [int(header[name]) for name in ("nzstart", "nystart", "nxstart")]
    order = [axes.index(axis) for axis in (3, 2, 1)]
    whole = [sizes[i] for i in order]
    kept = [i for i in range(3) if whole[i] > 1]
    if min(whole) < 1 or not kept or int(header.mode) not in MODES:
        raise CannotRead(f"{str(path)!r} must hold a volume, got {sizes} values of mode {int(header.mode)}")
    steps_of = [step if step > 0 else 1.0 for step in voxel]
    first = origin if any(origin) else [starts[order[i]] * steps_of[i] for i in range(3)]
    coords = tuple(first[i] + steps_of[i] * np.arange(whole[i]) for i in kept)

    def values(window: tuple[slice, ...]) -> np.ndarray:
        part = [slice(None)] * 3
        for i, side in zip(kept, window, strict=True):
            part[i] = side
        with mrcfile.open(path) as volume:
            cube = np.asarray(volume.data).reshape(sizes).transpose(order)[tuple(part)]
        found = cube.reshape([side.stop - side.start for side in window])
        return np.array(found, np.float32 if found.dtype.itemsize <= 2 else found.dtype.newbyteorder("="))

    unit = "Å" if min(voxel) > 0 else ""
    labels = Labels(tuple(axis_names(3)[i] for i in kept), (unit,) * len(kept))
    shape = tuple(whole[i] for i in kept)
    how = f"{len(kept)}-D grid of {' x '.join(map(str, shape))} densities"
    return Layer(shape, np.dtype(MODES[int(header.mode)]), values, coords, labels, how)


def write(found: Map, path: Path) -> None:
    """A volume or image in single precision, all that the format holds, with voxel size and origin."""
    mrcfile = package("mrcfile", "volumes", path)
    axes = steps(found, path)
    if len(axes) not in (2, 3):
        raise ValueError(f"{str(path)!r} holds grids of 2 or 3 axes, got {len(axes)}: write .npz")
    rising = tuple(slice(None, None, -1 if step < 0 else 1) for _, step in axes)  # the format has no falling axes
    with mrcfile.new(path, overwrite=True) as volume:
        volume.set_data(found.heights[rising].astype(np.float32))
        volume.voxel_size = (*(abs(step) for _, step in axes[::-1]), 1.0)[:3]
        origin = (*(float(np.min(axis)) for axis, _ in axes[::-1]), 0.0)[:3]
        for name, place in zip("xyz", origin, strict=True):
            volume.header.origin[name] = place
