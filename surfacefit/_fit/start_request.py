"""What a start works from, and a given start in the units of the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._model.surface import GaussianSurface, checked_surface
from .._model.units import to_internal
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._search.initialization import StartPlan
from .._starts import StartRequest
from .run_spec import RunSpec

# Amplitude, in units of the heights' standard deviation, at which an amplitude of zero in a given start begins: far
# below what a component is worth, and far above where the slope of softplus vanishes.
LEAST_START_AMPLITUDE = 1e-2


def start_request(prepared: Prepared, seed: int) -> StartRequest:
    """Points, and heights above the background at its start, in the units of the fit."""
    data, scaling = prepared.data, prepared.scaling
    background = np.asarray(prepared.background(data.used_points))
    if not np.isfinite(background).all():
        raise ValueError(
            "`background` must be finite at its start at every point, got NaN or infinity: choose another start"
        )
    return StartRequest(
        points=scaling.points(data.used_points),
        heights=scaling.height_differences(data.used_heights - background),
        n_components=prepared.model.n_components,
        spacing=data.spacing / scaling.point_scale,
        rng=np.random.default_rng(seed),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        weights=prepared.by_point(prepared.problem.weights).astype(float),
        signed=prepared.model.signed,
    )


def start_plan(prepared: Prepared, run: RunSpec) -> StartPlan:
    """How the fit begins; a given surface is checked against the number of components."""
    init = run.init
    if isinstance(init, GaussianSurface):
        start = checked_surface("init", init, prepared.model.n_components, prepared.data.n_dim, prepared.model.signed)
        init = _above_zero(to_internal(replace(start, background=None), prepared.scaling), prepared.model)
    return StartPlan(init, run.search, run.seed)


def _above_zero(start: GaussianSurface, model: ModelSpec) -> GaussianSurface:
    """With amplitudes of zero a little above, since no derivative leads away from zero; unless they are fixed or may be
    negative.
    """
    zero = (start.amplitudes == 0) & ~np.asarray(model.constraints.fixed.get("amplitudes", False)) & (not model.signed)
    return replace(start, amplitudes=np.where(zero, LEAST_START_AMPLITUDE, start.amplitudes))
