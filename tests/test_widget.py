"""The view of a fit in a notebook, as the kernel sees it: arrays for the browser, and what is done there."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import surfacefit as sf
from surfacefit._base.layout import with_error
from surfacefit._base.progress import Progress
from surfacefit._data.data import grid_data, point_data
from surfacefit.interop.widget import edits
from surfacefit.interop.widget.frames import Frames
from surfacefit.interop.widget.panels import panels_of
from surfacefit.interop.widget.pixels import AxisPixels, Pixels

pytest.importorskip("anywidget")

TRUTH = sf.GaussianSurface([3.0, 2.0], [[6.0, 8.0], [14.0, 17.0]], [np.diag([4.0, 6.0]), np.diag([5.0, 3.0])], 0.5)
FAST = {"covariance_type": "diag", "search": 0, "init": "peaks"}


def hills(shape=(20, 24), holes=()):
    heights = TRUTH(np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1))
    heights = heights + 0.05 * np.random.default_rng(1).normal(size=shape)
    heights.flat[list(holes)] = np.nan
    return heights


@pytest.fixture(scope="module")
def fitted():
    return sf.fit(hills(), 2, **FAST)


@pytest.fixture
def view(fitted):
    return fitted.view()


def say(view, **message):
    """What the browser sends."""
    view._handle_custom_msg(message, [])


def finished(view):
    """After the fit that a click began."""
    view._thread.join(60)
    assert not view._thread.is_alive()


def floats(data, *shape):
    return np.frombuffer(data, np.float32).reshape(shape)


def test_browser_is_sent_data_and_model_as_bytes(fitted, view):
    assert view._scene["shape"] == [20, 24]
    np.testing.assert_array_equal(floats(view._heights, 20, 24), fitted.data.heights.astype(np.float32))
    np.testing.assert_array_equal(floats(view._model, 20, 24), fitted.predict().astype(np.float32))
    assert view._scene["extent"] == [[-0.5, 19.5], [-0.5, 23.5]]
    assert (view._scene["names"], view._scene["downwards"]) == (["row", "column"], True)
    json.dumps([view._scene, view._components, view._status])  # what goes beside the bytes is plain


def test_gaps_are_nan():
    view = sf.view(hills(holes=[3, 40]), 2)
    assert np.flatnonzero(np.isnan(floats(view._heights, 480))).tolist() == [3, 40]
    assert np.isfinite(floats(view._model, 480)).all()


def test_ellipses_and_rows_are_the_components(fitted, view):
    shapes = view._components["shapes"]
    np.testing.assert_allclose([one[:2] for one in shapes], fitted.surface.centers)
    factors = [np.array([[a, 0], [b, c]]) for *_, a, b, c in shapes]
    np.testing.assert_allclose([f @ f.T for f in factors], fitted.surface.covariances)
    rows, columns = view._components["rows"], view._components["columns"]
    assert columns == ["amplitude", "row", "column", "FWHM major", "FWHM minor", "angle", "volume"]
    value, error = rows[0][0].split("±")
    assert float(value) == pytest.approx(fitted.surface.amplitudes[0], abs=0.01)
    assert float(error) == pytest.approx(fitted.standard_errors.amplitudes[0], rel=0.06)


def test_numbers_end_where_their_errors_begin():
    assert with_error(1431494.0, 113456.0) == "1430000±110000"
    assert with_error(12.3456, 0.0234) == "12.346±0.023"
    assert with_error(-1e-9, 0.01) == "0.000±0.010"
    assert with_error(3.25, np.inf) == "3.25±-"
    assert with_error(3.25, np.inf, others=0.3) == "3.25±-"


def test_a_click_adds_a_component_as_high_as_the_residual():
    surface = TRUTH.component([0])
    view = sf.view(hills(), init=surface, background=0.5)
    say(view, do="add", at=[14, 17])
    assert (view.surface.n_components, view.selected, view._status["edited"]) == (2, 1, True)
    np.testing.assert_array_equal(view.surface.centers[1], [14, 17])
    assert 1.5 < view.surface.amplitudes[1] < 2.1
    np.testing.assert_allclose(floats(view._model, 480), view.surface(grid_data(hills()).all_points), rtol=1e-6)


def test_added_components_suit_what_is_fitted():
    data = grid_data(hills())
    new = edits.added(edits.without_components(2, 0.5), data, np.array([6.0, 8.0]), "spherical", False)
    assert new.covariances[0, 0, 0] == new.covariances[0, 1, 1]
    assert new.amplitudes[0] == pytest.approx(3, abs=0.1)
    tied = edits.added(TRUTH.component([0]), data, np.array([14.0, 17.0]), "tied", False)
    np.testing.assert_array_equal(tied.covariances[1], TRUTH.covariances[0])
    pit = sf.GaussianSurface([9.0], [[6.0, 8.0]], [np.diag([4.0, 6.0])], 0.5)
    assert edits.added(pit, data, np.array([6.0, 8.0]), "full", True).amplitudes[1] < 0
    assert edits.added(pit, data, np.array([6.0, 8.0]), "full", False).amplitudes[1] > 0


def test_a_drag_moves_from_where_it_began_and_is_undone_at_once(fitted, view):
    for by in ([1, 0], [2, -1], [3, -2]):
        say(view, do="move", k=1, by=by, drag="a")
    np.testing.assert_allclose(view.surface.centers[1], fitted.surface.centers[1] + [3, -2])
    np.testing.assert_array_equal(view.surface.centers[0], fitted.surface.centers[0])
    say(view, do="move", k=1, by=[1, 1], drag="b")
    np.testing.assert_allclose(view.surface.centers[1], fitted.surface.centers[1] + [4, -1])
    say(view, do="undo")
    np.testing.assert_allclose(view.surface.centers[1], fitted.surface.centers[1] + [3, -2])
    say(view, do="undo")
    np.testing.assert_array_equal(view.surface.centers, fitted.surface.centers)
    assert not view._status["undo"]


def test_a_component_is_removed_and_no_longer_picked(view):
    view.selected = 1
    say(view, do="remove", k=0)
    assert (view.surface.n_components, view.selected) == (1, -1)
    assert len(view._components["rows"]) == len(view._components["shapes"]) == 1


def test_a_click_refits_what_is_shown_with_what_the_fit_was_made_with(fitted, view):
    say(view, do="move", k=0, by=[1.5, -1.0], drag="a")
    assert view.result is fitted
    say(view, do="refit")
    finished(view)
    assert view.result is not fitted
    assert view.result.settings.covariance_type == "diag"
    np.testing.assert_allclose(view.result.surface.centers, fitted.surface.centers, atol=1e-3)
    assert view.surface is view.result.surface
    assert view._status["text"].startswith("K = 2, RMSE 0.0")
    assert (view._status["running"], view._status["edited"]) == (False, False)
    say(view, do="undo")
    np.testing.assert_allclose(view.surface.centers[0], fitted.surface.centers[0] + [1.5, -1.0])


def test_heights_are_fitted_with_the_options_of_the_user():
    view = sf.view(hills(), 2, **FAST)
    assert (view.result, view.surface.n_components, view._scene["number"]) == (None, 0, "2")
    result = view.fit()
    assert (result.n_components, result.settings.covariance_type) == (2, "diag")
    assert view.result is result
    say(view, do="fit", k=" 1 ")
    finished(view)
    assert view.result.n_components == 1


def test_a_fit_is_shown_while_it_runs(monkeypatch):
    view, seen = sf.view(hills(), 2, **FAST), []
    monkeypatch.setattr("surfacefit.interop.widget.frames.FRAME_SECONDS", 0)
    monkeypatch.setattr("surfacefit.interop.widget.frames.FITTING_SHARE", 0)
    view.observe(lambda change: seen.append((change["new"], dict(view._status))), "_model")
    view.fit()
    assert len(seen) > 2
    assert all(status["running"] and "steps, rmse" in status["text"] for _, status in seen[1:-1])
    assert seen[0][0] != seen[-2][0]


def progress(steps=1):
    return Progress(steps, 1.0, 1.0, 1.0, lambda: TRUTH)


def test_frames_are_ten_a_second_at_most_and_fewer_if_they_take_long(clock):
    shown = []
    frames = Frames(lambda one: shown.append(clock.now))
    for _ in range(100):
        assert not frames(progress())
        clock.now += 0.013
    assert len(shown) == 13
    assert min(np.diff(shown)) >= 0.1
    slow = Frames(lambda one: setattr(clock, "now", clock.now + 1.0))
    begun, count = clock.now, 0
    while clock.now < begun + 50:
        before = clock.now
        slow(progress())
        count += clock.now > before
        clock.now += 0.013
    assert count == 10


def test_stop_ends_a_fit_with_its_best():
    view = sf.view(hills(), 2, **FAST)
    view.observe(lambda change: say(view, do="stop"), "_model")
    assert view.fit().status == sf.Status.STOPPED
    assert "stopped" in view._status["text"]


def test_stop_is_offered_only_where_it_arrives(view):
    """Messages wait while a cell runs; they arrive while a fit runs on a thread of its own."""
    seen = []
    view.observe(lambda change: seen.append(change["new"]["stops"]) if change["new"]["running"] else None, "_status")
    view.refit()
    assert set(seen) == {False}
    seen.clear()
    say(view, do="refit")
    finished(view)
    assert set(seen) == {True}


def test_one_fit_at_a_time(view):
    with view._alone():
        say(view, do="refit")
        assert "a fit is running" in view._status["text"]
        say(view, do="add", at=[3, 3])
        assert view.surface.n_components == 2
        with pytest.raises(RuntimeError, match="press Stop"):
            view.fit(1)


def test_a_fit_that_fails_says_so_and_leaves_what_was_shown(view):
    before = view.surface
    say(view, do="fit", k="many")
    finished(view)
    assert "n_components" in view._status["text"]
    assert view.surface is before
    assert not view._status["running"]
    with pytest.raises((ValueError, TypeError), match="n_components"):
        view.fit("many")


NONSENSE = [
    {},
    {"do": "dance"},
    {"do": "add"},
    {"do": "add", "at": [np.nan, 1]},
    {"do": "add", "at": "x"},
    {"do": "add", "at": [1]},
    {"do": "move", "k": 9, "by": [0, 0], "drag": 1},
    {"do": "remove", "k": -1},
    {"do": "remove", "k": "0"},
    {"do": "undo"},
]


@pytest.mark.parametrize("message", NONSENSE)
def test_messages_that_make_no_sense_change_nothing(view, message):
    before = view.surface
    say(view, **message)
    assert view.surface is before


@pytest.mark.slow
def test_limits_of_single_components_do_not_follow_added_ones():
    bounds = sf.Bounds(amplitudes=([0, 0], [9, 9]))
    view = sf.fit(hills(), 2, init=TRUTH, bounds=bounds, search=0).view()
    say(view, do="add", at=[3, 3])
    say(view, do="refit")
    finished(view)
    assert "limits for each of 2 components, got 3" in view._status["text"]
    with pytest.raises(ValueError, match="which only a start has: use refit"):
        view.fit(2)


def test_where_there_is_no_javascript_there_is_a_picture(view):
    data, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= data.keys()
    assert data["text/plain"] == "<SurfaceView: 2 components, 20 x 24 heights>"
    assert sf.view(hills(), 2)._repr_mimebundle_()[0]["image/png"][:8] == "iVBORw0K"


def test_without_matplotlib_there_is_still_a_view(view, monkeypatch):
    monkeypatch.setattr("surfacefit.interop.widget.still.find_spec", lambda name: None)
    assert "image/png" not in view._repr_mimebundle_()[0]


def test_missing_anywidget_says_what_to_install(fitted, monkeypatch):
    monkeypatch.delitem(sys.modules, "surfacefit.interop.widget.surface_view", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError, match=r"pip install 'surfacefit\[widget\]'"):
        fitted.view()


def test_import_needs_neither_a_browser_nor_pictures():
    code = "import surfacefit, sys; print(*{'anywidget', 'ipywidgets', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


REFUSED = [
    (lambda fit: sf.view(fit, 3), ValueError, "a fit brings its own options, got n_components"),
    (lambda fit: sf.view(fit, search=3), ValueError, "a fit brings its own options, got search"),
    (lambda fit: sf.view(hills(), callback=print), ValueError, "`callback` is what a view shows"),
    (lambda fit: sf.view(hills(), 2, serach=1), TypeError, r"view\(\) has no option `serach`"),
    (lambda fit: sf.view(hills(), 2, loss="none"), ValueError, "`loss` must be one of"),
    (lambda fit: sf.view(np.arange(4.0), points=np.eye(4)[:, :2], coords=[1]), ValueError, "`coords` are for a grid"),
    (lambda fit: sf.view(np.zeros((2, 2, 2, 2))), ValueError, "not a grid in 4-D: use `result.plot"),
    (lambda fit: sf.view(np.arange(9.0), points=np.eye(9)[:, :3]), ValueError, "not scattered points in 3-D"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED)
def test_what_cannot_be_viewed_is_refused_at_once(fitted, call, kind, text):
    with pytest.raises(kind, match=text):
        call(fitted)


def test_large_maps_are_averaged_over_known_samples_and_it_is_said():
    rng = np.random.default_rng(2)
    heights = rng.normal(size=(530, 700))
    heights[:3, :3] = np.nan
    heights[100, 200] = np.nan
    panels = panels_of(grid_data(heights))
    assert panels.scene["notes"] == ["each pixel is the mean of 3 x 3 samples"]
    shown = floats(panels.heights, 177, 234)
    assert np.isnan(shown[0, 0])
    assert shown[33, 66] == pytest.approx(np.nanmean(heights[99:102, 198:201]), rel=1e-6)
    assert shown[176, 233] == pytest.approx(heights[528:, 699:].mean(), rel=1e-6)
    whole = TRUTH(np.stack(np.mgrid[:530, :700], axis=-1))
    model = floats(panels.model(TRUTH), 177, 234)
    known = ~np.isnan(heights[99:102, 198:201])
    assert model[33, 66] == pytest.approx(whole[99:102, 198:201][known].mean(), rel=1e-6)
    assert model[0, 0] == pytest.approx(whole[:3, :3].mean(), rel=1e-6)
    np.testing.assert_allclose(panels.scene["extent"], [[-0.5, 530.5], [-0.5, 701.5]])


def test_uneven_steps_show_the_nearest_sample():
    axis = np.array([0.0, 1, 2, 4, 8])
    pixels = AxisPixels.of(axis, 1.0)
    middles = pixels.low + (np.arange(len(pixels.index)) + 0.5) / len(pixels.index) * (pixels.high - pixels.low)
    np.testing.assert_array_equal(pixels.index, [np.argmin(abs(axis - x)) for x in middles])
    assert "uneven" in Pixels(pixels, AxisPixels.of(np.arange(4.0), 1.0)).note


def test_curves_are_lines_with_their_background():
    x = np.linspace(100, 110, 4001)[::-1]
    surface = sf.GaussianSurface(
        [2.0], [[104.0]], [[[0.25]]], sf.PlaneBackground(1.0, np.array([0.1]), np.array([105.0]))
    )
    panels = panels_of(point_data(x, surface(x)))
    count, line = panels.scene["count"], panels.scene["line"]
    places, heights = floats(panels.heights, 2, count)
    assert panels.scene["notes"] == ["each dot is the mean of 3 samples"]
    assert (np.diff(places) > 0).all()
    np.testing.assert_allclose(heights, surface(100 + 10 * places.astype(float)), atol=1e-4)
    model, drawn, background = np.split(np.frombuffer(panels.model(surface), np.float32), [count, count + line])
    np.testing.assert_allclose(model, heights, rtol=1e-6)
    np.testing.assert_allclose(drawn, surface(np.linspace(100, 110, line)), rtol=1e-5)
    np.testing.assert_allclose(background, 1 + 0.1 * (np.linspace(100, 110, line) - 105), rtol=1e-5)
    assert panels.shapes(surface) == [[104.0, 0.5, 2.0]]


def test_points_are_dots_over_an_image():
    points = np.random.default_rng(0).uniform(0, 20, (50, 2))
    panels = panels_of(point_data(points, TRUTH(points)))
    (low, high), count = np.array(panels.scene["extent"]).T, panels.scene["count"]
    y, x, heights = floats(panels.heights, 3, count)
    np.testing.assert_allclose(np.column_stack([y, x]) * (high - low) + low, points, atol=1e-4)
    model = np.frombuffer(panels.model(TRUTH), np.float32)
    np.testing.assert_allclose(model[:count], heights, rtol=1e-6)
    assert len(model) == count + np.prod(panels.scene["shape"])


def test_a_volume_is_shown_slice_by_slice_with_cuts_through_its_components():
    covariance = np.array([[4.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 1.0]])
    surface = sf.GaussianSurface([2.0], [[4.0, 5.0, 6.0]], [covariance], 0.0)
    heights = surface(np.stack(np.mgrid[:9, :10, :11], axis=-1))
    view = sf.view(heights, init=surface)
    assert view._scene["slices"]["at"] == view._slice == 4
    view.set_state({"_slice": 5})
    np.testing.assert_array_equal(floats(view._heights, 10, 11), heights[5].astype(np.float32))
    np.testing.assert_allclose(floats(view._model, 10, 11), heights[5], rtol=1e-5, atol=1e-7)
    ((cy, cx, a, b, c),) = view._components["shapes"]
    for angle in np.linspace(0, 6, 7):
        u, v = np.cos(angle), np.sin(angle)
        point = np.array([5.0, cy + a * u, cx + b * u + c * v]) - surface.centers[0]
        assert point @ np.linalg.solve(covariance, point) == pytest.approx(1)
    view.set_state({"_slice": 8})
    assert view._components["shapes"] == [None]
    say(view, do="add", at=[2, 3])
    np.testing.assert_array_equal(view.surface.centers[1], [8, 2, 3])
    say(view, do="move", k=0, by=[1, 1], drag=1)
    np.testing.assert_allclose(view.surface.centers[0], [4, 6, 7])
    view.set_state({"_slice": 99})
    assert view._scene["slices"]["at"] == 8


def test_files_of_the_browser_come_with_the_package():
    folder = Path(edits.__file__).parent
    for name in ("surface_view.js", "surface_view.css"):
        assert (folder / name).stat().st_size > 1000
    assert "export default { render }" in (folder / "surface_view.js").read_text("utf-8")
