"""A page of a real browser around one widget: the JavaScript of the view, and a stub of Jupyter's model that is joined
to the widget here. Needs no network and no server.
"""

import base64
import time
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

STUB = """
async ([code, state]) => {
  const listeners = {}, traits = {};
  const fire = (name) => (listeners["change:" + name] || []).slice().forEach((one) => one());
  const take = (name, value) => {
    const bytes = value && value.base64 !== undefined;
    traits[name] = bytes ? new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer) : value;
    fire(name);
  };
  let changed = {};
  const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; changed[name] = value; fire(name); },
    save_changes: () => { window.toKernel({ state: changed }); changed = {}; },
    send: (message) => window.toKernel({ message }),
    on: (event, listener) => (listeners[event] ||= []).push(listener),
    off: (event, listener) => { listeners[event] = (listeners[event] || []).filter((one) => one !== listener); },
  };
  window.fromKernel = (state) => Object.entries(state).forEach(([name, value]) => take(name, value));
  window.fromKernel(state);
  const module = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  module.default.render({ model, el: document.getElementById("out") });
}
"""


@contextmanager
def chromium():
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Shown:
    """A view in a page."""

    def __init__(self, browser, view, width=1200, height=800):
        self.view, self.received, self.dirty, self.errors = view, [], set(view.keys), []
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.expose_function("toKernel", lambda said: self.received.append(said))
        self.page.set_content('<body style="margin: 8px"><div id="out"></div></body>')
        self.page.add_style_tag(content=str(view._css))
        view.observe(lambda change: self.dirty.add(change["name"]))
        self.page.evaluate(STUB, [str(view._esm), self._state()])
        self.pump()

    def _state(self):
        dirty, self.dirty = self.dirty, set()  # a fit on another thread goes on changing
        names = [name for name in dirty if name in OWN]
        values = {name: getattr(self.view, name) for name in names}
        return {
            name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for name, value in values.items()
        }

    def pump(self):
        """What the page has said goes to the widget, and what the widget has changed to the page."""
        self.page.wait_for_timeout(40)  # two frames: the page draws before the next
        while self.received:
            said = self.received.pop(0)
            if "message" in said:
                self.view._handle_custom_msg(said["message"], [])
            else:
                self.view.set_state(said["state"])
        state = self._state()
        if state:
            self.page.evaluate("(state) => window.fromKernel(state)", state)
            self.page.wait_for_timeout(40)
        assert not self.errors, self.errors

    def until(self, condition, seconds=60):
        """Pumps until something holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            self.pump()
        self.pump()

    def colors(self, panel):
        """The image (rows, columns, 4) of a panel."""
        import numpy as np

        rows, columns, values = self.page.evaluate(
            """(n) => { const c = document.querySelectorAll(".sf-image")[n];
            return [c.height, c.width, Array.from(c.getContext("2d").getImageData(0, 0, c.width, c.height).data)]; }""",
            panel,
        )
        return np.reshape(values, (rows, columns, 4))

    def place(self, at, panel=0):
        """The pixel of the page where a place [y, x] of the data is drawn in a panel."""
        box = self.page.locator(".sf-ground").nth(panel).bounding_box()
        scene = self.view._scene
        (low, high), (left, right) = scene["extent"]
        down = (at[0] - low) / (high - low)
        down = down if scene["downwards"] else 1 - down
        return box["x"] + (at[1] - left) / (right - left) * box["width"], box["y"] + down * box["height"]

    def close(self):
        self.page.close()


# What the widget shares with the page.
OWN = {"selected", "_scene", "_heights", "_model", "_components", "_status", "_slice"}
