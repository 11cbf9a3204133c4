"""What a start works from, and a given start in the units of the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._constraints.shape import in_shape
from .._model.surface import GaussianSurface, checked_surface
from .._model.units import to_internal
from .._periodic.nearest import nearest_offsets
from .._problem.model_spec import ModelSpec
from .._problem.prepared import Prepared
from .._search.initialization import StartPlan
from .._starts import StartRequest
from .run_spec import RunSpec

# Amplitude, in units of the heights' standard deviation, at which an amplitude of zero in a given start begins: far
# below what a component is worth, and far above where the slope of softplus vanishes.
LEAST_START_AMPLITUDE = 1e-2
# Of a component's own amplitude or widths: what single precision may round a fixed number by, and more.
FIXED_TOLERANCE = 1e-3


def start_request(prepared: Prepared, seed: int) -> StartRequest:
    """Points, and heights above the background at its start, in the units of the fit."""
    data, scaling = prepared.data, prepared.scaling
    background = np.asarray(prepared.background(data.used_points))
    if not np.isfinite(background).all():
        raise ValueError(
            "`background` must be finite at its start at every point, got NaN or infinity: choose another start"
        )
    return StartRequest(
        scattered=scaling.points(data.used_points) if data.axes is None else None,
        heights=scaling.height_differences(data.used_heights - background),
        n_components=prepared.model.n_components,
        spacing=data.spacing / scaling.point_scale,
        rng=np.random.default_rng(seed),
        axes=None if data.axes is None else tuple(scaling.axes(data.axes)),
        used=data.used,
        weights=_weights(prepared),
        signed=prepared.model.signed,
        periods=scaling.periods(prepared.model.periods),
    )


def _weights(prepared: Prepared) -> np.ndarray:
    """Those of the points (N,), in the precision of the fit."""
    if prepared.data.sigma is None:
        return np.broadcast_to(1.0, prepared.data.n_used)
    return prepared.by_point(prepared.problem.weights).astype(float)


def start_plan(prepared: Prepared, run: RunSpec) -> StartPlan:
    """How the fit begins; a given surface is checked against the number of components."""
    init = run.init
    if isinstance(init, GaussianSurface):
        start = checked_surface("init", init, prepared.model.n_components, prepared.data.n_dim, prepared.model.signed)
        start = in_shape(start, prepared.model.constraints.shape)
        start = replace(start, periods=prepared.model.periods)
        inner = to_internal(replace(start, background=None), prepared.scaling)
        _check_fixed(prepared, start, inner)
        init = _above_zero(inner, prepared.model)
    return StartPlan(init, run.search, run.seed)


def _above_zero(start: GaussianSurface, model: ModelSpec) -> GaussianSurface:
    """With amplitudes of zero a little above, since no derivative leads away from zero; unless they are fixed or may be
    negative.
    """
    zero = (start.amplitudes == 0) & ~np.asarray(model.constraints.fixed.get("amplitudes", False)) & (not model.signed)
    return replace(start, amplitudes=np.where(zero, LEAST_START_AMPLITUDE, start.amplitudes))


def _check_fixed(prepared: Prepared, start: GaussianSurface, inner: GaussianSurface) -> None:
    """Refuses what is fixed at a value that the model or its limits do not have, since it would be moved; ``inner`` is
    the start in the units of the fit.
    """
    fixed = prepared.model.constraints.fixed
    names = sorted(prepared.model.constraints.held_at_start)
    if not names:
        return
    host = prepared.host
    packed = host.parameterization.pack(replace(inner, background=host.parameterization.background))
    held = prepared.surface(host.projected(packed))
    widths = np.sqrt(np.einsum("kii->ki", np.asarray(start.covariances, float)))
    units = {
        "amplitudes": np.abs(start.amplitudes) + prepared.scaling.height_scale * LEAST_START_AMPLITUDE,
        "centers": widths,
        "covariances": widths[:, :, None] * widths[:, None, :],
    }
    for name in names:
        given, kept = np.asarray(getattr(start, name), float), np.asarray(getattr(held, name), float)
        changes = nearest_offsets(kept - given, prepared.model.periods) if name == "centers" else kept - given
        moved = (np.abs(changes) > FIXED_TOLERANCE * units[name]).reshape(len(given), -1).any(axis=1)
        moved &= np.broadcast_to(fixed[name], moved.shape)
        if moved.any():
            k = int(np.argmax(moved))
            raise ValueError(
                f"`fixed` holds `{name}` at the start, but that of component {k}, {_told(given[k])}, is none that"
                f" `bounds`, `min_width` and covariance_type={prepared.model.covariance_type!r} allow (nearest:"
                f" {_told(kept[k])}): change the start or the limits"
            )


def _told(value: np.ndarray) -> str:
    return np.array2string(np.asarray(value), precision=4, separator=", ").replace("\n", "")
