"""The fit of a background without components: the model of K = 0, and all that very few samples allow.

A constant is the same wherever the points are: it is fitted along one axis, since programs for many dimensions take
long to compile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .._data.data import SurfaceData
from .._fit.fitting import fitted
from .._fit.options import checked_options
from .._model.background import ConstantBackground
from .._model.surface import GaussianSurface
from .._results.result import FitResult


def background_alone(data: SurfaceData, options: Mapping[str, Any]) -> FitResult:
    """The best background by the options of `fit`, all of which are checked; those of components have no effect."""
    begun, plain = time.perf_counter(), {"n_components": 1, "init": "grid", "search": 0, "reset": False}
    given, run, _ = checked_options({**options, **plain}, data)
    limits = given.constraints.of_background
    model = replace(given, n_components=0, constraints=limits, prior=None, contained=False)
    line = replace(data, points=data.all_points[:, :1]) if _is_constant(model.background) else data
    result = fitted(line, model, replace(run, init=_without_components(line.n_dim)), begun=begun)
    surface = replace(_without_components(data.n_dim), background=result.surface.background)
    return replace(result, data=data, surface=surface)


def _is_constant(background: Any) -> bool:
    return background in (None, "constant") or isinstance(background, ConstantBackground | int | float | np.number)


def _without_components(n_dim: int) -> GaussianSurface:
    return GaussianSurface(np.zeros(0), np.zeros((0, n_dim)), np.zeros((0, n_dim, n_dim)))
