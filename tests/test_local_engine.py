"""Components near each tile: heights and gradients are the dense engine's, which takes over where tiles are crowded."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._engines.jacobian import DenseEngine, LocalEngine
from surfacefit._lists.tiles import grid_tiles, scattered_tiles
from surfacefit._problem.problem import SurfaceProblem

SHAPE, COUNT = (24, 20), 18
CUTOFF = 1e-6


def surface(seed=0, shape=SHAPE, count=COUNT):
    rng = np.random.default_rng(seed)
    factors = np.tril(rng.uniform(-0.4, 0.4, (count, 2, 2)), -1) + rng.uniform(0.6, 1.2, (count, 2, 1)) * np.eye(2)
    centers = rng.uniform(0, np.array(shape) - 1.0, (count, 2))
    return sf.GaussianSurface(rng.uniform(1, 2, count), centers, factors @ factors.swapaxes(1, 2), background=0.5)


def with_lists(problem, points, rooms, scattered):
    used = np.ones(SHAPE, bool)
    tiling = scattered_tiles(points, 30) if scattered else grid_tiles(points, used, 30)
    place = np.zeros(len(points), np.int32)
    filled = np.flatnonzero(tiling.filled)
    place[tiling.order.ravel()[filled]] = filled
    rooms = ((tiling.n_tiles - 4, *rooms[0]), (4, *rooms[1]))
    arrays = (tiling.filled.astype(float), place, tiling.middle, tiling.half)
    return replace(problem, engine=LocalEngine(tiling.order, *map(jnp.asarray, arrays), jnp.asarray(CUTOFF), rooms))


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("rooms", [((18, 18), (18, 18)), ((2, 1), (1, 1))])
def test_local_is_dense_to_the_cutoff(scattered, rooms):
    with precision(np.dtype(float)):
        start, points = surface(), np.stack(np.indices(SHAPE), axis=-1).reshape(-1, 2).astype(float)
        if scattered:
            points = points[np.random.default_rng(1).permutation(len(points))]
        weights = np.random.default_rng(2).uniform(0.5, 2, len(points))
        dense, params = SurfaceProblem.from_start(
            jnp.asarray(points), jnp.asarray(start(points) + 0.1), start, sigma=jnp.asarray(1 / weights), min_width=0.1
        )
        local = with_lists(dense, points, rooms, scattered)
        enough = rooms[0][0] == COUNT
        complete = local.engine.near(local.parameterization.components(params)).complete
        assert bool(complete) is enough

        def all_of_it(problem, params, error):
            residuals, jacobian = problem.linearize(params)
            normal, gradient = jacobian.normal(residuals, error)
            return residuals, normal.matrix, gradient

        plain, found = (jax.jit(all_of_it)(problem, params, 0.0) for problem in (dense, local))
        scale = np.sqrt(np.diag(plain[1]))
        np.testing.assert_allclose(found[0], plain[0], atol=CUTOFF * COUNT * 2)
        np.testing.assert_allclose(found[2] / scale, plain[2] / scale, atol=1e-5)
        away = np.abs(found[1] - plain[1]) / scale / scale[:, None]
        assert away.max() < (0.02 if enough else 1e-12)
        assert np.linalg.eigvalsh(np.asarray(found[1]))[0] > -1e-9 * np.linalg.eigvalsh(np.asarray(found[1]))[-1]


def test_what_is_not_finite_is_not_hidden():
    with precision(np.dtype(float)):
        start, points = surface(), np.stack(np.indices(SHAPE), axis=-1).reshape(-1, 2).astype(float)
        dense, params = SurfaceProblem.from_start(jnp.asarray(points), jnp.asarray(start(points)), start, min_width=0.1)
        local = with_lists(dense, points, ((18, 18), (18, 18)), scattered=False)
        assert isinstance(dense.engine, DenseEngine)
        assert np.isnan(np.asarray(local.residuals(params.at[7].set(np.nan)))).any()


@pytest.mark.slow
def test_many_components_of_each_map_are_fitted_as_alone():
    truth, shape = [surface(seed, (40, 36)) for seed in range(3)], (40, 36)
    points = np.stack(np.indices(shape), axis=-1).astype(float)
    rng = np.random.default_rng(0)
    maps = np.array([one(points) + rng.normal(0, 0.05, shape) for one in truth])
    moved = [replace(one, centers=one.centers + rng.normal(0, 0.2, one.centers.shape)) for one in truth]
    batch = sf.fit_many(maps, COUNT, init=moved)
    for n, (heights, start) in enumerate(zip(maps, moved, strict=True)):
        alone = sf.fit(heights, COUNT, init=start)
        assert batch.rmse[n] == pytest.approx(alone.rmse, rel=1e-3)
        np.testing.assert_allclose(batch.standard_errors.centers[n], alone.standard_errors.centers, rtol=0.05)
    few = sf.fit_many(maps[:2], COUNT, init=moved[:2])
    np.testing.assert_array_equal(few.amplitudes, batch.amplitudes[:2])
