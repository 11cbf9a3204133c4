"""The view of a fit in a real JupyterLab: live while a cell runs, a click and a refit, keys that stay in the view.

SURFACEFIT_SCREENSHOTS names a folder for pictures of what is seen.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from browser import CHROMIUM, chromium
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("anywidget")
pytest.importorskip("playwright")
pytest.importorskip("jupyterlab")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore"),  # of the browser's own event loop
]

PORT = 18765
CELLS = [
    "import surfacefit as sf\n\nheights = sf.example_map('jacksboro')[::3, ::3]\nview = sf.view(heights, 12)\nview",
    "view.fit()",
    "print('free', view.result.n_components)",
]
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The folder of a server that runs."""
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS], metadata=KERNEL), folder / "look.ipynb")
    own = {f"JUPYTER_{name}_DIR": str(folder / f".{name}") for name in ("CONFIG", "DATA", "RUNTIME")}
    options = [f"--port={PORT}", "--ip=127.0.0.1", f"--ServerApp.root_dir={folder}", "--ServerApp.allow_root=True"]
    options += ["--IdentityProvider.token=", "--no-browser", "--ServerApp.port_retries=0"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **own, "IPYTHONDIR": str(folder / ".ipython"), "XLA_FLAGS": ""},
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(60):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield folder
    finally:
        server.terminate()
        server.wait(30)


def test_look_and_touch(lab):
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"http://127.0.0.1:{PORT}/lab/tree/look.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90000)
        page.get_by_role("button", name="No", exact=True).click(timeout=20000)  # news
        page.get_by_text("| Idle").wait_for(timeout=60000)
        page.keyboard.press("Control+B")  # no side bar
        cells = page.locator(".jp-Notebook .jp-Cell")

        def run(number):
            cells.nth(number).locator(".jp-InputArea").click()
            page.keyboard.press("Shift+Enter")

        def says(pattern, seconds=120):
            page.wait_for_function(
                "(pattern) => new RegExp(pattern).test(document.querySelector('.sf-status')?.textContent || '')",
                arg=pattern,
                timeout=1000 * seconds,
            )

        run(0)
        page.wait_for_selector(".surfacefit .sf-panel", timeout=60000)
        page.wait_for_timeout(1000)
        picture(page, "first")
        run(1)
        frames = frames_until(page, r"^K = 12, RMSE")
        assert len(frames) > 10, frames
        page.wait_for_function("() => document.querySelector('.sf-table').textContent.includes('±')", timeout=60000)

        ground = page.locator(".sf-ground").nth(2).bounding_box()
        page.mouse.click(ground["x"] + 0.3 * ground["width"], ground["y"] + 0.8 * ground["height"])
        says("^K = 13, edited", 20)
        page.get_by_role("button", name="Refit").click()
        says("^K = 13, RMSE")
        page.locator(".sf-table tbody tr").nth(3).click()
        page.wait_for_function("() => document.querySelectorAll('g.sf-picked').length === 3", timeout=20000)
        page.wait_for_timeout(3000)
        picture(page, "refit")

        count = cells.count()
        for key in ("x", "d", "d", "Delete"):
            page.keyboard.press(key)
        says("^K = 12, edited", 20)
        assert cells.count() == count

        page.get_by_role("button", name="Fit", exact=True).click()
        says("^[0-9]+ steps")
        run(2)  # the kernel is free while a fit of a click runs
        cells.nth(2).locator(".jp-OutputArea-output").wait_for(timeout=20000)
        assert cells.nth(2).locator(".jp-OutputArea-output").inner_text().startswith("free 13")
        page.get_by_role("button", name="Stop").click()
        says("stopped", 30)

        run(1)  # messages wait while a cell runs: an interrupt ends its fit with the best
        says("^[0-9]+ steps.*interrupt the kernel")
        assert page.get_by_role("button", name="Stop").is_disabled()
        for key in ("Escape", "i", "i"):
            page.keyboard.press(key)
        says("^K = 12.*interrupted", 30)

        page.keyboard.press("Control+S")
        page.wait_for_timeout(3000)
    outputs = json.loads((lab / "look.ipynb").read_text("utf-8"))["cells"][0]["outputs"]
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= outputs[0]["data"].keys()


def frames_until(page, pattern):
    """The distinct captions that are seen until one matches; a picture is taken on the way."""
    end = "(pattern) => new RegExp(pattern).test(document.querySelector('.sf-status').textContent)"
    seen, deadline, taken = [], time.monotonic() + 150, False
    while not page.evaluate(end, pattern):
        assert time.monotonic() < deadline, seen
        text = page.locator(".sf-status").inner_text()
        seen += [text] * ("steps" in text and text not in seen)
        if not taken and page.locator(".sf-panel").first.locator(".sf-ellipse").count() >= 5:
            picture(page, "during")
            taken = True
        page.wait_for_timeout(50)
    return seen


def picture(page, name):
    folder = os.environ.get("SURFACEFIT_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"widget_{name}.png")
