"""What the summary of a fit says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import Summary, number
from .._model.background import ConstantBackground, FunctionBackground, PlaneBackground, background_model
from .component_table import component_table
from .criteria import LABELS
from .flags import FLAGS, MOST_FLAGGED, ComponentFlag, background_at_bound, described, left_out, listed, readable, shown

if TYPE_CHECKING:
    from .result import FitResult

CLOSE = 1.01


def summary(result: FitResult, n_rows: int = 10) -> Summary:
    """Facts, then the components of largest volume."""
    hidden = result.n_components - n_rows
    rest = f"... and {hidden} smaller components" if hidden > 0 else ""
    return Summary(
        f"surfacefit: {result.n_components} Gaussians in {result.surface.n_dim}-D",
        _facts(result),
        *component_table(result, n_rows),
        rest,
    )


def _facts(result: FitResult) -> list[tuple[str, str]]:
    timings, settings = result.timings, result.settings
    left_out = [f"{count} {what}" for count, what in ((result.n_nan, "NaN"), (result.n_masked, "masked")) if count]
    shape = " x ".join(str(n) for n in result.data.heights.shape)
    points = f"{result.n_points} of {shape}" + (f" ({', '.join(left_out)})" if left_out else "")
    return [
        ("status", f"{'ok' if result.success else 'NOT CONVERGED'}: {result.message}"),
        *_path(result),
        *_starts(result),
        *_correlated(result),
        ("RMSE", number(result.rmse)),
        ("R2", f"{result.r2:.6f}"),
        ("cost", number(result.cost) + (f", and {number(result.penalty)} by the prior" if settings.prior else "")),
        ("points", points),
        (
            "parameters",
            f"{result.n_parameters} ({settings.covariance_type} covariances, {settings.amplitudes} amplitudes)",
        ),
        ("background", _background(result)),
        *_held_background(result),
        *described(shown(result)),
        *_not_looked_for(result),
        ("solver", f"{settings.solver}, {result.steps} steps, {settings.engine}, {settings.dtype}"),
        (
            "time",
            f"{timings.total:.2f} s: start {timings.start:.2f}, compile {timings.compile:.2f}, run {timings.run:.2f}",
        ),
    ]


def _held_background(result: FitResult) -> list[tuple[str, str]]:
    which = background_at_bound(result)
    entry = FLAGS[ComponentFlag.AT_BOUND]
    return [("", f"its number {listed(which)} is {entry.cause}. {entry.advice}")] if len(which) else []


def _not_looked_for(result: FitResult) -> list[tuple[str, str]]:
    names = " and ".join(readable(flag) for flag in left_out(result))
    return [("flags", f"{names}: not looked for above {MOST_FLAGGED} parameters: see `result.flags`")] if names else []


def _path(result: FitResult) -> list[tuple[str, str]]:
    path = result.path
    if path is None:
        return []
    if path.chosen < 0:
        return [("components", f"{result.n_components}: a limit was met before any number was tried")]
    how = (
        f", chosen by {LABELS[path.criterion]}"
        if path.chosen
        else f": none is called for by {LABELS[path.criterion]}, and a fit has one"
    )
    count, low, high = len(path.n_components), path.n_components.min(), path.n_components.max()
    tried = f"{count} numbers from {low} to {high}" if count > 1 else f"{low} alone"
    return [("components", f"{result.n_components}{how}; tried {tried}")]


def _correlated(result: FitResult) -> list[tuple[str, str]]:
    """A warning where a number was chosen by a criterion that takes residuals for independent, and they are not."""
    path = result.path
    if path is None or path.criterion not in ("bic", "aicc") or not (reach := result.diagnostics.reach):
        return []
    way_out = "see AutoComponents('held_out') or a target"
    return [
        (
            "residuals",
            f"correlated over about {reach:.0f} samples: {LABELS[path.criterion]} counts too many components;"
            f" {way_out}",
        )
    ]


def _starts(result: FitResult) -> list[tuple[str, str]]:
    costs = np.zeros(0) if result.starts is None else result.starts[np.isfinite(result.starts)]
    if not len(costs):
        return []
    low, middle, high = (number(float(cost)) for cost in (costs.min(), np.median(costs), costs.max()))
    near = np.count_nonzero(costs <= CLOSE * costs.min())
    return [
        (
            "starts",
            f"{len(costs)} random ones ended at costs {low} to {high}, median {middle}; {near} within 1 % of the"
            f" lowest",
        )
    ]


def _background(result: FitResult) -> str:
    background = background_model(result.surface.background)
    if isinstance(background, ConstantBackground):
        return f"constant {number(float(background.value))}"
    if isinstance(background, PlaneBackground):
        slopes = ", ".join(number(float(slope)) for slope in background.slopes)
        return f"plane, {number(float(background.value))} in the middle, slopes ({slopes})"
    if isinstance(background, FunctionBackground):
        values = ", ".join(number(float(value)) for value in np.atleast_1d(background.parameters))
        return f"{getattr(background.function, '__name__', 'function')}({values})"
    return "none"
