"""The tiled engine against the dense one through one table, and what plans must survive."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_surface
from test_engines import background

import surfacefit as sf
from surfacefit._base.compile import quick_jit
from surfacefit._base.memory import point_bytes
from surfacefit._data.data import SurfaceData, grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._engines.overlap_sums import overlap_sums
from surfacefit._linear.cluster_preconditioner import cluster_preconditioner as together
from surfacefit._linear.normal import blocks
from surfacefit._lists.overlaps import EvenGrid, Rule, overlaps, rules
from surfacefit._lists.pairs import ChunkShape, Ellipsoids, cutoff_radii, tile_lists, tile_pairs
from surfacefit._lists.tiles import block_sides, grid_tiles, scattered_tiles
from surfacefit._model.units import to_internal
from surfacefit._problem import planning as planning
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.planning import TilePlanner
from surfacefit._problem.problem_setup import problem_setup

SHAPES = {1: (90,), 2: (24, 31), 3: (9, 10, 11)}
CUTOFF = 1e-9
LAYOUTS = ["even grid", "gaps and weights", "scattered"]
TYPES = ["full", "diag", "spherical", "tied"]
# every pair of a dimension or a background with a type and with a layout, not every triple
FAST = [(2, "full", "constant", layout) for layout in LAYOUTS]
FAST += [(2, t, "constant", layout) for t, layout in zip(TYPES[1:], LAYOUTS, strict=True)] + [
    (1, "full", "none", "gaps and weights")
]
SLOW = [(d, t, "plane", (LAYOUTS * 3)[n + d]) for d in (1, 3) for n, t in enumerate(TYPES)]
SLOW += [
    (2, t, b, (LAYOUTS * 2)[m + n])
    for m, t in enumerate(("full", "tied"))
    for n, b in enumerate(("none", "plane", "function"))
]
CASES = FAST + [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]
TOLERANCES = {
    "residuals": 1e-11,
    "gradient": 1e-11,
    "mv": 1e-10,
    "rmv": 1e-11,
    "normal": 1e-4,
    "product": 1e-4,
    "diagonal": 1e-4,
    "blocks": 1e-12,
}


@pytest.fixture
def blocks_pay(monkeypatch):
    """Blocks however small the grid, on which products would be cheaper."""
    monkeypatch.setattr(planning, "MOST_NODES_A_PLACE", float("inf"))


def lattice(n_dim):
    """Points (N, d) of a grid over [-1, 1]^d, their indices and its description."""
    shape = SHAPES[n_dim]
    index = np.stack(np.indices(shape), axis=-1).reshape(-1, n_dim)
    step = 2 / (np.array(shape) - 1)
    return -1 + index * step, index, EvenGrid(np.full(n_dim, -1.0), step, shape)


def dense_and_tiled(rng, n_dim, covariance_type, kind, layout, count=12):
    """One problem with both engines, the points in the order of the tiles."""
    points, index, grid = lattice(n_dim)
    weights = np.ones(len(points))
    if layout != "even grid":
        weights, grid = rng.uniform(0.5, 2, len(points)), None
    if layout == "gaps and weights":
        used = rng.uniform(size=len(points)) < 0.7
        points, index, weights = points[used], index[used], weights[used]
    if layout == "scattered":
        points = rng.uniform(-1, 1, points.shape)
    there = np.zeros(SHAPES[n_dim], bool)
    there[tuple(index.T)] = True
    tiling = scattered_tiles(points, 64) if layout == "scattered" else grid_tiles(points, there, 64)
    amplitudes, centers, covariances = random_surface(rng, count, n_dim)
    start = sf.GaussianSurface(
        amplitudes, centers, covariances * (0.3 if n_dim < 3 else 0.6) ** 2, background(kind, n_dim)
    )
    heights = jnp.asarray(tiling.spread(rng.normal(size=len(points))))
    problem, params = sf.SurfaceProblem.from_start(
        jnp.asarray(tiling.spread(points)), heights, start, covariance_type=covariance_type, min_width=0.01
    )
    problem = replace(problem, weights=jnp.asarray(np.where(tiling.filled.ravel(), tiling.spread(weights), 0.0)))
    return problem, TilePlanner(tiling, grid, CUTOFF, np.inf)(problem, params, params), params


@quick_jit
def everything(problem, params):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    normal, v = jacobian.restored(normal), jnp.cos(jnp.arange(params.size, dtype=params.dtype))
    return {
        "residuals": residuals,
        "gradient": gradient,
        "mv": jacobian.mv(v),
        "rmv": jacobian.rmv(residuals * residuals),
        "normal": normal.as_matrix(),
        "product": normal.mv(v),
        "diagonal": normal.diagonal(),
        "blocks": jacobian.block_diagonal(),
    }


@pytest.mark.parametrize(("n_dim", "covariance_type", "kind", "layout"), CASES)
def test_tiled_agrees_with_dense(rng, blocks_pay, n_dim, covariance_type, kind, layout):
    with jax.enable_x64(True):
        dense, tiled, params = dense_and_tiled(rng, n_dim, covariance_type, kind, layout)
        assert bool(tiled.plan_is_valid(params))
        assert (tiled.engine.curvature is not None) == (layout == "even grid")
        assert not (layout == "even grid" and tiled.engine.curvature.wide_vectors)
        expected, found = everything(dense, params), everything(tiled, params)
    for name, tolerance in TOLERANCES.items():
        for a, b in zip(jax.tree.leaves(expected[name]), jax.tree.leaves(found[name]), strict=True):
            if a.size:
                np.testing.assert_allclose(
                    b, a, rtol=0, atol=tolerance * max(1e-30, float(np.abs(a).max())), err_msg=name
                )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_step_agrees_with_dense(rng, blocks_pay, layout):
    """Conjugate gradients stop at 5 % of the gradient: the step lowers the model nearly as far as the exact one."""

    def gain(problem, params):
        residuals, jacobian = problem.linearize(params)
        normal, gradient = jacobian.normal(residuals)
        normal = jacobian.restored(normal)
        diagonal = normal.diagonal().astype(params.dtype)
        step, _ = normal.solve(gradient, problem.scaling(params, diagonal), jnp.asarray(0.1, params.dtype))
        damped = normal.mv(step).astype(step.dtype) + 0.1 * problem.scaling(params, diagonal) * step
        return -jnp.vdot(step, gradient + 0.5 * damped)

    with jax.enable_x64(True):
        dense, tiled, params = dense_and_tiled(rng, 2, "full", "constant", layout)
        exact, found = (float(quick_jit(gain)(problem, params)) for problem in (dense, tiled))
    assert 0.98 * exact <= found <= 1.001 * exact


def damped_step(problem, params, damping):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    scaling = jnp.maximum(normal.diagonal(), 1e-30).astype(params.dtype)
    return normal.solve(gradient, scaling, damping)[0], gradient, scaling


@quick_jit
def columns(problem, params):
    return problem.linearize(params)[1].as_matrix()


OTHER_KINDS = [(1, "full"), (2, "diag"), (2, "spherical"), (3, "full")]


@pytest.mark.parametrize(
    ("n_dim", "covariance_type"),
    [(2, "full"), (2, "tied"), *(pytest.param(*kind, marks=pytest.mark.slow) for kind in OTHER_KINDS)],
)
def test_steps_by_clusters_solve_the_dense_system(rng, blocks_pay, monkeypatch, n_dim, covariance_type):
    for module in ("_linear.normal.blocks", "_problem.planning"):
        monkeypatch.setattr(f"surfacefit.{module}.DIRECT_SOLVE_PARAMETERS", 0)
    monkeypatch.setattr("surfacefit._lists.clusters.CLUSTER_PARAMETERS", 36)
    monkeypatch.setattr("surfacefit._lists.clusters.CLUSTER_SETS_FROM", 0)
    taken = []
    monkeypatch.setattr(blocks, "cluster_preconditioner", lambda *given: taken.append(given) or together(*given))
    with jax.enable_x64(True):
        dense, tiled, params = dense_and_tiled(rng, n_dim, covariance_type, "constant", "even grid", count=30)
        count, size = tiled.engine.curvature.clusters.members.shape
        assert min(count, size) > 1
        jacobian, damped = np.asarray(columns(dense, params)), quick_jit(damped_step)
        for damping in (1e-1, 1e-3):
            step, gradient, scaling = map(np.asarray, damped(tiled, params, jnp.asarray(damping)))
            left = jacobian.T @ (jacobian @ step) + damping * scaling * step + gradient
            root = np.sqrt(scaling)
            assert np.linalg.norm(left / root) < 0.055 * np.linalg.norm(gradient / root)
        assert tiled.engine.curvature.once
        assert tiled.engine.curvature.wide_vectors
        found, exact, expected = everything(tiled, params), everything(dense, params), jacobian.T @ jacobian
    np.testing.assert_allclose(found["normal"], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert found["normal"].dtype == np.float32
    for name in ("residuals", "gradient"):  # in the precision of the fit, whatever that of the blocks
        largest = np.abs(exact[name]).max()
        np.testing.assert_allclose(found[name], exact[name], rtol=0, atol=TOLERANCES[name] * largest, err_msg=name)
    assert taken


def test_leaves_of_a_tree_hold_every_point_once(rng):
    points = rng.normal(size=(1000, 3)) ** 3
    tiling = scattered_tiles(points, 60)
    assert tiling.size <= 60
    assert sorted(tiling.order[tiling.filled]) == list(range(1000))
    counts = tiling.filled.sum(axis=1)
    assert counts.max() - counts.min() <= 1
    assert (points[tiling.order] >= tiling.low[:, None]).all()
    assert (points[tiling.order] <= tiling.high[:, None]).all()


@pytest.mark.parametrize(
    ("shape", "size"), [((100, 100), 256), ((1, 500), 64), ((30, 2), 64), ((7,), 64), ((20, 20, 20), 64), ((5, 5), 1)]
)
def test_blocks_keep_to_their_size(shape, size):
    sides = block_sides(shape, size)
    assert (sides >= 1).all()
    assert (sides <= shape).all()
    assert np.prod(sides) <= size
    assert np.prod(sides) >= min(np.prod(shape), size) / 2


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_lists_hold_every_component_where_it_is_felt(rng, n_dim):
    points = rng.uniform(-1, 1, (600, n_dim))
    tiling = scattered_tiles(points, 16)
    factors = np.tril(rng.normal(size=(40, n_dim, n_dim))) * 0.05
    factors[:, range(n_dim), range(n_dim)] = rng.uniform(0.02, 0.2, (40, n_dim))
    room = Ellipsoids(rng.uniform(-1.3, 1.3, (40, n_dim)), factors, rng.uniform(1, 4, 40))
    lists = tile_lists(tiling, tile_pairs(tiling, room), 40, ChunkShape(4, 8))
    listed = np.zeros((tiling.n_tiles, 40), int)
    for offset, chunk in zip(lists.offsets, lists.members, strict=True):
        for place, members in enumerate(chunk):
            for member in members[members < 40]:
                listed[lists.order[offset + place], member] += 1
    u = np.einsum("kij,ktnj->ktni", np.linalg.inv(factors), points[tiling.order][None] - room.centers[:, None, None])
    felt = (np.sum(u**2, axis=3) <= room.radii[:, None, None] ** 2).any(axis=2).T
    assert listed.max() <= 1
    assert (listed[felt] == 1).all()
    assert listed.sum() < 0.7 * listed.size


def test_radii_reach_the_cutoff():
    radii = cutoff_radii(np.array([1.0, 5.0, 1e-12]), 1e-6)
    np.testing.assert_allclose(np.array([1.0, 5.0]) * np.exp(-0.5 * radii[:2] ** 2), 1e-6)
    assert radii[2] > 0


def _sums_by_loops(shape, offset, center, first, second):
    x = np.stack(np.indices(shape), axis=-1).reshape(-1, len(shape)) - center

    def rows(x, inverse):
        u = x @ inverse.T
        pairs = [u[:, i] * u[:, j] for i in range(u.shape[1]) for j in range(i + 1)]
        return np.stack([np.ones(len(u)), *u.T, *pairs]) * np.exp(-0.5 * np.sum(u**2, axis=1))

    return rows(x, first) @ rows(x - offset, second).T


@pytest.mark.parametrize(
    ("n_dim", "number"), [(n_dim, number) for n_dim in (1, 2, 3) for number in range(len(rules(n_dim)))]
)
def test_sums_of_products_against_loops(rng, n_dim, number):
    rule, shape = rules(n_dim)[number], {1: (60,), 2: (40, 44), 3: (26, 27, 28)}[n_dim]
    narrow = max(rule.nodes, default=0) >= 32
    widths = rng.uniform(*((0.4, 1.2) if narrow else (1.8, 2.5)), (2, n_dim))
    factors = np.tril(rng.normal(size=(2, n_dim, n_dim))) * 0.3
    factors[:, range(n_dim), range(n_dim)] = widths
    first, second = np.linalg.inv(factors)
    center = np.array(shape) / 2 + rng.uniform(-1, 1, n_dim)
    center[list(rule.axes)] = rng.uniform(-1, 1, len(rule.axes))
    offset = rng.normal(size=n_dim)
    with jax.enable_x64(True):
        arrays = (jnp.asarray(a)[None] for a in (offset, center, first, second, np.asarray(1.0)))
        found = quick_jit(lambda *a: overlap_sums(rule, jnp.asarray(shape), *a))(*arrays)[0]
    expected = _sums_by_loops(shape, offset, center, first, second)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * np.abs(expected).max())
    assert isinstance(rule, Rule)


def test_sums_over_tilted_ridges_against_loops():
    """Long, and narrower than the sampling across: the sums across them change from point to point."""
    shape, sums = (90, 95), {}
    cases = [(tilt, width) for tilt in (0.0, 0.3, np.pi / 4, 1.2, np.pi / 2) for width in (0.05, 0.3, 0.6)]
    for tilt, width in cases:
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        ridge = np.linalg.cholesky(turn @ np.diag([10.0**2, width**2]) @ turn.T)
        centers, factors = np.array([[44.3, 46.8], [46.0, 46.0]]), np.array([ridge, np.diag([2.0, 3.0])])
        found = overlaps(EvenGrid(np.zeros(2), np.ones(2), shape), centers, factors)
        inverse = np.linalg.inv(factors)
        for i, j, number in zip(*found, strict=True):
            rule = rules(2)[number]
            offset = centers[j] - centers[i]
            with jax.enable_x64(True):
                if number not in sums:
                    sums[number] = quick_jit(lambda *a, rule=rule: overlap_sums(rule, jnp.asarray(shape), *a))
                arrays = (jnp.asarray(a)[None] for a in (offset, centers[i], inverse[i], inverse[j], np.asarray(1.0)))
                total = np.asarray(sums[number](*arrays)[0])
            expected = _sums_by_loops(shape, offset, centers[i], inverse[i], inverse[j])
            np.testing.assert_allclose(total, expected, rtol=0, atol=1e-3 * max(1.0, np.abs(expected).max()))


def noisy_hills(shape=(60, 70), count=6, noise=0.02, seed=3):
    rng = np.random.default_rng(seed)
    index = np.stack(np.indices(shape), axis=-1).reshape(-1, len(shape)).astype(float)
    centers = rng.uniform(0.1, 0.9, (count, len(shape))) * shape
    widths = rng.uniform(0.06, 0.12, (count, len(shape))) * np.array(shape)
    heights = rng.uniform(1, 2, count) @ np.exp(
        -0.5 * np.sum(((index - centers[:, None]) / widths[:, None]) ** 2, axis=2)
    )
    truth = sf.GaussianSurface(np.ones(count), centers, np.apply_along_axis(np.diag, 1, widths**2))
    return (heights + noise * rng.normal(size=len(index))).reshape(shape), truth


@pytest.mark.slow
@pytest.mark.parametrize("solver", [sf.LevenbergMarquardt(slack=0.0, max_steps=200), sf.Adam(max_steps=150)])
def test_fits_from_one_start_end_at_one_cost(solver):
    heights, truth = noisy_hills()
    engines = [sf.Dense(), sf.Tiled(), sf.Tiled(normal="products"), sf.Tiled(tile_size=64, cutoff=0)]
    costs = [sf.fit(heights, 6, init=truth, engine=engine, solver=solver).cost for engine in engines]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-5)


@pytest.mark.slow
def test_scattered_and_grid_fits_agree():
    heights, truth = noisy_hills()
    points = np.stack(np.indices(heights.shape), axis=-1).reshape(-1, 2).astype(float)
    on_grid = sf.fit(heights, 6, init=truth, engine="tiled")
    scattered = sf.fit_points(points, heights.ravel(), 6, init=truth, engine="tiled")
    np.testing.assert_allclose(scattered.rmse, on_grid.rmse, rtol=1e-4)


def test_sizes_of_one_capacity_compile_once(compiled):
    heights, _ = noisy_hills()
    before = []
    for n in (17, 18, 20):
        before.append(len(compiled))
        sf.fit(heights, n, init="grid", engine="tiled", solver=sf.LevenbergMarquardt(max_steps=3), reset=False)
    assert not {"jit(begin)", "jit(_recorded)"} & set(compiled[before[1] :])


def test_pairs_that_change_their_rule_leave_the_program_as_it_is(blocks_pay):
    """Narrow components, wide ones and those at the border are summed by different rules, in rows of one capacity."""
    heights, truth = noisy_hills(count=120)
    spec = ModelSpec(n_components=120, background=None)
    rows, shapes = [], set()
    with jax.enable_x64(True):
        prepared = problem_setup(grid_data(heights), spec, np.dtype(np.float64), EngineChoice(sf.Tiled()))
        for width, shift in ((0.4, 0.0), (2.0, 0.0), (2.0, 30.0)):
            moved = replace(
                truth, centers=truth.centers - shift, covariances=np.tile(np.eye(2) * width**2, (120, 1, 1))
            )
            params = prepared.host.parameterization.pack(to_internal(moved, prepared.scaling))
            curvature = prepared.planner(prepared.problem, params, params).engine.curvature
            rows.append(np.asarray(curvature.n_rows))
            shapes.add((curvature.owner.shape, curvature.neighbours.shape))
    assert len({tuple(row) for row in rows}) == 3
    assert len(shapes) == 1


CENTER = np.array([30.0, 35.0])


def stack_of(count, center, width):
    covariances = np.broadcast_to(np.eye(len(center)) * width**2, (count, len(center), len(center)))
    return sf.GaussianSurface(np.full(count, 1.0 / count), np.tile(center, (count, 1)), covariances)


def mask_but(keep):
    mask = np.ones((60, 70), bool)
    mask[keep] = False
    return mask


ODD = {
    "components that left the domain": ((60, 70), 3, {"init": stack_of(3, CENTER + 500, 4.0)}),
    "components wider than the map": ((60, 70), 3, {"init": stack_of(3, CENTER, 4000.0)}),
    "many components on one pixel": ((60, 70), 40, {"init": stack_of(40, CENTER, 1.0)}),
    "a map with one row": ((1, 400), 5, {}),
    "a map with one column": ((400, 1), 5, {}),
    "isolated pixels": ((60, 70), 3, {"mask": mask_but((slice(None, None, 6), slice(None, None, 6)))}),
    "tiles without points": ((60, 70), 3, {"mask": mask_but((slice(40, None), slice(50, None)))}),
    "a cutoff of zero": ((60, 70), 3, {"engine": sf.Tiled(cutoff=0.0)}),
    "products on a grid": ((60, 70), 3, {"engine": sf.Tiled(normal="products")}),
    "components below the sampling": ((60, 70), 3, {"init": stack_of(3, CENTER + 0.5, 0.26)}),
}
QUICK = ("components that left the domain", "tiles without points", "products on a grid")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, "float64") for name in QUICK),
        *(pytest.param(name, "float64", marks=pytest.mark.slow) for name in ODD if name not in QUICK),
        *(pytest.param(name, "float32", marks=pytest.mark.slow) for name in list(ODD)[::3]),
    ],
)
def test_odd_maps_and_starts(name, dtype):
    shape, count, options = ODD[name]
    heights, _ = noisy_hills(shape) if min(shape) > 1 else (noisy_hills((400,))[0].reshape(shape), None)
    options = {"engine": "tiled", "init": "grid", "dtype": dtype, **options}
    start = sf.fit(heights, count, solver=sf.LevenbergMarquardt(max_steps=0), **options)
    result = sf.fit(heights, count, solver=sf.LevenbergMarquardt(max_steps=60), **options)
    assert np.isfinite(result.cost)
    assert result.cost <= start.cost * (1 + 1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.surface))
    assert result.status not in (sf.Status.RUNNING, sf.Status.REPLAN, sf.Status.NON_FINITE)
    assert result.message


@pytest.mark.slow
def test_thousands_of_components_on_one_pixel():
    heights, _ = noisy_hills((120, 130))
    start = stack_of(2000, CENTER, 1.0)
    result = sf.fit(heights, 2000, init=start, engine="tiled", solver=sf.LevenbergMarquardt(max_steps=3))
    assert np.isfinite(result.cost)
    assert np.isfinite(result.rmse)


@pytest.mark.parametrize("engine", ["auto", "dense", "tiled"])
def test_memory_is_known_before_any_is_taken(monkeypatch, engine):
    """A map for whose points alone memory does not suffice is refused before a copy of them is made."""
    monkeypatch.setattr(SurfaceData, "used_points", property(lambda data: pytest.fail("points were copied")))
    heights = np.ones((300, 400), np.float32)
    with pytest.raises(
        ValueError, match=r"a fit of 120000 points needs about 0\.025 GB, more than `max_memory` = 0\.02"
    ):
        sf.fit(heights, 20, engine=engine, max_memory=0.02)


def test_memory_of_an_engine_is_known_beforehand():
    heights, _ = noisy_hills()
    points = 1e-9 * heights.size * point_bytes(2, 8)
    with pytest.raises(ValueError, match=r"this fit needs about .* GB, more than `max_memory` = "):
        sf.fit(heights, 20, engine="tiled", max_memory=1.05 * points)
    with pytest.raises(ValueError, match=r"a dense fit of 121 parameters to .* points needs about"):
        sf.fit(heights, 20, engine="dense", max_memory=1.05 * points)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("tilde", "`engine` must be"),
        (sf.Tiled(cutoff=-1), "`engine.cutoff` must be a number from 0"),
        (sf.Tiled(tile_size=0), "`engine.tile_size`"),
        (sf.Tiled(normal="dense"), "`engine.normal` must be"),
    ],
)
def test_wrong_engines_are_refused(engine, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sf.fit(np.eye(30), 2, engine=engine)


def test_qr_needs_the_dense_engine():
    with pytest.raises(ValueError, match=r"`solver` needs the whole Jacobian, got LevenbergMarquardt"):
        sf.fit(np.eye(30), 2, engine="tiled", solver=sf.LevenbergMarquardt(method="qr"))


@pytest.mark.parametrize("cutoff", [pytest.param(1e-50, marks=pytest.mark.slow), 0.0, 0.5])
def test_any_cutoff_makes_progress(cutoff):
    heights, truth = noisy_hills((40, 40), 2)
    result = sf.fit(
        heights,
        2,
        init=truth,
        engine=sf.Tiled(cutoff=cutoff),
        dtype="float32",
        solver=sf.LevenbergMarquardt(max_steps=5),
    )
    assert result.steps > 0


def test_a_fit_that_outgrows_its_memory_keeps_its_best():
    heights, _ = noisy_hills((96, 96))
    start = sf.fit(heights, 30, init="grid", solver=sf.LevenbergMarquardt(max_steps=0)).surface
    narrow = replace(start, covariances=start.covariances / 25)
    result = sf.fit(heights, 30, init=narrow, engine="tiled", max_memory=0.003827)
    assert result.status == sf.Status.MAX_MEMORY
    assert result.steps > 0
    assert "max_memory" in result.message


def test_clustered_points_in_three_dimensions(rng):
    points = np.concatenate([rng.normal(size=(600, 3)) * 1e-3 + s for s in (-1, 1)])
    result = sf.fit_points(
        points, rng.normal(size=1200), 2, engine="tiled", init="grid", solver=sf.LevenbergMarquardt(max_steps=3)
    )
    assert np.isfinite(result.cost)


def test_a_component_that_shrinks_calls_for_another_plan(rng, blocks_pay):
    with jax.enable_x64(True):
        _, tiled, params = dense_and_tiled(rng, 2, "full", "none", "even grid")
        narrow = np.asarray(params).reshape(12, 6).copy()
        narrow[0, 3:5] = -5.0
        assert not bool(tiled.plan_is_valid(jnp.asarray(narrow.ravel())))


def test_much_is_evaluated_where_it_is_not_zero(rng, monkeypatch):
    surface = sf.GaussianSurface(
        *random_surface(rng, 40, 2), sf.PlaneBackground(1.0, np.array([2.0, 3.0]), np.zeros(2))
    )
    surface = replace(
        surface,
        covariances=surface.covariances * 0.01,
        amplitudes=surface.amplitudes * np.where(np.arange(40) % 2, -1, 1),
    )
    points = rng.uniform(-2, 2, (30, 70, 2))
    expected = surface(points)
    monkeypatch.setattr("surfacefit._model.surface.MANY_ELEMENTS", 0)
    np.testing.assert_allclose(surface(points), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
