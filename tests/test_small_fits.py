"""Very many very small fits: each lane ends in the minimum of the general solver, and knows of no other lane."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._base.status import STATUS, Status
from surfacefit._losses import loss_of
from surfacefit._model.amplitudes import AMPLITUDE_TYPES
from surfacefit._model.background import ConstantBackground
from surfacefit._model.covariance import COVARIANCE_TYPES
from surfacefit._model.parameters import Parameterization
from surfacefit._problem.problem import SurfaceProblem
from surfacefit._small_fits import chunks
from surfacefit._small_fits.chunks import SmallBatch, fit_small
from surfacefit._small_fits.gaussians import SmallModel
from surfacefit._small_fits.levenberg_marquardt import LaneSettings
from surfacefit._small_fits.stacks import SmallStack, fit_stack
from surfacefit._small_fits.surfaces import SurfaceLanes, packed
from surfacefit._small_fits.units import MisfitRule

DOUBLE = np.dtype(np.float64)
FLOOR = 0.01
TIGHT = LaneSettings(max_steps=60, ftol=1e-13, distance=1e-6)
CHUNK = 64
GENERAL = sf.LevenbergMarquardt(max_steps=60, slack=0)
# (components, axes, covariance type, amplitudes, loss)
CASES = [
    (1, 2, "spherical", "signed", "linear"),
    (1, 2, "full", "positive", "linear"),
    (1, 3, "full", "signed", "linear"),
    (1, 2, "diag", "positive", "cauchy"),
    (1, 2, "full", "positive", "poisson"),
    (2, 1, "diag", "positive", "linear"),
    (2, 2, "spherical", "positive", "linear"),
]


@pytest.fixture(autouse=True)
def small_chunks_of_lanes(monkeypatch):
    monkeypatch.setattr(chunks, "CPU_CHUNK_LANES", CHUNK)


def grid(n_dim):
    axes = [np.linspace(-1, 1, {1: 24, 2: 7, 3: 5}[n_dim])] * n_dim
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, n_dim)


def heights_of(lanes, points):
    """(B, N), by a plain loop."""
    heights = np.zeros((len(lanes.background), len(points)))
    for b in range(len(heights)):
        for a, c, matrix in zip(lanes.amplitudes[b], lanes.centers[b], lanes.covariances[b], strict=True):
            offsets = points - c
            heights[b] += a * np.exp(-0.5 * np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(matrix), offsets))
        heights[b] += lanes.background[b]
    return heights


def surfaces(count, n_components, n_dim, covariance_type, rng):
    """Components side by side along the first axis, of about 0.4 wide."""
    places = np.zeros((n_components, n_dim))
    places[:, 0] = np.linspace(-0.5, 0.5, n_components) if n_components > 1 else 0.1
    factors = 0.35 * np.eye(n_dim) * rng.uniform(0.9, 1.1, (count, n_components, 1, n_dim))
    if covariance_type == "spherical":
        factors = factors[..., :1, :1] * np.eye(n_dim)
    if covariance_type == "full":
        factors = factors + np.tril(rng.uniform(-0.1, 0.1, factors.shape), -1)
    return SurfaceLanes(
        rng.uniform(0.9, 1.1, (count, n_components)),
        places + rng.uniform(-0.05, 0.05, (count, n_components, n_dim)),
        factors @ np.swapaxes(factors, -1, -2),
        rng.uniform(0.1, 0.3, count),
    )


def problems(case, count=6, seed=0):
    """Model, batch and starts of lanes with noise, one of them with points of no weight."""
    n_components, n_dim, covariance_type, amplitudes, loss = case
    rng = np.random.default_rng(seed)
    model, points = SmallModel(n_components, n_dim, covariance_type, amplitudes), grid(n_dim)
    truth, near = (surfaces(count, n_components, n_dim, covariance_type, rng) for _ in range(2))
    heights, weights = heights_of(truth, points), rng.uniform(0.5, 1.5, (count, len(points)))
    if loss == "poisson":
        heights, weights = rng.poisson(60 * heights) / 60.0, np.ones_like(weights)
    else:
        heights += 0.03 * rng.normal(size=heights.shape)
    weights[1, :3] = 0
    scaled = loss_of(loss, 0.05, float(60 * heights.mean()))
    scaled = scaled.scaled(0.0, 60.0, 1.0) if loss == "poisson" else scaled
    floor = np.full(n_dim, FLOOR)
    batch = SmallBatch(points, heights, weights, floor, scaled, 1.0 if loss == "poisson" else None)
    return model, batch, packed(model, near, floor)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_minimum_is_that_of_the_general_solver(case):
    model, batch, start = problems(case)
    fits = fit_small(model, batch, start, TIGHT)
    parts = Parameterization(
        floor=jnp.asarray(batch.floor),
        background=ConstantBackground(np.float64(0)),
        n_active=np.float64(model.n_components),
        covariance=COVARIANCE_TYPES[model.covariance_type],
        n_components=model.n_components,
        amplitude=AMPLITUDE_TYPES[model.amplitudes],
    )
    with precision(DOUBLE):
        parts = jax.tree.map(lambda leaf: jnp.asarray(leaf, DOUBLE), parts)
        points, loss = jax.tree.map(lambda leaf: jnp.asarray(leaf, DOUBLE), (batch.points, batch.loss))

        def one(heights, weights, begin):
            problem = SurfaceProblem(points, heights, weights, parts, loss=loss, variance=batch.variance)
            return sf.solve(problem, begin, GENERAL)

        expected = jax.jit(jax.vmap(one))(*(jnp.asarray(a) for a in (batch.heights, batch.weights, start)))
    assert {STATUS[Status(int(code))].success for code in (*fits.status, *expected.status)} == {True}
    np.testing.assert_allclose(fits.cost, expected.cost, rtol=1e-9)
    np.testing.assert_allclose(fits.params, expected.params, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(packed(model, fits.surfaces, batch.floor), fits.params, rtol=1e-9, atol=1e-9)


def by_differences(function, x, step=1e-6):
    return np.stack([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))], axis=-1)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[4]], ids=str)
def test_standard_errors_are_those_of_finite_differences(case):
    model, batch, start = problems(case)
    fits = fit_small(model, batch, start, TIGHT, with_errors=True)
    d, spherical = model.n_dim, model.covariance_type == "spherical"
    lower = np.tril_indices(d)
    for b in range(len(start)):
        lane = jax.tree.map(lambda array, b=b: array[b : b + 1], fits.surfaces)

        def lanes_of(x, lane=lane):
            if spherical:
                matrix = x[1 + d] * np.eye(d)
            else:
                matrix = np.zeros((d, d))
                matrix[lower] = matrix.T[lower] = x[1 + d : -1]
            return SurfaceLanes(x[None, :1], x[None, None, 1 : 1 + d], matrix[None, None], x[-1:])

        entries = [lane.covariances[0, 0, 0, 0]] if spherical else lane.covariances[0, 0][lower]
        x = np.array([lane.amplitudes[0, 0], *lane.centers[0, 0], *entries, lane.background[0]])
        slopes = by_differences(lambda x: heights_of(lanes_of(x), batch.points)[0], x)
        rates = 60 / np.maximum(heights_of(lane, batch.points)[0], 1e-9) if case[4] == "poisson" else 1
        weights = (batch.weights[b] > 0) * rates if case[4] == "poisson" else batch.weights[b] ** 2
        expected = np.sqrt(np.diag(np.linalg.inv(slopes.T @ (weights[:, None] * slopes))))
        errors = jax.tree.map(lambda array, b=b: array[b], fits.errors)
        own = [errors.covariances[0, 0, 0]] if spherical else errors.covariances[0][lower]
        found = [errors.amplitudes[0], *errors.centers[0], *own, errors.background]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def same(a, b):
    return all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def spoiled(batch, start, lane, heights=None, start_value=None):
    """The same batch with other heights, or another start, in one lane."""
    new, begin = batch.heights.copy(), start.copy()
    if heights is not None:
        new[lane] = heights
    if start_value is not None:
        begin[lane] = start_value
    return SmallBatch(batch.points, new, batch.weights, batch.floor, batch.loss, batch.variance), begin


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_lane_knows_of_another(dtype):
    model, batch, start = problems(CASES[1], count=CHUNK + 3)
    start, settings = start.astype(dtype), LaneSettings(max_steps=20)
    whole = fit_small(model, batch, start, settings, with_errors=True)
    bad = [np.nan, np.inf, 0.5, 1e12, 0.0]
    for lane, height in enumerate(bad):
        batch, start = spoiled(batch, start, lane, heights=height)
    batch, start = spoiled(batch, start, len(bad), start_value=np.nan)
    rest = slice(len(bad) + 1, None)
    mixed = fit_small(model, batch, start, settings, with_errors=True)
    assert same(*(jax.tree.map(lambda array: array[rest], fits) for fits in (whole, mixed)))
    few = slice(len(bad) + 1, len(bad) + 40)
    alone = SmallBatch(batch.points, batch.heights[few], batch.weights[few], batch.floor, batch.loss)
    assert same(
        fit_small(model, alone, start[few], settings, with_errors=True),
        jax.tree.map(lambda array: array[few], whole),
    )
    assert [Status(int(code)) for code in mixed.status[[0, 1, len(bad)]]] == [Status.NON_FINITE] * 3
    assert np.isfinite(mixed.params[: len(bad)]).all()
    assert not np.isnan(mixed.cost).any()
    np.testing.assert_array_equal(mixed.params[:2], start[:2])


def test_what_single_precision_allows_is_reached():
    """A cost that no longer shows the fall does not end a lane before its minimum."""
    model, batch, start = problems(CASES[0], count=40)
    single = fit_small(model, batch, start.astype(np.float32), LaneSettings(max_steps=20), with_errors=True)
    double = fit_small(model, batch, start, TIGHT, with_errors=True)
    spread = np.sqrt(2 * double.cost / (len(batch.points) - model.n_parameters))
    for name in ("amplitudes", "background"):
        moved = np.abs(getattr(single.surfaces, name) - getattr(double.surfaces, name)).reshape(len(start))
        assert (moved < 2e-3 * spread * getattr(double.errors, name).reshape(len(start))).all()


def test_ends():
    """Exact heights, no steps, no points, and a fit that its data do not determine."""
    model, batch, start = problems(CASES[0], count=4)
    exact = heights_of(surfaces(4, 1, 2, "spherical", np.random.default_rng(5)), batch.points)
    weights = batch.weights.copy()
    weights[2] = 0
    weights[3, 3:] = 0
    exact[2:] = batch.heights[2:]
    lanes = SmallBatch(batch.points, exact, weights, batch.floor, batch.loss)
    fits = fit_small(model, lanes, start, LaneSettings(), with_errors=True)
    assert [Status(int(code)) for code in fits.status[:3]] == [Status.EXACT] * 3
    assert np.isinf(fits.errors.amplitudes[2:]).all()
    assert np.isfinite(fits.params).all()
    none = fit_small(model, lanes, start, LaneSettings(max_steps=0))
    assert Status(int(none.status[0])) == Status.MAX_STEPS
    np.testing.assert_array_equal(none.params, start)


def test_a_known_variance_says_how_near_a_minimum_is():
    """The distance to the minimum counts in standard errors: where these are known to be large, a lane ends sooner."""
    model, batch, start = problems(CASES[0], count=4)
    settings = LaneSettings(ftol=1.0)
    large, small = (fit_small(model, replace(batch, variance=s2), start, settings) for s2 in (1e4, 1e-12))
    assert (large.steps < small.steps).all()
    assert [Status(int(code)) for code in large.status] == [Status.CONVERGED_COST] * 4


# (covariance type, amplitudes, loss, whether sigmas are absolute)
STACKS = [
    ("spherical", "signed", "linear", False),
    ("full", "positive", "linear", True),
    ("full", "positive", "poisson", False),
    ("diag", "positive", "huber", False),
]


def stack_of(covariance_type, amplitudes, loss, absolute, count=3):
    """Spots of 7 x 7 pixels over 1000, with two missing points, in the user's units."""
    model, points, rng = SmallModel(1, 2, covariance_type, amplitudes), 3 * grid(2) + 3, np.random.default_rng(1)
    truth = surfaces(count, 1, 2, covariance_type, rng)
    truth = SurfaceLanes(
        400 * truth.amplitudes, 3 * truth.centers + 3, 9 * truth.covariances, 100 + 1000 * truth.background
    )
    if amplitudes == "signed":
        truth.amplitudes[1] *= -1
    heights = heights_of(truth, points)
    heights = rng.poisson(heights).astype(float) if loss == "poisson" else heights + 12 * rng.normal(size=heights.shape)
    sigma = np.ones_like(heights) if loss == "poisson" else rng.uniform(8, 16, heights.shape)
    heights[0, [0, 9]] = np.nan
    weights = np.where(np.isnan(heights), 0, 1 / sigma)
    rule = MisfitRule(loss, 2.0, absolute)
    return model, SmallStack(points, heights, weights, np.full(2, 0.25), rule), sigma


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_a_stack_ends_where_single_fits_end(case):
    model, stack, sigma = stack_of(*case)
    fits = fit_stack(model, stack, TIGHT, dtype=DOUBLE, with_errors=True)
    for b, heights in enumerate(stack.heights):
        counts = case[2] == "poisson"
        near = sf.GaussianSurface(*(part[b] for part in fits.surfaces[:3]), float(fits.surfaces.background[b]) + 1)
        result = sf.fit(
            heights.reshape(7, 7),
            1,
            init=near,
            covariance_type=case[0],
            amplitudes=case[1],
            loss=case[2],
            **({} if counts else {"sigma": sigma[b].reshape(7, 7), "absolute_sigma": case[3]}),
            **({"f_scale": 2.0} if case[2] == "huber" else {}),
            search=0,
            reset=False,
            solver=GENERAL,
            progress=False,
        )
        assert STATUS[Status(int(fits.status[b]))].success
        np.testing.assert_allclose(fits.cost[b], result.cost, rtol=1e-8)
        for mine, its in ((fits.surfaces, result.surface), (fits.errors, result.standard_errors)):
            np.testing.assert_allclose(mine.amplitudes[b], its.amplitudes, rtol=1e-4)
            np.testing.assert_allclose(mine.centers[b], its.centers, rtol=1e-4)
            np.testing.assert_allclose(mine.covariances[b], its.covariances, rtol=1e-4, atol=1e-5)


def test_a_start_is_needed_for_two():
    _, stack, _ = stack_of(*STACKS[0])
    with pytest.raises(ValueError, match="`start` is needed"):
        fit_stack(SmallModel(2, 2), stack, TIGHT, dtype=DOUBLE)


@pytest.mark.parametrize("height", [0.0, 7.0, 1e100, 1e-100, np.nan])
def test_hostile_lanes_stay_finite_and_leave_the_others_alone(height):
    model, stack, _ = stack_of(*STACKS[1])
    settings = LaneSettings(max_steps=10)
    before = fit_stack(model, stack, settings, dtype=np.dtype(np.float32), with_errors=True)
    heights, weights = stack.heights.copy(), stack.weights.copy()
    heights[1] = height
    if np.isnan(height):
        weights[1] = 0
    other = SmallStack(stack.points, heights, weights, stack.min_widths, stack.rule)
    after = fit_stack(model, other, settings, dtype=np.dtype(np.float32), with_errors=True)
    assert same(*(jax.tree.map(lambda array: array[[0, 2]], fits) for fits in (before, after)))
    assert not any(np.isnan(leaf[1]).any() for leaf in jax.tree.leaves(after))
