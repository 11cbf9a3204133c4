"""Widths at `min_width`: a bound like any other, that a fit reaches, is held by, and leaves again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import central_differences

import surfacefit as sf
from surfacefit import ComponentFlag as FLAG
from surfacefit._model.covariance.base import LEAST_EXCESS
from surfacefit._model.step_lengths import near_floor

POINTS = np.stack(np.mgrid[:11, :13], axis=-1).reshape(-1, 2).astype(float)
KINDS = ["full", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("diag", "spherical", "tied"))]
PLAIN = {"search": 0, "reset": False, "contained": False}


solved = jax.jit(sf.solve)


def gaussian(amplitude, center, pivots, aslant):
    """By its Cholesky factor [[p0, 0], [q, p1]]."""
    d = POINTS - center
    u = d[:, 0] / pivots[0]
    return amplitude * np.exp(-0.5 * (u**2 + ((d[:, 1] - aslant * u) / pivots[1]) ** 2))


def noisy(seed, n=1):
    """Peaks of which some widths are far below one sample, in noise."""
    rng = np.random.default_rng(seed)
    heights = 0.2 * rng.normal(size=len(POINTS))
    for _ in range(n):
        widths = np.maximum(rng.uniform(0.05, 2.5, 2), 0.2)
        heights += gaussian(rng.uniform(2, 5), rng.uniform([3, 3], [8, 10]), widths, 0.0)
    return heights.reshape(11, 13)


def decrement(result, kind, floor):
    """How far chi2 / s^2 would still fall, by Newton's decrement in pivots: a pivot at the floor is free where the cost
    falls as it grows. In plain NumPy, with central differences.
    """
    surface, heights = result.surface, np.asarray(result.data.heights).ravel()
    factor = np.linalg.cholesky(surface.covariances)[0]
    level = float(np.ravel(np.asarray(surface.background.vector()))[0])
    shape = {"spherical": [factor[0, 0]], "diag": [factor[0, 0], factor[1, 1]]}
    shape = shape.get(kind, [factor[0, 0], factor[1, 1], factor[1, 0]])
    at = np.array([*surface.amplitudes, *surface.centers[0], level, *shape])

    def residuals(v):
        aslant = v[6] if len(v) == 7 else 0.0
        return gaussian(v[0], v[1:3], (v[4], v[min(5, len(v) - 1)]), aslant) + v[3] - heights

    rows, here = central_differences(residuals, at), residuals(at)
    gradient = rows.T @ here
    held = np.zeros(len(at), bool)
    held[4:6] = ((at <= floor * (1 + 1e-6)) & (gradient >= 0))[4:6]
    rows, gradient = rows[:, ~held], gradient[~held]
    variance = 2 * result.cost / (len(heights) - len(at))
    return gradient @ np.linalg.lstsq(rows.T @ rows, gradient, rcond=1e-12)[0] / variance, held.any()


@pytest.mark.parametrize("kind", KINDS)
def test_successes_at_the_floor_are_minima(kind):
    """They were not: a free number ran to -1e8, and every other step looked small beside it."""
    held = []
    for seed in range(12):
        floor = (0.5, 1.0, 1.5)[seed % 3]
        result = sf.fit(noisy(seed), 1, covariance_type=kind, min_width=floor, init="peaks", **PLAIN)
        left, at_floor = decrement(result, kind, floor)
        assert not result.success or left < 0.02, (seed, result.status)
        held.append(at_floor and result.success)
    assert sum(held) >= 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "solver",
    [sf.LevenbergMarquardt(), pytest.param(sf.Dogleg(), marks=pytest.mark.slow)],
    ids=["lm", "dogleg"],
)
def test_a_width_leaves_its_floor(kind, solver):
    """From the very bound a fit ends as low as from the right size, a few steps later. Beside a component of the right
    size the mean scale of the widths held it there, and a step in the free number led much too far.
    """
    with jax.enable_x64(True):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            centers = rng.uniform([2, 2], [4, 4], (2, 2)) + np.array([[0, 0], [5, 6]])
            truth = sf.GaussianSurface(np.array([3.0, 4.0]), centers, np.tile(3 * np.eye(2), (2, 1, 1)))
            heights = (truth(POINTS) + 0.1 * rng.normal(size=len(POINTS))) / 4
            start = sf.GaussianSurface(jnp.full(2, 0.3), jnp.asarray(centers) / 6, jnp.tile(jnp.eye(2) / 9, (2, 1, 1)))
            problem, params = sf.SurfaceProblem.from_start(
                POINTS / 6, heights, start, covariance_type=kind, min_width=0.15
            )
            low = near_floor(problem.parameterization, LEAST_EXCESS)
            first = jnp.arange(len(params)) < problem.parameterization.layout.block_size
            at_floor = jnp.where(jnp.isfinite(low) & (first | (kind == "tied")), low, params)
            ends = [solved(problem, one, solver) for one in (params, at_floor)]
            np.testing.assert_allclose(ends[1].cost, ends[0].cost, rtol=1e-3, err_msg=str(ends))
            assert int(ends[1].steps) <= int(ends[0].steps) + 12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_width_at_the_floor_has_no_error_and_the_amplitude_one_beside_it(kind, dtype):
    heights = np.zeros((9, 9))
    heights[4, 4] = 3.0
    heights += 0.01 * np.random.default_rng(0).normal(size=heights.shape)
    result = sf.fit(heights.astype(dtype), 1, covariance_type=kind, min_width=0.8, init="peaks", **PLAIN)
    assert result.at_floor.all()
    flags = result.flags[0]
    assert FLAG.AT_FLOOR in flags
    assert FLAG.UNDETERMINED not in flags
    errors = result.standard_errors
    assert np.isinf(errors.covariances[0, [0, 1], [0, 1]]).all()
    assert np.isfinite(errors.amplitudes).all()
    assert np.isfinite(errors.centers).all()
    spot = np.exp(-0.5 * ((np.mgrid[:9, :9] - 4) ** 2).sum(axis=0) / 0.64).ravel()
    columns = np.stack([spot, np.ones(81)], axis=1)
    beside = np.sqrt(2 * result.cost / (81 - result.n_parameters) * np.linalg.inv(columns.T @ columns)[0, 0])
    np.testing.assert_allclose(errors.amplitudes[0], beside, rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_leads_below_the_bound(kind):
    """However long, and a step to larger widths grows them as the linear model says."""
    start = sf.GaussianSurface(jnp.ones(2), jnp.zeros((2, 2)), jnp.tile(0.04 * jnp.eye(2), (2, 1, 1)))
    with jax.enable_x64(True):
        problem, params = sf.SurfaceProblem.from_start(
            POINTS, np.zeros(len(POINTS)), start, covariance_type=kind, min_width=0.2
        )
        parts = problem.parameterization
        low = np.asarray(near_floor(parts, LEAST_EXCESS))
        widths = np.isfinite(low)
        assert widths.sum() == {"full": 4, "diag": 4, "spherical": 2, "tied": 2}[kind]
        moved = params + problem.within_trust_region(params, jnp.where(widths, -1e9, 0.0), jnp.asarray(np.inf))
        np.testing.assert_allclose(np.asarray(moved)[widths], low[widths])
        np.testing.assert_array_equal(problem.at_bound(moved, jnp.ones(len(low))), widths)
        assert not problem.at_bound(moved, -jnp.ones(len(low))).any()
        slopes = np.exp(low[widths])
        step = jnp.zeros(len(low)).at[np.flatnonzero(widths)].set(0.05 / slopes)
        grown = problem.surface(moved + problem.within_trust_region(moved, step, jnp.asarray(0.5)))
        found = np.sqrt(np.diagonal(np.asarray(grown.covariances), axis1=1, axis2=2))
        np.testing.assert_allclose(found, 0.25, rtol=1e-3)
