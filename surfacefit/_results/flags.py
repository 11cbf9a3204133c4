"""What to know of a component before its numbers are used: a table of flags, each with its cause and advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints.bounds import FIXABLE
from .._constraints.box import bound_tolerance
from .._constraints.containment import open_region, region_of
from .._model.background import background_model
from .._model.gaussian import profile
from .record import MAX_EXACT_PARAMETERS

if TYPE_CHECKING:
    from .result import FitResult

# Of the RMSE: a component nowhere higher than this changes no residual that can be seen.
NEGLIGIBLE_HEIGHT_RMSES = 1e-3

# Of the smaller of a number and its range: distance from a limit that counts as held by it. Fits end within rounding of
# their limits or, in single precision, within `_constraints.box.bound_tolerance`, whichever is more.
BOUND_TOLERANCE = 3e-5

# Of a component's volume: with less of it over the data the component is there to shape its surroundings.
MIN_VOLUME_SHARE = 0.5

# Parameters up to which summaries, files and plots take the inverse of the normal matrix: well below a second.
MAX_SHOWN_PARAMETERS = 600

# Components that one line of a summary names.
MAX_LISTED = 8

# Squared widths: exp(-s / 2) underflows beyond, and a larger s would only raise a warning.
MAX_SQUARED_WIDTHS = 1400


class ComponentFlag(IntFlag):
    """Warnings about one component, as `FitResult.flags` holds them for each of the K; several may be set, 0 is none.

    A flag says that a number is not to be taken at face value: it stands at a limit, lies outside the data, is not
    supported or not determined by them, or belongs to a component that was moved by a reset. ``FLAGS`` holds the cause
    of each flag and what to do next.

    AT_FLOOR : the smallest principal width is the least that ``min_width`` allows.
    AT_BOUND : an amplitude, centre or width stands at a limit of ``bounds``, or of the data's extent (``contained``).
    OUTSIDE : the centre lies more than half a sampling distance outside the box of the data.
    NEGLIGIBLE : nowhere in the data higher than a thousandth of the RMSE.
    REDUNDANT : the BIC is lower without the component.
    UNDETERMINED : some standard errors are infinite although no limit holds the number.
    RESET : the component collapsed during the fit and was placed again.
    WIDE : more than half of its volume lies off the data.
    UNRESOLVED : narrower than half a sample in some direction, or the standard error of its amplitude exceeds the
        amplitude.
    UNSUPPORTED : the centre lies inside the box of the data, but where there are none: no point was used within half a
        width, or 1.5 samples.

    >>> import surfacefit as sf
    >>> sf.ComponentFlag.AT_FLOOR in sf.ComponentFlag(3)
    True
    """

    AT_FLOOR = 1
    AT_BOUND = 2
    OUTSIDE = 4
    NEGLIGIBLE = 8
    REDUNDANT = 16
    UNDETERMINED = 32
    RESET = 64
    WIDE = 128
    UNRESOLVED = 256
    UNSUPPORTED = 512


class ComponentFlags(np.ndarray):
    """Integers (K,) that print as the names of their flags, and give a `ComponentFlag` each; otherwise an array."""

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        return ComponentFlag(int(value)) if isinstance(value, np.integer) else value

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What is computed from flags is a plain array."""
        return array[()] if return_scalar else np.asarray(array)

    def __repr__(self) -> str:
        return f"ComponentFlags([{', '.join(str(flag.name or 0) for flag in self)}])"

    __str__ = __repr__


@dataclass(frozen=True)
class FlagEntry:
    """What is the matter, and what to do next."""

    cause: str
    advice: str


# For each flag the sentences that summaries print.
FLAGS: dict[ComponentFlag, FlagEntry] = {
    ComponentFlag.AT_FLOOR: FlagEntry(
        "as narrow as `min_width` or the `beam` allows in some direction, so that this width has no error: not resolved"
        " by the sampling or the beam, or noise",
        "Read it as the height of one sample, or lower `min_width`; behind a beam quote `deconvolved.upper_limits`.",
    ),
    ComponentFlag.AT_BOUND: FlagEntry(
        "held by `bounds`, or by the extent of the data (`contained`): the fit would be better beyond",
        "A slope or a level may be missing: try background='plane'. Else widen the bounds, or quote the number without"
        " an error: it has none.",
    ),
    ComponentFlag.OUTSIDE: FlagEntry(
        "centred outside the data: they show its flank only",
        "Do not interpret its numbers one by one; bound the centres if it must lie inside.",
    ),
    ComponentFlag.NEGLIGIBLE: FlagEntry(
        "nowhere in the data higher than a thousandth of the RMSE", "Use fewer components."
    ),
    ComponentFlag.REDUNDANT: FlagEntry(
        "the BIC is lower without it, as long as the others stay",
        "Use `result.merged()`, which takes one away at a time, or fewer components.",
    ),
    ComponentFlag.UNDETERMINED: FlagEntry(
        "some of its numbers are not determined by the data: their errors are infinite",
        "Fix or bound them, or use fewer components.",
    ),
    ComponentFlag.RESET: FlagEntry(
        "collapsed during the fit, and was placed again where the residual was highest",
        "Its numbers are as good as any other's; if many were reset, use fewer components.",
    ),
    ComponentFlag.WIDE: FlagEntry(
        "more than half of its volume lies off the data, where nothing supports it",
        "Quote `volume_shares * surface.volumes`, the volume over the data; or bound the widths.",
    ),
    ComponentFlag.UNRESOLVED: FlagEntry(
        "narrower than half a sample, or known worse than its own amplitude: width and height are not told apart",
        "Quote no amplitude or width of it; a lower limit of `widths` in `bounds`, or fewer components, may help.",
    ),
    ComponentFlag.UNSUPPORTED: FlagEntry(
        "centred where there are no data: its top is a guess from its flanks",
        "Do not take its amplitude for measured.",
    ),
}


def flags(result: FitResult, *, quick: bool = False) -> np.ndarray:
    """`ComponentFlag` values (K,); ``quick`` leaves out those that need the inverse of the normal matrix, UNRESOLVED by
    the error of the amplitude among them. Of tied components nobody says what the fit were without one: none is
    REDUNDANT.
    """
    found = np.zeros(result.n_components, int)
    for flag, which in quick_flags(result, result.rmse).items():
        found[which] |= int(flag)
    if not quick:
        for flag, which in flags_of_errors(result, result.standard_errors).items():
            found[which] |= int(flag)
        if result.n_parameters <= MAX_EXACT_PARAMETERS and not result.settings.constraints.ties:
            found[result.redundant] |= int(ComponentFlag.REDUNDANT)
    return found.view(ComponentFlags)


def shown_flags(result: FitResult) -> np.ndarray:
    """`ComponentFlag` values (K,) for summaries, files and plots: the quick ones where `not_checked` names others."""
    return flags(result, quick=True) if ComponentFlag.UNDETERMINED in not_checked(result) else result.flags


def not_checked(result: FitResult) -> list[ComponentFlag]:
    """Flags that ``shown_flags`` does not look for: with many parameters they take longer than a summary may.

    UNRESOLVED is then looked for by widths alone, not by errors.
    """
    if result.n_parameters > MAX_EXACT_PARAMETERS and "flags" in vars(result):
        return [ComponentFlag.REDUNDANT]
    known = result.n_parameters <= MAX_SHOWN_PARAMETERS or "flags" in vars(result)
    return [] if known else [ComponentFlag.REDUNDANT, ComponentFlag.UNDETERMINED, ComponentFlag.UNRESOLVED]


def quick_flags(result: FitResult, rmse: Any) -> dict[ComponentFlag, np.ndarray]:
    """Which components (K,) have a flag that needs no errors; ``rmse`` is a number, or one for each of them."""
    centers = np.asarray(result.surface.centers)
    region = region_of(result.data, result.settings.periods)
    low, high, rounding = region.low, region.high, _bound_tolerance(result) * region.extent
    outside = ((centers < low - rounding) | (centers > high + rounding)).any(axis=1)
    return {
        ComponentFlag.AT_FLOOR: result.at_floor,
        ComponentFlag.AT_BOUND: np.any(list(_at_limits(result).values()), axis=0),
        ComponentFlag.OUTSIDE: outside,
        ComponentFlag.NEGLIGIBLE: _largest_heights(result, outside, rmse) <= NEGLIGIBLE_HEIGHT_RMSES * rmse,
        ComponentFlag.RESET: result.resets > 0,
        ComponentFlag.WIDE: result.volume_shares < MIN_VOLUME_SHARE,
        ComponentFlag.UNRESOLVED: result.unresolved,
        ComponentFlag.UNSUPPORTED: result.without_data,
    }


def _largest_heights(result: FitResult, outside: np.ndarray, rmse: Any) -> np.ndarray:
    """Largest absolute height (K,) of each component in the box of the data, to tell the negligible ones.

    Taken at the place of the box nearest to the centre. A component ``outside`` may be higher elsewhere if it is
    slanted, so that those which look negligible are evaluated at all points.
    """
    surface, points = result.surface, result.data.used_points
    centers = np.asarray(surface.centers)
    offsets = np.clip(centers, points.min(axis=0), points.max(axis=0)) - centers
    solved = np.linalg.solve(np.asarray(surface.covariances), offsets[:, :, None])[:, :, 0]
    squares = np.einsum("ki,ki->k", offsets, solved)
    heights = np.abs(np.asarray(surface.amplitudes)) * profile(np.clip(squares, 0, MAX_SQUARED_WIDTHS))
    for k in np.flatnonzero(outside & (heights <= NEGLIGIBLE_HEIGHT_RMSES * rmse)):
        heights[k] = float(np.abs(surface.component(k)(points)).max())
    return np.asarray(heights)


def _at_limits(result: FitResult) -> dict[str, np.ndarray]:
    """Which components (K,) have amplitudes, centres or covariances at a limit."""
    bounds, fixed, surface = result.settings.constraints.bounds, result.settings.constraints.fixed, result.surface
    tolerance = _bound_tolerance(result)
    found: dict[str, np.ndarray] = dict.fromkeys(FIXABLE[:3], np.zeros(result.n_components, bool))
    if bounds.amplitudes is not None:
        found["amplitudes"] = _meets(np.asarray(surface.amplitudes), bounds.amplitudes, tolerance)
    if bounds.centers is not None:
        found["centers"] = np.asarray(_meets(np.asarray(surface.centers), bounds.centers, tolerance).any(axis=1))
    if result.settings.contained:
        region, free = region_of(result.data, result.settings.periods), bounds.centers is None
        found["centers"] = found["centers"] | free & region.meets_centers(surface.centers, tolerance)
        found["covariances"] = (bounds.widths is None) & region.meets_widths(surface.covariances, tolerance)
    if result.settings.periods is not None:
        narrow = open_region(result.settings.periods)
        found["covariances"] = found["covariances"] | narrow.meets_widths(surface.covariances, tolerance)
    widths = surface.principal_widths
    if bounds.widths is not None:
        found["covariances"] = found["covariances"] | _meets(widths, bounds.widths, tolerance).any(axis=1)
    if bounds.aspect is not None:
        at_aspect = widths[:, 0] >= (1 - tolerance) * bounds.aspect * widths[:, -1]
        found["covariances"] = found["covariances"] | at_aspect
    return {name: which & ~np.broadcast_to(fixed.get(name, False), which.shape) for name, which in found.items()}


def background_at_bound(result: FitResult) -> np.ndarray:
    """Indices of the background's free numbers that stand at a limit."""
    limits, background = result.settings.constraints.bounds.background, background_model(result.surface.background)
    if limits is None or np.any(result.settings.constraints.fixed.get("background", False)):
        return np.zeros(0, int)
    return np.flatnonzero(_meets(np.asarray(background.vector(), float), limits, _bound_tolerance(result)))


def _bound_tolerance(result: FitResult) -> float:
    return max(BOUND_TOLERANCE, bound_tolerance(result.settings.dtype))


def _meets(values: np.ndarray, pair: tuple[Any, Any], tolerance: float) -> np.ndarray:
    low, high = (np.broadcast_to(side, values.shape) for side in pair)
    room = tolerance * np.minimum(high - low, np.maximum(np.abs(values), 1e-300))
    return (values <= low + room) | (values >= high - room)


def flags_of_errors(result: FitResult, errors: Any) -> dict[ComponentFlag, np.ndarray]:
    """Which components (K,) have an infinite error of a number that no limit holds, and which an amplitude below its
    error, and not because a limit holds it.
    """
    at_limits = _at_limits(result)
    sizes = np.abs(np.asarray(result.surface.amplitudes))
    worse = (np.asarray(errors.amplitudes) > sizes) & ~at_limits["amplitudes"]
    at_limits["covariances"] = at_limits["covariances"] | result.at_floor
    unknown = {name: ~_finite_rows(np.asarray(getattr(errors, name))) for name in at_limits}
    undetermined = np.any([unknown[name] & ~which for name, which in at_limits.items()], axis=0)
    return {ComponentFlag.UNDETERMINED: undetermined, ComponentFlag.UNRESOLVED: worse}


def _finite_rows(array: np.ndarray) -> np.ndarray:
    """Which rows (K,) of an array (K, ...) are finite throughout."""
    return np.asarray(np.isfinite(array).all(axis=tuple(range(1, array.ndim))))


def described(found: np.ndarray) -> list[tuple[str, str]]:
    """For each flag that is set in ``found`` (K,): its name, and the components with the cause and the next step."""
    lines = []
    for flag, entry in FLAGS.items():
        which = np.flatnonzero(found & int(flag))
        if len(which):
            lines.append(
                (readable(flag), f"component{'s' * (len(which) > 1)} {listed(which)}: {entry.cause}. {entry.advice}")
            )
    return lines


def readable(flag: ComponentFlag) -> str:
    """The name of a flag in lower case."""
    return str(flag.name).lower().replace("_", " ")


def listed(which: np.ndarray) -> str:
    """The first of some indices, and how many more there are."""
    return ", ".join(str(k) for k in which[:MAX_LISTED]) + (
        f" and {len(which) - MAX_LISTED} more" if len(which) > MAX_LISTED else ""
    )
