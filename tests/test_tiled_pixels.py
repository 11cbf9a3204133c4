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
from surfacefit._base.compile import quick_jit
from surfacefit._data.data import grid_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._engines.jacobian import DenseEngine, PixelEngine
from surfacefit._engines.pixel_nodes import pixel_nodes
from surfacefit._lists.tiles import grid_tiles
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.planning import TilePlanner
from surfacefit._problem.problem_setup import problem_setup

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


@quick_jit
def at_points(problem, params, offset):
    """Residuals and the matrix of the dense engine at points that are moved by a node."""
    residuals, jacobian = replace(problem, points=problem.points + offset, engine=DenseEngine()).linearize(params)
    return residuals, jacobian.as_matrix()


@quick_jit
def operations(problem, params, v, r, factors):
    residuals, jacobian = problem.linearize(params)
    normal, gradient = jacobian.normal(residuals)
    return {
        "residuals": residuals,
        "mv": jacobian.mv(v),
        "rmv": jacobian.rmv(r),
        "gradient": gradient,
        "normal": jacobian.restored(normal).mv(v),
        "own": jacobian.block_diagonal()[0][0],
        "border": jacobian.block_diagonal()[1],
        "columns": jacobian.column_blocks(factors)[0],
        "ones": jacobian.column_blocks(jnp.ones_like(factors))[0],
    }


CASES = [(2, "function", "full"), (1, "constant", "full"), (2, "plane", "tied"), (3, "none", "diag")]


@pytest.mark.parametrize("case", [CASES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in CASES[1:])])
def test_operations_are_those_of_the_mean_of_matrices(case):
    with jax.enable_x64(True):
        tiled, plain, params, nodes = problems(*case)
        parts = [(float(share), *at_points(plain, params, offset)) for offset, share in zip(*nodes, strict=True)]
        expected = sum(share * np.asarray(one) for share, one, _ in parts)
        matrix = sum(share * np.asarray(one) for share, _, one in parts)
        v, r = np.cos(np.arange(len(params))), np.sin(np.arange(len(expected)))
        factors = r**2
        over_pixels = replace(plain, engine=PixelEngine(nodes=nodes)).linearize(params)[1].as_matrix()
        np.testing.assert_allclose(over_pixels, matrix, atol=1e-9 * np.abs(matrix).max())
        found = jax.tree.map(np.asarray, operations(tiled, params, *map(jnp.asarray, (v, r, factors))))
    layout = plain.parameterization.layout
    own, rest = matrix[:, : layout.block_size], matrix[:, layout.n_own :]
    by_hand = {
        "residuals": expected,
        "mv": matrix @ v,
        "rmv": matrix.T @ r,
        "gradient": matrix.T @ expected,
        "normal": matrix.T @ (matrix @ v),
        "own": own.T @ own,
        "border": rest.T @ rest,
    }
    for name, value in by_hand.items():
        np.testing.assert_allclose(found[name], value, atol=1e-9 * max(1.0, np.abs(value).max(initial=0)), err_msg=name)
    # The first monomial of a component is its derivative by the amplitude, up to the slope of that.
    squares = own[:, 0] ** 2
    ratio = (factors * squares).sum() / squares.sum()
    share = found["columns"][0, 0] / found["ones"][0, 0]
    np.testing.assert_allclose(share, ratio, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_engines_agree(dtype):
    options = {"init": START, "covariance_type": "diag", "sampling": "integrated", "dtype": dtype, "sigma": 0.05}
    options["absolute_sigma"] = True
    dense, tiled = (sf.fit(STAR, 1, engine=one, **options) for one in ("dense", sf.Tiled(cutoff=1e-9, tile_size=16)))
    assert tiled.settings.engine == "tiled"
    close = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(tiled.surface.covariances, dense.surface.covariances, rtol=close, atol=close / 10)
    np.testing.assert_allclose(tiled.standard_errors.volumes, dense.standard_errors.volumes, rtol=1e-3)
    np.testing.assert_allclose(tiled.predict(), STAR, atol=1e-3)


def test_boxes_of_tiles_hold_the_nodes_of_their_pixels():
    """Else a narrow star would be left out of a tile whose pixels it reaches into, but not their centres."""
    model = ModelSpec(n_components=1, sampling="integrated")
    prepared = problem_setup(grid_data(STAR), model, np.dtype(float), EngineChoice(sf.Tiled(tile_size=16)))
    tiling, nodes = prepared.planner.tiling, np.asarray(prepared.planner.nodes.offsets)
    places = np.asarray(prepared.problem.points).reshape(*tiling.order.shape, 2)[:, :, None] + nodes
    assert (places.min(axis=(1, 2)) >= tiling.low - 1e-12).all()
    assert (places.max(axis=(1, 2)) <= tiling.high + 1e-12).all()
    half_a_pixel = 0.5 / prepared.scaling.point_scale
    assert (np.abs(nodes) < half_a_pixel).all()
    assert (np.abs(nodes).max(axis=0) > 0.8 * half_a_pixel).all()
