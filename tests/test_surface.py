"""The model: values against loops, views against geometry, and JAX's transformations."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.tree_util import register_dataclass
from oracles import random_surface, surface_by_loops

import surfacefit as sf
from surfacefit._fit.merging import without
from surfacefit._fit.start_request import _above_zero
from surfacefit._model import gaussian
from surfacefit._model.block_layout import ALPHA, block_indices, shape_numbers, with_shape_numbers
from surfacefit._model.scaling import scaling_of
from surfacefit._model.surface import checked_surface, map_components
from surfacefit._model.units import to_internal, to_physical
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._starts.expectation_maximization import _scaled


@pytest.mark.parametrize("n_dim", [1, 2, 3, 4])
def test_values_are_the_formula(rng, n_dim):
    arrays = random_surface(rng, 5, n_dim)
    points = rng.uniform(-1, 1, (40, n_dim))
    surface = sf.GaussianSurface(*arrays, background=0.3)
    expected = surface_by_loops(*arrays, points, lambda point: 0.3)
    np.testing.assert_allclose(surface(points), expected, rtol=1e-12)
    np.testing.assert_allclose(surface(points.reshape(8, 5, n_dim)), expected.reshape(8, 5), rtol=1e-12)


def test_backgrounds(rng):
    arrays = random_surface(rng, 2, 2)
    points = rng.uniform(-1, 1, (30, 2))
    plane = sf.PlaneBackground(1.5, np.array([0.5, -2.0]), np.array([0.1, 0.2]))
    expected = surface_by_loops(*arrays, points, lambda p: 1.5 + 0.5 * (p[0] - 0.1) - 2 * (p[1] - 0.2))
    np.testing.assert_allclose(sf.GaussianSurface(*arrays, plane)(points), expected, rtol=1e-12)
    wave = sf.FunctionBackground(lambda q, x: q[0] * jnp.sin(q[1] * x[..., 0]), np.array([0.7, 3.0]))
    expected = surface_by_loops(*arrays, points, lambda p: 0.7 * np.sin(3 * p[0]))
    np.testing.assert_allclose(sf.GaussianSurface(*arrays, wave)(points), expected, rtol=1e-12)


def test_many_points_in_blocks_are_the_same(rng, monkeypatch):
    arrays = random_surface(rng, 3, 2)
    points = rng.uniform(-1, 1, (103, 2))
    whole = sf.GaussianSurface(*arrays)(points)
    monkeypatch.setattr("surfacefit._model.surface.BLOCK_ELEMENTS", 60)
    np.testing.assert_allclose(sf.GaussianSurface(*arrays)(points), whole, rtol=1e-14)


def test_values_between_and_beyond_all_numbers_raise_no_warning():
    hill = sf.GaussianSurface([1.0], [[0.0]], [[[1e-6]]], 0.5)
    np.testing.assert_array_equal(hill(np.array([1e300, 50.0])), [0.5, 0.5])
    assert np.isnan(hill(np.nan))


def test_a_covariance_without_a_root_is_refused():
    flat = sf.GaussianSurface(np.ones(2), np.zeros((2, 2)), np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(ValueError, match=r"`covariances` must be positive definite, got .* at index 1"):
        flat(np.zeros((3, 2)))


FAR_AWAY = 6555.1
AT_FAR_AWAY = {
    "number": (sf.ConstantBackground(0.1), 0.1),
    "plane": (sf.PlaneBackground(1.0, np.array([0.3]), np.array([6550.0])), 1.0 + 0.3 * (FAR_AWAY - 6550.0)),
    "function": (sf.FunctionBackground(lambda q, x: q[0] * x[..., 0], np.array([0.3])), 0.3 * FAR_AWAY),
}


@pytest.mark.parametrize("kind", AT_FAR_AWAY)
@pytest.mark.parametrize("as_points", [lambda points: points, np.array])
def test_backgrounds_give_numpy_in_double_precision(kind, as_points):
    background, expected = AT_FAR_AWAY[kind]
    heights = background(as_points([[FAR_AWAY]]))
    assert isinstance(heights, np.ndarray)
    assert (heights.dtype, heights.shape) == (np.float64, (1,))
    np.testing.assert_allclose(heights, expected, rtol=1e-15)


def test_a_plane_over_one_axis_takes_plain_positions_and_no_others():
    plane = sf.PlaneBackground(1.0, np.array([0.5]), np.array([2.0]))
    np.testing.assert_array_equal(plane([2.0, 4.0]), [1.0, 2.0])
    with pytest.raises(ValueError, match="`points` must have a last axis of length 2"):
        sf.PlaneBackground(1.0, np.ones(2), np.zeros(2))([1.0, 2.0, 3.0])


def test_backgrounds_take_whole_numbers_as_points():
    plane = sf.PlaneBackground(0.5, np.array([0.25, 0.0]), np.zeros(2))
    for points in ([[1, 2]], jnp.array([[1, 2]])):
        np.testing.assert_array_equal(plane(points), [0.75])


def test_one_dimension_takes_plain_positions():
    surface = sf.GaussianSurface([2.0], [[1.0]], [[[4.0]]])
    np.testing.assert_allclose(surface(np.array([1.0, 3.0])), [2.0, 2 * np.exp(-0.5)])
    assert surface(1.0) == 2.0


def test_wrong_points_are_refused():
    surface = sf.GaussianSurface([1.0], [[0.0, 0.0]], [np.eye(2)])
    with pytest.raises(ValueError, match=r"`points` must have a last axis of length 2 .* got shape \(5, 3\)"):
        surface(np.zeros((5, 3)))


def test_views_of_a_known_ellipse():
    angle = np.radians(30)  # from the second axis (x) towards the first (y)
    major, minor = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    covariance = 9 * np.outer(major, major) + 4 * np.outer(minor, minor)
    surface = sf.GaussianSurface([2.0, 1.0], [[0, 0], [5, 5]], [covariance, np.eye(2)])
    np.testing.assert_allclose(surface.principal_widths[0], [3, 2])
    np.testing.assert_allclose(np.abs(surface.principal_axes[0, 0] @ major), 1)
    np.testing.assert_allclose(surface.orientation[0], angle)
    np.testing.assert_allclose(surface.fwhm[0], 2.3548200450309493 * np.array([3, 2]))
    np.testing.assert_allclose(surface.volumes, [2 * 2 * np.pi * 6, 2 * np.pi])
    np.testing.assert_allclose(surface.volume, 26 * np.pi)


def test_volume_is_the_integral(rng):
    surface = sf.GaussianSurface(*random_surface(rng, 2, 2, scale=0.3))
    axis = np.linspace(-6, 6, 601)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    np.testing.assert_allclose(surface(points).sum() * (axis[1] - axis[0]) ** 2, surface.volume, rtol=1e-9)


def test_sorted_by_falling_volume(rng):
    surface = sf.GaussianSurface(*random_surface(rng, 6, 2), background=1.0).sorted()
    assert (np.diff(surface.volumes) <= 0).all()
    assert surface.background == 1.0
    shuffled = surface.component([3, 1, 5, 0, 2, 4]).sorted()
    np.testing.assert_array_equal(shuffled.centers, surface.centers)


def test_orientation_needs_two_dimensions():
    with pytest.raises(ValueError, match=r"`orientation` is an angle in 2-D; this surface has 3 dimensions"):
        _ = sf.GaussianSurface([1.0], [[0.0] * 3], [np.eye(3)]).orientation


def test_passes_jit_vmap_and_grad(rng):
    arrays = [jnp.asarray(a, jnp.float32) for a in random_surface(rng, 3, 2)]
    points = jnp.asarray(rng.uniform(-1, 1, (7, 2)), jnp.float32)
    surface = sf.GaussianSurface(*arrays)
    direct = surface(points)
    assert direct.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(lambda s, x: s(x))(surface, points), direct, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(surface))(points), direct, rtol=1e-5)

    at = jax.jit(surface)
    slope = jax.jit(jax.grad(surface))(points[0])
    h = 1e-3
    for i in range(2):
        step = h * np.eye(2, dtype=np.float32)[i]
        difference = (float(at(points[0] + step)) - float(at(points[0] - step))) / (2 * h)
        np.testing.assert_allclose(slope[i], difference, rtol=2e-2, atol=2e-3)

    by_surface = jax.jit(jax.grad(lambda s: jnp.sum(s(points))))(surface)
    unit = sf.GaussianSurface(jnp.ones(3, jnp.float32), *arrays[1:])
    np.testing.assert_allclose(by_surface.amplitudes.sum(), unit(points).sum(), rtol=1e-5)
    assert np.isfinite(by_surface.covariances).all()


def test_surfaces_stack_under_vmap(rng):
    surfaces = [sf.GaussianSurface(*(jnp.asarray(a) for a in random_surface(rng, 2, 2))) for _ in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *surfaces)
    points = jnp.asarray(rng.uniform(-1, 1, (5, 2)), jnp.float32)
    together = jax.jit(jax.vmap(lambda s: s(points)))(stacked)
    for one, surface in zip(together, surfaces, strict=True):
        np.testing.assert_allclose(one, surface(points), rtol=1e-5)


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_the_integral_of_a_profile_is_the_sum_over_a_fine_grid(rng, n_dim):
    _, _, covariances = random_surface(rng, 1, n_dim)
    inverse, step = np.linalg.inv(covariances[0]), 0.25 * np.sqrt(np.linalg.eigvalsh(covariances[0])[0])
    reach = int(7 * np.sqrt(np.linalg.eigvalsh(covariances[0])[-1]) / step)
    points = step * np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * n_dim, indexing="ij"), -1)
    squares = np.einsum("...i,ij,...j->...", points, inverse, points)
    total = gaussian.profile(squares).sum() * step**n_dim
    np.testing.assert_allclose(gaussian.integrals(covariances), [total], rtol=1e-9)
    np.testing.assert_allclose(np.exp(gaussian.log_integrals(covariances)), [total], rtol=1e-9)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_integral_along_a_line(power):
    x = np.linspace(-30, 30, 6001)
    total = np.sum(np.exp(-0.5 * (x / 2) ** 2) ** power) * 0.01
    np.testing.assert_allclose(gaussian.line_integrals(2.0, power), total, rtol=1e-9)


def test_the_bhattacharyya_distance_is_minus_the_logarithm_of_the_common_area():
    x = np.linspace(-60, 60, 12001)
    densities = [scipy.stats.norm(mean, width).pdf(x) for mean, width in ((0, 2), (3, 1), (-1, 4))]
    common = [np.sum(np.sqrt(densities[0] * density)) * 0.01 for density in densities]
    centers, covariances = np.array([[0.0], [3.0], [-1.0]]), np.array([[[4.0]], [[1.0]], [[16.0]]])
    found = gaussian.bhattacharyya(centers[0], covariances[0], centers, covariances)
    np.testing.assert_allclose(found, -np.log(common), atol=1e-9)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Marked(sf.GaussianSurface):
    """A surface with one more field, as another component profile would bring."""

    mark: Any = None


SCALING = scaling_of(np.array([[0.0, 0.0], [4.0, 6.0]]), np.array([1.0, 3.0]), shift_heights=True, isotropic=False)
COPIES = {
    "to_internal": lambda surface: to_internal(surface, SCALING),
    "to_physical": lambda surface: to_physical(surface, SCALING),
    "component": lambda surface: surface.component(0),
    "sorted": lambda surface: surface.sorted(),
    "map_components": lambda surface: map_components(surface, np.asarray),
    "checked_surface": lambda surface: checked_surface("init", surface, 3, 2, False),
    "merging.without": lambda surface: without(surface, 1),
    "expectation_maximization._scaled": lambda surface: _scaled(surface, np.array([2.0, 3.0])),
    "start_request._above_zero": lambda surface: _above_zero(surface, ModelSpec(n_components=3)),
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_a_surface_keeps_fields_that_it_does_not_know(rng, copy):
    surface = Marked(*random_surface(rng, 3, 2), background=0.5, mark="kept")
    assert COPIES[copy](surface).mark == "kept"


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_the_layout_finds_what_pack_has_written(rng, covariance_type):
    amplitudes, centers, covariances = random_surface(rng, 4, 2)
    surface = sf.GaussianSurface(amplitudes, centers, covariances, sf.PlaneBackground(1.0, np.array([2.0, 3.0]), 0.0))
    start = jax.tree.map(jnp.asarray, surface)
    problem, params = sf.SurfaceProblem.from_start(
        jnp.zeros((5, 2)), jnp.zeros(5), start, covariance_type=covariance_type, amplitudes="signed"
    )
    layout = problem.parameterization.layout
    blocks, shared, background = layout.split(np.asarray(params))
    np.testing.assert_allclose(blocks[:, ALPHA], amplitudes, rtol=1e-6)
    np.testing.assert_allclose(blocks[:, layout.centers], centers, rtol=1e-6)
    np.testing.assert_allclose(background, [1, 2, 3], rtol=1e-6)
    assert (blocks[:, layout.shapes].size, shared.size) == {
        "full": (12, 0),
        "diag": (8, 0),
        "spherical": (4, 0),
        "tied": (0, 3),
    }[covariance_type]
    assert params.size == layout.n_parameters == blocks.size + shared.size + background.size
    np.testing.assert_array_equal(np.asarray(params)[block_indices([2, 0], layout.block_size)], blocks[[2, 0]])
    shapes = shape_numbers(layout, params)
    changed = with_shape_numbers(layout, params, shapes + 1)
    np.testing.assert_allclose(shape_numbers(layout, changed), shapes + 1)
    assert int(jnp.sum(changed != params)) == shapes.size


@pytest.mark.parametrize("height", [1e-12, 1e-11, 0.1, 3.3e7])
@pytest.mark.parametrize("n", [7, 49, 60])
def test_the_unit_of_a_constant_map_is_its_height_and_not_what_rounding_leaves(n, height):
    points = np.arange(float(n))[:, None]
    for shifts in (False, True):
        scaling = scaling_of(points, np.full(n, height), shift_heights=shifts, isotropic=False)
        assert scaling.height_scale == pytest.approx(height, rel=1e-12)
    assert scaling_of(points, np.zeros(n), shift_heights=True, isotropic=False).height_scale == 1.0


def test_formulas_keep_the_precision_of_their_arrays():
    """With 64 bits allowed, a NumPy scalar would turn single precision into double."""
    with jax.enable_x64(True):
        assert gaussian.line_integrals(jnp.ones(3, jnp.float32)).dtype == jnp.float32
