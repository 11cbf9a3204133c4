"""The normal matrix as one matrix a tile, put together, against J^T J of finite differences over plain loops."""

import jax
import numpy as np
import pytest
from oracles import central_differences, random_surface, surface_by_loops

import surfacefit as sf
from surfacefit._lists.tiles import scattered_tiles
from surfacefit._statistics.sparse_normal import TileNormals

COUNT, N_POINTS, N_SLOPES = 4, 60, 2


def scene(rng, n_dim, covariance_type, scale):
    """A problem without background, and two made-up slopes of one."""
    points = rng.uniform(-1, 1, (N_POINTS, n_dim))
    start = sf.GaussianSurface(*random_surface(rng, COUNT, n_dim, scale))
    problem, params = sf.SurfaceProblem.from_start(
        points, np.zeros(N_POINTS), start, covariance_type=covariance_type, min_width=np.full(n_dim, 1e-3)
    )
    return problem, np.asarray(params), points, rng.normal(size=(N_POINTS, N_SLOPES))


def tile_normals(rng, problem, params, points, background):
    parts = problem.parameterization
    components = parts.components(params)
    chain = parts.chain(params, components)
    size, border = chain.own.shape[2], chain.shared.shape[2] + N_SLOPES
    return TileNormals(
        tiling=scattered_tiles(points, 8),
        centers=np.asarray(components.centers),
        factors=np.asarray(components.factors),
        points=points,
        information=rng.uniform(0.5, 2, N_POINTS),
        chain=chain,
        background=background,
        prior_own=rng.uniform(1, 2, COUNT)[:, None, None] * np.eye(size),
        prior_border=3 * np.eye(border),
    )


def assembled(elements):
    """The sum of the tiles' matrices at the places of their unknowns."""
    whole = np.zeros((len(elements.extra), len(elements.extra)))
    for t, members in enumerate(elements.members):
        whole[np.ix_(members, members)] += elements.of(t)
    return whole


def slopes_by_differences(problem, params, points, background):
    def heights(p):
        surface = problem.surface(p)
        return surface_by_loops(
            *(np.asarray(a) for a in (surface.amplitudes, surface.centers, surface.covariances)), points
        )

    return np.concatenate([central_differences(heights, params), background], axis=1)


@pytest.mark.parametrize(("n_dim", "covariance_type"), [(1, "full"), (2, "full"), (2, "tied"), (3, "diag")])
def test_tiles_add_up_to_the_normal_matrix(rng, n_dim, covariance_type):
    with jax.enable_x64(True):
        problem, params, points, background = scene(rng, n_dim, covariance_type, 0.4)
        tiles = tile_normals(rng, problem, params, points, background)
        slopes = slopes_by_differences(problem, params, points, background)
    scale = rng.uniform(0.5, 2, slopes.shape[1])
    expected = slopes.T @ (tiles.information[:, None] * slopes)
    size = tiles.chain.own.shape[2]
    for k in range(COUNT):
        block = slice(k * size, (k + 1) * size)
        expected[block, block] += tiles.prior_own[k]
    expected[COUNT * size :, COUNT * size :] += tiles.prior_border
    found = assembled(tiles.elements(scale, np.zeros(len(scale))))
    np.testing.assert_allclose(found, scale[:, None] * expected * scale, atol=1e-5 * np.abs(expected).max())


def test_a_component_is_only_in_the_tiles_that_it_reaches(rng):
    with jax.enable_x64(True):
        problem, params, points, background = scene(rng, 2, "full", 0.05)
        tiles = tile_normals(rng, problem, params, points, background)
    elements = tiles.elements(np.ones(len(params) + N_SLOPES), np.zeros(len(params) + N_SLOPES))
    assert sum(len(members) for members in elements.members) < 0.5 * len(elements.members) * len(elements.extra)
    size = tiles.chain.own.shape[2]
    inverse = np.linalg.inv(tiles.factors)
    for t, members in enumerate(elements.members):
        inside = points[tiles.tiling.order[t]]
        for k in range(COUNT):
            if k * size not in members:
                widths = np.linalg.norm((inside - tiles.centers[k]) @ inverse[k].T, axis=1)
                assert widths.min() > 4.9
