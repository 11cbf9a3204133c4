"""Surrogates: averages over blocks represent their points, or are not used."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contexts import DOUBLE, params_of, search_context, state_of
from scipy.linalg import eigh

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._base.threads import single_threaded_blas
from surfacefit._data.coarsening import block_averages
from surfacefit._data.data import grid_data
from surfacefit._engines.jacobian import DenseEngine
from surfacefit._search.context import SharedProgress
from surfacefit._search.initialization import warm_ups
from surfacefit._search.surrogate import averages_suffice, suitable_surrogate, surrogate

SHAPE = (61, 50)
PLACES = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float), axis=-1)


def hills(width, count=4):
    rng = np.random.default_rng(1)
    centers = rng.uniform(8, 42, (count, 2))
    return sf.GaussianSurface(rng.uniform(1, 2, count), centers, np.repeat([width**2 * np.eye(2)], count, axis=0))


@pytest.mark.parametrize("side", [2, 3])
def test_averages_are_weighted_means(side):
    rng = np.random.default_rng(0)
    heights, sigma, mask = rng.normal(size=(7, 5)), rng.uniform(0.5, 2, (7, 5)), rng.random((7, 5)) < 0.3
    blocks = block_averages(grid_data(heights, None, mask, sigma), side)
    for i in range(-(-7 // side)):
        for j in range(-(-5 // side)):
            part = (slice(i * side, (i + 1) * side), slice(j * side, (j + 1) * side))
            w = np.where(mask[part], 0, 1 / sigma[part] ** 2)
            assert blocks.data.used[i, j] == (w.sum() > 0)
            if w.sum():
                assert blocks.data.heights[i, j] == pytest.approx((w * heights[part]).sum() / w.sum())
                assert blocks.data.sigma[i, j] == pytest.approx(w.sum() ** -0.5)
    assert blocks.data.axes[0][0] == pytest.approx((side - 1) / 2)
    assert blocks.data.axes[0][-1] == pytest.approx(np.arange(7)[(6 // side) * side :].mean())


@pytest.mark.parametrize(("width", "stands"), [(4.0, True), (0.6, False)])
def test_averages_are_used_where_components_span_their_blocks(width, stands):
    truth = hills(width)
    with precision(DOUBLE):
        context = search_context(truth(PLACES) + 0.1 * np.random.default_rng(0).normal(size=SHAPE), 4)
        small = surrogate(context)
        state = state_of(context, truth)
        assert small.block is not None
        assert (suitable_surrogate(context, small, state) is small) == stands
        inside = 0.5 * np.sum(context.views.residuals(state) ** 2) - 0.5 * np.sum(small.views.residuals(state) ** 2)
        if stands:  # the cost differs by the misfit within blocks: three of four parts of white noise
            assert inside == pytest.approx(0.75 * state.cost, rel=0.1)


@pytest.mark.parametrize(("height", "suffice"), [(0.0, True), (8.0, False)])
def test_what_grew_on_averages_stands_unless_they_hide_a_peak(height, suffice):
    """A spike of one sample loses three quarters of its height to a block of four."""
    truth = hills(4.0)
    heights = truth(PLACES) + 0.1 * np.random.default_rng(0).normal(size=SHAPE)
    heights[30, 5] += height
    with precision(DOUBLE):
        context = search_context(heights, 4)
        small, state = surrogate(context), state_of(context, truth)
        assert suitable_surrogate(context, small, state) is small
        assert averages_suffice(context, small, context.views.with_cost(state)) == suffice


def test_averages_of_the_tiled_engine_are_those_of_the_dense_one():
    truth = hills(4.0)
    heights = truth(PLACES) + 0.1 * np.random.default_rng(0).normal(size=SHAPE)
    with precision(DOUBLE):
        costs = []
        for engine in (sf.Dense(), sf.Tiled(cutoff=0.0)):
            context = search_context(heights, 4, engine=engine)
            small = surrogate(context)
            state = state_of(context, truth)
            assert suitable_surrogate(context, small, state) is small
            costs.append(small.views.with_cost(state).cost)
    assert costs[0] == pytest.approx(costs[1], rel=1e-5)


@pytest.mark.parametrize("row", [60, 61, 64])
def test_thinned_products_resemble_the_whole_in_every_direction(row):
    """Generalised eigenvalues of the thinned J^T J and the whole, along rows that the thinning would divide, too."""
    places = np.stack(np.mgrid[:80, :row].astype(float), axis=-1)
    truth = hills(6.0)
    with precision(DOUBLE):
        context = search_context(truth(places) + 0.1 * np.random.default_rng(0).normal(size=places.shape[:2]), 4)
        small = surrogate(context)
        problem, params = small.packing.problem(4), params_of(small, truth)
        residuals = jnp.zeros(len(problem.points), problem.points.dtype)
        normal = jax.jit(lambda problem, params: problem.linearize(params)[1].normal(residuals)[0].matrix)
        thinned, whole = (
            np.asarray(normal(replace(problem, engine=engine), params), float)
            for engine in (problem.engine, DenseEngine())
        )
    assert problem.engine.thinned > 1
    used = np.diag(whole) > 0  # a surrogate has room for more components
    ratios = eigh(thinned[np.ix_(used, used)], whole[np.ix_(used, used)], eigvals_only=True)
    assert used.sum() == 4 * 6
    assert 0.8 < ratios.min() <= ratios.max() < 1.25


def test_uneven_weights_are_not_thinned():
    """A few points that outweigh all others must not be missing from J^T J."""
    truth, sigma = hills(6.0), np.ones((80, 64))
    sigma[::7, ::13] = 0.01
    places = np.stack(np.mgrid[:80, :64].astype(float), axis=-1)
    heights = truth(places) + 0.1 * np.random.default_rng(0).normal(size=sigma.shape)
    with precision(DOUBLE):
        thinned = [
            surrogate(search_context(heights, 4, **options)).prepared.problem.engine.thinned
            for options in ({}, {"sigma": sigma})
        ]
        gaps = surrogate(
            search_context(np.where(sigma < 1, np.nan, heights), 4, mask=sigma[:, ::-1] < 1)
        ).prepared.problem.engine.thinned
    assert thinned[0] > 1
    assert (thinned[1], gaps) == (1, thinned[0])


@pytest.mark.parametrize(
    ("count", "engine", "there"), [(40, sf.Dense(), True), (60, sf.Dense(), True), (60, sf.Tiled(), False)]
)
def test_large_problems_of_the_dense_engine_have_smaller_ones(count, engine, there):
    places = np.stack(np.mgrid[:300, :300].astype(float), axis=-1)
    with precision(DOUBLE):
        assert (surrogate(search_context(hills(6.0)(places), count, engine=engine)) is not None) == there


def test_what_compiles_during_growth_counts_no_step():
    with precision(DOUBLE):
        context = search_context(hills(4.0)(PLACES), 4)
        for grows_on_small in (False, True):
            for tasks in warm_ups(context, surrogate(context), SharedProgress(), grows_on_small):
                for task in tasks:
                    task()
        assert context.progress.steps == 0


def test_blas_has_its_threads_again_whoever_leaves_first():
    from threadpoolctl import threadpool_info

    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, first, second = threads(), single_threaded_blas(1), single_threaded_blas(1)
    with ThreadPoolExecutor(1) as other:
        first.__enter__()
        other.submit(second.__enter__).result()
        assert set(threads()) == {1}
        first.__exit__(None, None, None)
        assert set(threads()) == {1}
        other.submit(second.__exit__, None, None, None).result()
    assert threads() == before
