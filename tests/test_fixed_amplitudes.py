"""Fixed amplitudes over centres with bounds: starts on a bound leave it where the cost falls inside."""

import numpy as np
import pytest
from oracles import central_differences

import surfacefit as sf

X = np.arange(40.0)
FLOOR, WIDEST = 0.25, 39.0  # `min_width` and the extent of the data, in samples
NEAR = 1e-5  # of a limit


def problem(seed, n):
    """Heights, wrong fixed amplitudes, and bounds of the centres, of which every other one leaves the truth outside."""
    rng = np.random.default_rng(seed)
    centers, amplitudes, widths = rng.uniform(4, 36, n), rng.uniform(1, 4, n), rng.uniform(1, 5, n)
    heights = 1 + (amplitudes * np.exp(-0.5 * ((X[:, None] - centers) / widths) ** 2)).sum(axis=1)
    heights += 0.2 * rng.normal(size=len(X))
    low, high = centers - rng.uniform(0.3, 6, n), centers + rng.uniform(0.3, 6, n)
    if seed % 2:
        low[0] = centers[0] + rng.uniform(0.3, 2)
        high[0] = low[0] + rng.uniform(1, 4)
    return rng, heights, amplitudes * rng.uniform(0.4, 1.8, n), low, high


@pytest.mark.parametrize("n", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_no_fit_sticks_at_a_bound(n):
    """Of 2,760 such fits none did: at every success the gradient of each number at a limit points outside, and Newton's
    decrement over all others says that no more than a tenth of s^2 is left to win.
    """
    met = 0
    for seed in range(12):
        rng, heights, amplitudes, low, high = problem(seed, n)
        for at_bound in (True, False, True):
            first = np.where(rng.random(n) < 0.5, low, high) if at_bound else rng.uniform(low, high)
            shapes = np.full((n, 1, 1), rng.uniform(0.8, 6) ** 2)
            result = sf.fit(
                heights,
                n,
                init=sf.GaussianSurface(amplitudes, first[:, None], shapes, 1.0),
                fixed="amplitudes",
                bounds=sf.Bounds(centers=(low[:, None], high[:, None])),
                search=0,
                reset=False,
            )
            if not result.success:
                continue
            met += result.flags.tolist() != [0] * n
            left, inside = falls(result, low, high, heights)
            assert not inside.any(), (seed, first)
            assert left < 0.1, (seed, first, result.status)
    assert met > 4


def falls(result, low, high, heights):
    """The decrement over numbers that no limit holds, and which numbers (P,) at a limit the cost pulls inside."""
    surface, n = result.surface, result.n_components
    at = np.concatenate([surface.centers[:, 0], np.sqrt(surface.covariances[:, 0, 0]), surface.background.vector()])

    def residuals(v):
        c, s = v[:n], v[n : 2 * n]
        return v[-1] + (surface.amplitudes * np.exp(-0.5 * ((X[:, None] - c) / s) ** 2)).sum(axis=1) - heights

    rows, here = central_differences(residuals, at), residuals(at)
    gradient = rows.T @ here
    least = np.concatenate([low, np.full(n, FLOOR), [-np.inf]]) + NEAR
    most = np.concatenate([high, np.full(n, WIDEST), [np.inf]]) - NEAR
    held = ((at <= least) & (gradient >= 0)) | ((at >= most) & (gradient <= 0))
    rows = rows[:, ~held] / np.maximum(np.linalg.norm(rows[:, ~held], axis=0), 1e-12)
    basis, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    variance = 2 * result.cost / (len(X) - len(at))
    # Within the distance to which fits end a gradient may point anywhere.
    size = (
        np.abs(gradient)
        / np.sqrt(variance)
        / np.maximum(np.linalg.norm(central_differences(residuals, at), axis=0), 1e-12)
    )
    inside = ((at <= least) | (at >= most)) & ~held & (size > 0.3)
    return ((basis.T @ here)[sizes > 1e-6] ** 2).sum() / variance, inside
