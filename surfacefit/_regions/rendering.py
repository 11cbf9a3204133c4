"""Components added to the cells of a grid, each as far as it is felt."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._model.surface import GaussianSurface

# Widths around a centre within which a component is added: 4e-6 of its height are left at five.
RENDERED_WIDTHS = 5.0


def add_components(values: np.ndarray, axes: tuple[np.ndarray, ...], surface: GaussianSurface, sign: float) -> None:
    """Adds ``sign`` times components to values (n_1, ..., n_d) at the nodes of rising axes."""
    if not surface.n_components:
        return
    low, high = boxes(axes, surface, RENDERED_WIDTHS)
    halves, amplitudes = -0.5 * np.linalg.inv(surface.covariances), sign * np.asarray(surface.amplitudes)
    scratch = np.empty(int(np.prod(high - low, axis=1).max()))
    for k, center in enumerate(surface.centers):
        window = tuple(slice(a, b) for a, b in zip(low[k], high[k], strict=True))
        offsets = [axis[part] - c for axis, part, c in zip(axes, window, center, strict=True)]
        there = values[window]
        added = scratch[: there.size].reshape(there.shape)
        np.exp(_form(halves[k], offsets, added), out=added)
        added *= amplitudes[k]
        there += added


def boxes(axes: tuple[np.ndarray, ...], surface: GaussianSurface, widths: float) -> tuple[np.ndarray, np.ndarray]:
    """First nodes, and those after the last (K, d), within so many widths of each component along each axis; at least
    one node.
    """
    reach = widths * np.sqrt(np.einsum("kii->ki", surface.covariances))
    low, high = np.empty((2, *reach.shape), int)
    for i, axis in enumerate(axes):
        low[:, i] = np.minimum(np.searchsorted(axis, surface.centers[:, i] - reach[:, i]), len(axis) - 1)
        high[:, i] = np.searchsorted(axis, surface.centers[:, i] + reach[:, i], "right")
    return low, np.maximum(high, low + 1)


def _form(matrix: np.ndarray, offsets: list[np.ndarray], out: np.ndarray | None = None) -> np.ndarray:
    """x^T M x for x on a lattice, given by its offsets along each axis: what one axis adds is computed in place, since
    new arrays would take longer than the sums.
    """
    first, others = offsets[0], offsets[1:]
    if not others:
        return np.multiply(matrix[0, 0], first * first, out=out)
    column = first.reshape((-1,) + (1,) * len(others))
    slope: Any = 0.0
    for j, axis in enumerate(others, 1):
        slope = slope + 2 * matrix[0, j] * axis.reshape((-1,) + (1,) * (len(others) - j))
    total = np.add(matrix[0, 0] * column, slope, out=out)
    total *= column
    total += _form(matrix[1:, 1:], others)
    return total
