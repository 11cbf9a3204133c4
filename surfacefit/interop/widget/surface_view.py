"""The widget: what the browser is shown, and what is done there.

Arrays go to the browser as bytes, one message a frame; what a person does there comes back as small messages: {"do":
"add", "at": [y, x]}, "move", "remove", "undo", "fit", "refit", "stop". Fits that a click begins run on a thread of
their own, so that "stop" arrives while they run. Those of `fit` and `refit` run where they are called: while a cell
runs messages wait, and an interrupt of the kernel ends the fit with its best.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
from traitlets import Bytes, Dict, Int, observe

from ..._base.progress import Progress
from ..._model.surface import GaussianSurface
from ..._results.flags import MAX_SHOWN_PARAMETERS
from ..._results.result import FitResult
from .edits import added, moved, removed
from .fitters import Fitter
from .frames import Frames
from .panels import Panels, panels_of
from .rows import MOST_ROWS, table_of
from .still import picture

# Steps that can be taken back.
MOST_UNDONE = 100

# What a change is told that has to wait.
BUSY = "a fit is running in this view: wait for it, or press Stop"


class SurfaceView(anywidget.AnyWidget):
    """Data, model, residual and components in a notebook; `surfacefit.view` makes it.

    selected : the number of the component that is highlighted, -1 for none; may be set.
    surface : the `GaussianSurface` that is shown, with what was edited by hand.
    result : the last fit, a `FitResult`; None before the first.
    """

    _esm = Path(__file__).with_suffix(".js")
    _css = Path(__file__).with_suffix(".css")

    selected = Int(-1).tag(sync=True)
    _scene = Dict().tag(sync=True)
    _heights = Bytes().tag(sync=True)
    _model = Bytes().tag(sync=True)
    _components = Dict().tag(sync=True)
    _status = Dict().tag(sync=True)
    _slice = Int(0).tag(sync=True)

    def __init__(self, fitter: Fitter, surface: GaussianSurface, result: FitResult | None = None):
        super().__init__()
        self._fitter, self._surface, self._result = fitter, surface, result
        self._edited, self._drag = False, (None, surface)
        self._past: list[tuple[GaussianSurface, FitResult | None, bool]] = []
        self._busy, self._thread, self._beside = threading.Lock(), threading.Thread(), False
        self._frames = Frames(self._show_progress)
        middle = fitter.data.heights.shape[0] // 2 if fitter.data.n_dim == 3 else 0
        self._panels = self._panels_at(middle)
        self.set_trait("_slice", middle)
        self._show_scene()
        self._tell("" if result is None else _ended(result))
        self._show_errors()
        self.on_msg(self._on_message)

    @property
    def surface(self) -> GaussianSurface:
        """The surface that is shown."""
        return self._surface

    @property
    def result(self) -> FitResult | None:
        """The last fit."""
        return self._result

    def fit(self, n_components: Any = None) -> FitResult:
        """A fit from nothing, shown while it runs; the number of components is "auto" or an integer, by default what
        `view` was given.
        """
        number = n_components if n_components is not None else self._fitter.number
        return self._run(lambda watch: self._fitter.fit("auto" if number is None else number, watch))

    def refit(self) -> FitResult:
        """A fit from the components that are shown."""
        return self._run(lambda watch: self._fitter.refit(self._surface, watch))

    def stop(self) -> None:
        """Ends a fit that runs; it keeps the best so far."""
        self._frames.stop.set()

    def add(self, at: Any) -> None:
        """A component at coordinates (d,), as wide as the others and as high as the residual there."""
        place = _numbers(at)
        if len(place) != self._fitter.data.n_dim:
            raise ValueError(f"`at` must be {self._fitter.data.n_dim} coordinates, got {len(place)}")
        kind, signed = self._fitter.new_components()
        self._edit(lambda: added(self._surface, self._fitter.data, place, kind, signed))
        self.selected = self._surface.n_components - 1

    def move(self, k: int, by: Any) -> None:
        """Shifts the centre of component ``k`` by (d,)."""
        self._edit(lambda: moved(self._surface, self._number(k), _numbers(by)))

    def remove(self, k: int) -> None:
        """Takes component ``k`` away."""
        self._edit(lambda: removed(self._surface, self._number(k)))
        self.selected = -1

    def undo(self) -> None:
        """Takes back the last change: an edit or a fit."""
        with self._alone():
            if self._past:
                self._surface, self._result, self._edited = self._past.pop()
                self.selected = -1
                self._show(self._surface)
                self._tell("taken back")
        self._show_errors()

    def _run(self, job: Callable[[Frames], FitResult]) -> FitResult:
        with self._alone():
            before = (self._surface, self._result, self._edited)
            self._frames = Frames(self._show_progress)
            self._beside = threading.current_thread() is self._thread
            self._tell("the fit begins", running=True)
            try:
                result = job(self._frames)
            except BaseException as error:
                self._show(self._surface)
                self._tell(f"no fit: {error}")
                raise
            self._remember(before)
            self._surface, self._result, self._edited = result.surface, result, False
            self._show(result.surface)
            self._tell(_ended(result))
        self._show_errors()
        return result

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(BUSY)
        try:
            yield
        finally:
            self._busy.release()

    def _on_message(self, _: Any, message: Any, __: Any) -> None:
        """What was done in the browser; what cannot be done is said there."""
        action = ACTIONS.get(str(message.get("do"))) if isinstance(message, dict) else None
        if action is None:
            return
        try:
            action(self, message)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            self._tell(str(error), running=self._busy.locked())

    def _edit(self, change: Callable[[], GaussianSurface], remembered: bool = True) -> None:
        with self._alone():
            before, surface = (self._surface, self._result, self._edited), change()
            if remembered:
                self._remember(before)
            self._surface, self._edited = surface, True
            self._show(surface)
            self._tell(f"K = {surface.n_components}, edited: press Refit")

    def _drag_to(self, message: dict[str, Any]) -> None:
        """Shifts a component from where it was when this drag began."""
        k, by = self._number(message["k"]), self._panels.offset(_numbers(message["by"]))
        begins = message["drag"] != self._drag[0]
        if begins:
            self._drag = (message["drag"], self._surface)
        self._edit(lambda: moved(self._drag[1], k, by), remembered=begins)

    def _begin(self, message: dict[str, Any]) -> None:
        """A fit on a thread of its own."""
        job: Callable[[], Any] = self.refit
        if message["do"] == "fit":
            number = str(message["k"]).strip() or "auto"
            counted = int(number) if number.isdigit() else number
            job = lambda: self.fit(counted)  # noqa: E731
        if self._busy.locked():
            raise RuntimeError(BUSY)
        self._thread = threading.Thread(target=_quietly, args=(job,), daemon=True)
        self._thread.start()

    def _number(self, k: Any) -> int:
        if not isinstance(k, int) or not 0 <= k < self._surface.n_components:
            raise IndexError(f"there is no component {k!r}")
        return k

    def _remember(self, before: tuple[GaussianSurface, FitResult | None, bool]) -> None:
        self._past = [*self._past[1 - MOST_UNDONE :], before]

    @observe("_slice")  # type: ignore[untyped-decorator]
    def _other_slice(self, change: Any) -> None:
        if not hasattr(self, "_panels") or self._scene.get("slices") is None:
            return
        self._panels = self._panels_at(int(np.clip(change["new"], 0, len(self._fitter.data.heights) - 1)))
        self._show_scene()

    def _panels_at(self, at: int) -> Panels:
        panels, number = panels_of(self._fitter.data, at), self._fitter.number
        panels.scene["number"] = str(number) if isinstance(number, int | np.integer) else "auto"
        return panels

    def _show_scene(self) -> None:
        with self.hold_sync():
            self._scene, self._heights = self._panels.scene, self._panels.heights
            self._show(self._surface)

    def _show(self, surface: GaussianSurface, errors: Any = None) -> None:
        """One message with the model and the components."""
        with self.hold_sync():
            self._model = self._panels.model(surface)
            self._components = {
                **table_of(surface, self._panels.scene["names"], errors),
                "shapes": self._panels.shapes(surface)[:MOST_ROWS],
                "negative": (np.asarray(surface.amplitudes)[:MOST_ROWS] < 0).tolist(),
            }
            if self.selected >= surface.n_components:
                self.selected = -1

    def _show_progress(self, progress: Progress) -> None:
        with self.hold_sync():
            self._show(progress.surface())
            self._tell(f"{progress.steps} steps, {progress.caption}, {progress.elapsed:.1f} s", running=True)

    def _show_errors(self) -> None:
        """Standard errors in the table, where the surface is that of a fit and they take no time."""
        result = self._result
        if result is None or self._edited or not result.n_components > 0 or result.n_parameters > MAX_SHOWN_PARAMETERS:
            return
        errors = result.uncertainty()
        if self._result is result and not self._edited and not self._busy.locked():
            self._show(result.surface, errors)

    def _tell(self, text: str, running: bool = False) -> None:
        state = {"running": running, "stops": self._beside, "edited": self._edited, "undo": bool(self._past)}
        self._status = {"text": text, **state}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and a picture of it for where there is no JavaScript."""
        found: tuple[dict[str, Any], dict[str, Any]] = super()._repr_mimebundle_(**kwargs) or ({}, {})
        png = picture(self._fitter.data, self._surface, None if self._edited else self._result)
        if png is None:
            return found
        return {**found[0], "image/png": base64.b64encode(png).decode()}, found[1]

    def __repr__(self) -> str:
        shape = " x ".join(str(n) for n in self._fitter.data.heights.shape)
        return f"<SurfaceView: {self._surface.n_components} components, {shape} heights>"


# What can be done in the browser.
ACTIONS: dict[str, Callable[[SurfaceView, dict[str, Any]], Any]] = {
    "add": lambda view, message: view.add(view._panels.place(_numbers(message["at"]))),
    "move": SurfaceView._drag_to,
    "remove": lambda view, message: view.remove(message["k"]),
    "undo": lambda view, _: view.undo(),
    "fit": SurfaceView._begin,
    "refit": SurfaceView._begin,
    "stop": lambda view, _: view.stop(),
}


def _quietly(job: Callable[[], Any]) -> None:
    """A fit whose failure the widget has said already."""
    try:
        job()
    except Exception:
        return


def _ended(result: FitResult) -> str:
    how = "converged" if result.success else result.status.name.lower().replace("_", " ")
    return f"K = {result.n_components}, RMSE {result.rmse:.4g}, R2 {result.r2:.5f}, {result.steps} steps, {how}"


def _numbers(values: Any) -> np.ndarray:
    found = np.asarray(values, float).ravel()
    if not np.isfinite(found).all():
        raise ValueError("a place must be finite numbers")
    return found
