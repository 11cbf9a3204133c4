"""Weights over many decades: a success is a minimum, of what the light points say as well."""

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._results.flags import flags
from surfacefit._runs.capped_weights import caps_of

X = np.arange(60.0)
PLAIN = {"coords": X, "search": 0, "reset": False}


TRUTH = {1: np.array([0, 1, 30, 5.0]), 2: np.array([0, 1, 16, 4, 0.7, 42, 5])}


def noisy(seed, n=1, sigma=1.0):
    rng = np.random.default_rng(seed)
    return rng, model(TRUTH[n]) + 0.05 * sigma * rng.normal(size=60)


def model(v):
    """A level, and amplitude, centre and deviation of each component."""
    return v[0] + sum(a * np.exp(-0.5 * ((X - c) / s) ** 2) for a, c, s in v[1:].reshape(-1, 3))


def slopes(v):
    columns = [np.ones(60)]
    for a, c, s in v[1:].reshape(-1, 3):
        u = (X - c) / s
        g = np.exp(-0.5 * u**2)
        columns += [g, a * g * u / s, a * g * u**2 / s]
    return np.stack(columns, axis=1)


def fall_to_minimum(result, sigma):
    """Newton's decrement in units of s^2 and without the squares of weights: QR of the rows, the heavy ones first."""
    surface, heights = result.surface, np.asarray(result.data.heights, float)
    shape = [surface.amplitudes, surface.centers[:, 0], np.sqrt(surface.covariances[:, 0, 0])]
    v = np.append(np.ravel(np.asarray(surface.background.vector())), np.stack(shape, axis=1).ravel())
    order = np.argsort(sigma, kind="stable")
    rows, residuals = ((array / sigma[:, None])[order] for array in (slopes(v), (model(v) - heights)[:, None]))
    q, _ = np.linalg.qr(rows)
    return float(((q.T @ residuals) ** 2).sum()) / (2 * result.cost / (60 - len(v)))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("init", ["grid", "peaks"])
def test_one_heavy_point_does_not_end_a_fit_early(n, init):
    """With one sigma of 1e-12 among ones, fits ended as converged at a cost of 23 where 0.09 is reached."""
    low = 0
    for seed in range(8):
        rng, heights = noisy(seed, n)
        sigma = np.ones(60)
        sigma[rng.integers(60)] = 1e-12
        result = sf.fit(heights, n, sigma=sigma, init=init, **PLAIN)
        if (flags(result, quick=True) & int(sf.ComponentFlag.NEGLIGIBLE)).any():
            continue  # without its amplitude a component has no minimum, and the flag says so
        assert not result.success or fall_to_minimum(result, sigma) < 0.1, (seed, result.status)
        low += result.success and result.cost < 0.2
    assert low >= 4


@pytest.mark.parametrize("decades", [3, 6, 9, 12])
def test_weights_over_many_decades(decades):
    """Spread evenly: a success is a minimum, and most fits succeed."""
    successes = 0
    for seed in range(6):
        sigma = 10.0 ** (-decades * np.random.default_rng(seed).uniform(size=60))
        _, heights = noisy(100 + seed, 1, sigma)
        result = sf.fit(heights, 1, sigma=sigma, init="peaks", **PLAIN)
        assert not result.success or fall_to_minimum(result, sigma) < 0.1, (seed, result.status)
        successes += result.success
    assert successes >= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_caps_rise_to_the_heaviest_weight(dtype):
    eps = np.finfo(dtype).eps
    assert caps_of(np.ones(5, dtype)) == []
    assert caps_of(np.zeros(5, dtype)) == []
    assert caps_of(np.array([0, 1, 0.9 * eps**-0.25, 1], dtype)) == []
    caps = caps_of(np.array([0, 1, 1, 1e8], dtype))
    ratios = np.diff(np.log([1, *caps, 1e8]))
    np.testing.assert_allclose(ratios[:-1], -0.07 * np.log(eps))
    assert 0 < ratios[-1] <= ratios[0] * (1 + 1e-9)


def test_a_limit_ends_all_stages_with_the_best():
    """No end is worse than the start, whichever stage it was in."""
    _, heights = noisy(0)
    sigma = np.ones(60)
    sigma[20] = 1e-10
    start = sf.GaussianSurface(np.array([1.0]), np.array([[28.0]]), np.array([[[16.0]]]), background=0.0)
    first = sf.fit(heights, 1, sigma=sigma, init=start, solver=sf.LevenbergMarquardt(max_steps=0), **PLAIN)
    for steps in (1, 3, 8):
        result = sf.fit(heights, 1, sigma=sigma, init=start, solver=sf.LevenbergMarquardt(max_steps=steps), **PLAIN)
        assert result.steps <= steps
        assert result.cost <= first.cost
    seen = []
    stopped = sf.fit(heights, 1, sigma=sigma, init=start, callback=lambda now: seen.append(now) or True, **PLAIN)
    assert stopped.status is sf.Status.STOPPED
    assert len(seen) == 1
    assert stopped.cost <= first.cost


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_maps_of_a_batch_are_fitted_as_alone(n):
    """Those with a heavy point beside those without one, which do not change."""
    heights = np.array([noisy(seed, n)[1] for seed in range(4)])
    sigma = np.ones((4, 60))
    sigma[1, 20] = sigma[3, 41] = 1e-12
    truth = TRUTH[n][1:].reshape(-1, 3)
    start = sf.GaussianSurface(0.8 * truth[:, 0], truth[:, 1:2] + 1, 0.8 * truth[:, 2, None, None] ** 2, 0.1)
    options = {"init": start, "coords": X}
    batch = sf.fit_many(heights, n, sigma=sigma, ndim=1, progress=False, **options)
    plain = sf.fit_many(heights, n, sigma=np.ones((4, 60)), ndim=1, progress=False, **options)
    for k in (1, 3):
        alone = sf.fit(heights[k], n, sigma=sigma[k], search=0, reset=False, **options)
        assert batch[k].status == alone.status
        np.testing.assert_allclose(batch[k].cost, alone.cost, rtol=1e-6)
        assert alone.success
        assert fall_to_minimum(batch[k], sigma[k]) < 0.1
    np.testing.assert_array_equal(batch.cost[[0, 2]], plain.cost[[0, 2]])
