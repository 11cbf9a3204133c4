"""Surfaces in the units of a fit, and back in the user's."""

from __future__ import annotations

from dataclasses import replace

from .background import background_model
from .scaling import Scaling
from .surface import GaussianSurface


def to_internal(surface: GaussianSurface, scaling: Scaling) -> GaussianSurface:
    """The surface in the units of the fit."""
    return replace(
        surface,
        amplitudes=surface.amplitudes / scaling.height_scale,
        centers=scaling.points(surface.centers),
        covariances=surface.covariances / (scaling.point_scale[:, None] * scaling.point_scale[None, :]),
        background=background_model(surface.background).to_internal(scaling),
        periods=scaling.periods(surface.periods),
    )


def to_physical(surface: GaussianSurface, scaling: Scaling) -> GaussianSurface:
    """The surface in the user's units."""
    return replace(
        surface,
        amplitudes=surface.amplitudes * scaling.height_scale,
        centers=surface.centers * scaling.point_scale + scaling.point_shift,
        covariances=surface.covariances * (scaling.point_scale[:, None] * scaling.point_scale[None, :]),
        background=background_model(surface.background).to_physical(scaling),
        periods=None
        if surface.periods is None
        else tuple(None if p is None else p * scaling.point_scale[i] for i, p in enumerate(surface.periods)),
    )
