"""Surfaces in the units of a fit, and back in the user's."""

from __future__ import annotations

from .background import background_model
from .scaling import Scaling
from .surface import GaussianSurface


def to_internal(surface: GaussianSurface, scaling: Scaling) -> GaussianSurface:
    """The surface in the units of the fit."""
    return GaussianSurface(
        surface.amplitudes / scaling.height_scale,
        scaling.points(surface.centers),
        surface.covariances / (scaling.point_scale[:, None] * scaling.point_scale[None, :]),
        background_model(surface.background).to_internal(scaling),
    )


def to_physical(surface: GaussianSurface, scaling: Scaling) -> GaussianSurface:
    """The surface in the user's units."""
    return GaussianSurface(
        surface.amplitudes * scaling.height_scale,
        surface.centers * scaling.point_scale + scaling.point_shift,
        surface.covariances * (scaling.point_scale[:, None] * scaling.point_scale[None, :]),
        background_model(surface.background).to_physical(scaling),
    )
