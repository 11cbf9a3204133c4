"""FITS images by astropy: unit, world coordinates and beam as labels; coordinates are pixels, counted from 0.

The world coordinates stay as the header has them, card by card, so that they come back exactly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..._data.labels import Labels, axis_names
from ..._data.map import Map
from .arrangement import CannotRead
from .layer import Layer, Request, axes_of, chosen, package, pixels

# Keywords of world coordinates (FITS standard 4.0, table 22), and of distortion beside them.
WORLD = re.compile(
    r"(WCSAXES|CTYPE\d|CRPIX\d|CRVAL\d|CDELT\d|CUNIT\d|CROTA\d|CNAME\d|PC\d_\d|CD\d_\d|P[VS]\d_\d+|LONPOLE|LATPOLE"
    r"|RADE[CS]YS[A]?|EQUINOX|EPOCH|SPECSYS|RESTFRQ|RESTWAV|SSYSOBS|VELREF|MJD-OBS|DATE-OBS|(A|B|AP|BP)_(ORDER|\d_\d|DMAX))"
)
# Keywords that belong to one axis end in its number; matrices to two.
OF_AXES = re.compile(r"[A-Z]+(\d)(?:_(\d))?$")
# Signs of a distortion: SIP polynomials, lookup tables, and the TPV and TNX projections.
DISTORTION = re.compile(r"(A_ORDER|B_ORDER|CPDIS\d|DP\d)")
# Keywords of the beam of a radio image, in degrees.
BEAM = ("BMAJ", "BMIN", "BPA")


def read(path: Path, request: Request) -> Map:
    """The first image of a FITS file (standard 4.0), or the extension of ``request.key``, by name or number from 0.

    Heights in the order of NumPy, axes of length 1 left out, in the header's BUNIT; coordinates are pixels from 0.
    Raises CannotRead for a file or an extension without an image, ImportError without astropy.
    """
    fits = package("astropy.io.fits", "astro", path)
    with fits.open(path, memmap=False) as units:
        images = [unit for unit in units if _is_image(unit)]
        if not images:
            raise CannotRead(f"{str(path)!r} holds no image, only tables or nothing")
        unit = images[0] if request.key is None else units[_extension(units, request.key, path)]
        if not _is_image(unit):
            raise CannotRead(f"{str(path)!r} holds no image in extension {request.key!r}: leave out `key`")
        return _layer(unit, len(images), path).map(path, request.window)


def _is_image(unit: Any) -> bool:
    return bool(unit.is_image and unit.header.get("NAXIS", 0) > 0)


def _extension(units: Any, key: str, path: Path) -> int:
    return chosen([unit.name or "PRIMARY" for unit in units], key, path, "extension")


def _layer(unit: Any, n_images: int, path: Path) -> Layer:
    whole = tuple(unit.shape)
    kept = [i for i, n in enumerate(whole) if n > 1]
    if not kept:
        raise CannotRead(f"{str(path)!r} holds a single value, not an image")
    header, n_dim = unit.header, len(kept)
    numbers = [len(whole) - i for i in kept]  # FITS counts axes from the last of an array
    shape = tuple(whole[i] for i in kept)
    labels = Labels(
        dims=axis_names(n_dim),
        units=("pixel",) * n_dim,
        name=str(header.get("OBJECT", "")),
        unit=str(header.get("BUNIT", "")).strip(),
        wcs=_world(header, numbers),
        beam=_beam(header),
        notes=_notes(header, whole, kept),
    )

    def values(window: tuple[slice, ...]) -> np.ndarray:
        part = iter(window)
        cube = unit.section[tuple(next(part) if i in kept else slice(0, 1) for i in range(len(whole)))]
        heights = np.asarray(cube).reshape([side.stop - side.start for side in window])
        return heights.astype(heights.dtype.newbyteorder("="))

    sides = " x ".join(str(n) for n in shape)
    which = f"extension {unit.name!r}, " if n_images > 1 else ""
    how = "".join(f"{note}, " for note in labels.notes)
    return Layer(shape, _dtype(unit), values, pixels(shape), labels, f"{which}{how}{n_dim}-D grid of {sides} heights")


def _dtype(unit: Any) -> np.dtype:
    return np.dtype("float64" if abs(unit.header["BITPIX"]) == 64 else "float32")


def _world(header: Any, numbers: list[int]) -> str:
    """The cards of the world coordinates along axes with these numbers, as the text of a header; "" without any."""
    from astropy.io.fits import Header

    new = {old: i + 1 for i, old in enumerate(sorted(numbers))}
    cards = []
    for card in header.cards:
        if not WORLD.fullmatch(card.keyword) or card.keyword == "WCSAXES":
            continue
        keyword = _renumbered(card.keyword, new)
        if keyword is not None:
            cards.append((keyword, card.value, card.comment))
    if not any(keyword.startswith("CTYPE") for keyword, *_ in cards):
        return ""
    return str(Header(cards).tostring(endcard=False, padding=False))


def _renumbered(keyword: str, new: dict[int, int]) -> str | None:
    """A keyword for axes as they are numbered without those that are left out; None for one of these."""
    found = OF_AXES.fullmatch(keyword)
    if found is None or keyword.startswith(("A_", "B_", "AP_", "BP_")):
        return keyword
    axes = [int(found[1])]
    if keyword.startswith(("PC", "CD")) and found[2]:
        axes.append(int(found[2]))
    if any(axis not in new for axis in axes):
        return None
    head = keyword[: found.start(1)] + str(new[axes[0]])
    if found[2] is None:
        return head
    return f"{head}_{new[axes[1]] if len(axes) == 2 else found[2]}"


def _beam(header: Any) -> tuple[float, ...]:
    if not all(isinstance(header.get(name), int | float) for name in BEAM[:2]):
        return ()
    return tuple(float(header.get(name) or 0.0) for name in BEAM)


def _notes(header: Any, whole: tuple[int, ...], kept: list[int]) -> tuple[str, ...]:
    left_out = [len(whole) - i for i in range(len(whole)) if i not in kept]
    names = [str(header.get(f"CTYPE{axis}") or axis).strip() for axis in sorted(left_out)]
    notes = (f"axes of length 1 left out: {' '.join(names)}",) if names else ()
    distorted = any(DISTORTION.fullmatch(keyword) for keyword in header) or any(
        str(header.get(f"CTYPE{axis}", "")).endswith(("-SIP", "-TPV", "-TNX", "-ZPX")) for axis in (1, 2)
    )
    return (*notes, "the world coordinates are distorted, the fit is in pixels") if distorted else notes


def write(found: Map, path: Path) -> None:
    """An image with the unit, the world coordinates and the beam of the labels; blanks are NaN."""
    fits = package("astropy.io.fits", "astro", path)
    axes = axes_of(found, path)
    labels = found.labels
    header = fits.Header() if labels is None or not labels.wcs else fits.Header.fromstring(labels.wcs)
    for i, axis in enumerate(axes[::-1]):
        first = float(axis[0])
        if f"CRPIX{i + 1}" in header and first:  # a window: its first pixel is not the first of the whole
            header[f"CRPIX{i + 1}"] -= first
    if labels is not None:
        header.update({key: text for key, text in (("BUNIT", labels.unit), ("OBJECT", labels.name)) if text})
        header.update(dict(zip(BEAM, labels.beam, strict=False)))
    fits.PrimaryHDU(found.heights, header).writeto(path, overwrite=True)
