"""Clusters of components: their order, their matrices, and conjugate gradients that take them together."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from block_matrices import COUNT, SIZE, blocks_of, chain
from contexts import DOUBLE

from surfacefit._base.precision import precision
from surfacefit._linear.cluster_preconditioner import (
    LEAST_CLUSTER_DAMPING,
    Clusters,
    cluster_preconditioner,
    gathered,
)
from surfacefit._linear.linear_solve import solve_conjugate_gradients
from surfacefit._linear.normal import BlockNormal
from surfacefit._lists.clusters import (
    CLUSTER_PARAMETERS,
    CLUSTER_SETS,
    CLUSTER_SETS_FROM,
    LONE_CLUSTER_PARAMETERS,
    Arrangement,
    clustered,
    component_orders,
    hilbert_order,
)
from surfacefit._lists.component_lists import PlacedComponents

END = COUNT * SIZE


@pytest.fixture(autouse=True)
def in_double():
    with precision(DOUBLE):
        yield


@pytest.mark.parametrize(("n_dim", "side"), [(1, 64), (2, 32), (3, 8), (4, 4)])
def test_each_point_of_a_grid_is_followed_by_a_neighbour(n_dim, side):
    points = np.stack(np.indices((side,) * n_dim), axis=-1).reshape(-1, n_dim).astype(float)
    shuffled = points[np.random.default_rng(0).permutation(len(points))]
    order = hilbert_order(shuffled)
    assert sorted(order) == list(range(len(points)))
    steps = np.abs(np.diff(shuffled[order], axis=0)).sum(axis=1)
    assert np.median(steps) == 1  # the curve's own lattice is finer than the grid, so that a few steps are longer
    assert steps.mean() < 1.2


def test_points_at_one_place_keep_their_order():
    assert hilbert_order(np.zeros((5, 2))).tolist() == [0, 1, 2, 3, 4]


def test_what_is_no_number_stands_somewhere():
    points = np.array([[0, 0], [1, np.nan], [2, np.inf], [-np.inf, 1e308], [3, -1e308]])
    assert sorted(hilbert_order(points)) == list(range(5))


def test_one_point_far_away_leaves_the_rest_in_order():
    points = np.random.default_rng(0).uniform(0, 100, (2000, 2))
    order = hilbert_order(np.concatenate([points, [[1e7, 1e7]]]))
    assert order[-1] == 2000
    steps = np.linalg.norm(np.diff(points[order[:-1]], axis=0), axis=1)
    assert steps.mean() < 3  # 2.2 without it; 52 at random


def components(places, widths=(1.0, 1.0)):
    return PlacedComponents(np.ones(len(places)), places, np.tile(np.diag(widths), (len(places), 1, 1)))


def test_components_are_ordered_in_units_of_their_widths_and_those_not_in_use_are_last():
    lattice = np.stack(np.indices((16, 16)), axis=-1).reshape(-1, 2).astype(float)
    places = lattice[np.random.default_rng(1).permutation(256)]
    orders = component_orders(components(places), 260)
    for order in orders:
        assert order[256:].tolist() == [256, 257, 258, 259]
        clusters = places[order[:256]].reshape(-1, 16, 2)
        assert np.median(np.ptp(clusters, axis=1).max(axis=1)) <= 5  # at random 13 and more
    stretched = component_orders(components(places * [1000, 1], (1000.0, 1.0)), 260)
    assert stretched.tolist() == orders.tolist()


@pytest.mark.parametrize("n_dim", [2, 3])
def test_clusters_along_a_turned_curve_join_what_those_of_the_first_part(n_dim):
    places = np.random.default_rng(2).uniform(0, 30, (900, n_dim))
    sets = component_orders(components(places, (1.0,) * n_dim), 900)
    first, *others = (np.argsort(order) // 16 for order in sets)
    near = np.sum((places[:, None] - places) ** 2, axis=2) < 4
    parted = near & (first[:, None] != first)
    assert len(others) == 2
    for other in others:
        assert np.mean((other[:, None] == other)[parted]) > 0.25  # 0 for one and the same order


@pytest.mark.parametrize(("count", "n_sets"), [(CLUSTER_SETS_FROM - 1, 1), (CLUSTER_SETS_FROM, CLUSTER_SETS)])
def test_many_components_have_several_sets_of_clusters(count, n_sets):
    places = np.random.default_rng(4).uniform(0, 300, (count, 2))
    found = Arrangement.of(components(places), count, 6)
    assert found.orders.shape == (n_sets, count)
    np.testing.assert_array_equal(found.place[found.orders[0]], np.arange(count))


def test_rows_of_components_not_in_use_are_on_one_device_each():
    whole = Arrangement.of(components(np.arange(12.0).reshape(6, 2)), 4, 0)
    assert (whole.orders, whole.place) == (None, None)
    first, second = (replace(whole, mine=np.arange(6) % 2 == n) for n in (0, 1))
    assert [one.idle(4).tolist() for one in (whole, first, second)] == [[4, 5], [4], [5]]


def test_on_one_axis_there_is_one_order():
    assert component_orders(components(np.arange(5.0)[:, None], (1.0,)), 6).tolist() == [[0, 1, 2, 3, 4, 5]]


def clusters_of(normal, size):
    """Runs of so many components of a chain, whose places on a line are their numbers."""
    return sets_of(normal, size, np.arange(COUNT)[None])


def sets_of(normal, size, orders):
    most = LONE_CLUSTER_PARAMETERS if len(orders) == 1 else CLUSTER_PARAMETERS
    arrays = clustered(orders, most // size, *rows_of(normal))
    return Clusters(**{name: jnp.asarray(array) for name, array in arrays.items()})


def rows_of(normal):
    return np.asarray(normal.pattern.owner), np.asarray(normal.pattern.neighbours)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("size", [1, 4, 5, COUNT])
def test_the_matrices_of_clusters_are_parts_of_the_whole(size, once):
    matrix, near = chain(3)
    normal = blocks_of(matrix, near, once)
    clusters = clusters_of(normal, size)
    by_block = normal.blocks.reshape(len(normal.blocks), SIZE, -1, SIZE)
    found = [np.asarray(gathered(by_block, blocks)) for blocks in clusters.blocks]
    members = np.asarray(clusters.members)
    assert members.shape == (-(-COUNT // size), size)
    assert sorted(members[members < COUNT]) == list(range(COUNT))
    inner = np.pad(matrix[:END, :END].reshape(COUNT, SIZE, COUNT, SIZE), [(0, 1), (0, 0), (0, 1), (0, 0)])
    for some, here in zip(members, found, strict=True):
        wanted = inner[np.ix_(some, range(SIZE), some, range(SIZE))]
        above = np.triu(np.ones((size, size), bool), 1)[:, None, :, None]
        np.testing.assert_array_equal(here, np.where(above, 0, wanted) if once else wanted)
    assert np.array_equal(members.ravel()[np.asarray(clusters.place)], np.arange(COUNT)[None])


@pytest.mark.parametrize("once", [False, True])
def test_sets_of_clusters_are_added(once):
    matrix, near = chain(3, shift=6.0)
    normal, y = blocks_of(matrix, near, once), np.random.default_rng(1).normal(size=(COUNT, SIZE))
    orders = np.stack([np.arange(COUNT), np.roll(np.arange(COUNT)[::-1], 2)])
    both, roots = preconditioned(normal, sets_of(normal, 5, orders), y)
    wanted = np.zeros(END)
    whole = matrix[:END, :END] / np.outer(roots, roots) + 0.5 * np.eye(END)
    for order in orders:
        for some in (order[i : i + 5] for i in range(0, COUNT, 5)):
            own = (SIZE * some[:, None] + np.arange(SIZE)).ravel()
            wanted[own] += np.linalg.solve(whole[np.ix_(own, own)], y.ravel()[own])
    np.testing.assert_allclose(both.ravel(), wanted, rtol=1e-10)


def preconditioned(normal, clusters, y, damping=0.5):
    roots = jnp.asarray(np.random.default_rng(3).uniform(0.5, 2, (COUNT, SIZE)))
    m = cluster_preconditioner(normal.blocks, clusters, normal.diagonal_blocks(), roots, jnp.full(roots.shape, damping))
    return np.asarray(m(jnp.asarray(y))), np.asarray(roots)


@pytest.mark.parametrize("once", [False, True])
def test_one_cluster_of_all_is_the_inverse(once):
    matrix, near = chain(2, shift=6.0)
    normal, y = blocks_of(matrix, near, once), np.random.default_rng(1).normal(size=(COUNT, SIZE))
    found, roots = preconditioned(normal, clusters_of(normal, COUNT), y)
    whole = matrix[:END, :END] / np.outer(roots, roots) + 0.5 * np.eye(END)
    np.testing.assert_allclose(found.ravel(), np.linalg.solve(whole, y.ravel()), rtol=1e-10)


def test_components_of_a_cluster_without_a_factor_are_inverted_alone():
    matrix, near = chain(2, shift=6.0)
    matrix[0, SIZE] = matrix[SIZE, 0] = 50.0  # the first two components together are indefinite
    normal, y = blocks_of(matrix, near), np.random.default_rng(1).normal(size=(COUNT, SIZE))
    found, roots = preconditioned(normal, clusters_of(normal, 4), y)
    whole = matrix[:END, :END] / np.outer(roots, roots) + 0.5 * np.eye(END)
    for k in range(4):
        own = slice(k * SIZE, (k + 1) * SIZE)
        np.testing.assert_allclose(found[k], np.linalg.solve(whole[own, own], y[k]), rtol=1e-10)
    own = slice(4 * SIZE, 8 * SIZE)
    np.testing.assert_allclose(found[4:8].ravel(), np.linalg.solve(whole[own, own], y[4:8].ravel()), rtol=1e-10)


def test_little_damping_is_raised_for_clusters():
    matrix, near = chain(2, shift=6.0)
    normal, y = blocks_of(matrix, near), np.ones((COUNT, SIZE))
    found, _ = preconditioned(normal, clusters_of(normal, COUNT), y, damping=0.0)
    raised, _ = preconditioned(normal, clusters_of(normal, COUNT), y, damping=LEAST_CLUSTER_DAMPING)
    np.testing.assert_array_equal(found, raised)


def nearly_singular():
    """Neighbours of a chain that differ by little: what couples them is nearly as large as they are."""
    reach = np.exp(-0.05 * np.subtract.outer(range(COUNT), range(COUNT)) ** 2)
    near = reach > 1e-6
    matrix = np.eye(END + 2)
    matrix[:END, :END] = np.kron(reach, np.eye(SIZE) + 0.1)
    return matrix, near


def test_conjugate_gradients_end_sooner_with_clusters():
    matrix, near = nearly_singular()
    normal, gradient = blocks_of(matrix, near), jnp.asarray(np.random.default_rng(2).normal(size=len(matrix)))
    clusters, damping = clusters_of(normal, 6), 1e-3
    blocks = normal.diagonal_blocks()
    together = partial(cluster_preconditioner, normal.blocks, clusters, blocks)
    exact = np.linalg.solve(matrix + damping * np.eye(len(matrix)), -np.asarray(gradient))

    def error(iterations, together=None):
        step = solve_conjugate_gradients(
            normal.mv, blocks, normal.corner, gradient, jnp.ones_like(gradient), damping, iterations, together
        )
        return np.linalg.norm(step - exact) / np.linalg.norm(exact)

    assert error(4, together) < 0.5 * error(8)
    assert error(12, together) < 0.03 < error(15)


@pytest.mark.parametrize("once", [False, True])
def test_products_and_pairs_are_those_of_the_matrix(once):
    matrix, near = chain(3)
    normal, spare = blocks_of(matrix, near, once), [(0, 7), (0, 0), (0, 0)]
    wider = replace(
        normal.pattern,
        owner=jnp.pad(normal.pattern.owner, spare[0], constant_values=COUNT),
        neighbours=jnp.pad(normal.pattern.neighbours, spare[:2], constant_values=COUNT),
    )
    n_rows = int(np.flatnonzero(np.asarray(wider.owner) < COUNT)[-1]) + 1
    normal = replace(normal, pattern=wider, blocks=jnp.pad(normal.blocks, spare))
    vector = np.random.default_rng(5).normal(size=len(matrix))
    np.testing.assert_allclose(jax.jit(BlockNormal.mv)(normal, vector), matrix @ vector, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(normal.as_matrix(), matrix)
    for segments in (1, 3, 100):
        some = replace(wider, n_rows=jnp.asarray(n_rows), segments=segments)
        found = jax.jit(lambda p, b, v: p.repeated(b)(v))(some, normal.blocks, vector[:END].reshape(COUNT, SIZE))
        np.testing.assert_allclose(found.ravel(), (matrix @ np.pad(vector[:END], (0, 2)))[:END], rtol=1e-12, atol=1e-12)
    owner, neighbour, _ = map(np.asarray, wider.pairs(normal.blocks))
    found = [(i, j) for i, j in zip(owner, neighbour, strict=True) if i < COUNT and j < COUNT]
    assert sorted(found) == [(i, j) for i in range(COUNT) for j in range(COUNT) if near[i, j]]
