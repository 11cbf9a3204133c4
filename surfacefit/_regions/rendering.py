"""Components added to the cells of a grid, each as far as it is felt."""

from __future__ import annotations

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
    for k, center in enumerate(surface.centers):
        window = tuple(slice(a, b) for a, b in zip(low[k], high[k], strict=True))
        offsets = [axis[part] - c for axis, part, c in zip(axes, window, center, strict=True)]
        values[window] += amplitudes[k] * np.exp(_form(halves[k], offsets))


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


def _form(matrix: np.ndarray, offsets: list[np.ndarray]) -> np.ndarray:
    """x^T M x for x on a lattice, given by its offsets along each axis."""
    n_dim = len(offsets)
    shaped = [axis.reshape((-1,) + (1,) * (n_dim - 1 - i)) for i, axis in enumerate(offsets)]
    total = matrix[-1, -1] * shaped[-1] ** 2
    for i in range(n_dim - 2, -1, -1):
        slope = sum((2 * matrix[i, j] * shaped[j] for j in range(i + 1, n_dim)), matrix[i, i] * shaped[i])
        total = total + shaped[i] * slope
    return np.asarray(total)
