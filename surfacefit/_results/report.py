"""The summary of a fit: facts in a few lines, and the numbers of the table of components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._base.layout import counted, number, verdict
from .._base.status import MAX_DISTANCE
from .._constraints.bounds import FIXABLE
from .._data.labels import with_unit
from .._model.background import ConstantBackground, FunctionBackground, PlaneBackground, background_model
from .._model.gaussian import FWHM_PER_WIDTH
from .criteria import LABELS, NOISE_CRITERIA, decided_by
from .flags import (
    FLAGS,
    MAX_SHOWN_PARAMETERS,
    ComponentFlag,
    background_at_bound,
    described,
    listed,
    not_checked,
    readable,
    shown_flags,
)
from .summary_record import Column, StoredSummary

if TYPE_CHECKING:
    from .result import FitResult

# Of the lowest cost: random starts that end below count as equally good, whatever minimum they found.
NEAR_LOWEST_COST = 1.01

# Points up to which a summary looks at the residuals: about a tenth of a second.
MAX_DIAGNOSED_POINTS = 200_000

# What a summary says of errors that are not those of its table.
HONEST_ERRORS = "see result.uncertainty('auto')"

Fact = tuple[str, str]


def summary(result: FitResult, errors: str = "hessian") -> StoredSummary:
    """Facts, and the table of all components with errors of a method; ``shown`` gives the first of them."""
    title = f"surfacefit: {counted(result.n_components, 'Gaussian')} in {result.surface.n_dim}-D"
    return StoredSummary(title, _facts(result, errors), _columns(result, errors))


def _facts(result: FitResult, errors: str) -> list[Fact]:
    return [
        verdict(result.success, result.message),
        *_path(result),
        *_starts(result),
        *_correlation(result),
        *(_honest_errors(result) if errors == "hessian" else _errors_told(result, errors)),
        *_distance(result),
        *_quality(result),
        ("background", _background(result)),
        *_beam(result),
        *_background_bounds(result),
        *described(shown_flags(result)),
        *_flags_not_checked(result),
        *_effort(result),
    ]


def _quality(result: FitResult) -> list[Fact]:
    settings = result.settings
    counts = ((result.n_nan, "NaN"), (result.n_masked, "masked"))
    unused = ", ".join(f"{count} {what}" for count, what in counts if count)
    shape = " x ".join(str(n) for n in (result.whole or result.data.heights).shape)
    kinds = f"{settings.covariance_type} covariances, {settings.amplitudes} amplitudes"
    penalty = f", and {number(result.penalty)} by the prior" if settings.prior else ""
    return [
        ("RMSE", number(result.rmse)),
        ("R2", f"{result.r2:.6f}"),
        ("cost", number(result.cost) + penalty),
        ("points", f"{result.n_points} of {shape}" + (f" ({unused})" if unused else "")),
        *_labels(result),
        *_periods(result),
        ("parameters", f"{result.n_parameters} ({kinds})"),
    ]


def _labels(result: FitResult) -> list[Fact]:
    """The names and units of the axes and heights, in the order of the columns of centres."""
    labels = result.data.labels
    if labels is None:
        return []
    axes = ", ".join(map(with_unit, labels.dims, labels.units))
    heights = with_unit(labels.name, labels.unit)
    return [("axes", "; ".join([f"{axes}: {heights}" if heights else axes, *labels.notes]))]


def _periods(result: FitResult) -> list[Fact]:
    periods = result.settings.periods
    if periods is None:
        return []
    return [("periods", " x ".join("open" if period is None else number(period) for period in periods))]


def _effort(result: FitResult) -> list[Fact]:
    timings, settings = result.timings, result.settings
    parts = f"start {timings.start:.2f}, compile {timings.compile:.2f}, run {timings.run:.2f}"
    return [
        ("solver", f"{settings.solver}, {result.steps} steps, {settings.engine}, {settings.dtype}"),
        ("time", f"{timings.total:.2f} s: {parts}"),
    ]


def _background_bounds(result: FitResult) -> list[Fact]:
    which = background_at_bound(result)
    entry = FLAGS[ComponentFlag.AT_BOUND]
    return [("", f"its number {listed(which)} is {entry.cause}. {entry.advice}")] if len(which) else []


def _beam(result: FitResult) -> list[Fact]:
    """The beam, and how many components are resolved behind it."""
    beam, points = result.settings.beam, result.settings.constraints.shape is not None
    if beam is None:
        return []
    widths = " x ".join(number(float(width)) for width in FWHM_PER_WIDTH * np.sqrt(np.linalg.eigvalsh(beam)[::-1]))
    if points or not _has_own_widths(result):
        return [("beam", f"FWHM {widths}{': of all components' * points}")]
    axes = result.deconvolved.resolved.sum(axis=1)
    whole, none = np.count_nonzero(axes == result.surface.n_dim), np.count_nonzero(axes == 0)
    some = result.n_components - whole - none
    partly = f", {some} along some axes" if some else ""
    left = f", {none} not: see the upper limits of `result.deconvolved`" if none else ""
    return [("beam", f"FWHM {widths}; own widths without it: {whole} resolved{partly}{left}")]


def _has_own_widths(result: FitResult) -> bool:
    """Whether widths are told without a beam."""
    settings = result.settings
    sized = settings.beam is not None and settings.constraints.shape is None
    return sized and 0 < result.n_parameters <= MAX_SHOWN_PARAMETERS and result.n_components > 0


def _flags_not_checked(result: FitResult) -> list[Fact]:
    names = ", ".join(readable(flag) for flag in not_checked(result))
    if not names:
        return []
    return [("flags", f"{names}: not checked above {MAX_SHOWN_PARAMETERS} parameters: see `result.flags`")]


def _path(result: FitResult) -> list[Fact]:
    path = result.path
    if path is None:
        return []
    if path.chosen < 0:
        return [("components", f"{result.n_components}: a limit was met before any number was tried")]
    by = LABELS[decided_by(path)]
    how = f", chosen by {by}" if path.chosen else f": {LABELS[path.criterion]} supports none"
    count, low, high = len(path.n_components), path.n_components.min(), path.n_components.max()
    tried = f"{count} numbers from {low} to {high}" if count > 1 else f"{low} alone"
    return [("components", f"{result.n_components}{how}; tried {tried}")]


def _correlation(result: FitResult) -> list[Fact]:
    """What it means that residuals are correlated, by the criterion that chose the number."""
    path = result.path
    if path is None or not (reach := result.diagnostics.reach):
        return []
    correlated = f"correlated over about {reach:.0f} samples"
    if path.criterion in NOISE_CRITERIA:
        counted = (
            f"{path.correlation_volume:.3g} samples count as one"
            if path.correlation_volume > 1
            else ("what is left is structure that no significant component takes up")
        )
        return [("residuals", f"{correlated}: {counted}")]
    if path.criterion not in ("bic", "aicc"):
        return []
    warning = f"{correlated}: {LABELS[path.criterion]} counts too many components"
    return [("residuals", f"{warning}; see AutoComponents('effective_bic'), 'held_out' or a target")]


def _honest_errors(result: FitResult) -> list[Fact]:
    """Which other errors are honest, where those of the table assume what the residuals contradict."""
    few = result.n_parameters <= MAX_SHOWN_PARAMETERS and result.n_points <= MAX_DIAGNOSED_POINTS
    if not few or not result.n_components or result.whole is not None:
        return []
    found = result.diagnostics
    if found.errors == "correlated":
        why = f"independent noise, but residuals are correlated over about {found.reach:.0f} samples"
        return [("errors", f"assume {why}: {HONEST_ERRORS}")]
    if found.errors == "sandwich":
        return [("errors", f"assume even noise without outliers, which the residuals contradict: {HONEST_ERRORS}")]
    if found.reach and result.data.axes is None and not result.settings.prior:
        return [("errors", "are too small: residuals of neighbours are correlated, which errors of points do not know")]
    return []


def _errors_told(result: FitResult, errors: str) -> list[Fact]:
    """The method of the table's errors, where a user asked for one."""
    if result.n_parameters > MAX_SHOWN_PARAMETERS or not result.n_components:
        return []
    return [("errors", f"by method {result._errors_by('errors', errors).method!r}")]


def _distance(result: FitResult) -> list[Fact]:
    """How far the minimum is in units of the errors, where it is far and errors are shown."""
    if result.n_parameters > MAX_SHOWN_PARAMETERS or not result.n_components:
        return []
    distance = result.uncertainty().distance
    if not distance > MAX_DISTANCE:
        return []
    return [
        ("distance", f"{distance:.2g} standard errors from the minimum: numbers may move by as many of their errors")
    ]


def _starts(result: FitResult) -> list[Fact]:
    costs = np.zeros(0) if result.starts is None else result.starts[np.isfinite(result.starts)]
    if not len(costs):
        return []
    low, middle, high = (number(float(cost)) for cost in (costs.min(), np.median(costs), costs.max()))
    near = np.count_nonzero(costs <= NEAR_LOWEST_COST * costs.min())
    spread = f"{len(costs)} random ones ended at costs {low} to {high}, median {middle}"
    return [("starts", f"{spread}; {near} within 1 % of the lowest")]


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


def _columns(result: FitResult, errors: str) -> list[Column]:
    """Volumes, amplitudes, centres, widths and in 2-D angles of all components, with errors up to
    MAX_SHOWN_PARAMETERS parameters.
    """
    surface = result.surface
    d = surface.n_dim
    axis_widths = np.sqrt(np.diagonal(np.asarray(surface.covariances), axis1=1, axis2=2))
    centers, widths = np.asarray(surface.centers), surface.principal_widths
    found, name = _errors(result, errors), "width"
    angles = surface.orientation if d == 2 else np.zeros(0)
    if _has_own_widths(result):
        sizes = result.deconvolved
        found, name, widths = [*found[: 1 + d], *sizes.width_errors.T], "own", sizes.principal_widths
        angles = sizes.orientation
    fixed = {
        name: np.broadcast_to(result.settings.constraints.fixed.get(name, False), result.n_components)
        for name in FIXABLE[:3]
    }
    columns = [
        Column("volume", surface.volumes),
        Column("amplitude", np.asarray(surface.amplitudes), found[0], fixed["amplitudes"]),
        *(Column(f"center{i}", centers[:, i], found[1 + i], fixed["centers"], axis_widths[:, i]) for i in range(d)),
        *(Column(f"{name}{i}", widths[:, i], found[1 + d + i], fixed["covariances"]) for i in range(d)),
    ]
    return columns + ([Column("angle/deg", np.degrees(angles).round(6) % 180)] if d == 2 else [])


def _errors(result: FitResult, method: str) -> Sequence[np.ndarray | None]:
    """Standard errors of amplitudes, centres along each axis, and principal widths; None where they take too long."""
    if result.n_parameters > MAX_SHOWN_PARAMETERS:
        return [None] * (1 + 2 * result.surface.n_dim)
    found = result._errors_by("errors", method)
    return [found.amplitudes, *found.centers.T, *found.principal_widths.T]
