"""The tiled engine for means over pixels: all operations against matrices at the nodes, and whole fits."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_surface
from test_engines import background
from test_pixels import STAR, START

import surfacefit as sf
from surfacefit._engines.jacobian import DenseEngine
from surfacefit._engines.pixel_nodes import pixel_nodes
from surfacefit._lists.tiles import grid_tiles
from surfacefit._problem.planning import TilePlanner

SHAPES = {1: (40,), 2: (13, 16), 3: (6, 7, 8)}


def problems(n_dim, kind, covariance_type):
    """A problem over tiles with pixels, the same at points for the dense engine, its parameters, and the nodes."""
    rng = np.random.default_rng(n_dim)
    index = np.stack(np.indices(SHAPES[n_dim]), axis=-1).reshape(-1, n_dim)
    step = 2 / (np.array(SHAPES[n_dim]) - 1)
    used = rng.uniform(size=len(index)) < 0.9
    points, there = (-1 + index * step)[used], np.zeros(SHAPES[n_dim], bool)
    there[tuple(index[used].T)] = True
    amplitudes, centers, covariances = random_surface(rng, 5, n_dim)
    start = sf.GaussianSurface(amplitudes, centers, 0.04 * covariances, background(kind, n_dim))
    nodes, tiling = pixel_nodes(step, 0.7), grid_tiles(points, there, 16)
    nodes = nodes._replace(**{name: jnp.asarray(value) for name, value in nodes._asdict().items()})
    tiled = tiling.widened(np.abs(nodes.offsets).max(axis=0))
    heights = jnp.asarray(tiling.spread(rng.normal(size=len(points))))
    problem, params = sf.SurfaceProblem.from_start(
        jnp.asarray(tiling.spread(points)), heights, start, covariance_type=covariance_type, min_width=0.01
    )
    weights = np.where(tiling.filled.ravel(), tiling.spread(rng.uniform(0.5, 2, len(points))), 0.0)
    problem = replace(problem, weights=jnp.asarray(weights))
    planner = TilePlanner(tiled, None, 1e-12, np.inf, nodes=nodes)
    return planner(problem, params, params), problem, params, nodes


@pytest.mark.parametrize(
    ("n_dim", "kind", "covariance_type"),
    [(2, "function", "full"), (1, "constant", "full"), (2, "plane", "tied"), (3, "none", "diag")],
)
def test_operations_are_those_of_the_mean_of_matrices(n_dim, kind, covariance_type):
    with jax.enable_x64(True):
        tiled, plain, params, nodes = problems(n_dim, kind, covariance_type)
        matrix, model = 0.0, 0.0
        for offset, share in zip(*nodes, strict=True):
            moved = replace(plain, points=plain.points + offset, engine=DenseEngine())
            residuals, jacobian = moved.linearize(params)
            matrix = matrix + share * np.asarray(jacobian.as_matrix())
            model = model + share * (np.asarray(residuals) + np.asarray(plain.weights * plain.heights))
        residuals, jacobian = tiled.linearize(params)
        v, r = np.cos(np.arange(len(params))), np.sin(np.arange(len(model)))
        factors = np.abs(np.cos(np.arange(len(model))))
        np.testing.assert_allclose(residuals, model - plain.weights * plain.heights, atol=1e-9)
        np.testing.assert_allclose(jacobian.mv(jnp.asarray(v)), matrix @ v, atol=1e-9)
        np.testing.assert_allclose(jacobian.rmv(jnp.asarray(r)), matrix.T @ r, atol=1e-9)
        normal, gradient = jacobian.normal(residuals)
        np.testing.assert_allclose(gradient, matrix.T @ np.asarray(residuals), atol=1e-9)
        np.testing.assert_allclose(jacobian.restored(normal).mv(jnp.asarray(v)), matrix.T @ (matrix @ v), atol=1e-8)
        own, border = jacobian.block_diagonal()
        size = own.shape[1]
        for k, block in enumerate(np.asarray(own)[:5]):
            columns = matrix[:, k * size : (k + 1) * size]
            np.testing.assert_allclose(block, columns.T @ columns, atol=1e-9)
        rest = matrix[:, len(own) * size :]
        np.testing.assert_allclose(border, rest.T @ rest, atol=1e-9)
        weighted = jacobian.column_blocks(jnp.asarray(factors))
        ones = jacobian.column_blocks(jnp.ones(len(factors)))
        assert float(np.abs(weighted).max()) < float(np.abs(ones).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_engines_agree(dtype):
    options = {"init": START, "covariance_type": "diag", "sampling": "integrated", "dtype": dtype}
    dense, tiled = (sf.fit(STAR, 1, engine=one, **options) for one in ("dense", sf.Tiled(cutoff=1e-9, tile_size=16)))
    assert tiled.settings.engine == "tiled"
    close = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(tiled.surface.covariances, dense.surface.covariances, rtol=close, atol=close / 10)
    np.testing.assert_allclose(tiled.standard_errors.volumes, dense.standard_errors.volumes, rtol=0.5)
    np.testing.assert_allclose(tiled.predict(), STAR, atol=1e-3)


def test_a_component_in_the_corner_of_a_pixel_is_felt_in_the_next_tile():
    """A star on the border of two tiles, with a cutoff that its wings meet between the centres of pixels."""
    rows, columns = np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij")
    truth = sf.GaussianSurface([5.0], [[3.5, 3.5]], [0.09 * np.eye(2)], background=0.0)
    fine = (np.arange(40) + 0.5) / 40 - 0.5
    points = np.stack([rows, columns], axis=-1)
    heights = sum(truth(points + np.array([a, b])) for a in fine for b in fine) / 1600
    start = sf.GaussianSurface([4.0], [[3.4, 3.6]], [0.16 * np.eye(2)], background=0.0)
    result = sf.fit(heights, 1, init=start, sampling="integrated", engine=sf.Tiled(cutoff=1e-3, tile_size=16))
    np.testing.assert_allclose(result.surface.volumes, truth.volumes, rtol=2e-3)
