"""Synthetic surfaces: known components, rendered to 3e-11, and starts at a known distance from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import surfacefit as sf

# Widths around a centre within which a component is rendered: beyond, it is below 3e-11 of its height.
RENDERED_WIDTHS = 7.0


def random_components(size: int, n_components: int, seed: int = 0) -> sf.GaussianSurface:
    """Anisotropic components at random places of a size x size map: widths 0.3 to 0.6 of their mean distance, heights
    0.5 to 2.
    """
    rng = np.random.default_rng(seed)
    distance = size / np.sqrt(n_components)
    centers = rng.uniform(0, size - 1, (n_components, 2))
    widths, angles = rng.uniform(0.3, 0.6, (n_components, 2)) * distance, rng.uniform(0, np.pi, n_components)
    axes = np.stack(
        [np.stack([np.cos(angles), np.sin(angles)], -1), np.stack([-np.sin(angles), np.cos(angles)], -1)], 1
    )
    return sf.GaussianSurface(
        rng.uniform(0.5, 2, n_components), centers, np.einsum("kia,ki,kib->kab", axes, widths**2, axes)
    )


def repeated(size: int, n_components: int, times: int) -> tuple[sf.GaussianSurface, np.ndarray]:
    """Components and heights of a map that is put side by side ``times`` x ``times``, where one map of that size would
    take minutes to render: of `random_components` those that do not reach beyond the map's border.
    """
    surface = random_components(size, n_components)
    reach = RENDERED_WIDTHS * np.sqrt(np.diagonal(surface.covariances, axis1=1, axis2=2))
    inside = np.all((surface.centers >= reach) & (surface.centers <= size - 1 - reach), axis=1)
    surface = sf.GaussianSurface(surface.amplitudes[inside], surface.centers[inside], surface.covariances[inside])
    places = size * np.stack(np.indices((times, times)), axis=-1).reshape(-1, 1, 2)
    centers = (surface.centers + places).reshape(-1, 2)
    whole = sf.GaussianSurface(
        np.tile(surface.amplitudes, times**2), centers, np.tile(surface.covariances, (times**2, 1, 1))
    )
    return whole, np.tile(rendered(surface, size), (times, times))


def rendered(surface: sf.GaussianSurface, size: int) -> np.ndarray:
    """Heights (size, size) in plain NumPy, each component within RENDERED_WIDTHS of its widths."""
    heights, inverse = np.zeros((size, size)), np.linalg.inv(surface.covariances)
    reach = RENDERED_WIDTHS * np.sqrt(np.diagonal(surface.covariances, axis1=1, axis2=2))
    low = np.maximum(np.ceil(surface.centers - reach), 0).astype(int)
    high = np.minimum(np.floor(surface.centers + reach) + 1, size).astype(int)
    for k, ((top, left), (bottom, right)) in enumerate(zip(low, high, strict=True)):
        y = np.arange(top, bottom)[:, None] - surface.centers[k, 0]
        x = np.arange(left, right)[None, :] - surface.centers[k, 1]
        form = inverse[k, 0, 0] * y * y + 2 * inverse[k, 0, 1] * y * x + inverse[k, 1, 1] * x * x
        heights[top:bottom, left:right] += surface.amplitudes[k] * np.exp(-0.5 * form)
    return heights


def perturbed(surface: sf.GaussianSurface, distance: float, seed: int = 1) -> sf.GaussianSurface:
    """Centres moved by ``distance`` widths, widths and heights changed by that fraction (standard deviations)."""
    rng, n = np.random.default_rng(seed), surface.n_components
    widths = np.sqrt(np.trace(surface.covariances, axis1=1, axis2=2) / 2)
    return replace(
        surface,
        amplitudes=surface.amplitudes * np.exp(distance * rng.normal(size=n)),
        centers=surface.centers + distance * widths[:, None] * rng.normal(size=(n, 2)),
        covariances=surface.covariances * np.exp(2 * distance * rng.normal(size=n))[:, None, None],
    )
