"""Fits that a widget makes: with the options of a user, or as another fit was made."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ..._base.progress import Progress
from ..._data.data import SurfaceData
from ..._engines.engines import engine_choice
from ..._fit.fit import fit
from ..._fit.fitting import fitted
from ..._fit.options import checked_options
from ..._fit.run_spec import RunSpec
from ..._model.background import background_start
from ..._model.surface import GaussianSurface
from ..._results.criteria import AutoComponents, auto_components
from ..._results.result import FitResult
from ..._statistics.linearization import model_of
from .edits import without_components

# Quantile of the heights at which a background is shown before there is a fit: below peaks, above noise.
BACKGROUND_LEVEL = 0.1

Watch = Callable[[Progress], Any]


class Fitter(Protocol):
    """Fits of the same data."""

    @property
    def data(self) -> SurfaceData:
        """What is fitted."""
        ...

    @property
    def number(self) -> Any:
        """The number of components that the user asked for; None where that was another fit."""
        ...

    def fit(self, number: Any, callback: Watch) -> FitResult:
        """From nothing, with a number of components or "auto"."""
        ...

    def refit(self, start: GaussianSurface, callback: Watch) -> FitResult:
        """From a start."""
        ...

    def new_components(self) -> tuple[str, bool]:
        """The type of covariances, and whether amplitudes may be negative."""
        ...


@dataclass(frozen=True, eq=False)
class OptionsFitter:
    """Fits with options of `fit`."""

    data: SurfaceData
    number: Any
    options: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises where an option is not valid."""
        self._checked(self.number)

    def fit(self, number: Any, callback: Watch) -> FitResult:
        return self._fitted(self._checked(number, callback=callback))

    def refit(self, start: GaussianSurface, callback: Watch) -> FitResult:
        found = self._checked(start.n_components, init=start, search=0, reset=False, callback=callback)
        return self._fitted(found)

    def new_components(self) -> tuple[str, bool]:
        model = self._checked(self.number).model
        return model.covariance_type, model.signed

    def start(self) -> GaussianSurface:
        """What is shown before there is a fit: the start of the user's, or the background where it would begin."""
        init, option = self.options.get("init"), self.options.get("background", "constant")
        surface = init.surface if isinstance(init, FitResult) else init
        if isinstance(surface, GaussianSurface) and surface.background is not None:
            return surface
        background = background_start(option, self.data.used_points, self.data.used_heights, BACKGROUND_LEVEL)
        if isinstance(surface, GaussianSurface):
            return replace(surface, background=background)
        return without_components(self.data.n_dim, background)

    def _checked(self, number: Any, **more: Any) -> Any:
        defaults = {name: one.default for name, one in inspect.signature(fit).parameters.items()}
        options = {**defaults, "progress": False, **self.options, "n_components": number, **more}
        return checked_options(options, self.data)

    def _fitted(self, specs: Any) -> FitResult:
        return fitted(self.data, specs.model, specs.run, begun=time.perf_counter(), auto=specs.auto)


@dataclass(frozen=True, eq=False)
class ResultFitter:
    """Fits with what another fit was made with."""

    result: FitResult
    number: Any = None

    @property
    def data(self) -> SurfaceData:
        return self.result.data

    def fit(self, number: Any, callback: Watch) -> FitResult:
        constraints = self.result.settings.constraints
        if constraints.by_component or constraints.keep_order:
            raise ValueError(
                "this fit has components with limits of their own, or fixed ones, which only a start has: use refit"
            )
        number = auto_components(number)
        auto = number if isinstance(number, AutoComponents) else None
        model = replace(model_of(self.result), n_components=1 if auto is not None else number)
        return fitted(self.data, model, self._run(callback), begun=time.perf_counter(), auto=auto)

    def refit(self, start: GaussianSurface, callback: Watch) -> FitResult:
        if self.result.settings.constraints.by_component and start.n_components != self.result.n_components:
            raise ValueError(
                f"this fit has limits for each of {self.result.n_components} components, got {start.n_components}:"
                " take back what was added or removed, or view the heights with limits for all"
            )
        run = replace(self._run(callback), init=start, search=0, reset=False)
        return fitted(self.data, model_of(self.result, start), run, begun=time.perf_counter())

    def new_components(self) -> tuple[str, bool]:
        return self.result.settings.covariance_type, self.result.settings.amplitudes == "signed"

    def _run(self, callback: Watch) -> RunSpec:
        settings = self.result.settings
        return RunSpec(
            engine=engine_choice(settings.engine, None),
            dtype=np.dtype(settings.dtype),
            progress=False,
            callback=callback,
        )
