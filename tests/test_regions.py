"""Growth by regions: levels, groups, windows and refits against plain loops, and a whole fit."""

import gc

import numpy as np
import pytest
from contexts import DOUBLE, search_context

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._problem.capacity import component_capacity
from surfacefit._regions import growth, start
from surfacefit._regions.groups import GROUP_COMPONENTS, HALO_WIDTHS, Group, groups_of, turns
from surfacefit._regions.levels import level_of
from surfacefit._regions.rendering import add_components
from surfacefit._regions.windows import WINDOW_CELLS, window
from surfacefit._starts import STARTS
from surfacefit._starts.rasters import Raster


def random_surface(count, shape, seed=0):
    rng, d = np.random.default_rng(seed), len(shape)
    factors = np.tril(rng.normal(0, 0.5, (count, d, d))) + np.eye(d) * rng.uniform(1.5, 3, (count, 1, 1))
    return sf.GaussianSurface(
        rng.uniform(0.5, 2, count), rng.uniform(0, np.array(shape) - 1, (count, d)), factors @ factors.swapaxes(1, 2)
    )


def random_raster(shape, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2, shape) * (rng.random(shape) > 0.1)
    axes = tuple(np.sort(rng.uniform(0, n, n)) for n in shape)
    return Raster(weights * rng.normal(size=shape), weights, 1.0 * (weights > 0), axes, np.arange(np.prod(shape)))


@pytest.mark.parametrize("shape", [(60,), (23, 31), (14, 17, 19)])
def test_components_are_added_at_the_nodes_of_uneven_axes(shape):
    raster, surface, n_dim = random_raster(shape), random_surface(9, shape), len(shape)
    values = np.ones(shape)
    add_components(values, raster.axes, surface, -1.0)
    nodes = np.stack(np.meshgrid(*raster.axes, indexing="ij"), axis=-1)
    there = 1 - surface(nodes.reshape(-1, n_dim)).reshape(shape)
    np.testing.assert_allclose(values, there, atol=9 * 2 * np.exp(-12.5))


def test_a_level_has_the_cost_of_all_points_where_the_surface_is_constant_within_cells():
    raster = random_raster((12, 10))
    level = level_of(raster, 4)
    rise = np.random.default_rng(1).normal(size=(3, 3))
    level.leave(random_surface(0, (12, 10)), rise)
    cost = 0.0
    for i, j in np.ndindex(12, 10):
        if raster.weights[i, j]:
            height = raster.sums[i, j] / raster.weights[i, j]
            cost += 0.5 * raster.weights[i, j] * (height - rise[i // 4, j // 4]) ** 2
    assert level.cost == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(level.axes[1], [np.mean(raster.axes[1][a : a + 4]) for a in (0, 4, 8)])


@pytest.mark.parametrize("number", [0, 1])
def test_each_component_is_in_one_group_whose_window_holds_its_halo(number):
    surface = random_surface(200, (90, 120))
    surface.covariances[7] *= 400  # so wide that it is refitted among others
    level = level_of(random_raster((90, 120)), 1)
    sets = list(groups_of(surface, level, number))
    assert sorted(np.concatenate([g.members for some in sets for g in some])) == list(range(200))
    assert len(sets) == 2
    assert sets[1][0].members.tolist() == [7]
    for group in (g for some in sets for g in some):
        assert 0 < len(group.members) <= GROUP_COMPONENTS
        for k in group.members:
            reach = HALO_WIDTHS * np.sqrt(np.diag(surface.covariances[k]))
            for axis in range(2):
                x = level.axes[axis]
                inside = np.flatnonzero(np.abs(x - surface.centers[k, axis]) <= reach[axis])
                assert not len(inside) or (group.low[axis] <= inside[0] and inside[-1] < group.high[axis])


def test_another_sweep_has_other_groups():
    surface, level = random_surface(400, (90, 120)), level_of(random_raster((90, 120)), 1)
    first, second = ({frozenset(g.members) for some in groups_of(surface, level, n) for g in some} for n in (1, 2))
    assert len(first & second) < len(first) / 2


def test_windows_of_one_turn_do_not_touch():
    surface, level = random_surface(300, (90, 120)), level_of(random_raster((90, 120)), 1)
    groups = next(iter(groups_of(surface, level, 3)))
    found = turns(groups)
    assert sorted(n for turn in found for n in turn) == list(range(len(groups)))
    for turn in found:
        covered = np.zeros((90, 120), int)
        for n in turn:
            covered[groups[n].low[0] : groups[n].high[0], groups[n].low[1] : groups[n].high[1]] += 1
        assert covered.max() == 1
    assert len(found) < len(groups)


@pytest.mark.parametrize("seed", range(5))
def test_turns_are_the_fewest_in_which_each_window_waits_for_those_it_meets(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 60, (40, 2))
    groups = [Group(np.arange(1), one, one + rng.integers(1, 12, 2)) for one in low]

    def meet(a, b):
        cells = [{(i, j) for i in range(g.low[0], g.high[0]) for j in range(g.low[1], g.high[1])} for g in (a, b)]
        return bool(cells[0] & cells[1])

    taken = {}
    for n, one in enumerate(groups):  # the first turn in which no earlier group meets it
        met = {taken[m] for m in range(n) if meet(one, groups[m])}
        taken[n] = next(t for t in range(n + 1) if t not in met)
    found = {n: t for t, turn in enumerate(turns(groups)) for n in turn}
    assert found == taken


def test_a_large_window_is_averaged_by_weight():
    level = level_of(random_raster((90, 120)), 1)
    axes, left, squares = window(level, Group(np.arange(3), np.array([5, 3]), np.array([83, 115])))
    assert left.size <= WINDOW_CELLS
    assert left.shape == (39, 56)
    block = slice(7, 9), slice(3, 5)
    weights = level.raster.weights[block]
    assert squares[1, 0] == pytest.approx(weights.sum())
    assert left[1, 0] == pytest.approx(float((weights * level.left[block]).sum() / weights.sum()))
    assert axes[0][1] == pytest.approx(level.axes[0][7:9].mean())


def of_terrain(shape, count, signed=False):
    """A map of overlapping components of all sizes; ``shape`` is a side of a square, or a shape."""
    rng, shape = np.random.default_rng(3), (shape, shape) if isinstance(shape, int) else shape
    size, n_dim = max(shape), len(shape)
    widths = size * rng.uniform(0.01, 0.1, count) if n_dim > 1 else size * rng.uniform(0.002, 0.02, count)
    centers, signs = rng.uniform(0, 1, (count, n_dim)) * shape, rng.choice([-1.0, 1.0], count) if signed else 1.0
    truth = sf.GaussianSurface(signs * widths, centers, np.einsum("k,ij->kij", widths**2, np.eye(n_dim)))
    heights = np.zeros(shape)
    add_components(heights, tuple(np.arange(float(n)) for n in shape), truth, 1.0)
    return heights


@pytest.mark.parametrize("count", [4097, 20_000, 65_537, 100_000])
def test_very_many_components_have_little_room_to_spare(count):
    assert count <= component_capacity(count) <= 1.032 * count


def test_what_is_not_plain_is_not_grown_by_regions(monkeypatch):
    asked = []
    monkeypatch.setattr(start, "LEAST_REGION_COMPONENTS", 8)
    monkeypatch.setattr("surfacefit._fit.fitting.initialize_by_regions", lambda context, plan: asked.append(plan))
    heights, no_steps = of_terrain(40, 30), sf.LevenbergMarquardt(max_steps=0)
    options = {"engine": "tiled", "solver": no_steps, "search": 0, "progress": False}
    for other in ({"covariance_type": "tied"}, {"init": "peaks"}, {"loss": "huber", "f_scale": 1.0}):
        sf.fit(heights, 8, **{"init": "peaks", **options, **other})
    assert not asked


def large_arrays(size):
    """Bytes of NumPy's arrays of at least so many numbers, each counted once."""
    held = {}
    for one in (found for thing in gc.get_objects() for found in gc.get_referents(thing)):
        if isinstance(one, np.ndarray) and one.dtype.itemsize >= 4 and one.size >= size and one.strides != (0,):
            base = one if one.base is None else one.base
            held[one.__array_interface__["data"][0]] = getattr(base, "nbytes", one.nbytes)
    return sum(held.values())


@pytest.mark.slow
def test_few_numbers_a_point_are_held_while_components_take_joint_steps(monkeypatch):
    """On the host: the heights as they came, their copy, and above the background; half a number for which point stands
    in which tile.
    """
    monkeypatch.setattr(start, "LEAST_REGION_COMPONENTS", 24)
    monkeypatch.setattr(growth, "FIRST_TOGETHER", 16)
    heights, held = of_terrain(132, 300), []
    stepped = growth.refit

    def watched(*args):
        gc.collect()
        held.append(large_arrays(heights.size))
        return stepped(*args)

    monkeypatch.setattr(growth, "refit", watched)
    sf.fit(heights, 24, engine="tiled", solver=sf.LevenbergMarquardt(max_steps=0), search=0, progress=False)
    assert held[0] < 4.5 * heights.nbytes


@pytest.mark.slow
def test_a_fit_is_grown_by_regions(monkeypatch):
    """It ends lower than where the same number of peaks begin, in the same place on any number of cores, and its
    callback sees which regions are done.
    """
    monkeypatch.setattr(start, "LEAST_REGION_COMPONENTS", 100)
    monkeypatch.setattr(growth, "FIRST_TOGETHER", 16)
    heights, seen = of_terrain(96, 300), []
    options = {"solver": sf.LevenbergMarquardt(max_steps=2), "progress": False, "engine": "tiled"}
    found = sf.fit(heights, 100, callback=lambda now: seen.append(now.stage), **options)
    assert any("regions" in stage for stage in seen)
    assert any("joint steps" in stage for stage in seen)
    peaks = sf.fit(heights, 100, init="peaks", **options)
    assert found.rmse < 0.5 * peaks.rmse
    monkeypatch.setattr("surfacefit._regions.refits.cores", lambda: 1)
    again = sf.fit(heights, 100, **options)
    assert np.array_equal(again.surface.centers, found.surface.centers)
    stopped = sf.fit(heights, 100, callback=lambda now: "regions" in now.stage, **options)
    assert stopped.status == sf.Status.STOPPED
    assert stopped.rmse < heights.std()


@pytest.mark.slow
def test_a_search_goes_on_where_growth_by_regions_ended(monkeypatch):
    """With its background: nothing that the callback sees of a whole state is lower than the end."""
    monkeypatch.setattr(start, "LEAST_REGION_COMPONENTS", 40)
    monkeypatch.setattr(growth, "FIRST_TOGETHER", 16)
    monkeypatch.setattr(growth, "SETTLING_ROUNDS", 1)
    seen = []
    options = {"solver": sf.LevenbergMarquardt(max_steps=0), "progress": False, "engine": "tiled"}
    heights = with_gaps(of_terrain(SHAPE, 100))
    found = sf.fit(heights, 40, search=1.0, callback=lambda now: seen.append((now.stage, now.rmse)), **options)
    stages = [stage for stage, _ in seen]
    whole = next(n for n, stage in enumerate(stages) if stage.startswith("joint"))
    after = [n for n, stage in enumerate(stages) if n > whole and not stage]
    assert after
    assert found.rmse <= min(rmse for _, rmse in seen[whole:]) * (1 + 1e-6)


def with_gaps(heights):
    """Without a block, a row, and a third of the points elsewhere."""
    heights = np.where(np.random.default_rng(1).random(heights.shape) < 0.3, np.nan, heights)
    heights[tuple(slice(n // 4, n // 2) for n in heights.shape)] = np.nan
    heights[:2] = np.nan
    return heights


SHAPE, LINE, VOLUME = (64, 72), (3000,), (18, 20, 22)
SLOPE = np.add.outer(3.0 * np.arange(SHAPE[0]), -2.0 * np.arange(SHAPE[1]))
SIGMA = np.random.default_rng(2).uniform(0.1, 10, SHAPE)
GRIDS = {
    "a curve": (of_terrain(LINE, 100), {}, {}),
    "a curve with gaps": (with_gaps(of_terrain(LINE, 100)), {}, {}),
    "gaps and a mask": (with_gaps(of_terrain(SHAPE, 100)), {"mask": SLOPE > 120}, {}),
    "sigma": (of_terrain(SHAPE, 100), {"sigma": SIGMA, "absolute_sigma": True}, {}),
    "sigma, a plane and gaps": (with_gaps(of_terrain(SHAPE, 100) + SLOPE), {"sigma": SIGMA}, {"background": "plane"}),
    "falling and uneven axes": (of_terrain(SHAPE, 100), {"coords": (-np.arange(64.0), np.arange(72.0) ** 1.2)}, {}),
    "of both signs": (of_terrain(SHAPE, 100, signed=True), {}, {"amplitudes": "signed"}),
    "a volume with gaps": (with_gaps(of_terrain(VOLUME, 60)), {}, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", GRIDS)
def test_growth_tells_the_cost_of_its_surface_on_every_kind_of_grid(case, monkeypatch):
    """Without joint steps: the cost that growth knows is that of a plain sum, and far below that of peaks alone."""
    heights, options, model = GRIDS[case]
    monkeypatch.setattr(growth, "FIRST_TOGETHER", 8)
    monkeypatch.setattr(growth, "SETTLING_ROUNDS", 0)
    with precision(DOUBLE):
        context = search_context(heights, 32, sf.Tiled(), {"background": "constant", **model}, **options)
        grown = growth.RegionGrowth.of_nothing(context)
        grown.grow()
        state, data = grown.state, context.prepared.data
        surfaces = [context.packing.physical(state), context.prepared.surface(peaks_of(context))]
        unit = context.prepared.cost_unit
    assert state.size == 32
    misfits = [(one(data.used_points) - data.used_heights) * data.weights for one in surfaces]
    costs = [0.5 * np.sum(one**2) for one in misfits]
    assert state.cost * unit == pytest.approx(costs[0], rel=1e-3)
    assert costs[0] < 0.3 * costs[1]


def peaks_of(context):
    return context.packing.params(STARTS["peaks"](context.request))


def test_when_time_is_short_all_that_are_missing_are_added_in_one_round(monkeypatch):
    sizes = []
    monkeypatch.setattr(growth.RegionGrowth, "_begin", lambda self, count: None)
    monkeypatch.setattr(growth.RegionGrowth, "_sweep", lambda self: sizes.append(len(self.components)))
    monkeypatch.setattr(growth, "SETTLING_ROUNDS", 0)
    with precision(DOUBLE):
        for last_round in (np.inf, 0.0):
            context = search_context(of_terrain(64, 100), 12, sf.Tiled())
            grown = growth.RegionGrowth.of_nothing(context)
            grown.last_round = last_round
            grown.grow()
            sizes.append("end")
    assert sizes == [2, 3, 5, 7, 11, 12, "end", 12, "end"]
