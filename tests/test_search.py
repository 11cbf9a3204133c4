"""Growth and search: starts that need no guess, minima better than the first one met, and nothing lost on the way."""

import itertools

import numpy as np
import pytest
from contexts import DOUBLE, search_context, state_of
from scipy.ndimage import gaussian_filter

import surfacefit as sf
import surfacefit._search.search
from surfacefit._base.precision import precision
from surfacefit._data import windows as _windows
from surfacefit._data.windows import Windows
from surfacefit._fit import run_starts
from surfacefit._model.surface import COMPONENT_ARRAYS, values_on_host
from surfacefit._search import growth, initialization, moves, perturbations, residual_views
from surfacefit._search.moves import Neighbourhood, apply_moves
from surfacefit._search.perturbations import background_freed
from surfacefit._search.refits import refit
from surfacefit._search.search import _share_much, may_be_noise
from surfacefit._search.surrogate import surrogate
from surfacefit._solvers import loop

NO_STEPS = sf.LevenbergMarquardt(max_steps=0)


def bumps(shape, count, seed=0, noise=0.0):
    """Well separated bumps on a map of any dimension, and their centres."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij"), axis=-1)
    centers = []
    while len(centers) < count:
        center = rng.uniform(3, np.array(shape) - 4)
        if all(np.linalg.norm(center - other) > 7 for other in centers):
            centers.append(center)
    heights = noise * rng.normal(size=shape)
    for center in centers:
        heights = heights + rng.uniform(1, 5) * np.exp(
            -0.5 * np.sum((grid - center) ** 2, axis=-1) / rng.uniform(1.2, 2) ** 2
        )
    return heights, np.array(centers)


def found(surface, centers, within=0.3):
    distance = np.linalg.norm(surface.centers[None] - centers[:, None], axis=-1)
    return bool((distance.min(axis=1) < within).all())


@pytest.mark.parametrize("background", ["constant", "plane"])
def test_a_component_that_serves_as_the_background_is_put_where_one_is_missing(background):
    heights, centers = bumps((40, 44), 6, noise=0.02)
    truth = sf.fit(heights, 6, init="peaks", background=background, search=0).surface
    wide = sf.GaussianSurface(np.array([0.4]), np.array([[20.0, 22.0]]), np.diag([60.0**2, 60.0**2])[None])
    parts = [np.concatenate([getattr(truth, n)[:5], getattr(wide, n)]) for n in COMPONENT_ARRAYS]
    with precision(DOUBLE):
        context = search_context(heights, 6, model={"background": background})
        state = state_of(context, sf.GaussianSurface(*parts, truth.background))
        state = refit(context, state.blocks, state.border, 2)
        freed = background_freed(context, state, state.cost)
        assert freed.cost < 0.1 * state.cost
        assert found(context.packing.physical(freed), centers)
        assert background_freed(context, freed, freed.cost) is None
        assert background_freed(context, state, 1e-9 * state.cost) is None
        alone = search_context(heights, 6)
        assert background_freed(alone, state_of(alone, sf.GaussianSurface(*parts)), np.inf) is None


@pytest.mark.parametrize("background", ["constant", "plane"])
def test_the_background_takes_over_what_a_wide_component_was(background, monkeypatch):
    """Before anything is refitted, from the least squares of all points."""
    heights, _ = bumps((20, 22), 2, noise=0.02)
    hill = sf.GaussianSurface(np.array([2.0]), np.array([[9.0, 8.0]]), 4 * np.eye(2)[None])
    wide = sf.GaussianSurface(np.array([0.4]), np.array([[3.0, 12.0]]), np.diag([45.0**2, 50.0**2])[None])
    parts = [np.concatenate([getattr(hill, n), getattr(wide, n)]) for n in COMPONENT_ARRAYS]
    monkeypatch.setattr(perturbations, "_regrown", lambda context, left, count: left)
    with precision(DOUBLE):
        context = search_context(heights, 2, model={"background": background})
        state = state_of(context, sf.GaussianSurface(*parts))
        left = background_freed(context, state, np.inf)
    assert left.size == 1
    points = context.views.points
    columns = np.stack([np.ones(len(points)), *(points.T if background == "plane" else [])], axis=1)
    values = values_on_host(context.packing.surface(state), points)[1]
    expected = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    model = context.prepared.host.parameterization.background
    found = model.with_vector(left.border)(points) - model.with_vector(state.border)(points)
    np.testing.assert_allclose(found, expected, atol=1e-9)


RESIDUALS = {
    "full": {},
    "signed, plane": {"amplitudes": "signed", "background": "plane"},
    "tied": {"covariance_type": "tied"},
    "diagonal, constant": {"covariance_type": "diag", "background": "constant"},
}


@pytest.mark.parametrize("model", RESIDUALS.values(), ids=RESIDUALS)
def test_residuals_by_numpy_are_those_of_the_compiled_program(model, monkeypatch):
    heights, _ = bumps((24, 25), 3, noise=0.05)
    heights[3, 4:7] = np.nan
    with precision(DOUBLE):
        context = search_context(heights, 3, model=model)
        state = context.views.state(context.packing.params(context.packing.even_start))
        assert context.views.on_host
        monkeypatch.setattr(residual_views, "HOST_VALUES", 0)
        compiled = search_context(heights, 3, model=model).views
        assert not compiled.on_host
        for each in (state, state._replace(blocks=state.blocks[:2])):
            np.testing.assert_allclose(context.views.residuals(each), compiled.residuals(each), atol=1e-12)
            np.testing.assert_allclose(context.views.with_cost(each).cost, compiled.with_cost(each).cost, rtol=1e-12)


def test_a_fit_that_finishes_on_all_points_goes_over_to_optimised_code(rough, monkeypatch):
    """The same steps whichever of the two programs takes them: here XLA optimises neither."""
    taken, advances = [], {name: getattr(loop, name) for name in ("_advance", "_advance_briefly")}
    for name, advance in advances.items():

        def noted(solver, problem, carry, most, name=name, advance=advance):
            after = advance(solver, problem, carry, most)
            taken.append((name, len(problem.points), int(carry.best.steps), int(after[0].best.steps)))
            return after

        monkeypatch.setattr(loop, name, noted)
    whole = sf.fit(rough, 4)
    assert {(name, points) for name, points, *_ in taken if name == "_advance_briefly"}
    monkeypatch.setattr(initialization, "FINISHING_STEPS", 3)
    taken.clear()
    changed = sf.fit(rough, 4)
    brief = [row for row in taken if row[0] == "_advance_briefly"]
    assert brief
    assert max(after for *_, after in brief) == 3
    points = brief[0][1]
    assert any(name == "_advance" and n == points and before == 3 for name, n, before, _ in taken)
    np.testing.assert_allclose(changed.surface.centers, whole.surface.centers, atol=1e-8)


def test_a_hurried_fit_compiles_no_moves_and_optimises_no_steps(rough, monkeypatch):
    def wanted(*args):
        pytest.fail("this needs a program that there is no time for")

    monkeypatch.setattr(moves, "local_refits", wanted)
    monkeypatch.setattr(loop, "_advance", wanted)
    result = sf.fit(rough, 6, max_time=3)
    assert result.rmse < rough.std()
    with pytest.raises(pytest.fail.Exception, match="no time for"):
        sf.fit(rough, 6, max_time=1000, init="grid", search=0)


@pytest.mark.parametrize(("shape", "count"), [((120,), 5), ((40, 50), 9), ((16, 18, 20), 4)])
@pytest.mark.parametrize("as_points", [False, True])
def test_growth_finds_all_bumps(shape, count, as_points):
    heights, centers = bumps(shape, count, noise=0.02)
    if as_points:
        points = np.argwhere(np.ones(shape, bool)).astype(float)
        result = sf.fit_points(points, heights.ravel(), count, init="growth")
    else:
        result = sf.fit(heights, count, init="growth")
    assert found(result.surface, centers)
    assert result.rmse < 0.022


@pytest.mark.slow
@pytest.mark.parametrize(
    ("covariance_type", "engine"),
    [*((kind, "dense") for kind in ("full", "diag", "spherical", "tied")), ("full", "tiled"), ("tied", "tiled")],
)
def test_growth_serves_every_covariance_type_and_engine(covariance_type, engine):
    heights, centers = bumps((40, 44), 6)
    result = sf.fit(heights, 6, covariance_type=covariance_type, engine=engine)
    assert found(result.surface, centers, within=0.6)


def test_growth_ignores_masked_places():
    heights, centers = bumps((40, 50), 6)
    spoiled = heights.copy()
    spoiled[10:16, 20:26] = 1e3
    mask = spoiled > 100
    inside = np.array([mask[tuple(np.round(c).astype(int))] for c in centers])
    assert found(sf.fit(spoiled, 6, mask=mask, init="growth").surface, centers[~inside])


def test_growth_weighs_places_by_sigma():
    """A high bump of no certainty is not worth a component; a low certain one is."""
    y, x = np.mgrid[:30, :40]
    certain = np.exp(-0.5 * ((y - 15) ** 2 + (x - 30) ** 2) / 9)
    doubtful = 5 * np.exp(-0.5 * ((y - 15) ** 2 + (x - 8) ** 2) / 9)
    sigma = np.where(x < 20, 1e3, 0.1)
    result = sf.fit(certain + doubtful, 1, sigma=sigma, background=None, init="growth")
    np.testing.assert_allclose(result.surface.centers, [[15, 30]], atol=0.1)
    peak = sf.fit(certain + doubtful, 1, sigma=sigma, background=None, init="peaks", solver=NO_STEPS).surface
    np.testing.assert_allclose(peak.centers, [[15, 30]], atol=1.5)
    np.testing.assert_allclose(peak.amplitudes, [1], rtol=0.3)


@pytest.fixture(scope="module")
def rough():
    """A rough map with many minima."""
    rng = np.random.default_rng(3)
    white = np.fft.fft2(rng.normal(size=(48, 48)))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48)))
    heights = np.fft.ifft2(white * np.exp(-0.5 * (k / 0.06) ** 2)).real
    return heights - heights.min()


@pytest.mark.slow
def test_search_is_never_worse_than_its_start_and_often_better(rough, clock):
    start = sf.fit(rough, 9, background=None, init="grid")
    clock.tick = 0.01
    searched = sf.fit(rough, 9, background=None, init=start.surface, search=3.0)
    assert searched.cost <= start.cost * (1 + 1e-9)
    assert searched.rmse < 0.95 * start.rmse
    assert (
        searched.rmse < 1.005 * sf.fit(rough, 9, background=None, init=start.surface).rmse
    )  # not only the start's own descent


@pytest.mark.slow
def test_auto_beats_the_plain_starts_and_growth_alone(rough):
    best = min(sf.fit(rough, 9, background=None, init=name).cost for name in ("grid", "peaks", "random"))
    grown = sf.fit(rough, 9, background=None, init="growth").cost
    assert sf.fit(rough, 9, background=None).cost < min(best, 0.98 * grown)


@pytest.mark.slow
def test_search_on_a_sample_helps_on_all_points(clock):
    """With 120 parameters and more, trials are made on some of the points."""
    heights, _ = bumps((110, 120), 24, noise=0.05)
    start = sf.fit(heights, 24, background=None, init="grid", reset=False)
    clock.tick = 0.01
    searched = sf.fit(heights, 24, background=None, init=start.surface, search=3.0)
    assert searched.rmse < 0.9 * start.rmse


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
@pytest.mark.parametrize("background", [None, "constant"])
def test_what_a_move_promises_comes_true(rough, covariance_type, background):
    """The fall in cost that a local refit sees is the one on the whole map, before any joint step; also of components
    at the edge of the data, over which they may not go.
    """
    model = {"background": background, "covariance_type": covariance_type}
    with precision(DOUBLE):
        context = search_context(rough, 9, model=model)
        state = context.views.background_only()
        state = refit(context, context.views.blocks_at_peaks(state, 9), state.border, 40)
        around = Neighbourhood(context, state)
        moves = around.refit_best(around.removals(np.arange(9)) + around.additions(4, np.arange(4)))
        for move in moves[:12]:
            after = context.views.with_cost(state._replace(blocks=apply_moves(state, [move])))
            assert abs(state.cost - after.cost - move.fall) < 0.05 * state.cost + 0.1 * abs(move.fall)


def test_steps_and_times_never_go_back(rough):
    seen = []
    result = sf.fit(rough, 9, background=None, search=0.3, callback=seen.append)
    for earlier, later in itertools.pairwise(seen):
        assert later.steps >= earlier.steps
        assert later.elapsed >= earlier.elapsed
        assert later.cost <= earlier.cost * (1 + 1e-9)
    assert result.steps >= seen[-1].steps


@pytest.mark.slow
@pytest.mark.parametrize("sampled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_search_that_is_stopped_keeps_what_it_has_found(rough, sampled, monkeypatch):
    """An interrupt in the middle of a climb: whatever the trials before it have won is there."""
    count, trials, calls = 14 if sampled else 6, surfacefit._search.search.trials, itertools.count()

    def interrupting(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return trials(*args)

    grown = sf.fit(rough, count, background=None, init="growth", solver=NO_STEPS)
    monkeypatch.setattr("surfacefit._search.search.trials", interrupting)
    result = sf.fit(rough, count, background=None, search=60.0)
    assert result.status == sf.Status.INTERRUPTED
    assert next(calls) == 3
    assert result.cost < 0.9 * grown.cost


def test_a_search_is_watched_and_ends_in_time(rough, clock):
    """Each look at the clock takes 10 ms, and it is looked at often enough: between two parts of the work."""
    clock.tick, begun, seen = 0.01, clock.now, []
    sf.fit(rough, 9, background=None, init="grid", search=0.8, callback=seen.append)
    assert 0.8 < clock.now - begun < 3
    assert max(b.elapsed - a.elapsed for a, b in itertools.pairwise(seen)) < 1


def test_a_callback_may_end_a_search(rough, clock):
    clock.tick, seen = 0.01, []
    result = sf.fit(
        rough, 9, background=None, init="grid", search=60.0, callback=lambda now: seen.append(now) or now.elapsed > 1
    )
    assert result.status == sf.Status.STOPPED
    assert [now.elapsed > 1 for now in seen].index(True) == len(seen) - 1
    assert result.timings.total < 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_surface(rough):
    one, two = (sf.fit(rough, 5, background=None, seed=4).surface for _ in range(2))
    np.testing.assert_array_equal(one.centers, two.centers)


@pytest.mark.slow
def test_limits_hold_during_growth_and_search(rough, clock):
    clock.tick, begun = 0.01, clock.now
    result = sf.fit(rough, 12, background=None, search=60.0, max_time=1.5)
    assert clock.now - begun < 3
    assert result.success or result.status == sf.Status.MAX_TIME  # the search leaves time for the steps at the end
    assert result.surface.n_components == 12
    assert np.isfinite(result.rmse)


@pytest.mark.parametrize("after", [1, 3])
def test_a_callback_may_end_growth(rough, after):
    seen = []

    def stop(progress):
        seen.append(progress.rmse)
        return len(seen) >= after

    result = sf.fit(rough, 12, background=None, callback=stop)
    assert result.status == sf.Status.STOPPED
    assert result.surface.n_components == 12
    assert result.rmse <= seen[-1] * (1 + 1e-6)


def test_ctrl_c_during_growth_keeps_what_has_grown_and_fills_up_from_peaks(rough):
    seen = []

    def interrupt(progress):
        seen.append(progress.rmse)
        if len(seen) == 3:
            raise KeyboardInterrupt

    result = sf.fit(rough, 12, background=None, callback=interrupt)
    assert result.status == sf.Status.INTERRUPTED
    assert result.rmse <= seen[-1] * (1 + 1e-6)
    assert not np.any(result.flags & sf.ComponentFlag.NEGLIGIBLE)


def test_time_that_does_not_suffice_for_growth_is_left_for_peaks_and_steps(rough, clock, monkeypatch):
    """The clock jumps past growth's share of the time in its second round, and stands still then."""
    rounds, refit = [], growth.refit

    def slow(*arguments):
        rounds.append(len(arguments[1]))
        clock.now += 40 * (len(rounds) == 2)
        return refit(*arguments)

    monkeypatch.setattr(growth, "refit", slow)
    result = sf.fit(rough, 12, background=None, max_time=50)
    assert rounds == [2, 3]
    assert result.status == sf.Status.MAX_TIME
    assert result.steps > 2 * growth.GROWTH_STEPS
    peaks = sf.fit(rough, 12, background=None, init="peaks", search=0)
    assert result.rmse < 1.2 * peaks.rmse
    assert not np.any(result.flags & sf.ComponentFlag.NEGLIGIBLE)


def test_ctrl_c_while_the_solver_compiles_keeps_what_has_grown(rough, monkeypatch):
    calls, run = [], run_starts.run

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(run_starts, "run", interrupted)
    result = sf.fit(rough, 12, background=None, init="growth")
    assert result.status == sf.Status.INTERRUPTED
    assert result.rmse < 0.5 * np.std(rough)


def test_a_search_ends_where_only_noise_is_left(monkeypatch):
    """Growth finds five separate bumps in noise, and no move is tried after it; of four it is."""
    z, centers = bumps((28, 28), 5, noise=0.05)
    rounds = []
    monkeypatch.setattr(surfacefit._search.search, "trials", lambda *args: rounds.append(args) or [])
    result = sf.fit(z, 5, background=None)
    found = result.surface.centers
    assert np.linalg.norm(found[:, None] - centers, axis=2).min(axis=0).max() < 1
    assert not rounds
    sf.fit(z, 4, background=None)
    assert rounds


def test_what_averages_hide_is_no_noise():
    """Roughness of less than a block is shared by neighbours, but hardly by averages of blocks."""
    noise = np.random.default_rng(0).normal(size=(64, 64))
    shape = sf.GaussianSurface([1e-9], [[30.0, 30]], [np.eye(2)])
    for heights, expected in ((noise, True), (gaussian_filter(noise, 0.43), False)):
        with precision(DOUBLE):
            context = search_context(heights, 1)
            small, state = surrogate(context), state_of(context, shape)
            assert not _share_much(Neighbourhood(small, state).residuals)
            assert may_be_noise(Neighbourhood(small, state)) == expected


@pytest.mark.slow
def test_flat_and_tiny_maps_grow_nothing_wrong():
    assert np.isfinite(sf.fit(np.zeros((12, 12)), 3, background=None).rmse)
    assert np.isfinite(sf.fit(np.full((12, 12), -2.0), 2, background=None).rmse)
    assert sf.fit(np.ones((5, 5)), 1).rmse < 1e-6


@pytest.mark.parametrize("search", [-1.0, "long", True, np.nan, [1.0]])
def test_a_search_time_that_cannot_be_meant_is_refused(search):
    with pytest.raises((TypeError, ValueError), match="search"):
        sf.fit(np.eye(8), 1, search=search)


def test_windows_of_long_ridges_are_full(rng):
    """A ridge that runs off the map is sampled as densely as one that does not."""
    windows = Windows(rng.uniform(-1, 1, size=(160_000, 2)), 2048)
    covariance = np.diag([10.0**2, 0.02**2])
    level = windows.level(covariance)
    index, scale = windows.sample(level, [windows.ranks(level, np.zeros(2), covariance)])
    assert len(index) > 1800
    assert abs(len(index) * scale - 9600) < 960


def test_few_points_are_found_without_a_tree(rng, monkeypatch):
    points = rng.uniform(-1, 1, size=(3000, 2))
    for center, covariance in [
        (np.zeros(2), np.array([[0.02, 0.01], [0.01, 0.03]])),
        (np.full(2, 5.0), np.eye(2) * 0.1),
    ]:
        at_once = Windows(points, 500).ranks(1, center, covariance)
        monkeypatch.setattr(_windows, "MAX_POINTS_WITHOUT_TREE", 0)
        np.testing.assert_array_equal(at_once, np.sort(Windows(points, 500).ranks(1, center, covariance)))
        monkeypatch.undo()


def test_windows_are_fair_samples(rng):
    points = rng.uniform(-1, 1, size=(20_000, 2))
    windows = Windows(points, 500)
    for width in (0.02, 0.1, 0.5):
        covariance = np.diag([width**2, (2 * width) ** 2])
        center = np.array([0.1, -0.2])
        level = windows.level(covariance)
        index, scale = windows.sample(level, [windows.ranks(level, center, covariance)])
        squares = np.sum(((points - center) / [width, 2 * width]) ** 2, axis=1)
        inside = squares <= 9
        assert len(index) <= 500
        assert len(set(index)) == len(index)
        assert inside[index].all()
        assert abs(len(index) * scale - inside.sum()) < 0.2 * inside.sum() + 5
