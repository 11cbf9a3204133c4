"""The view of a fit in a real browser: what is seen, and what clicks, drags and keys do."""

import numpy as np
import pytest
from browser import CHROMIUM, Shown, chromium

import surfacefit as sf

pytest.importorskip("anywidget")
pytest.importorskip("playwright")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore"),  # of the browser's own event loop
]

TRUTH = sf.GaussianSurface([3.0, 2.0], [[6.0, 8.0], [14.0, 17.0]], [np.diag([4.0, 6.0]), np.diag([5.0, 3.0])], 0.5)


def hills():
    heights = TRUTH(np.stack(np.mgrid[:20, :24], axis=-1)) + 0.05 * np.random.default_rng(1).normal(size=(20, 24))
    heights[2, 20] = np.nan
    return heights


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def fitted():
    return sf.fit(hills(), 2, init="peaks")


@pytest.fixture
def shown(browser, fitted):
    shown = Shown(browser, fitted.view())
    yield shown
    shown.close()


def test_images_have_the_colours_of_their_values_and_gaps(shown):
    colors, heights = shown.colors(0), hills()
    assert colors.shape == (20, 24, 4)
    assert colors[2, 20, 3] == 0
    low, high = (np.unravel_index(f(heights), heights.shape) for f in (np.nanargmin, np.nanargmax))
    assert colors[low].tolist() == [0x44, 0x01, 0x54, 255]
    assert colors[high].tolist() == [0xFD, 0xE7, 0x25, 255]
    assert (shown.colors(1)[..., 3] == 255).all()


def test_each_component_is_in_every_panel_and_in_the_table(shown):
    assert shown.page.locator(".sf-ellipse").count() == 6
    assert shown.page.locator("tbody tr").count() == 2
    box = shown.page.locator("[data-k='0'] .sf-handle").first.bounding_box()
    x, y = shown.place(shown.view.surface.centers[0])
    assert box["x"] + box["width"] / 2 == pytest.approx(x, abs=1)
    assert box["y"] + box["height"] / 2 == pytest.approx(y, abs=1)


def test_a_row_picks_its_ellipse_and_an_ellipse_its_row(shown):
    shown.page.locator("tbody tr").nth(1).click()
    shown.pump()
    assert shown.view.selected == 1
    assert shown.page.locator("g.sf-picked").count() == 3
    assert shown.page.locator("g.sf-picked").first.get_attribute("data-k") == "1"
    (y, x), covariance = shown.view.surface.centers[0], shown.view.surface.covariances[0]
    shown.page.mouse.click(*shown.place([y - np.sqrt(covariance[0, 0]), x], panel=2))
    shown.pump()
    assert shown.view.selected == 0
    assert shown.page.locator("tbody tr.sf-picked td").first.inner_text() == "0"
    assert shown.view.surface.n_components == 2


def test_click_drag_delete_and_undo(shown):
    before = shown.view.surface
    shown.page.mouse.click(*shown.place([4, 18], panel=1))
    shown.until(lambda: shown.view.surface.n_components == 3)
    np.testing.assert_allclose(shown.view.surface.centers[2], [4, 18], atol=0.1)
    assert shown.page.locator(".sf-ellipse").count() == 9
    shown.page.mouse.move(*shown.place(shown.view.surface.centers[2]))
    shown.page.mouse.down()
    for step in np.linspace(0, 1, 8):
        shown.page.mouse.move(*shown.place([4 + 6 * step, 18 - 9 * step]))
        shown.pump()
    shown.page.mouse.up()
    shown.pump()
    np.testing.assert_allclose(shown.view.surface.centers[2], [10, 9], atol=0.1)
    np.testing.assert_array_equal(shown.view.surface.centers[:2], before.centers)
    shown.page.keyboard.press("Delete")
    shown.until(lambda: shown.view.surface.n_components == 2)
    for centers in ([10, 9], [4, 18]):
        shown.page.get_by_role("button", name="Undo").click()
        shown.pump()
        np.testing.assert_allclose(shown.view.surface.centers[2], centers, atol=0.1)


def test_refit_shows_its_frames_and_ends(shown, fitted, monkeypatch):
    monkeypatch.setattr("surfacefit.interop.widget.frames.FRAME_SECONDS", 0)
    shown.page.mouse.move(*shown.place(fitted.surface.centers[1]))
    shown.page.mouse.down()
    shown.page.mouse.move(*shown.place(fitted.surface.centers[1] + [-2, 2]), steps=4)
    shown.page.mouse.up()
    shown.until(lambda: shown.view._status["edited"])
    refit = shown.page.get_by_role("button", name="Refit")
    assert "sf-due" in refit.get_attribute("class")
    refit.click()
    shown.until(lambda: "RMSE" in shown.view._status["text"])
    np.testing.assert_allclose(shown.view.result.surface.centers, fitted.surface.centers, atol=0.01)
    assert shown.page.get_by_role("status").inner_text().startswith("K = 2, RMSE")
    assert "±" in shown.page.locator("tbody").inner_text()


def test_fit_takes_its_number_and_stop_ends_it(browser):
    shown = Shown(browser, sf.view(hills(), init="growth", search=60))
    shown.page.locator("input.sf-number").fill("2")
    shown.page.keyboard.press("Enter")
    shown.until(lambda: shown.view._status["running"])
    stop = shown.page.get_by_role("button", name="Stop")
    shown.until(lambda: stop.is_enabled() and "steps" in shown.view._status["text"])
    stop.click()
    shown.until(lambda: not shown.view._status["running"], 30)
    assert shown.view.result.status == sf.Status.STOPPED
    shown.close()


def test_curves_points_and_volumes(browser):
    x = np.linspace(0, 10, 100)
    line = sf.GaussianSurface([2.0, 1.0], [[3.0], [7.0]], [[[0.25]], [[1.0]]], 0.5)
    shown = Shown(browser, sf.view(line(x), coords=x, init=line))
    assert shown.page.locator(".sf-part").count() == 2
    box = shown.page.locator(".sf-ground").first.bounding_box()
    shown.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 20)
    shown.until(lambda: shown.view.surface.n_components == 3)
    assert shown.view.surface.centers[2, 0] == pytest.approx(5, abs=0.05)
    shown.close()
    points = np.random.default_rng(0).uniform(0, 20, (200, 2))
    shown = Shown(browser, sf.view(TRUTH(points), points=points, init=TRUTH))
    assert shown.page.locator(".sf-ellipse").count() == 6
    assert (shown.colors(0)[..., 3] > 0).any()
    shown.close()
    ball = sf.GaussianSurface([2.0], [[4.0, 5.0, 6.0]], [2 * np.eye(3)], 0.0)
    shown = Shown(browser, sf.view(ball(np.stack(np.mgrid[:9, :10, :11], axis=-1)), init=ball))
    shown.page.locator("input[type=range]").fill("8")
    shown.until(lambda: shown.view._slice == 8)
    assert shown.page.locator(".sf-ellipse").count() == 0
    assert "axis 0 = 8" in shown.page.locator(".sf-slices").inner_text()
    shown.close()


def test_a_narrow_page_has_its_panels_one_below_the_other(browser, fitted):
    shown = Shown(browser, fitted.view(), width=420)
    boxes = [shown.page.locator(".sf-panel").nth(i).bounding_box() for i in range(3)]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    assert all(box["x"] + box["width"] <= 420 for box in boxes)
    shown.close()
