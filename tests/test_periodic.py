"""Periodic axes, against explicit sums over images, and what is refused."""

import re
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.precision import precision
from surfacefit._data.data import grid_data, point_data
from surfacefit._engines.engines import EngineChoice
from surfacefit._model.units import to_internal
from surfacefit._problem import planning
from surfacefit._problem.model_spec import ModelSpec
from surfacefit._problem.problem_setup import problem_setup
from surfacefit._starts.apart import strongest_apart

P = 2 * np.pi
AXIS = np.arange(24) * P / 24
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1)
COVARIANCES = np.array([[[0.3, 0.12], [0.12, 0.4]], [[0.9, -0.3], [-0.3, 0.5]]])
EXACT = sf.LevenbergMarquardt(slack=0.0, ftol=1e-15, gtol=1e-13, xtol=1e-13)


def surface_at(center, periods=(P, P)):
    """Two aslant components, of either sign, a fixed distance apart."""
    centers = np.array([center, np.add(center, [1.5, 2.0])])
    return sf.GaussianSurface(np.array([2.0, -1.0]), centers, COVARIANCES, 0.5, periods=periods)


def summed(surface, points, images=4):
    """Heights by a plain loop over images from -4 to 4 along each periodic axis."""
    total = np.full(points.shape[:-1], float(surface.background))
    ranges = [range(1) if p is None else range(-images, images + 1) for p in surface.periods]
    lengths = np.array([p or 0.0 for p in surface.periods])
    for numbers in np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(lengths)):
        for a, c, s in zip(surface.amplitudes, surface.centers, surface.covariances, strict=True):
            offsets = points - c - numbers * lengths
            total += a * np.exp(-0.5 * np.einsum("...i,ij,...j", offsets, np.linalg.inv(s), offsets))
    return total


def turned(difference):
    """Differences of angles, the short way round."""
    return (np.asarray(difference) + P / 2) % P - P / 2


@pytest.mark.parametrize("periods", [(P, P), (P, None), (None, 5.0)])
@pytest.mark.parametrize("width", [0.1, 1.0, 4.3])  # 4.3: as wide as a component may be
def test_a_surface_is_the_sum_over_images(periods, width):
    surface = surface_at([0.1, 6.2], periods)
    surface = sf.GaussianSurface(surface.amplitudes, surface.centers, COVARIANCES * width, 0.5, periods=periods)
    points = np.random.default_rng(0).uniform(0, 5, (40, 2))  # within a period, where four images suffice
    expected = summed(surface, points)
    np.testing.assert_allclose(surface(points), expected, atol=1e-11)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(surface)(jnp.asarray(points)), expected, atol=1e-11)
    far = points + [7 * p if p else 0.0 for p in periods]
    np.testing.assert_allclose(surface(far), expected, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("periods", [(P, P), (P, None)])
def test_a_fit_finds_what_lies_across_the_seam(periods, dtype):
    truth = surface_at([0.1, 3.1], periods)
    start = sf.GaussianSurface([1.5, -0.5], truth.centers + 0.2, np.array([np.eye(2) / 2] * 2), 0.0, periods=periods)
    result = sf.fit(
        summed(truth, GRID), 2, coords=(AXIS, AXIS), periods=periods, init=start, amplitudes="signed", dtype=dtype
    )
    tolerance = 1e-6 if dtype == "float64" else 2e-3
    assert result.surface.periods == periods
    np.testing.assert_allclose(result.surface.amplitudes, truth.amplitudes, atol=tolerance)
    np.testing.assert_allclose(turned(result.surface.centers - truth.centers), 0, atol=tolerance)
    np.testing.assert_allclose(result.surface.covariances, truth.covariances, atol=tolerance)
    np.testing.assert_allclose(result.predict(), summed(truth, GRID), atol=10 * tolerance)


NOISY = surface_at([3.0, 3.2])(GRID) + 0.02 * np.random.default_rng(0).normal(size=GRID.shape[:2])
OPTIONS = {"coords": (AXIS, AXIS), "periods": (P, P), "amplitudes": "signed"}


@cache
def of_shifted(*by):
    """A fit from no guess of the noisy map shifted by so many cells."""
    return sf.fit(np.roll(NOISY, by, (0, 1)), 2, init="peaks", **OPTIONS)


def test_shifting_the_data_shifts_the_fit():
    whole = of_shifted(0, 0)
    for by in ((12, 12), (-11, -13)):  # the second has a component across both seams
        other, step = of_shifted(*by), np.array(by) * P / 24
        np.testing.assert_allclose(turned(other.surface.centers - whole.surface.centers - step), 0, atol=1e-10)
        np.testing.assert_allclose(other.surface.amplitudes, whole.surface.amplitudes, rtol=1e-10)
        np.testing.assert_allclose(other.surface.covariances, whole.surface.covariances, rtol=1e-10)
        assert (other.surface.centers >= 0).all()
        assert (other.surface.centers < P).all()
    moved = sf.fit(NOISY, 2, init="peaks", **{**OPTIONS, "coords": (AXIS + 0.123, AXIS - 40.0)})
    step = np.array([0.123, -40.0])
    np.testing.assert_allclose(turned(moved.surface.centers - whole.surface.centers - step), 0, atol=1e-10)
    np.testing.assert_allclose(moved.surface.amplitudes, whole.surface.amplitudes, rtol=1e-10)


def test_errors_on_the_seam_are_those_in_the_middle():
    whole, other = of_shifted(0, 0), of_shifted(-11, -13)
    assert np.abs(turned(other.surface.centers[0])).max() < 0.3  # a corner, where both seams meet
    for name in ("amplitudes", "centers", "covariances", "volumes"):
        one, two = (getattr(fit.standard_errors, name) for fit in (whole, other))
        np.testing.assert_allclose(one, two, rtol=1e-7)
    assert [sorted(one) for one in whole.flags] == [sorted(one) for one in other.flags]
    np.testing.assert_allclose(whole.volume_shares, other.volume_shares, rtol=1e-9)
    np.testing.assert_allclose(np.roll(whole.residuals, (-11, -13), (0, 1)), other.residuals, atol=1e-10)


def test_errors_are_those_of_the_jacobian_by_differences():
    result = sf.fit(NOISY, 2, init="peaks", covariance_type="spherical", solver=EXACT, **OPTIONS)

    def heights(numbers):
        amplitudes, centers, squares = np.split(numbers[:-1], [2, 6])
        covariances = squares[:, None, None] * np.eye(2)
        return summed(
            sf.GaussianSurface(amplitudes, centers.reshape(2, 2), covariances, numbers[-1], periods=(P, P)), GRID
        ).ravel()

    found, level = result.surface, float(result.surface.background.value)
    at = np.concatenate([found.amplitudes, found.centers.ravel(), found.covariances[:, 0, 0], [level]])
    columns = [(heights(at + h) - heights(at - h)) / 2e-5 for h in 1e-5 * np.eye(len(at))]
    jacobian = np.stack(columns, axis=1)
    np.testing.assert_allclose(jacobian.T @ result.residuals.ravel(), 0, atol=1e-5)
    variance = 2 * result.cost / (GRID[..., 0].size - len(at))
    errors = np.sqrt(variance * np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    np.testing.assert_allclose(result.standard_errors.amplitudes, errors[:2], rtol=1e-5)
    np.testing.assert_allclose(result.standard_errors.centers.ravel(), errors[2:6], rtol=1e-5)


def test_scattered_points_have_no_seam():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, P, (300, 2))
    heights = surface_at([0.1, 6.2])(points) + 0.01 * rng.normal(size=300)
    fits = [
        sf.fit_points((points + step) % P, heights, 2, periods=(P, P), amplitudes="signed", init="peaks")
        for step in ([0.0, 0.0], [2.0, 4.5])
    ]
    assert fits[0].rmse < 0.011
    one, two = (fit.surface for fit in fits)
    np.testing.assert_allclose(turned(two.centers - one.centers - [2.0, 4.5]), 0, atol=1e-10)
    np.testing.assert_allclose(one.amplitudes, two.amplitudes, rtol=1e-10)
    np.testing.assert_allclose(fits[0].standard_errors.centers, fits[1].standard_errors.centers, rtol=1e-7)


def test_a_curve_with_a_gap_and_masked_heights():
    x = np.delete(np.arange(60) * P / 60, slice(20, 26))
    truth = sf.GaussianSurface([1.0, 2.0], [[0.05], [3.0]], [[[0.2]], [[0.3]]], 0.2, periods=(P,))
    heights = truth(x)
    heights[[0, -1]] = np.nan
    result = sf.fit(heights, 2, coords=x, periods=P, init="peaks")
    order = np.argsort(result.surface.amplitudes)
    np.testing.assert_allclose(result.surface.amplitudes[order], [1, 2], rtol=1e-5)
    np.testing.assert_allclose(turned(result.surface.centers[order, 0] - [0.05, 3.0]), 0, atol=1e-5)
    whole = sf.fit(truth(np.linspace(0, P, 61)), 2, coords=np.linspace(0, P, 61), periods=(P,), init="peaks")
    np.testing.assert_allclose(np.sort(whole.surface.amplitudes), [1, 2], rtol=1e-5)  # both ends are one place


def test_a_search_and_a_number_to_choose_go_round():
    result = sf.fit(np.roll(NOISY, (12, 11), (0, 1)), sf.AutoComponents(most=4), **OPTIONS)
    assert result.n_components == 2
    np.testing.assert_allclose(result.rmse, 0.02, rtol=0.1)


def test_the_way_of_a_search_does_not_depend_on_the_seam():
    """Growth goes through points in their order, and what is random begins at one place of the map."""
    whole, other = (sf.fit(np.roll(NOISY, by, (0, 1)), 3, init="growth", **OPTIONS) for by in ((0, 0), (-11, -13)))
    np.testing.assert_array_equal(whole.surface.amplitudes, other.surface.amplitudes)
    np.testing.assert_array_equal(whole.surface.covariances, other.surface.covariances)


def test_a_file_remembers_periods(tmp_path):
    result = of_shifted(-11, -13)
    for name in ("fit.json", "fit.npz"):
        result.save(tmp_path / name)
        found = sf.load(tmp_path / name)
        assert found.surface.periods == found.settings.periods == (P, P)
        np.testing.assert_array_equal(found.predict(), result.predict())
        np.testing.assert_array_equal(found.standard_errors.centers, result.standard_errors.centers)


def test_places_outside_of_the_cell():
    result = of_shifted(-11, -13)
    np.testing.assert_allclose(result.surface(GRID + np.array([P, -3 * P])), result.predict(), atol=1e-9)
    found = result.surface
    level = sf.GaussianSurface(found.amplitudes, found.centers, found.covariances, found.background.value, (P, P))
    np.testing.assert_allclose(summed(level, GRID), result.predict(), atol=1e-10)


def test_pictures_show_an_ellipse_on_each_side_of_a_seam():
    result = of_shifted(-11, -13)
    (ellipses,) = [one for panel in result.plot().axes for one in panel.collections if hasattr(one, "_angles")]
    places = np.asarray(ellipses.get_offsets())[:, ::-1]
    deviations = np.sqrt(np.diagonal(result.surface.covariances, axis1=1, axis2=2))
    shown = 0
    for center, reach in zip(result.surface.centers, deviations, strict=True):
        for shift in np.stack(np.meshgrid([-P, 0, P], [-P, 0, P]), axis=-1).reshape(-1, 2):
            low, high = center + shift - reach, center + shift + reach
            inside = (high >= -P / 48).all() and (low <= P - P / 48).all()  # the picture shows whole cells
            found = (np.abs(places - center - shift) < 1e-9).all(axis=1).any()
            assert found == inside
            shown += found
    assert shown == len(places) >= 5  # the first stands in a corner


def test_a_component_as_wide_as_may_be_is_flagged():
    heights = 1 + 0.1 * np.cos(AXIS)[:, None] * np.ones(24)
    options = {"init": "grid", "covariance_type": "diag", "contained": False}
    result = sf.fit(heights, 1, coords=(AXIS, AXIS), periods=(P, P), **options)
    deviations = np.sqrt(np.diagonal(result.surface.covariances[0]))
    assert (deviations <= P / 3 * (1 + 1e-6)).all()
    assert sf.ComponentFlag.AT_BOUND in result.flags[0]


def data_of(layout, surface):
    rng = np.random.default_rng(2)
    if layout == "scattered":
        points = rng.uniform(0, 6, (700, 2))
        return point_data(points, surface(points) + rng.normal(size=700))
    if layout == "even grid":
        return grid_data(NOISY, (AXIS, AXIS))
    heights = np.where(rng.uniform(size=NOISY.shape) < 0.2, np.nan, NOISY)
    return grid_data(heights, (AXIS, AXIS), sigma=rng.uniform(0.5, 2, NOISY.shape))


def problem_at(data, engine, covariance_type, surface):
    """What an engine is given, the surface's parameters, and the problem with a plan for them."""
    model = ModelSpec(
        n_components=len(surface.amplitudes),
        covariance_type=covariance_type,
        amplitudes="signed",
        periods=surface.periods,
        contained=False,
    )
    prepared = problem_setup(data, model, np.dtype(float), EngineChoice(engine))
    parts = prepared.host.parameterization
    params = jnp.asarray(parts.pack(replace(to_internal(surface, prepared.scaling), background=parts.background)))
    planner = prepared.planner
    return prepared, params, prepared.problem if planner is None else planner(prepared.problem, params, params)


@jax.jit
def operations(problem, params, change):
    residuals, jacobian = problem.linearize(params)
    own, corner = jacobian.block_diagonal()
    gradient, product = jacobian.rmv(residuals), jacobian.mv(change)
    return {"residuals": residuals, "gradient": gradient, "product": product, "blocks": own, "corner": corner}


@pytest.mark.parametrize(
    ("layout", "covariance_type", "periods"),
    [
        ("even grid", "full", (P, P)),
        ("gaps and weights", "tied", (P, None)),
        ("scattered", "diag", (None, 6.1)),
        ("even grid", "spherical", (6.5, P)),  # a gap between one end and the other
    ],
)
@pytest.mark.parametrize("width", [0.3, 3.0])
def test_the_tiled_engine_is_the_dense_one(layout, covariance_type, periods, width):
    surface = surface_at([0.1, 5.9], periods)
    surface = replace(surface, covariances=width * COVARIANCES)
    data = data_of(layout, surface)
    with precision(np.dtype(float)):
        rows = []
        for engine in (sf.Dense(), sf.Tiled(cutoff=1e-12, tile_size=30)):
            prepared, params, problem = problem_at(data, engine, covariance_type, surface)
            change = jnp.asarray(np.random.default_rng(3).normal(size=len(params)))
            found = operations(problem, params, change)
            if width > 1:  # the tiled engine leaves out products of a component's own images
                del found["blocks"]
            by_point = {name: prepared.by_point(found[name]) for name in ("residuals", "product")}
            rows.append({name: np.asarray(value) for name, value in {**found, **by_point}.items()})
    for name, expected in rows[0].items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(rows[1][name] / scale, expected / scale, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("periods", [(P, P), (None, P)])
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_blocks_without_points_go_round(covariance_type, periods, monkeypatch):
    """J^T J of many narrow components on a whole even grid, from the components alone."""
    monkeypatch.setattr(planning, "MOST_NODES_A_PLACE", float("inf"))
    rng, count, fine = np.random.default_rng(4), 14, np.arange(60) * P / 60
    centers = rng.uniform([0, -3], [P, 9], (count, 2))  # some a whole period outside
    centers[::2, 0] = 0.1
    if periods[0] is None:  # at an open border sums are to 3e-4 here, with or without periods along the other axis
        centers[:, 0] = np.clip(centers[:, 0], 2.0, 4.0)
    turns = rng.normal(size=(count, 2, 2)) * 0.12
    covariances = np.einsum("kij,klj->kil", turns, turns) + 0.04 * np.eye(2)
    covariances *= np.minimum(1, 0.1 / np.einsum("kii->k", covariances))[:, None, None]
    surface = sf.GaussianSurface(rng.normal(size=count), centers, covariances, 0.5, periods=periods)
    data, matrices = grid_data(rng.normal(size=(60, 60)), (fine, fine)), []
    with precision(np.dtype(float)):
        for engine in (sf.Dense(), sf.Tiled(cutoff=1e-12, tile_size=100)):
            _, params, problem = problem_at(data, engine, covariance_type, surface)
            matrices.append(np.asarray(normal_matrix(problem, params)))
        assert problem.engine.curvature.frame.period is not None
    scale = np.sqrt(np.maximum(np.diag(matrices[0]), 1e-6 * np.diag(matrices[0]).max()))
    np.testing.assert_allclose(matrices[1] / np.outer(scale, scale), matrices[0] / np.outer(scale, scale), atol=2e-4)


@jax.jit
def normal_matrix(problem, params):
    residuals, jacobian = problem.linearize(params)
    return jacobian.normal(residuals)[0].as_matrix()


def test_a_tiled_fit_is_the_dense_one():
    start = sf.GaussianSurface([1.5, -0.5], surface_at([0.3, 3.3]).centers, np.array([np.eye(2) / 2] * 2))
    heights = np.roll(NOISY, (-11, 0), (0, 1))
    one, two = (
        sf.fit(heights, 2, init=start, engine=engine, solver=EXACT, **OPTIONS)
        for engine in ("dense", sf.Tiled(cutoff=1e-12, tile_size=64))
    )
    assert two.settings.engine == "tiled"
    for name in ("amplitudes", "centers", "covariances"):
        np.testing.assert_allclose(getattr(two.surface, name), getattr(one.surface, name), atol=1e-6)
    np.testing.assert_allclose(two.standard_errors.centers, one.standard_errors.centers, rtol=1e-4)


START = surface_at([3.0, 3.2])
WIDE = sf.GaussianSurface([1.0], [[1.0, 1.0]], [np.diag([0.3, 100.0])])
REFUSED = [
    ({"periods": (6.0, P)}, "must not be shorter than the data's extent, got 6 along axis 0"),
    ({"periods": (P, 0.0)}, "`periods` must be"),
    ({"periods": (P, -P)}, "`periods` must be"),
    ({"periods": (P, np.nan)}, "`periods` must be"),
    ({"periods": (P, "x")}, "`periods`"),
    ({"periods": (P, P, P)}, "a period for each of the 2 axes"),
    ({"periods": P}, "a period for each of the 2 axes"),
    ({"engine": sf.Tiled(devices=1)}, "is for one device"),
    ({"background": "plane"}, "a plane contradict each other"),
    ({"init": "em"}, "init='em'"),
    ({"bounds": sf.Bounds(centers=[(0, 1), (0, 1)])}, "leaves no ends to centres"),
    ({"beam": 0.5}, "cannot be given beside `beam`"),
    ({"tie": {"widths": True}, "init": START}, "cannot be given beside `tie`"),
    ({"shape": 100.0}, "`shape` must have no component wider than"),
    ({"n_components": 1, "init": WIDE}, "`init` must have no component wider than"),
    ({"init": surface_at([3.0, 3.2], (P, 7.0))}, "must be those of `init`"),
    ({"periods": None, "init": START}, "must be given for a start with periods"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        sf.fit(NOISY, **{"n_components": 2, **OPTIONS, **options})


@pytest.mark.parametrize("share", [0.8, 3.0])
def test_a_surface_wider_than_a_period_is_still_the_sum_of_its_images(share):
    """Without and with JAX; where JAX traces the widths, no number of images is known to be enough."""
    surface = sf.GaussianSurface([2.0], [[0.1, 0.3]], [np.diag([share**2, 0.04])], 0.5, periods=(1.0, None))
    points = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    expected = summed(surface, points, images=60)
    np.testing.assert_allclose(surface(points), expected, rtol=1e-12)
    with jax.enable_x64(True):
        np.testing.assert_allclose(surface(jnp.asarray(points)), expected, rtol=1e-12)
        np.testing.assert_allclose(jax.jit(lambda x: surface(x))(points), expected, rtol=1e-12)
        assert np.isnan(jax.jit(lambda s, x: s(x))(surface, points)).all()


def test_places_that_are_no_numbers_leave_the_others_alone():
    surface = surface_at([0.1, 6.2])
    found = surface([[np.nan, 1.0], [np.inf, 1.0], [1.0, 2.0]])
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2], surface([[1.0, 2.0]])[0], rtol=1e-14)


@pytest.mark.parametrize(
    "periods", [(0.0, None), (-1.0, None), (np.nan, None), (np.inf, None), ("a", None), (True, None), 3.0]
)
def test_periods_of_a_surface_are_lengths(periods):
    surface = sf.GaussianSurface([2.0], [[0.1, 0.3]], [np.eye(2)], periods=periods)
    with pytest.raises((TypeError, ValueError), match="`periods`"):
        surface(np.zeros((1, 2)))


def test_a_surface_that_is_level_is_refused():
    surface = sf.GaussianSurface([2.0], [[0.1]], [[[1e8]]], periods=(1.0,))
    for zeros in (np.zeros((1, 1)), jnp.zeros((1, 1))):
        with pytest.raises(ValueError, match="leave it to the background"):
            surface(zeros)


def test_a_surface_of_lists_goes_through_jit():
    surface = sf.GaussianSurface([2.0], [[1.0, 2.0]], [[[1.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(jax.jit(lambda s, x: s(x))(surface, jnp.ones((1, 2))), 2 * np.exp(-0.5), rtol=1e-6)


def test_places_beside_an_open_axis_are_taken_without_warnings():
    """Along the first axis the second place is two cells from the first one."""
    places = np.array([[1.0, 2.0], [9.0, 2.0], [5.0, 9.0], [5.0, 3.0]])
    with np.errstate(invalid="raise"):
        taken = strongest_apart(places, np.ones(4), 3, 1.0, np.array([10.0, np.inf]))
    np.testing.assert_array_equal(taken, [0, 2, 3])


@pytest.mark.parametrize("layout", ["grid", "points", "across the seam"])
@pytest.mark.parametrize("period", [360.0, 1e4])
def test_a_map_of_a_region_has_the_peaks_of_open_axes(layout, period):
    """A start on 10 of 360 degrees; cells of the whole period would be larger than the region, or too many."""
    east, north = np.arange(100, 110, 0.25), np.arange(40, 44, 0.25)
    points = np.stack(np.meshgrid(east, north, indexing="ij"), axis=-1)
    centers = np.array([[102.0, 41.0], [106.1, 43.0], [108.2, 40.8]])
    truth = sf.GaussianSurface([3.0, 2.0, 2.5], centers, np.array([np.diag([0.5, 0.3])] * 3))
    heights, options = truth(points), {"init": "peaks", "background": None}
    if layout == "points":
        order = np.random.default_rng(0).permutation(heights.size)
        result = sf.fit_points(
            points.reshape(-1, 2)[order], heights.ravel()[order], 3, periods=(period, None), **options
        )
    elif layout == "grid":
        result = sf.fit(heights, 3, coords=(east, north), periods=(period, None), **options)
    else:
        east = np.concatenate([east[20:] - east[20], east[:20] - east[20] + period])
        result = sf.fit(np.roll(heights, -20, 0), 3, coords=(east, north), periods=(period, None), **options)
    assert result.rmse < 1e-6


def test_a_problem_of_a_start_has_its_periods():
    """Under jit and vmap, with the same surface as `fit`."""
    truth = surface_at([0.1, 3.1])
    start = replace(truth, centers=truth.centers + 0.1)
    points = GRID.reshape(-1, 2)
    with jax.enable_x64(True):

        @jax.jit
        @jax.vmap
        def fitted(heights):
            problem, params = sf.SurfaceProblem.from_start(
                jnp.asarray(points), heights, jax.tree.map(jnp.asarray, start), amplitudes="signed"
            )
            return problem.surface(sf.solve(problem, params, sf.LevenbergMarquardt()).params)

        found = fitted(jnp.asarray(summed(truth, points))[None])
    np.testing.assert_allclose(turned(np.asarray(found.centers[0]) - truth.centers), 0, atol=1e-6)
    np.testing.assert_allclose(found.amplitudes[0], truth.amplitudes, atol=1e-6)
    np.testing.assert_allclose(np.ravel(found.periods), [P, P])
