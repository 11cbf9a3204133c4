"""Pictures of results: what is drawn is the data, the model and the residual, in the right places."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import EllipseCollection, QuadMesh
from matplotlib.colors import to_rgba

import surfacefit as sf
from surfacefit._data.data import grid_data, point_data
from surfacefit._data.labels import Labels
from surfacefit._plots.result import KINDS
from surfacefit._results.record import Settings, Timings
from surfacefit._results.result import FitResult

PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)


def result_of(surface, data):
    """A result as a fit would give it, without the fit."""
    many = 601  # parameters: no flags that need derivatives
    settings = Settings(solver="LevenbergMarquardt", dtype="float64", n_parameters=many, engine="dense")
    return FitResult(surface, data, 0.0, sf.Status.CONVERGED_COST, 1, {}, Timings(0, 0, 0, 0), settings)


def hills(n_dim, k, extent=10.0, background=1.0):
    """K components with centres in [0, extent]^d."""
    rng = np.random.default_rng(k)
    factors = np.eye(n_dim) + 0.4 * np.tril(rng.normal(size=(k, n_dim, n_dim)))
    return sf.GaussianSurface(
        rng.uniform(1, 2, k), rng.uniform(0, extent, (k, n_dim)), factors @ factors.swapaxes(1, 2), background
    )


def map_result(k=3, shape=(12, 15), coords=None, mask=None, holes=()):
    """A noisy map of K components over a grid, with NaN at the flat positions ``holes``."""
    surface = hills(len(shape), k)
    axes = grid_data(np.zeros(shape), coords).all_points
    heights = surface(axes).reshape(shape) + 0.1 * RNG.normal(size=shape)
    heights.flat[list(holes)] = np.nan
    return result_of(surface, grid_data(heights, coords, mask))


def point_result(k=3, n_dim=2, n_points=40, holes=()):
    """The same at scattered points."""
    surface, points = hills(n_dim, k), RNG.uniform(0, 10, (n_points, n_dim))
    heights = surface(points) + 0.1 * RNG.normal(size=n_points)
    heights[list(holes)] = np.nan
    return result_of(surface, point_data(points, heights))


def ellipses_of(figure):
    return [artist for panel in figure.axes for artist in panel.collections if isinstance(artist, EllipseCollection)]


def shown(panel):
    """The one image of a panel as an array with NaN where nothing is drawn."""
    (image,) = panel.images
    return np.ma.filled(image.get_array().astype(float), np.nan)


def test_map_shows_data_model_and_residual_as_they_are():
    mask = np.zeros((12, 15), bool)
    mask[3, 4:7] = True
    result = map_result(mask=mask, holes=[0, 17])
    figure = result.plot()
    data, model, residual = figure.axes[:3]
    assert len(figure.axes) == 5  # and two colorbars
    np.testing.assert_array_equal(shown(data), np.where(result.data.used, result.data.heights, np.nan))
    np.testing.assert_array_equal(shown(model), result.predict())
    np.testing.assert_array_equal(shown(residual), result.residuals)
    assert np.isnan(shown(data)).sum() == np.isnan(shown(residual)).sum() == 5
    assert data.get_facecolor() == to_rgba("0.85")
    assert f"{result.rmse:.3g}" in residual.get_title()


def test_map_scales_are_shared_and_symmetric():
    result = map_result(shape=(40, 50), holes=[3])
    data, model, residual = (panel.images[0] for panel in result.plot().axes[:3])
    assert data.get_clim() == model.get_clim() == (np.nanmin(result.data.heights), np.nanmax(result.data.heights))
    low, high = residual.get_clim()
    assert low == -high
    assert np.nanmean(np.abs(result.residuals) <= high) == pytest.approx(0.995, abs=1e-3)


def test_map_without_coords_is_an_image():
    panel = map_result().plot().axes[1]
    assert (panel.get_xlim(), panel.get_ylim()) == ((-0.5, 14.5), (11.5, -0.5))
    assert (panel.get_xlabel(), panel.get_aspect()) == ("column", 1.0)


def test_map_with_coords_points_upwards():
    panel = map_result(coords=[np.linspace(100, 111, 12), np.linspace(-7, 7, 15)]).plot().axes[0]
    assert (panel.get_xlim(), panel.get_ylim()) == ((-7.5, 7.5), (99.5, 111.5))
    assert (panel.get_xlabel(), panel.get_ylabel(), panel.get_aspect()) == ("axis 1", "axis 0", 1.0)


def test_map_with_unlike_steps_fills_its_panels():
    assert map_result(coords=[10 * np.arange(12), np.arange(15)]).plot().axes[0].get_aspect() == "auto"


def test_map_with_uneven_coords_keeps_every_cell_around_its_point():
    y, x = np.array([0.0, 1, 3, 7, 20]), np.linspace(0, 3, 4)
    result = map_result(shape=(5, 4), coords=[y, x], holes=[6])
    figure = result.plot()
    (mesh,) = figure.axes[0].collections
    assert isinstance(mesh, QuadMesh)
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], [-0.5, 0.5, 2, 5, 13.5, 26.5])
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), result.data.heights)
    assert figure._repr_png_().startswith(PNG)


def test_ellipse_of_a_known_component():
    angle, widths = np.deg2rad(30), np.array([4.0, 2.0])
    axes = np.array(
        [[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]]
    )  # rows: unit vectors (row, column)
    surface = sf.GaussianSurface([3.0], [[10.0, 20.0]], [axes.T @ np.diag(widths**2) @ axes])
    result = result_of(surface, grid_data(surface(np.stack(np.mgrid[:25, :40], axis=-1))))
    (ellipse,) = ellipses_of(result.plot())
    np.testing.assert_allclose(ellipse.get_offsets(), [[20, 10]])
    np.testing.assert_allclose([ellipse.get_widths(), ellipse.get_heights()], [[8], [4]])
    np.testing.assert_allclose(ellipse.get_angles(), [30])


def test_ellipses_are_level_lines_of_their_components():
    figure = map_result(k=5).plot()
    (ellipse,), surface = ellipses_of(figure), hills(2, 5)
    figure.draw_without_rendering()
    to_pixels = figure.axes[1].transData
    circle = np.stack([np.cos(t := np.linspace(0, 6, 20)), np.sin(t)], axis=1)
    for k, (center, transform) in enumerate(zip(ellipse.get_offsets(), ellipse.get_transforms(), strict=True)):
        in_pixels = ellipse.get_transform().transform(circle @ transform[:2, :2].T) + to_pixels.transform(center)
        points = to_pixels.inverted().transform(in_pixels)[:, ::-1]
        np.testing.assert_allclose(surface.component(k)(points), surface.amplitudes[k] * np.exp(-0.5))


@pytest.mark.parametrize("make", [map_result, point_result])
@pytest.mark.parametrize(
    ("k", "asked", "drawn"),
    [(1, None, 1), (7, None, 7), (7, False, 0), (300, None, 300), (301, None, 0), (301, True, 301)],
)
def test_number_of_ellipses(make, k, asked, drawn):
    figure = make(k).plot(ellipses=asked)
    assert sum(len(artist.get_widths()) for artist in ellipses_of(figure)) == drawn
    assert all(artist.axes is figure.axes[1] for artist in ellipses_of(figure))


def test_ellipses_far_outside_do_not_move_the_panel():
    surface = sf.GaussianSurface([1.0], [[500.0, -300.0]], [np.eye(2)])
    panel = result_of(surface, grid_data(np.ones((12, 15)))).plot().axes[1]
    assert (panel.get_xlim(), panel.get_ylim()) == ((-0.5, 14.5), (11.5, -0.5))


def test_scattered_points_are_where_they_are():
    result = point_result(holes=[2, 5])
    figure = result.plot()
    assert len(figure.axes) == 5
    used = result.data.used
    for panel, values in [(figure.axes[0], result.data.heights), (figure.axes[2], result.residuals)]:
        left_out, points = panel.collections
        np.testing.assert_allclose(left_out.get_offsets(), result.data.points[~used][:, ::-1])
        np.testing.assert_allclose(points.get_offsets(), result.data.points[used][:, ::-1])
        np.testing.assert_array_equal(points.get_array(), values[used])


def test_scattered_model_is_the_surface_over_the_box():
    result = point_result()
    (image,) = result.plot().axes[1].images
    left, right, bottom, top = image.get_extent()
    y = bottom + (np.arange(200) + 0.5) / 200 * (top - bottom)
    x = left + (np.arange(200) + 0.5) / 200 * (right - left)
    np.testing.assert_allclose(image.get_array(), result.surface(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)))
    low, high = result.data.points.min(axis=0), result.data.points.max(axis=0)
    assert bottom < low[0] < high[0] < top
    assert left < low[1] < high[1] < right


@pytest.mark.parametrize("scattered", [False, True])
def test_curve_shows_data_model_components_and_residuals(scattered):
    x = np.linspace(0, 10, 80)
    surface = sf.GaussianSurface([2.0, 1.0], [[3.0], [7.0]], [[[0.25]], [[1.0]]], 0.5)
    heights = surface(x) + 0.1 * RNG.normal(size=80)
    heights[11] = np.nan
    order = RNG.permutation(80)
    result = result_of(surface, point_data(x[order], heights[order]) if scattered else grid_data(heights, x))
    upper, lower = result.plot().axes
    lines = {line.get_label(): line for line in upper.lines}
    at, model = lines["model"].get_data()
    assert len(at) == 1000
    assert (np.diff(at) > 0).all()
    np.testing.assert_allclose(model, surface(at))
    np.testing.assert_allclose(lines["background"].get_ydata(), 0.5)
    np.testing.assert_allclose(lines["components"].get_ydata(), 0.5 + 2 * np.exp(-0.5 * ((at - 3) / 0.5) ** 2))
    assert len(upper.lines) == 5
    used = result.data.used
    np.testing.assert_array_equal(
        np.transpose(lines["data"].get_data()), np.c_[result.data.used_points, result.data.heights[used]]
    )
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), result.residuals[used])


def test_flagged_components_of_a_curve_are_orange():
    surface = sf.GaussianSurface([2.0, 1.0, 1.5], [[3.0], [-1.0], [7.0]], [[[0.25]], [[1.0]], [[1.0]]], 0.5)
    x = np.linspace(0, 10, 80)
    upper = result_of(surface, grid_data(surface(x) + 0.1 * RNG.normal(size=80), x)).plot().axes[0]
    drawn = [line for line in upper.lines if line.get_color() in ("C0", "orange")]
    assert [line.get_color() for line in drawn] == ["C0", "C0", "orange"]
    at, heights = drawn[-1].get_data()
    np.testing.assert_allclose(heights, 0.5 + np.exp(-0.5 * (at + 1) ** 2))
    assert [text.get_text() for text in upper.get_legend().get_texts()] == [
        "data",
        "model",
        "components",
        "flagged",
        "background",
    ]


@pytest.mark.parametrize("scattered", [False, True])
def test_flagged_components_of_a_volume_are_named(scattered):
    surface = sf.GaussianSurface(
        [2.0, 1.0, 1.5], [[3.0, 3, 3], [-1.0, 2, 2], [4.0, 4, 9]], np.tile(np.eye(3), (3, 1, 1)), 0.5
    )
    grid = np.stack(np.mgrid[:6, :7, :8], axis=-1).astype(float)
    heights = surface(grid) + 0.1 * RNG.normal(size=(6, 7, 8))
    figure = result_of(
        surface, point_data(grid.reshape(-1, 3), heights.ravel()) if scattered else grid_data(heights)
    ).plot()
    assert figure.get_suptitle().endswith("flagged: 1, 2")
    inside = sf.GaussianSurface(surface.amplitudes[:1], surface.centers[:1], surface.covariances[:1], 0.5)
    assert "flagged" not in result_of(inside, grid_data(heights)).plot().get_suptitle()


def test_curve_with_many_components_shows_their_sum_only():
    assert [line.get_label() for line in map_result(k=51, shape=(200,)).plot().axes[0].lines] == ["data", "model"]


def test_curve_keeps_to_the_data_where_the_background_is_far_away():
    surface = sf.GaussianSurface([1000.0], [[5.0]], [[[1e4]]], -999.0)
    x = np.linspace(0, 10, 30)
    assert result_of(surface, grid_data(surface(x), x)).plot().axes[0].get_ylim()[0] > -1


def test_volume_shows_its_middle_slices():
    result = map_result(shape=(6, 7, 9), holes=[3 * 63 + 20, 5])
    figure = result.plot()
    assert len(figure.axes) == 11
    data = np.where(result.data.used, result.data.heights, np.nan)
    for axis, middle in enumerate([3, 3, 4]):
        panels = figure.axes[3 * axis : 3 * axis + 3]
        for panel, values in zip(panels, [data, result.predict(), result.residuals], strict=True):
            np.testing.assert_array_equal(shown(panel), np.take(values, middle, axis))
        assert panels[0].get_title() == f"data, axis {axis} at {middle}"
    assert np.isnan(shown(figure.axes[0])).sum() == 1
    assert figure.axes[3].get_ylim() == (5.5, -0.5)


def test_scattered_volume_shows_its_points_in_space():
    result = point_result(n_dim=3, holes=[0])
    figure = result.plot()
    values = [result.data.heights, result.predict(), result.residuals]
    for panel, expected in zip(figure.axes[:3], values, strict=True):
        assert panel.name == "3d"
        np.testing.assert_array_equal(panel.collections[-1].get_array(), expected[np.isfinite(expected)])


def test_scattered_volume_keeps_to_the_box_of_its_points():
    points = 100 + RNG.uniform(0, 1, (20, 3))
    panel = result_of(hills(3, 1), point_data(points, np.arange(20.0))).plot().axes[0]
    assert all(99 < low < high < 102 for low, high in (panel.get_xlim(), panel.get_ylim(), panel.get_zlim()))


@pytest.mark.parametrize("result", [map_result(shape=(3, 3, 3, 3)), point_result(n_dim=4)], ids=["grid", "points"])
def test_more_than_three_dimensions_are_refused(result):
    with pytest.raises(ValueError, match=r"this fit has 4: use `result\.residuals`"):
        result.plot()


DEGENERATE = {
    "constant map": lambda: result_of(
        sf.GaussianSurface([0.0], [[2.0, 2.0]], [np.eye(2)], 3.0), grid_data(np.full((6, 8), 3.0))
    ),
    "zero map": lambda: result_of(sf.GaussianSurface([0.0], [[2.0, 2.0]], [np.eye(2)]), grid_data(np.zeros((6, 8)))),
    "one row": lambda: map_result(1, (1, 30)),
    "one pixel": lambda: map_result(1, (1, 1)),
    "one pixel used": lambda: map_result(1, (3, 3), holes=range(1, 9)),
    "one sample": lambda: map_result(1, (1,)),
    "constant curve": lambda: result_of(sf.GaussianSurface([0.0], [[2.0]], [[[1.0]]], 3.0), grid_data(np.full(9, 3.0))),
    "flat volume with an empty slice": lambda: map_result(1, (1, 5, 20), holes=range(40, 60)),
    "one point": lambda: point_result(1, n_points=1),
    "points on a line": lambda: result_of(hills(2, 1), point_data(np.c_[np.arange(9), np.full(9, 2)], np.arange(9.0))),
    "points that repeat": lambda: result_of(hills(2, 1), point_data(np.full((9, 2), 2), np.arange(9.0))),
    "one point in space": lambda: point_result(1, n_dim=3, n_points=1),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_are_drawn_without_a_warning(name):
    assert DEGENERATE[name]().plot()._repr_png_().startswith(PNG)


def test_figure_is_saved_and_is_not_known_to_pyplot(tmp_path):
    before = pyplot.get_fignums()
    figure = map_result().plot()
    for suffix in ("png", "pdf"):
        figure.savefig(tmp_path / f"fit.{suffix}")
        assert (tmp_path / f"fit.{suffix}").stat().st_size > 1000
    assert pyplot.get_fignums() == before


def test_notebook_shows_a_picture_without_any_setup():
    formatters = pytest.importorskip("IPython.core.formatters")
    shown_as, _ = formatters.DisplayFormatter().format(map_result().plot())
    assert shown_as["image/png"].startswith(PNG)


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install surfacefit\[plot\]"):
        map_result().plot()


def fitted_like(result):
    """A result with the cost and the number of parameters of its own, so that it has errors."""
    n_dim, k = result.surface.n_dim, result.n_components
    settings = replace(result.settings, n_parameters=k * (1 + n_dim + n_dim * (n_dim + 1) // 2) + 1)
    return replace(result, cost=0.5 * float(np.nansum(result.misfits**2)), settings=settings)


def one_hill(n_dim, center=4.0):
    """A component in the middle of a small grid, or of points."""
    return sf.GaussianSurface(np.array([2.0]), np.full((1, n_dim), center), 2.0 * np.eye(n_dim)[None], 0.5)


def small(n_dim, scattered=False, labels=None, seed=3):
    rng, surface, shape = np.random.default_rng(seed), one_hill(n_dim), (9,) * n_dim
    points = rng.uniform(0, 8, (60, n_dim)) if scattered else grid_data(np.zeros(shape)).all_points
    heights = surface(points) + 0.1 * rng.normal(size=len(points))
    data = point_data(points, heights) if scattered else grid_data(heights.reshape(shape))
    return fitted_like(result_of(surface, data if labels is None else replace(data, labels=labels)))


SMALL = {f"{d}-D {'points' if s else 'grid'}": small(d, s) for d in (1, 2, 3) for s in (False, True)}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_picture_or_a_refusal(kind, name):
    result = SMALL[name]
    if kind == "3d" and not name.startswith("2"):
        with pytest.raises(ValueError, match=rf"`kind`='3d' shows heights over 2 dimensions, this fit has {name[0]}"):
            result.plot(kind)
    elif kind == "path":
        with pytest.raises(ValueError, match="neither: use kind='fit'"):
            result.plot(kind)
    else:
        assert result.plot(kind)._repr_png_().startswith(PNG)


def test_unknown_kinds_and_idle_arguments_are_refused():
    with pytest.raises(ValueError, match="`kind` must be one of"):
        map_result().plot("pie")
    with pytest.raises(ValueError, match="`ellipses` is for kind='fit', got kind='error'"):
        map_result().plot("error", ellipses=True)
    with pytest.raises(ValueError, match="this fit has 4: use `result"):
        map_result(shape=(3, 3, 3, 3)).plot("components")
    none = result_of(sf.GaussianSurface(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2)), 1.0), grid_data(np.eye(4)))
    with pytest.raises(ValueError, match="this fit has none: use kind='fit'"):
        none.plot("components")


def numbers_of(panel):
    return {text.get_text(): text.xy for text in panel.texts}


def test_components_are_shown_one_by_one_with_their_numbers():
    result = map_result(k=4)
    surface, figure = result.surface, result.plot("components")
    whole, *single = figure.axes[:5]
    np.testing.assert_allclose(shown(whole), result.predict() - 1.0, atol=1e-12)
    for k, panel in zip(surface.by_volume, single, strict=True):
        at = grid_data(result.data.heights).all_points
        np.testing.assert_allclose(shown(panel).ravel(), surface.component(k)(at))
        share = surface.volumes[k] / surface.volumes.sum()
        assert panel.get_title() == f"{k}: {share:.1%} of the volume"
        assert panel.images[0].get_clim() == whole.images[0].get_clim()
    assert {int(k): tuple(xy) for k, xy in numbers_of(whole).items()} == {
        k: tuple(center[::-1]) for k, center in enumerate(surface.centers)
    }


def test_components_of_either_sign_have_colours_around_zero():
    surface = sf.GaussianSurface([2.0, -1.0], [[3.0, 3.0], [8.0, 8.0]], np.tile(np.eye(2), (2, 1, 1)))
    low, high = result_of(surface, grid_data(np.ones((12, 12)))).plot("components").axes[0].images[0].get_clim()
    assert low == -high == pytest.approx(-2, rel=1e-2)


def test_components_of_a_curve_stand_on_the_background():
    x = np.linspace(0, 10, 80)
    surface = sf.GaussianSurface([2.0, 1.0], [[3.0], [7.0]], [[[0.25]], [[1.0]]], 0.5)
    (panel,) = result_of(surface, grid_data(surface(x), x)).plot("components").axes
    assert numbers_of(panel) == {"0": pytest.approx((3.0, 2.5)), "1": pytest.approx((7.0, 1.5))}


def test_components_of_a_volume_are_outlines_from_three_sides():
    covariance = np.array([[4.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 1.0]])
    surface = sf.GaussianSurface([2.0], [[4.0, 5.0, 6.0]], [covariance])
    figure = result_of(surface, grid_data(np.ones((9, 10, 11)))).plot("components")
    for panel, pair in zip(figure.axes[:3], [(0, 1), (0, 2), (1, 2)], strict=True):
        (ellipse,) = [one for one in panel.collections if isinstance(one, EllipseCollection)]
        half = np.array([ellipse.get_widths()[0], ellipse.get_heights()[0]]) / 2
        np.testing.assert_allclose(half**2, np.linalg.eigvalsh(covariance[np.ix_(pair, pair)])[::-1])
        np.testing.assert_allclose(ellipse.get_offsets()[0], np.array([4.0, 5.0, 6.0])[list(pair)][::-1])


def test_errors_are_those_of_the_band():
    result = SMALL["2-D grid"]
    panel = result.plot("error").axes[0]
    np.testing.assert_allclose(shown(panel), result.uncertainty().band())
    assert panel.images[0].get_cmap().name == "cividis"
    line = SMALL["1-D grid"]
    lower = line.plot("error").axes[1].lines[0]
    np.testing.assert_allclose(lower.get_ydata(), line.uncertainty().band(lower.get_xdata()))


def test_perspective_shows_data_and_model_on_one_scale():
    figure = SMALL["2-D grid"].plot("3d")
    data, model = figure.axes[:2]
    assert (data.name, model.name) == ("3d", "3d")
    assert data.get_zlim() == model.get_zlim()
    assert data.get_ylim()[0] > data.get_ylim()[1]  # rows run downwards, as in an image


@pytest.mark.slow
def test_path_is_the_choice_of_a_number():
    path = sf.fit(small(1).data.heights).path
    figure = replace(map_result(), path=path).plot("path")
    assert figure.axes[0].get_xlabel() == "number of components K"


def test_path_without_a_choice_is_the_cost_of_each_step():
    figure = replace(map_result(), history={"cost": np.array([9.0, 4.0, 1.0]), "optimality": np.ones(3)}).plot("path")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [9, 4, 1])


LABELS = {
    d: Labels(("depth", "lat", "lon")[-d:], ("km", "deg", "deg")[-d:], name="gravity", unit="mGal") for d in (1, 2, 3)
}


def texts_of(figure):
    return {
        text
        for panel in figure.axes
        for text in [panel.get_xlabel(), panel.get_ylabel(), *([panel.get_zlabel()] if panel.name == "3d" else [])]
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "path"])
@pytest.mark.parametrize("scattered", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_pictures_call_axes_and_heights_what_the_data_call_them(d, scattered, kind):
    if kind == "3d" and d != 2:
        pytest.skip("refused")
    names = texts_of(small(d, scattered, LABELS[d]).plot(kind))
    assert names >= {f"{name} [{unit}]" for name, unit in zip(LABELS[d].dims, LABELS[d].units, strict=True)}
    assert names & {"gravity [mGal]", "[mGal]"}
    assert not [name for name in names if name.startswith(("axis", "row", "column", "index"))]


def test_long_coordinates_do_not_touch():
    axes = [4_123_456.0 + 0.3 * np.arange(12), 8_558_123.5 + 0.3 * np.arange(15)]
    for kind in ("fit", "components", "error"):
        figure = fitted_like(map_result(coords=axes)).plot(kind)
        figure.draw_without_rendering()
        for panel in figure.axes:
            boxes = [text.get_window_extent() for text in panel.get_xticklabels() if text.get_text()]
            boxes = sorted((box.x0, box.x1) for box in boxes if box.width)
            assert not panel.yaxis.get_offset_text().get_text() + panel.xaxis.get_offset_text().get_text()
            low, high = panel.get_window_extent().x0, panel.get_window_extent().x1
            boxes = [box for box in boxes if low - 1 <= sum(box) / 2 <= high + 1]
            assert all(left[1] < right[0] for left, right in pairwise(boxes)), kind


@pytest.mark.parametrize("n_dim", [1, 2, 3])
def test_surfaces_have_pictures_without_data(n_dim):
    surface = hills(n_dim, 3)
    figure = surface.plot()
    assert figure._repr_png_().startswith(PNG)
    reach = 4 * np.sqrt(np.diagonal(surface.covariances, axis1=1, axis2=2))
    low, high = (surface.centers - reach).min(axis=0), (surface.centers + reach).max(axis=0)
    np.testing.assert_allclose(figure.axes[0].get_xlim(), [low[min(n_dim, 2) - 1], high[min(n_dim, 2) - 1]])


def test_surface_shows_the_extent_that_is_asked_for():
    surface = sf.GaussianSurface([2.0], [[4.0, 4.0]], [[[2.0, 0.0], [0.0, 2.0]]], 0.5)
    panel = surface.plot([(0, 8), (2, 6)]).axes[0]
    assert (panel.get_xlim(), panel.get_ylim()) == ((2, 6), (0, 8))
    rows, columns = (np.arange(200) + 0.5) / 200 * 8, 2 + (np.arange(200) + 0.5) / 200 * 4
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    np.testing.assert_allclose(shown(panel), surface(points))


@pytest.mark.parametrize("extent", [[(0, 1)], [(0, 1), (3, 3)], [(0, 1), (0, np.nan)], 5])
def test_extents_that_are_none_are_refused(extent):
    with pytest.raises(ValueError, match="`extent` must be the lowest and the highest coordinate"):
        one_hill(2).plot(extent)


def test_surfaces_without_a_picture_say_so():
    with pytest.raises(ValueError, match="this surface has 4: call it at points of yours"):
        one_hill(4).plot()
    with pytest.raises(ValueError, match="`extent` must be given"):
        sf.GaussianSurface(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2, 2)), 1.0).plot()
