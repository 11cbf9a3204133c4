"""Numbers that follow from a surface, as functions that JAX can differentiate: each gives an array (K, ...)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ._surface import FWHM_PER_WIDTH, GaussianSurface

ROUND = 1e-12


def principal_widths(surface: GaussianSurface) -> Array:
    """Principal standard deviations (K, d), larger first."""
    return jnp.sqrt(jnp.linalg.eigvalsh(surface.covariances)[:, ::-1])


def fwhm(surface: GaussianSurface) -> Array:
    """Full widths at half maximum (K, d)."""
    return FWHM_PER_WIDTH * principal_widths(surface)


def orientation(surface: GaussianSurface) -> Array:
    """Angles (K,) of the major axes in 2-D, from the second axis towards the first: tan(2 angle) = 2 S_01 / (S_11 - S_00)."""
    covariances = surface.covariances
    along, across = covariances[:, 1, 1] - covariances[:, 0, 0], 2 * covariances[:, 0, 1]
    # a round component has no angle: two exact zeros make its derivatives NaN, where rounding would make them any number
    told = jnp.hypot(along, across) > ROUND * (covariances[:, 0, 0] + covariances[:, 1, 1])
    return 0.5 * jnp.arctan2(jnp.where(told, across, 0.0), jnp.where(told, along, 0.0))


def volumes(surface: GaussianSurface) -> Array:
    """Integrals (K,) of the components."""
    return surface.amplitudes * jnp.sqrt(jnp.linalg.det(2 * jnp.pi * surface.covariances))
