"""Quantities and NDData of astropy: units, masks, uncertainties and world coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..._data.labels import Labels
from .opening import Opened, axis_names


@dataclass(frozen=True, eq=False)
class QuantityBack:
    """Values go back to a Quantity."""

    unit: Any

    def array(self, values: np.ndarray, name: str) -> Any:
        del name
        return values * self.unit


@dataclass(frozen=True, eq=False)
class ImageBack:
    """Values go back to the kind of NDData that came, with its unit, world coordinates and meta."""

    like: Any

    def array(self, values: np.ndarray, name: str) -> Any:
        del name
        like = self.like
        return type(like)(values, unit=like.unit, wcs=like.wcs, meta=like.meta)


def opened(heights: Any, beside: Opened) -> Opened:
    """A Quantity with its unit; NDData with unit, mask, uncertainty and world coordinates."""
    if hasattr(heights, "uncertainty"):
        return _image(heights, beside)
    if not hasattr(heights, "unit"):
        raise TypeError(
            f"`heights` must be a Quantity, NDData or CCDData of astropy, got a {type(heights).__name__}: give an array"
        )
    labels = _labels(heights.ndim, str(heights.unit), QuantityBack(heights.unit))
    return replace(beside, heights=heights.value, sigma=in_unit("sigma", beside.sigma, heights.unit), labels=labels)


def _image(image: Any, beside: Opened) -> Opened:
    mask, sigma, absolute = beside.mask, beside.sigma, None
    if image.mask is not None:
        mask = np.asarray(image.mask, bool) if mask is None else np.asarray(image.mask, bool) | np.asarray(mask, bool)
    if sigma is None and image.uncertainty is not None:
        sigma, absolute = _deviations(image), True
    elif image.unit is not None:
        sigma = in_unit("sigma", sigma, image.unit)
    unit = "" if image.unit is None else str(image.unit)
    wcs, notes = _world(image.wcs if beside.coords is None else None)  # which counts pixels
    labels = replace(_labels(np.ndim(image.data), unit, ImageBack(image)), wcs=wcs, notes=notes)
    return replace(beside, heights=image.data, mask=mask, sigma=sigma, absolute_sigma=absolute, labels=labels)


def _deviations(image: Any) -> np.ndarray:
    from astropy.nddata import StdDevUncertainty

    found = image.uncertainty.represent_as(StdDevUncertainty)
    if found.unit is not None and image.unit is not None:
        return np.asarray(found.quantity.to_value(image.unit))
    return np.asarray(found.array)


def _world(wcs: Any) -> tuple[str, tuple[str, ...]]:
    """World coordinates as the text of a FITS header, and what is not in it."""
    if wcs is None or not hasattr(wcs, "to_header_string"):
        return "", ()
    notes = ("world coordinates without their distortion",) if getattr(wcs, "has_distortion", False) else ()
    return wcs.to_header_string(relax=True), notes


def _labels(n_dim: int, unit: str, back: Any) -> Labels:
    return Labels(axis_names(n_dim), ("",) * n_dim, unit=unit, back=back)


def in_unit(name: str, values: Any, unit: Any) -> Any:
    """Values of a Quantity in a unit; plain numbers as they are."""
    if not hasattr(values, "unit"):
        return values
    from astropy.units import UnitConversionError

    try:
        return values.to_value(unit)
    except UnitConversionError:
        raise ValueError(f"`{name}` must be in a unit like {unit}, got {values.unit}") from None
