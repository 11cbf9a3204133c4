"""Lists that are renewed where components have moved are those made anew for the same ellipsoids."""

import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._engines.jacobian.tile_plan import has_same_pairs, resembles
from surfacefit._lists import overlaps as overlaps_module
from surfacefit._lists.chunk_sizes import chunk_shape, rows_at_once
from surfacefit._lists.component_lists import ListMaker, PlacedComponents, enclosing
from surfacefit._lists.overlaps import JOINT_WIDTHS, EvenGrid, _most_near, overlaps
from surfacefit._lists.pairs import tile_lists, tile_pairs
from surfacefit._lists.tiles import grid_tiles
from surfacefit._model.background import NoBackground
from surfacefit._model.parameters import Components
from surfacefit._problem.planning import tile_plan

CUTOFF = 1e-6


def placed(rng, n_dim, count=60):
    factors = np.tril(rng.normal(size=(count, n_dim, n_dim))) * 0.3
    factors[:, range(n_dim), range(n_dim)] = rng.uniform(0.5, 2.0, (count, n_dim))
    return PlacedComponents(rng.uniform(0.1, 2, count), rng.uniform(0, 14, (count, n_dim)), factors)


def maker_of(n_dim, with_grid=True):
    shape = (16,) * n_dim
    points = np.stack(np.indices(shape), axis=-1).reshape(-1, n_dim).astype(float)
    grid = EvenGrid(np.zeros(n_dim), np.ones(n_dim), shape) if with_grid else None
    return ListMaker(grid_tiles(points, np.ones(shape, bool), 16), grid, CUTOFF)


def some_changed(rng, parts, count):
    """Some components moved, some widened, some shrunk, the rest by almost nothing."""
    centers, factors = parts.centers + 1e-3 * rng.normal(size=parts.centers.shape), parts.factors.copy()
    which = rng.permutation(len(centers))[:count]
    centers[which[::3]] += 2.0
    factors[which[1::3]] *= 1.7
    factors[which[2::3]] *= 0.5
    return PlacedComponents(parts.amplitudes, centers, factors), which


def pair_set(*columns):
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("n_dim", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 3, 9, 40])
def test_renewed_lists_are_those_of_the_same_ellipsoids(rng, n_dim, count):
    maker, before = maker_of(n_dim), placed(rng, n_dim)
    first = maker.made(before, before)
    after, which = some_changed(rng, before, count)
    lists = maker.renewed(first, after, before)
    own = tile_pairs(maker.tiling, lists.room)
    assert pair_set(*lists.pairs) == pair_set(*own)
    assert np.all(np.diff(lists.pairs.component) >= 0)
    assert {column.dtype.itemsize for column in (*lists.pairs, *lists.overlaps)} <= {1, 4}  # a plan keeps them
    whole = overlaps(maker.grid, lists.room.centers, lists.room.factors)
    ordered = [np.sort(np.stack([o.first, o.second]), axis=0) for o in (lists.overlaps, whole)]
    assert pair_set(*ordered[0], lists.overlaps.rule) == pair_set(*ordered[1], whole.rule)
    kept = np.setdiff1d(np.arange(60), which)
    if count < 18:  # more, and all lists are made anew
        np.testing.assert_array_equal(lists.room.centers[kept], before.centers[kept])
        np.testing.assert_array_equal(lists.room.centers[which], after.centers[which])
    else:
        np.testing.assert_array_equal(lists.room.centers, after.centers)


def test_pairs_are_the_same_whatever_is_found_at_once(rng, monkeypatch):
    """Against all pairs, one by one; and there are none where candidates are too many for blocks to pay."""
    maker, parts = maker_of(2), placed(rng, 2)
    covariances = parts.factors @ parts.factors.swapaxes(1, 2)
    apart = parts.centers[:, None] - parts.centers
    form = np.einsum("ijk,ijkl,ijl->ij", apart, np.linalg.inv(covariances[:, None] + covariances), apart)
    expected = pair_set(*np.nonzero(np.triu(form <= JOINT_WIDTHS**2)))
    for at_once in (10**6, 100, 1):
        monkeypatch.setattr("surfacefit._lists.overlaps.CANDIDATES_AT_ONCE", at_once)
        found = overlaps(maker.grid, parts.centers, parts.factors)
        assert pair_set(*np.sort(np.stack([found.first, found.second]), axis=0)) == expected
    monkeypatch.setattr("surfacefit._lists.overlaps.MOST_PAIRS", 0)
    monkeypatch.setattr("surfacefit._lists.overlaps.MOST_PAIRS_A_COMPONENT", 10)
    assert overlaps(maker.grid, parts.centers, parts.factors) is None


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_a_bound_of_the_pairs_within_reach_is_one_and_near_them(rng, n_dim):
    centers = rng.uniform(0, 40, (500, n_dim))
    some, others = rng.permutation(500)[:200], rng.permutation(500)[:300]
    for reach in (2.0, 9.0, 60.0):
        apart = np.linalg.norm(centers[some][:, None] - centers[others], axis=2)
        count, bound = np.count_nonzero(apart <= reach), _most_near(centers, some, others, reach)
        assert count <= bound <= 10 * count + 6000
    centers[others[0]] = 1e9  # all others in one cell
    assert _most_near(centers, some, others, 2.0) >= 199 * 299


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_rules_of_components_deep_inside_are_those_of_their_products(rng, n_dim, monkeypatch):
    shape = (120,) * n_dim
    grid, parts = EvenGrid(np.zeros(n_dim), np.ones(n_dim), shape), placed(rng, n_dim, 400)
    centers, factors = rng.uniform(0, 119, parts.centers.shape), 2 * parts.factors
    found = overlaps(grid, centers, factors)
    assert len(set(found.rule.tolist())) > n_dim  # inside, cut along each axis, or narrow
    deep = overlaps_module._are_deep(centers, factors, shape)
    assert 0.05 < deep.mean() < 0.9
    monkeypatch.setattr(overlaps_module, "_are_deep", lambda centers, *_: np.zeros(len(centers), bool))
    np.testing.assert_array_equal(found.rule, overlaps(grid, centers, factors).rule)


@pytest.mark.parametrize("n_dim", [1, 2])
def test_a_renewed_plan_is_valid_at_both_places(rng, n_dim):
    maker, before = maker_of(n_dim), placed(rng, n_dim)
    lists, here = maker.made(before, before), before
    for _ in range(5):
        there, _ = some_changed(rng, here, 6)
        lists = maker.renewed(lists, there, here)
        tiled = tile_lists(maker.tiling, lists.pairs, 60, chunk_shape(maker.tiling.n_tiles, cpu=True))
        plan = tile_plan(maker.tiling, tiled, lists.room, CUTOFF, len(tiled.offsets), np.dtype("float32"))
        parts = [
            Components(*(jnp.asarray(a, jnp.float32) for a in (*p, np.linalg.inv(p.factors))), NoBackground())
            for p in (there, here)
        ]
        assert all(plan.plan_is_valid(p) for p in parts)
        assert resembles(plan, parts[0])
        assert has_same_pairs(plan, parts[0])
        here = there


def test_lists_of_another_number_or_kind_are_made_anew(rng):
    maker, parts = maker_of(2), placed(rng, 2)
    lists = maker.made(parts, parts)
    fewer = parts.some(slice(50))
    assert len(maker.renewed(lists, fewer, fewer).room.radii) == 50
    assert maker_of(2, with_grid=False).renewed(lists, parts, parts).overlaps is None


def test_room_encloses_both_places(rng):
    there, _ = some_changed(rng, here := placed(rng, 2), 30)
    room = enclosing(there, here, CUTOFF)
    angle = np.linspace(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for parts in (there, here):
        radius = np.sqrt(np.maximum(2 * np.log(parts.amplitudes / CUTOFF), 9.0))
        edge = parts.centers[:, :, None] + radius[:, None, None] * (parts.factors @ circle)
        u = np.linalg.solve(room.factors, edge - room.centers[:, :, None])
        assert np.all(np.linalg.norm(u, axis=1) <= room.radii[:, None])


def test_an_accelerator_takes_more_at_once():
    assert chunk_shape(10_000, cpu=False).tiles > 10 * chunk_shape(10_000, cpu=True).tiles
    assert chunk_shape(7, cpu=False).tiles == 7
    assert rows_at_once(100, cpu=True) == rows_at_once(10**6, cpu=True)
    sizes = [rows_at_once(n, cpu=False) for n in (0, 100, 30_000, 10**6, 10**8)]
    assert sizes == sorted(sizes)
    assert all(size & (size - 1) == 0 for size in sizes)


def test_solvers_of_gradients_get_no_overlaps(monkeypatch):
    asked, made = [], ListMaker.made
    monkeypatch.setattr(ListMaker, "made", lambda self, *places: (asked.append(self.grid), made(self, *places))[1])
    heights = sf.example_map("jacksboro")[:40, :40].astype(float)
    options = {"engine": "tiled", "init": "grid", "search": 0, "progress": False}
    for solver, expected in ((sf.Adam(max_steps=3), False), (sf.LevenbergMarquardt(max_steps=3), True)):
        asked.clear()
        sf.fit(heights, 3, solver=solver, **options)
        assert any(grid is not None for grid in asked) is expected
