"""Plain NumPy in loops, written from the formulas: the independent answers that tests compare with."""

import numpy as np


def surface_by_loops(amplitudes, centers, covariances, points, background=lambda point: 0.0):
    """b(x) + sum_k a_k exp(-(x - c_k)^T S_k^-1 (x - c_k) / 2), one point and one component at a time."""
    heights = np.zeros(len(points))
    for j, point in enumerate(points):
        heights[j] = background(point)
        for a, c, s in zip(amplitudes, centers, covariances, strict=True):
            heights[j] += a * np.exp(-0.5 * (point - c) @ np.linalg.inv(s) @ (point - c))
    return heights


def central_differences(function, params, step=1e-6):
    """Jacobian (N, P) of a vector function by central differences."""
    columns = []
    for i in range(len(params)):
        h = np.zeros(len(params))
        h[i] = step
        columns.append((np.asarray(function(params + h)) - np.asarray(function(params - h))) / (2 * step))
    return np.stack(columns, axis=1)


def random_covariances(rng, count, n_dim, scale=1.0):
    """Symmetric positive definite matrices with widths around ``scale``."""
    roots = rng.normal(size=(count, n_dim, n_dim)) * 0.3 + np.eye(n_dim)
    return scale**2 * (roots @ roots.swapaxes(1, 2) + 0.05 * np.eye(n_dim))


def random_surface(rng, count, n_dim, scale=0.4):
    """Arrays of a random surface within the cube [-1, 1]^d."""
    amplitudes = rng.uniform(0.5, 2, count)
    centers = rng.uniform(-0.8, 0.8, (count, n_dim))
    return amplitudes, centers, random_covariances(rng, count, n_dim, scale)


def same_surfaces(one, other, rtol):
    """Components agree after sorting both by centre."""

    def sort(surface):
        order = np.lexsort(np.round(np.asarray(surface.centers), 6).T)
        return [np.asarray(a)[order] for a in (surface.amplitudes, surface.centers, surface.covariances)]

    for a, b in zip(sort(one), sort(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
